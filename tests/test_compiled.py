"""The core compiled by setup.py does what its sources do: the same seed gives the same figures to the last digit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("compression", "obfuscation", "reliability", "tunnel", "wire")
BUILD_LIMIT, RUN_LIMIT = 600, 120  # seconds
LINKS = (
    ("rate=10mbit,delay=50ms,loss=30%", "--workload=bulk", "--secs=6"),
    ("rate=256kbit,delay=150ms,queue=400ms,loss=10%", "--workload=mixed", "--secs=10"),
    ("rate=4mbit,delay=80ms±40ms,loss=25%,duplicate=3%,reorder=3%,corrupt=1%", "--workload=web", "--secs=8"),
    ("rate=50mbit,delay=10ms", "--workload=upload", "--secs=3"),
)
HOSTILE = """
import random
from ghost.errors import PeerError
from ghost.wire import frames
noise = random.Random(5)
for size in range(1, 2000):
    try:
        print(frames.decode(noise.randbytes(1 + size % 60)))
    except PeerError as error:
        print(error)
"""


def output(tree: Path, *arguments: str, environment: dict[str, str] | None = None, limit: int = RUN_LIMIT) -> str:
    """What Python prints there."""
    command = (sys.executable, *arguments)
    done = subprocess.run(
        command,
        cwd=tree,
        env=os.environ | (environment or {}),
        timeout=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


# One test, for building takes most of a minute: not for speed here, and so in a third of the time.
@pytest.mark.timeout(BUILD_LIMIT + 10 * RUN_LIMIT)
def test_compiled_it_does_what_the_sources_do(tmp_path: Path) -> None:
    for name in ("ghost", "ghosttunnel.py", "setup.py", "setup.cfg", "pyproject.toml", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = {"GHOSTTUNNEL_COMPILE": "1", "MYPYC_OPT_LEVEL": "0", "CFLAGS": "-O0", "PATH": path}
    output(tmp_path, "setup.py", "--quiet", "build_ext", "--inplace", environment=options, limit=BUILD_LIMIT)

    sources = {path.relative_to(ROOT) for part in CORE for path in (ROOT / "ghost" / part).glob("[!_]*.py")}
    compiled = {path.relative_to(tmp_path) for path in tmp_path.glob("ghost/**/*.so")}
    assert len(sources) > 50
    assert sources <= {path.with_name(path.name.partition(".")[0] + ".py") for path in compiled}
    used = "import ghost.tunnel.connection as used; print(used.__file__)"
    assert ".so" in output(tmp_path, "-c", used)
    assert ".so" not in output(ROOT, "-c", used)

    for link in LINKS:
        command = ("ghosttunnel.py", "sim", *link, "--json")
        assert output(tmp_path, *command) == output(ROOT, *command), f"compiled, it does something else on {link}"
    refusals = output(tmp_path, "-c", HOSTILE)
    assert refusals == output(ROOT, "-c", HOSTILE)
    assert refusals.count("\n") == 1999
