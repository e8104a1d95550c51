"""Give a zipapp another __main__.py, keeping the rest as it is: replace_main.py PYZ MAIN_PY.

Beside it goes the file `extension_suffix`: the suffix of the compiled modules that the running Python loads
first, by which the new __main__.py recognises the Python that the file was built for.
"""

from __future__ import annotations

import importlib.machinery
import sys
import zipfile
from pathlib import Path


def replace_main(pyz: Path, main: Path) -> None:
    shebang = pyz.read_bytes().split(b"\n", 1)[0]
    rewritten = pyz.with_suffix(".tmp")
    with zipfile.ZipFile(pyz) as old, rewritten.open("wb") as file:
        file.write(shebang + b"\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                new.writestr(entry, main.read_bytes() if entry.filename == "__main__.py" else old.read(entry))
            suffix = zipfile.ZipInfo("extension_suffix", date_time=entry.date_time)
            new.writestr(suffix, importlib.machinery.EXTENSION_SUFFIXES[0])
    rewritten.chmod(pyz.stat().st_mode)
    rewritten.replace(pyz)


if __name__ == "__main__":
    replace_main(Path(sys.argv[1]), Path(sys.argv[2]))
