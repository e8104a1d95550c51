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

# Timestamps inside wheel and zip: the first that a zip can express.
export SOURCE_DATE_EPOCH=315532800

echo "build: wheel"
rm -rf build/lib build/bdist.* dist/ghosttunnel*
"$python" -m pip wheel --quiet --no-deps --wheel-dir dist .
wheel=$(echo dist/ghosttunnel-*.whl)

echo "build: dependencies"
rm -rf $tree
"$python" -m pip install --quiet --no-compile --target $tree "$wheel[fast,metrics]"

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
# are imported by name, hence the submodules; what a dependency would drag in and nobody calls is left out.
echo "build: dist/ghosttunnel"
PYTHONPATH=$tree "$python" -m PyInstaller --log-level ERROR --noconfirm --onefile --strip --name ghosttunnel \
    --distpath dist --workpath build/binary --specpath build/binary --paths "$PWD/$tree" \
    --collect-submodules ghost --exclude-module matplotlib --exclude-module tkinter --exclude-module test \
    --exclude-module setuptools $tree/ghosttunnel.py
ls -sh "$wheel" dist/ghosttunnel.pyz dist/ghosttunnel
