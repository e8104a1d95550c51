#!/usr/bin/env bash
# Make dist/ghosttunnel-*.whl, dist/ghosttunnel.pyz, the program with all its dependencies in one file, and
# dist/ghosttunnel, the same with a Python inside.
#
# The .pyz runs under the Python version and processor that it was built with, since it holds compiled modules. It unpacks
# itself once: below $SHIV_ROOT where that is set, else where pyz_main.py says. The same sources, dependencies and tools
# give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
tree=build/pyz

# Timestamps inside wheel and zip: the first that a zip can express. And one order of what has none.
export SOURCE_DATE_EPOCH=315532800 PYTHONHASHSEED=0

echo "build: wheel"
rm -rf build/lib build/bdist.* build/core dist/ghosttunnel*
"$python" -m pip wheel --quiet --no-deps --wheel-dir dist .
wheel=$(echo dist/ghosttunnel-*.whl)

echo "build: dependencies"
rm -rf $tree
"$python" -m pip install --quiet --no-compile --target $tree "$wheel[fast,metrics]"

# The wheel stays as it is, for any Python; what is built for this one gets compiled modules beside its sources.
if [ "${COMPILE:-1}" = 1 ]; then
    echo "build: core"
    GHOSTTUNNEL_COMPILE=1 PATH="$PWD/.venv/bin:$PATH" "$python" setup.py --quiet build_ext --parallel "$(nproc)" \
        --build-temp build/core --build-lib $tree >build/core.log 2>&1 \
        || { tail -n 5 build/core.log >&2; echo "build: no compiler that works: COMPILE=0 builds without" >&2; exit 1; }
fi

# What no one runs: tests, sources of compiled modules, debugging symbols, zstandard's second backend (for PyPy), and files
# that name the machine of the build. That is more than half of the size, and routers have little room.
rm -rf $tree/bin $tree/include $tree/share
find $tree -type d \( -name tests -o -name testing -o -name SelfTest \) -prune -exec rm -rf {} +
find $tree -type f \( -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyx' -o -name '*.pxd' \
    -o -name '*.pyi' -o -name RECORD -o -name direct_url.json \) -delete
rm -f $tree/zstandard/_cffi.* $tree/zstandard/backend_cffi.py
if command -v strip >/dev/null; then find $tree -name '*.so' -exec strip --strip-debug {} +; fi

echo "build: dist/ghosttunnel.pyz"
unfinished=build/ghosttunnel.pyz
.venv/bin/shiv --reproducible --site-packages $tree --entry-point ghosttunnel:main --python '/usr/bin/env python3' \
    --output-file $unfinished
"$python" packaging/replace_main.py $unfinished packaging/pyz_main.py
mv $unfinished dist/ghosttunnel.pyz

# The binary needs no Python, only a C library that is not older than this machine's. Commands and cryptographic backends
# are imported by name, hence the submodules, and what compiled modules import does not show in them; what a dependency
# would drag in and nobody calls is left out.
echo "build: dist/ghosttunnel"
imports=$(PYTHONPATH=$tree "$python" - $tree <<'END'
import ast, sys
from importlib.util import find_spec
from pathlib import Path

tree = Path(sys.argv[1])
names = {path.name.partition(".")[0] for path in tree.glob("ghost_core__mypyc.*")}
for compiled in tree.glob("ghost/**/*.so"):
    for node in ast.walk(ast.parse(compiled.with_name(compiled.name.partition(".")[0] + ".py").read_bytes())):
        names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
names = {name for name in names if not name.startswith("ghost.") and find_spec(name.partition(".")[0])}
print(*(f"--hidden-import={name}" for name in sorted(names)))
END
)
PYTHONPATH=$tree "$python" -m PyInstaller --log-level ERROR --noconfirm --onefile --strip --name ghosttunnel \
    --distpath dist --workpath build/binary --specpath build/binary --paths "$PWD/$tree" \
    --collect-submodules ghost $imports --exclude-module matplotlib --exclude-module tkinter --exclude-module test \
    --exclude-module setuptools $tree/ghosttunnel.py

# A module that was left out shows at once.
for program in dist/ghosttunnel.pyz dist/ghosttunnel; do $program --version >/dev/null; done
ls -sh "$wheel" dist/ghosttunnel.pyz dist/ghosttunnel
