"""How does the tunnel feel on bad links, alone and beside a download? On real kernels, beside wireguard-go.

sudo .venv/bin/python bench/latency.py                                    everything: a quarter of an hour for a seed
sudo .venv/bin/python bench/latency.py --case ping30 --case requests --seeds 3 --tunnel ghosttunnel
sudo .venv/bin/python bench/latency.py --resume                           goes on where it was interrupted
sudo .venv/bin/python bench/latency.py --before build/bench/former.jsonl  draws what was found then beside it

Two namespaces, our own bad link between them (ghost.runtime.link), the tunnels of bench/throughput.py. The table has
the median over the seeds and what is asked of it; `p50` and `p99` are beyond the path's own round trip, and what was
lost counts as endlessly late. That round trip is the median of the pings that came back over the same link without a
tunnel, right before: the link is a process and the kernels are scheduled, so it is longer than the link's description
says, by `path_ms` (0.7, and 6 at 256 kbit/s, where a ping takes that long). Each run is a line of
build/bench/latency.jsonl as soon as it is done. Histograms go to build/bench/latency.png where matplotlib is. Bringing
up is measured in virtual time, over many seeds, and from the start of the program on real kernels. Exit code 1 where
something misses what is asked.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from throughput import TUNNELS, Tunnel

from ghost.chaos.spec import parse
from ghost.commands.demo_stage import Interruption, start_tunnel
from ghost.errors import GhostError
from ghost.runtime.entry import module_command
from ghost.runtime.namespaces import ADDRESSES, LineReader, NamespacePair, end
from ghost.simulation.measure import percentile
from ghost.simulation.pair import Pair

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "bench" / "latency.png"
RECORD = OUTPUT.with_suffix(".jsonl")
PROGRAM = (sys.executable, str(ROOT / "ghosttunnel.py"))
TRAFFIC = module_command("ghost.runtime.traffic")
PEOPLE = (sys.executable, str(ROOT / "bench" / "latency_traffic.py"))
UP_LIMIT = 60.0  # seconds: a handshake of WireGuard is repeated every five
PING_INTERVAL = 0.05
BARE_PINGS = 60
PING_SIZE = 84  # bytes of inner packet
LISTENER_BUFFER = 0.04  # seconds
REQUESTS_LIMIT = 60  # seconds in which the hundred are begun: where each takes that many round trips, fewer will do
STREAM_PORT, PEOPLE_PORT = 5001, 5002
WARM_UP = 3.0  # seconds in which rates are found
SIMULATED_SEEDS = 100
SET_UP = 10.0  # seconds that namespaces, the bare path, a tunnel and its end take, about

Figures = dict[str, float]
Found = dict[tuple[str, str], list["Run"]]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run found: figures by name, and the times behind them, in seconds."""

    figures: Figures
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """A tunnel that is up: `near` and `far` are the inner addresses of a and b; `path` is a round trip without it."""

    pair: NamespacePair
    near: str
    far: str
    path: float
    seed: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Case:
    """`asked`: at most that much of a figure, or at least where it is negative.

    `spans` times the seconds of a measurement, and at most `more` seconds, are what a run takes.
    """

    name: str
    link: str
    measure: Callable[[Place], Run]
    asked: Figures
    spans: float = 1.0
    more: float = 3.0


def main() -> int:
    options = _options()
    stop = Interruption()
    record = _read(RECORD, options.secs) if options.resume else {}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        RECORD.unlink(missing_ok=True)
    tunnels = [tunnel for tunnel in TUNNELS if tunnel.name in options.tunnel]
    cases = [case for case in CASES if not options.case or case.name in options.case]
    plan = [(case, tunnel, seed) for case in cases for seed in range(1, options.seeds + 1) for tunnel in tunnels]
    left = [each for each in plan if (each[0].name, each[1].name, each[2]) not in record]
    for at, (case, tunnel, seed) in enumerate(left):
        minutes = sum(_length(each, options.secs) for each, _, _ in left[at:]) / 60
        print(f"{case.name}, {tunnel.name}, seed {seed}: {len(left) - at} runs, {minutes:.0f} min", file=sys.stderr)
        try:
            run = _run(case, tunnel, seed, options.secs, stop)
        except GhostError as error:
            print(f"{case.name}, {tunnel.name}, seed {seed}: {error}", file=sys.stderr)
            continue
        record[case.name, tunnel.name, seed] = run
        with RECORD.open("a") as lines:
            told = {"case": case.name, "tunnel": tunnel.name, "seed": seed, "secs": options.secs, **asdict(run)}
            lines.write(json.dumps(told) + "\n")
    keys = [(case.name, tunnel.name, seed) for case, tunnel, seed in plan]
    found = _by_case({key: record[key] for key in keys if key in record})
    if not options.case or "up50" in options.case:
        found["up50", "ghosttunnel"] = [_bring_up(options.starts, stop)]
    misses = _print(found)
    before = _by_case(_read(options.before, None)) if options.before else {}
    former = {(case, f"{name} before"): runs for (case, name), runs in before.items() if name == "ghosttunnel"}
    _draw(found | {key: runs for key, runs in former.items() if (key[0], "ghosttunnel") in found})
    return 1 if misses else 0


def _length(case: Case, secs: int) -> float:
    """Seconds that a run takes, about."""
    return SET_UP + case.spans * secs + case.more


def _read(path: Path, secs: int | None) -> dict[tuple[str, str, int], Run]:
    """The runs of a record, those of so many seconds only if told; an unfinished line is none."""
    runs: dict[tuple[str, str, int], Run] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if secs is None or told["secs"] == secs:
            runs[told["case"], told["tunnel"], told["seed"]] = Run(told["figures"], told["times"])
    return runs


def _by_case(runs: dict[tuple[str, str, int], Run]) -> Found:
    found: Found = {}
    for (case, tunnel, _), run in runs.items():
        found.setdefault((case, tunnel), []).append(run)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Latency through tunnels over bad links, on real kernels.")
    names = [*(case.name for case in CASES), "up50"]
    parser.add_argument("--case", action="append", choices=names, help="only these")
    parser.add_argument("--seeds", type=int, default=3, help="of the link, each a run")
    parser.add_argument("--secs", type=int, default=20, help="of each measurement; 60 for typing")
    parser.add_argument("--starts", type=int, default=3, help="of real programs at 50 %% loss")
    parser.add_argument("--tunnel", action="append", choices=["ghosttunnel", "wireguard-go"])
    parser.add_argument("--resume", action="store_true", help="keep the runs that are in the record, and do the others")
    parser.add_argument("--before", type=Path, metavar="RECORD", help="a former record, to be drawn beside this one")
    options = parser.parse_args()
    options.tunnel = options.tunnel or ["ghosttunnel", "wireguard-go"]
    return options


def _run(case: Case, tunnel: Tunnel, seed: int, seconds: int, stop: Interruption) -> Run:
    link = parse(case.link)
    with NamespacePair("latency") as pair, tempfile.TemporaryDirectory() as folder:
        pair.impaired(link, seed=seed)
        path = _bare_round_trip(pair)
        tunnel.start(pair, Path(folder), stop)
        near = tunnel.server.rpartition(".")[0] + ".2"
        deadline = time.monotonic() + UP_LIMIT
        while pair.run("a", "ping", "-c1", "-W1", tunnel.server, timeout=5).returncode:
            stop.check()
            if time.monotonic() > deadline:
                raise GhostError(f"{tunnel.server} does not answer through the tunnel")
        stop.check()
        run = case.measure(Place(pair, near, tunnel.server, path, seed, seconds))
        run.figures["path_ms"] = 1000 * (path - 2 * link.delay)
        return run


def _bare_round_trip(pair: NamespacePair) -> float:
    """Seconds: the median of the pings that come back without a tunnel."""
    arguments = ("ping", ADDRESSES["b"], f"--count={BARE_PINGS}", f"--interval={PING_INTERVAL}")
    times = _answer_of(pair.spawn("a", *TRAFFIC, *arguments), 30)["times"]
    if not times:
        raise GhostError("the link carries no ping")
    return statistics.median(times)  # type: ignore[arg-type]


# ---- what is measured -------------------------------------------------------------------------------------------


def _pings(place: Place) -> Run:
    """One every 50 ms, by themselves."""
    return _delays(place, _Pinging(place, place.seconds).result())


def _loaded(place: Place, *, is_upload: bool) -> Run:
    """The same beside a transfer, and what the transfer loses by it."""
    alone, _ = _bulk(place, is_upload=is_upload, with_pings=False)
    beside, run = _bulk(place, is_upload=is_upload, with_pings=True)
    assert run is not None
    run.figures["of_bulk_alone"] = beside / alone if alone else math.nan
    run.figures["bulk_mbps"] = beside
    return run


def _download(place: Place) -> Run:
    return _loaded(place, is_upload=False)


def _upload(place: Place) -> Run:
    return _loaded(place, is_upload=True)


def _wire(place: Place) -> Run:
    """Bytes on the wire, headers and all, for each byte of a lone ping, both ways together."""
    assert place.pair.link is not None
    time.sleep(WARM_UP)
    before = place.pair.link.stats()
    pinging = _Pinging(place, place.seconds)
    run = pinging.result()
    after = place.pair.link.stats()
    spent = sum(after[way]["in_bytes"] - before[way]["in_bytes"] for way in ("ab", "ba"))
    return Run({"wire": spent / (2 * PING_SIZE * run["sent"])})  # type: ignore[operator]


def _requests(place: Place) -> Run:
    """20 KB over new connections, one after the other."""
    told = _people(place, "request", f"--seconds={REQUESTS_LIMIT}", limit=2 * REQUESTS_LIMIT)
    times = _with_lost(told)
    figures = {
        "median_rtt": percentile(times, 0.5) / place.path,
        "p95_rtt": percentile(times, 0.95) / place.path,
        "lost_%": 100 * times.count(math.inf) / len(times),
    }
    return Run(figures, _finite(times))


def _call(place: Place) -> Run:
    """Frames of voice there and back: a listener's buffer bears 40 ms each way."""
    told = _people(place, "call", f"--seconds={place.seconds}", limit=place.seconds + 30)
    run = _delays(place, told)
    times = _with_lost(told)
    run.figures["in_time_%"] = 100 * sum(each <= place.path + 2 * LISTENER_BUFFER for each in times) / len(times)
    return run


def _typing(place: Place) -> Run:
    """Keys and their echoes, for a minute."""
    told = _people(place, "type", f"--seconds={3 * place.seconds}", f"--seed={place.seed}", limit=4 * place.seconds)
    times = _with_lost(told)
    figures = {"worst_ms": 1000 * max(times), "p99_ms": 1000 * (percentile(times, 0.99) - place.path)}
    return Run(figures, _finite(times))


def _bring_up(starts: int, stop: Interruption) -> Run:
    """From the first handshake to the first answer, in virtual time; and real programs, their start included."""
    link = parse("rate=10mbit,delay=50ms,loss=50%")
    simulated = []
    for seed in range(SIMULATED_SEEDS):
        pair = Pair(link, seed=seed)
        simulated.append(pair.run_until_connected())
    real = []
    for seed in range(1, starts + 1):
        with NamespacePair("latency") as namespaces, tempfile.TemporaryDirectory() as folder:
            namespaces.impaired(link, seed=seed)
            real.append(start_tunnel(namespaces, stop, Path(folder), PROGRAM))
    figures = {"p50_s": percentile(simulated, 0.5), "p90_s": percentile(simulated, 0.9)}
    if real:
        figures["real_p50_s"] = statistics.median(real)
    return Run(figures, simulated)


# ---- traffic ----------------------------------------------------------------------------------------------------


class _Pinging:
    """Pings from a to b for some seconds from now on."""

    def __init__(self, place: Place, seconds: float) -> None:
        self._limit = seconds + 30
        arguments = ("ping", place.far, f"--count={int(seconds / PING_INTERVAL)}", f"--interval={PING_INTERVAL}")
        self._process = place.pair.spawn("a", *TRAFFIC, *arguments)

    def result(self) -> dict[str, float | list[float]]:
        return _answer_of(self._process, self._limit)


def _bulk(place: Place, *, is_upload: bool, with_pings: bool) -> tuple[float, Run | None]:
    """Megabits a second of a transfer after its first seconds, and the pings beside it."""
    pair = place.pair
    sender, receiver, address = ("a", "b", place.near) if is_upload else ("b", "a", place.far)
    whole = place.seconds + WARM_UP
    serving = pair.spawn(sender, *TRAFFIC, "serve", address, str(STREAM_PORT), f"--limit={whole + 60}")  # type: ignore[arg-type]
    if LineReader(serving).next_line(20) is None:
        raise GhostError(f"cannot listen at {address}")
    options = (f"--seconds={whole}", f"--interval={WARM_UP}")
    fetching = pair.spawn(receiver, *TRAFFIC, "fetch", address, str(STREAM_PORT), *options)  # type: ignore[arg-type]
    lines = LineReader(fetching)
    first = json.loads(lines.next_line(60) or "{}")
    run = _delays(place, _Pinging(place, place.seconds - 1).result()) if with_pings else None
    last = first
    while "sha256" not in last:
        line = lines.next_line(whole + 60)
        if line is None:
            raise GhostError("a transfer ended without a result")
        last = json.loads(line)
    end(fetching)
    end(serving)
    seconds = last["seconds"] - first["seconds"]
    return (last["bytes"] - first["bytes"]) * 8 / 1e6 / seconds if seconds > 0 else 0.0, run


def _people(place: Place, what: str, *options: str, limit: float) -> dict[str, float | list[float]]:
    serving = place.pair.spawn("b", *PEOPLE, "answer", place.far, str(PEOPLE_PORT))
    if LineReader(serving).next_line(20) is None:
        raise GhostError(f"cannot listen at {place.far}")
    return _answer_of(place.pair.spawn("a", *PEOPLE, what, place.far, str(PEOPLE_PORT), *options), limit)


def _answer_of(process, limit: float) -> dict[str, float | list[float]]:  # type: ignore[no-untyped-def]
    line = LineReader(process).next_line(limit)
    end(process)
    if line is None:
        raise GhostError("the traffic ended without a result")
    told: dict[str, float | list[float]] = json.loads(line)
    return told


def _delays(place: Place, told: dict[str, float | list[float]]) -> Run:
    times = _with_lost(told)
    figures = {
        "lost_%": 100 * times.count(math.inf) / len(times),
        "p50_ms": 1000 * (percentile(times, 0.5) - place.path),
        "p99_ms": 1000 * (percentile(times, 0.99) - place.path),
    }
    return Run(figures, _finite(times))


def _with_lost(told: dict[str, float | list[float]]) -> list[float]:
    times = list(told["times"])  # type: ignore[arg-type]
    return times + [math.inf] * (int(told["sent"]) - len(times))  # type: ignore[arg-type]


def _finite(times: Iterable[float]) -> list[float]:
    return [each for each in times if each < math.inf]


LOSS = "rate=10mbit,delay=50ms,loss={}%"
TWO_TRANSFERS = (2.0, 2 * WARM_UP)
CASES = (
    Case("ping30", LOSS.format(30), _pings, {"lost_%": 0, "p50_ms": 3, "p99_ms": 20}),
    Case("ping50", LOSS.format(50), _pings, {"lost_%": 0.5, "p99_ms": 120}),
    Case("burst20", LOSS.format(20) + ",burst=8", _pings, {"lost_%": 0.5}),
    Case("down20", LOSS.format(20), _download, {"p99_ms": 40, "of_bulk_alone": -0.9}, *TWO_TRANSFERS),
    Case("up20", LOSS.format(20), _upload, {"p99_ms": 40, "of_bulk_alone": -0.9}, *TWO_TRANSFERS),
    Case("clean", "rate=20mbit,delay=25ms", _download, {"p99_ms": 15}, *TWO_TRANSFERS),
    Case("cleanup", "rate=20mbit,delay=25ms", _upload, {"p99_ms": 15}, *TWO_TRANSFERS),
    Case("thin256", "rate=256kbit,delay=150ms,queue=400ms,loss=10%", _download, {"p99_ms": 120}, *TWO_TRANSFERS),
    Case("requests", LOSS.format(20), _requests, {"median_rtt": 3.5, "p95_rtt": 5.5}, 0.0, REQUESTS_LIMIT),
    Case("call30", LOSS.format(30), _call, {"in_time_%": -99}),
    Case("typing", LOSS.format(30), _typing, {"worst_ms": 300}, 3.0),
    Case("wire0", "rate=10mbit,delay=50ms", _wire, {"wire": 1.6}),
    Case("wire30", LOSS.format(30), _wire, {"wire": 8.5}),
)
UP_ASKED = {"p90_s": 1.0}


# ---- the answer -------------------------------------------------------------------------------------------------


def _print(found: Found) -> int:
    """The table; returns how many figures of ours miss what is asked."""
    misses = 0
    asked_of = {case.name: case.asked for case in CASES} | {"up50": UP_ASKED}
    names = list(dict.fromkeys(name for _, name in found))
    print(f"{'case':10}{'figure':16}{'asked':>10}" + "".join(f"{name:>16}" for name in names))
    for case in dict.fromkeys(case for case, _ in found):
        figures = dict.fromkeys(name for each, _ in found if each == case for name in _names(found, case))
        for figure in figures:
            asked = asked_of[case].get(figure)
            text = "" if asked is None else f">= {-asked:g}" if asked < 0 else f"<= {asked:g}"
            line = f"{case:10}{figure:16}{text:>10}"
            for name in names:
                runs = [run.figures[figure] for run in found.get((case, name), []) if figure in run.figures]
                line += f"{statistics.median(runs):16.2f}" if runs else f"{'-':>16}"
                if runs and asked is not None and name == "ghosttunnel":
                    got = statistics.median(runs)
                    is_missed = got < -asked if asked < 0 else not got <= asked
                    line += " missed" if is_missed else ""
                    misses += is_missed
            print(line)
    return misses


def _names(found: Found, case: str) -> list[str]:
    return [name for (each, _), runs in found.items() if each == case for run in runs for name in run.figures]


def _draw(found: Found) -> None:
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = [case for case in dict.fromkeys(case for case, _ in found) if any(r.times for r in _runs(found, case))]
    if not cases:
        return
    columns = min(3, len(cases))
    rows = -(-len(cases) // columns)
    figure, panels = pyplot.subplots(rows, columns, figsize=(4 * columns, 2.8 * rows), squeeze=False)
    for axes in panels.flat[len(cases) :]:
        axes.set_axis_off()
    for axes, case in zip(panels.flat, cases, strict=False):
        times = {name: _times(runs) for (each, name), runs in found.items() if each == case}
        everything = [1000 * each for values in times.values() for each in values]
        most = percentile(everything, 0.995)
        for name, values in times.items():
            shown = [min(1000 * each, most) for each in values]
            axes.hist(shown, bins=60, range=(0, most), alpha=0.6, label=name)
        axes.set_yscale("log")
        axes.set_title(case, fontsize=9)
        axes.set_xlabel("ms", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    figure.tight_layout()
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUTPUT, dpi=120)
    pyplot.close(figure)
    print(f"drawn in {OUTPUT.relative_to(ROOT)}")


def _runs(found: Found, case: str) -> list[Run]:
    return [run for (each, _), runs in found.items() if each == case for run in runs]


def _times(runs: list[Run]) -> list[float]:
    return [each for run in runs for each in run.times]


if __name__ == "__main__":
    sys.exit(main())
