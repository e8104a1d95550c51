"""How fast is the tunnel on a link that is no obstacle, beside other user-space tunnels? On real kernels, in one run.

sudo .venv/bin/python bench/throughput.py                 every tunnel that is installed, two minutes each
sudo .venv/bin/python bench/throughput.py --secs 3 --tunnel ghosttunnel --tunnel wireguard-go

Two namespaces joined by a plain veth pair; both ends, iperf3 and the kernels share this machine's cores, so only ratios
between tunnels of one run mean anything, and on a machine that is busy with other things not even they. wireguard-go
and OpenVPN (static key, AES-256-CBC) take part where they are installed; iperf3 and ping have to be. `compiled` is what
`make build` made, `pycryptodome` GhostTunnel without the package `cryptography`. `start_s` is all of it: both ends from
nothing, key or invite made and brought over, first answer. The table is printed, and drawn into
build/bench/throughput.png where there is matplotlib.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from ghost.commands.demo_stage import INNER_SERVER, Interruption, start_tunnel
from ghost.errors import GhostError
from ghost.runtime.namespaces import ADDRESSES, NamespacePair

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "bench" / "throughput.png"
ARCHIVE = str(ROOT / "dist" / "ghosttunnel.pyz")
START_LIMIT = 20.0  # seconds
SMALL = 64  # bytes of UDP payload
SMALL_RATE = "400M"  # far more than anybody carries, which is the point
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Figures:
    """One tunnel's, in the unit of the name; nan where a measurement failed. Idle times are without a load."""

    start_s: float
    idle_ping_ms: float
    up_mbps: float
    down_mbps: float
    up_4_flows_mbps: float
    down_4_flows_mbps: float
    small_packets_per_s: float
    cpu_s_per_gb: float
    idle_server_mb: float


@dataclass(frozen=True, slots=True)
class Tunnel:
    """`start` brings both ends up; `server` answers pings and iperf3 from then on."""

    name: str
    programs: tuple[str, ...]
    server: str
    start: Callable[[NamespacePair, Path, Interruption], None]


def main() -> int:
    options = _options()
    for program in ("iperf3", "ping"):
        if shutil.which(program) is None:
            print(
                f"{program} is missing: install the package {program.replace('ping', 'iputils-ping')}", file=sys.stderr
            )
            return 1
    stop = Interruption()
    results: dict[str, Figures] = {}
    for tunnel in TUNNELS:
        if options.tunnel and tunnel.name not in options.tunnel:
            continue
        if not all(map(shutil.which, tunnel.programs)):
            print(f"{tunnel.name}: not installed", file=sys.stderr)
            continue
        try:
            results[tunnel.name] = _measure(tunnel, options.secs, stop)
        except GhostError as error:
            print(f"{tunnel.name}: {error}", file=sys.stderr)
            return error.exit_code
    _print(results)
    _draw(results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Throughput of user-space tunnels over a veth pair, side by side.")
    parser.add_argument("--secs", type=int, default=10, help="of each transfer")
    parser.add_argument("--tunnel", action="append", choices=[tunnel.name for tunnel in TUNNELS])
    return parser.parse_args()


def _measure(tunnel: Tunnel, seconds: int, stop: Interruption) -> Figures:
    with NamespacePair("speed") as pair, tempfile.TemporaryDirectory() as folder:
        pair.veth()
        began = time.monotonic()
        tunnel.start(pair, Path(folder), stop)
        _wait_for_answer(pair, tunnel.server)
        start = time.monotonic() - began
        ends = _children()
        memory = max((_resident(pid) for pid in ends), default=0) / 1e6
        ping = _ping(pair, tunnel.server) - _ping(pair, ADDRESSES["b"])
        iperf = _Iperf(pair, tunnel.server, seconds, stop)
        used = _cpu(ends)
        up = iperf.tcp()
        used = _cpu(ends) - used
        return Figures(
            start_s=start,
            idle_ping_ms=ping,
            up_mbps=up,
            down_mbps=iperf.tcp("--reverse"),
            up_4_flows_mbps=iperf.tcp("--parallel=4"),
            down_4_flows_mbps=iperf.tcp("--reverse", "--parallel=4"),
            small_packets_per_s=iperf.small_packets(),
            cpu_s_per_gb=used / (up * seconds / 8 / 1000),
            idle_server_mb=memory,
        )


def _wait_for_answer(pair: NamespacePair, address: str) -> None:
    deadline = time.monotonic() + START_LIMIT
    while pair.run("a", "ping", "-c1", "-W1", address, timeout=5).returncode:
        if time.monotonic() > deadline:
            raise GhostError(f"{address} does not answer through the tunnel")
        time.sleep(0.05)


def _ping(pair: NamespacePair, address: str) -> float:
    """The median round trip, in milliseconds."""
    said = pair.run("a", "ping", "-c50", "-i0.05", "-W2", address, timeout=30).stdout
    times = sorted(float(line.split("time=")[1].split()[0]) for line in said.splitlines() if "time=" in line)
    return times[len(times) // 2] if times else float("nan")


class _Iperf:
    """Transfers from a to b."""

    def __init__(self, pair: NamespacePair, server: str, seconds: int, stop: Interruption) -> None:
        self._pair = pair
        self._server = server
        self._seconds = seconds
        self._stop = stop

    def tcp(self, *options: str) -> float:
        """Megabits a second that arrived."""
        report = self._run(*options)
        return float(report["sum_received"]["bits_per_second"]) / 1e6 if report else float("nan")

    def small_packets(self) -> float:
        """UDP datagrams a second that arrived."""
        report = self._run("--udp", f"--length={SMALL}", f"--bitrate={SMALL_RATE}")
        if not report:
            return float("nan")
        total = report["sum"]
        return float(total["packets"] - total["lost_packets"]) / float(total["seconds"])

    def _run(self, *options: str) -> dict[str, dict[str, float]] | None:
        self._stop.check()
        listener = self._pair.spawn("b", "iperf3", "--server", "--one-off")
        time.sleep(0.5)
        command = ("iperf3", "--client", self._server, f"--time={self._seconds}", "--json", *options)
        done = self._pair.run("a", *command, timeout=self._seconds + 30)
        listener.kill()
        listener.wait()
        try:
            end: dict[str, dict[str, float]] = json.loads(done.stdout)["end"]
        except (ValueError, KeyError):
            return None
        return end or None


# ---- the tunnels ------------------------------------------------------------------------------------------------


def _ghosttunnel(pair: NamespacePair, folder: Path, stop: Interruption) -> None:
    start_tunnel(pair, stop, folder, (sys.executable, str(ROOT / "ghosttunnel.py")))


def _compiled(pair: NamespacePair, folder: Path, stop: Interruption) -> None:
    start_tunnel(pair, stop, folder, (sys.executable, ARCHIVE))


def _pycryptodome(pair: NamespacePair, folder: Path, stop: Interruption) -> None:
    """The same on a host that has no package `cryptography`."""
    program = "import runpy, sys; sys.modules['cryptography'] = None; sys.argv[0] = {0!r}; sys.path.insert(0, {1!r}); "
    program += "runpy.run_path({0!r}, run_name='__main__')"
    start_tunnel(pair, stop, folder, (sys.executable, "-c", program.format(str(ROOT / "ghosttunnel.py"), str(ROOT))))


def _wireguard(pair: NamespacePair, folder: Path, stop: Interruption) -> None:
    keys = [pair.run("a", "wg", "genkey", timeout=5).stdout for _ in "ba"]
    for number, key in enumerate(keys):
        (folder / f"key{number}").write_text(key)
    public = [
        pair.run("a", "sh", "-c", f"wg pubkey < {folder / f'key{number}'}", timeout=5).stdout.strip()
        for number in (0, 1)
    ]
    for number, side in enumerate(("b", "a")):  # who answers comes first: a lost initiation costs five seconds
        device = f"speed{side}"
        pair.spawn(side, "wireguard-go", "--foreground", device, log=folder / f"{side}.log")  # type: ignore[arg-type]
        time.sleep(0.5)
        peer = ["peer", public[1 - number], "allowed-ips", "10.79.0.0/24"]
        if side == "a":
            peer += ["endpoint", f"{ADDRESSES['b']}:51820"]
        own = ["listen-port", "51820", "private-key", str(folder / f"key{number}")]
        for command in (
            ["wg", "set", device, *own, *peer],
            ["ip", "address", "add", f"10.79.0.{1 + number}/24", "dev", device],
            ["ip", "link", "set", device, "up", "mtu", "1420"],
        ):
            pair.run(side, *command, timeout=10)  # type: ignore[arg-type]


def _openvpn(pair: NamespacePair, folder: Path, stop: Interruption) -> None:
    key = folder / "static.key"
    pair.run("a", "openvpn", "--genkey", "secret", key, timeout=10)
    for side, own, other in (("b", 1, 2), ("a", 2, 1)):
        remote = ["--remote", ADDRESSES["b"]] if side == "a" else []
        options = ["--dev", f"speed{side}", "--dev-type", "tun", "--proto", "udp", "--secret", key, *remote]
        options += ["--ifconfig", f"10.79.0.{own}", f"10.79.0.{other}", "--cipher", "AES-256-CBC", "--auth", "SHA256"]
        pair.spawn(side, "openvpn", *options, log=folder / f"{side}.log")  # type: ignore[arg-type]


TUNNELS = (
    Tunnel("ghosttunnel", (), INNER_SERVER, _ghosttunnel),
    Tunnel("compiled", (ARCHIVE,), INNER_SERVER, _compiled),
    Tunnel("wireguard-go", ("wireguard-go", "wg"), "10.79.0.1", _wireguard),
    Tunnel("openvpn", ("openvpn",), "10.79.0.1", _openvpn),
    Tunnel("pycryptodome", (), INNER_SERVER, _pycryptodome),
)


# ---- processes --------------------------------------------------------------------------------------------------


def _children() -> list[int]:
    """The processes that this one started and that run."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found]


def _cpu(pids: list[int]) -> float:
    """Seconds of CPU so far, of the processes that still run."""
    ticks = 0
    for pid in pids:
        if Path(f"/proc/{pid}").exists():
            facts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(facts[11]) + int(facts[12])
    return ticks / _TICK


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


# ---- the answer -------------------------------------------------------------------------------------------------


def _print(results: dict[str, Figures]) -> None:
    names = list(results)
    ratios = [f"to {name}" for name in names[1:]] if "ghosttunnel" in results else []
    print(f"{'':22}" + "".join(f"{name:>16}" for name in [*names, *ratios]))
    for field in fields(Figures):
        values = [getattr(results[name], field.name) for name in names]
        line = f"{field.name:22}" + "".join(f"{value:16.2f}" for value in values)
        print(
            line + "".join(f"{values[0] / other if other else float('nan'):15.2f}x" for other in values[1:] if ratios)
        )


def _draw(results: dict[str, Figures]) -> None:
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(3, 3, figsize=(10, 8))
    for axes, field in zip(panels.flat, fields(Figures), strict=True):
        axes.bar(list(results), [getattr(figures, field.name) for figures in results.values()])
        axes.set_title(field.name, fontsize=9)
        axes.tick_params(labelsize=7)
    figure.tight_layout()
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUTPUT, dpi=120)
    pyplot.close(figure)
    print(f"drawn in {OUTPUT.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
