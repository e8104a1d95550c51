"""Does the simulation tell the truth? The same download in virtual time and on real kernels, side by side.

sudo .venv/bin/python bench/agreement.py                     every case, inside the tunnel: some minutes
sudo .venv/bin/python bench/agreement.py --plain loss30      that case, and without the tunnel as well

Real kernels run in two namespaces with TUN devices, joined by the project's own link process; the tunnel's two ends are
started as a user would start them. Both sides download for the same time over links of the same description, with
--runs seeds each, and the medians are compared. Exit code 1 when they differ by more than 15 % in any case that was
asked for. On a machine that is busy with other things, it is that which is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from ghost.chaos.spec import LinkSpec, parse
from ghost.commands.demo_stage import INNER_SERVER, Download, Interruption, start_tunnel
from ghost.errors import GhostError
from ghost.runtime.namespaces import ADDRESSES, NamespacePair
from ghost.simulation.direct import Direct
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk

ROOT = Path(__file__).parents[1]

CASES = {
    "loss0": "rate=10mbit,delay=50ms",
    "loss10": "rate=10mbit,delay=50ms,loss=10%",
    "loss30": "rate=10mbit,delay=50ms,loss=30%",
    "thin256": "rate=256kbit,queue=400ms,delay=150ms,loss=10%",
}
TOLERANCE = 0.15


def main() -> int:
    options = _options()
    names = options.case or list(CASES)
    worst = 0.0
    print(f"{'case':10}{'':8}{'simulated':>16}{'real kernels':>16}{'differ by':>12}   runs of {options.secs} s")
    for name in names:
        link = parse(CASES[name])
        for is_plain in (False, True) if options.plain else (False,):
            simulated, real = [], []
            for seed in range(1, options.runs + 1):
                simulated.append(_simulated(link, options.secs, seed, is_plain=is_plain))
                real.append(_real(link, options.secs, seed, is_plain=is_plain))
                _tell(f"{name}, run {seed} of {options.runs}")
            _tell("")
            difference = abs(median(simulated) / max(median(real), 1.0) - 1)
            label = "plain" if is_plain else "tunnel"
            spread = "  ".join(
                f"{each / 1e6:.2f}:{other / 1e6:.2f}" for each, other in zip(simulated, real, strict=True)
            )
            print(
                f"{name:10}{label:8}{median(simulated) / 1e6:>9.2f} Mbit/s{median(real) / 1e6:>9.2f} Mbit/s"
                f"{difference:>12.0%}   {spread}",
                flush=True,
            )
            if not is_plain:
                worst = max(worst, difference)
    print(f"the largest difference is {worst:.0%}, {TOLERANCE:.0%} may be")
    return 0 if worst <= TOLERANCE else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the simulation with real kernels.")
    parser.add_argument("case", nargs="*", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--secs", type=int, default=15, help="for each download (default: 15)")
    parser.add_argument("--runs", type=int, default=3, help="with as many seeds (default: 3)")
    parser.add_argument("--plain", action="store_true", help="without the tunnel as well")
    options = parser.parse_args()
    unknown = [name for name in options.case if name not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]}: give some of {', '.join(CASES)}")
    return options


def _simulated(link: LinkSpec, seconds: int, seed: int, *, is_plain: bool) -> float:
    """Payload bits a second, of a download with nothing beside it."""
    path = Direct(link, seed=seed) if is_plain else Pair(link, seed=seed)
    if isinstance(path, Pair):
        path.run_until_connected()
    start = path.now
    download = Bulk(path, is_download=True, seed=seed)
    path.applications.append(download)
    path.run(seconds)
    return download.goodput_bps(start, path.now)


def _real(link: LinkSpec, seconds: int, seed: int, *, is_plain: bool) -> float:
    """The same of a kernel's TCP; counted, as there, from its first packet."""
    stop = Interruption()
    with tempfile.TemporaryDirectory(prefix="ghostbench") as folder, NamespacePair("bench") as pair:
        pair.impaired(link, seed=seed)
        if not is_plain:
            start_tunnel(pair, stop, Path(folder), (sys.executable, str(ROOT / "ghosttunnel.py")))
        download = Download(pair, ADDRESSES["b"] if is_plain else INNER_SERVER, seconds=seconds, seed=seed)
        *_, last = download.reports(stop)
        download.close()
    if not last.is_intact and last.received:
        raise GhostError("what arrived is not what was sent")
    return last.received * 8 / (last.seconds + (last.connected or 0.0))


def _tell(state: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{state:40}", end="" if state else "\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GhostError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
