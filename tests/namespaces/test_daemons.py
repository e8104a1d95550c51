"""`server` and `client` as a user starts them, on the kernels of two namespaces: what they do to a host and undo.

namespace a: client, 198.18.0.1 ---- plain veth ---- namespace b: server, 198.18.0.2
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ghost.runtime.asking import ask
from ghost.runtime.namespaces import NamespacePair, Side
from ghost.runtime.recorder import read_trace

GHOSTTUNNEL = (sys.executable, str(Path(__file__).parents[2] / "ghosttunnel.py"))
ENDPOINT = "198.18.0.2:8000"
INNER_SERVER = "10.77.0.1"
START_LIMIT = 20.0

Process = subprocess.Popen[bytes]


class Hosts:
    """The two hosts, a server on the second, and questions about what is left on them."""

    def __init__(self, pair: NamespacePair, folder: Path) -> None:
        self.pair = pair
        self.folder = folder
        pair.veth()
        for side in ("a", "b"):
            self.sh(side, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
        self.sh("a", "ip", "route", "add", "default", "via", "198.18.0.2")
        self.before = self.state("a"), self.state("b")

    def sh(self, side: Side, *argv: str) -> str:
        return self.pair.run(side, *argv, timeout=20).stdout

    def state(self, side: Side) -> tuple[str, ...]:
        """Everything that a tunnel may change on a host."""
        devices = [link["ifname"] for link in json.loads(self.sh(side, "ip", "-j", "link"))]
        questions = ("-4 rule", "-6 rule", "-4 route show table all", "-4 address")
        return (
            ",".join(devices),
            *(self.sh(side, "ip", *question.split()) for question in questions),
            self.sh(side, "nft", "list", "ruleset"),
            self.sh(side, "cat", "/proc/sys/net/ipv4/ip_forward"),
        )

    def run(self, side: Side, *arguments: str | Path, timeout: float = 40.0) -> subprocess.CompletedProcess[str]:
        return self.pair.run(side, *GHOSTTUNNEL, *arguments, timeout=timeout)

    def server(self, *arguments: str, state: str = "server", log: str = "server.log") -> Process:
        options = ("--state-dir", self.folder / state, "--listen", ENDPOINT)
        process = self.pair.spawn("b", *GHOSTTUNNEL, "server", *options, *arguments, log=self.folder / log)
        self.wait(process, log, "listening on")
        return process

    def invite(self, *arguments: str, state: str = "server") -> str:
        done = self.run("b", "invite", "--state-dir", self.folder / state, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(
        self, *arguments: str, state: str = "client", log: str = "client.log", until: str = "connected to"
    ) -> Process:
        options = ("--state-dir", self.folder / state)
        process = self.pair.spawn("a", *GHOSTTUNNEL, "client", *options, *arguments, log=self.folder / log)
        self.wait(process, log, until)
        return process

    def wait(self, process: Process, log: str, line: str, limit: float = START_LIMIT) -> None:
        deadline = time.monotonic() + limit
        while line not in self.log(log):
            assert process.poll() is None, self.log(log)
            assert time.monotonic() < deadline, f"no '{line}' in {limit:.0f} s: {self.log(log)}"
            time.sleep(0.05)

    def log(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def can_ping(self, address: str, side: Side = "a") -> bool:
        return self.pair.run(side, "ping", "-c", "2", "-i", "0.2", "-W", "2", address, timeout=20).returncode == 0


@pytest.fixture
def hosts(pair: NamespacePair, tmp_path: Path) -> Iterator[Hosts]:
    return Hosts(pair, tmp_path)


def end(process: Process, number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(15)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_tunnel_carries_traffic_and_leaves_nothing_behind(hosts: Hosts, number: int) -> None:
    server = hosts.server()
    client = hosts.client(hosts.invite())
    assert hosts.can_ping(INNER_SERVER)
    assert hosts.can_ping("10.77.0.2", "b")
    for side, state, role in (("a", "client", "client"), ("b", "server", "server")):
        done = hosts.run(side, "status", "--json", "--state-dir", hosts.folder / state)
        status = json.loads(done.stdout)
        assert (status["role"], len(status["peers"])) == (role, 1)
    assert "10.77.0.2" in hosts.log("client.log")
    assert end(client, number) == 0
    hosts.wait(server, "server.log", "left: ")
    assert end(server, number) == 0
    assert (hosts.state("a"), hosts.state("b")) == hosts.before
    assert not list(hosts.folder.glob("*/control.sock"))
    assert not list(hosts.folder.glob("*/journal.json"))


def test_the_first_start_prints_an_invite_that_works_and_logs_no_secret(hosts: Hosts) -> None:
    server = hosts.server("--log-level", "debug")
    hosts.wait(server, "server.log", "ghost://")
    output = hosts.log("server.log")
    [invite] = [line for line in output.splitlines() if line.startswith("ghost://")]
    hosts.client(invite, "--log-level", "debug", "--no-default-route")
    assert hosts.can_ping(INNER_SERVER)
    secret = invite.rpartition("/")[2].partition("#")[0]
    assert secret not in hosts.log("client.log")
    assert output.count(secret) == 1


def test_everything_goes_through_the_tunnel_but_the_tunnel_itself(hosts: Hosts) -> None:
    hosts.server()
    hosts.client(hosts.invite())
    route = hosts.sh("a", "ip", "-4", "route", "get", "192.0.2.9")
    assert "dev ghostc" in route
    ipv6 = hosts.pair.run("a", "ip", "-6", "route", "get", "2001:db8::9", timeout=20)
    assert "No route to host" in ipv6.stderr
    to_server = ("198.18.0.2", "ipproto", "udp", "dport", "8000")
    assert "dev wan" in hosts.sh("a", "ip", "-4", "route", "get", *to_server)


def test_a_server_translates_for_its_clients(hosts: Hosts) -> None:
    server = hosts.server()
    hosts.client(hosts.invite())
    # An address of host b outside the tunnel's network, reached through the tunnel.
    hosts.sh("b", "ip", "address", "add", "203.0.113.1/32", "dev", "lo")
    assert hosts.can_ping("203.0.113.1")
    assert "masquerade" in hosts.sh("b", "nft", "list", "ruleset")
    assert hosts.sh("b", "cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"
    end(server)
    assert "masquerade" not in hosts.sh("b", "nft", "list", "ruleset")


def test_the_kill_switch_lets_only_the_tunnel_out_and_outlives_the_connection(hosts: Hosts) -> None:
    server = hosts.server()
    client = hosts.client(hosts.invite(), "--kill-switch", "--no-default-route")
    assert hosts.can_ping(INNER_SERVER)
    assert not hosts.can_ping("198.18.0.2")
    end(server, signal.SIGKILL)
    assert not hosts.can_ping("198.18.0.2")
    assert end(client) == 0
    assert hosts.state("a") == hosts.before[0]


def test_what_kill_9_leaves_is_undone_at_the_next_start(hosts: Hosts) -> None:
    server = hosts.server()
    client = hosts.client(hosts.invite(), "--kill-switch")
    end(client, signal.SIGKILL)
    end(server, signal.SIGKILL)
    assert not hosts.can_ping("198.18.0.2"), "the kill switch fails closed"
    assert "ghostc" not in hosts.state("a")[0]
    server = hosts.server(log="server2.log")
    assert "left behind" in hosts.log("server2.log")
    client = hosts.client(log="client2.log")  # remembers the invite, and starts without a kill switch
    assert hosts.can_ping(INNER_SERVER)
    assert end(client) == 0
    assert end(server) == 0
    assert (hosts.state("a"), hosts.state("b")) == hosts.before


def test_a_client_waits_for_a_server_that_restarts(hosts: Hosts) -> None:
    server = hosts.server("--no-nat")
    hosts.client(hosts.invite(), "--no-default-route")
    assert end(server) == 0
    hosts.server("--no-nat", log="server2.log")
    deadline = time.monotonic() + 40
    while not hosts.can_ping(INNER_SERVER):
        assert time.monotonic() < deadline, hosts.log("client.log")


@pytest.mark.parametrize(
    ("second_client", "code", "message"),
    [
        ("used", 5, "was used by another client"),
        ("expired", 5, "has expired"),
        ("foreign", 6, "no answer from"),
    ],
)
def test_a_bad_invite_is_one_line_and_nothing_is_changed(
    hosts: Hosts, second_client: str, code: int, message: str
) -> None:
    hosts.server("--no-nat")
    invite = hosts.invite("--expires", "1s" if second_client == "expired" else "1h")
    if second_client == "used":
        end(hosts.client(invite, "--no-default-route"))
    elif second_client == "expired":
        time.sleep(1.2)
    else:
        uninvited = hosts.folder / "other"
        uninvited.mkdir()
        (uninvited / "server.json").write_text(json.dumps({"listen": ENDPOINT, "subnet": "10.77.0.0/24"}))
        key = uninvited / "server.key"
        key.write_text("A" * 43 + "=\n")
        key.chmod(0o600)
        invite = hosts.invite(state="other")
    done = hosts.run("a", "client", invite, "--state-dir", hosts.folder / "stranger")
    assert done.returncode == code, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert hosts.state("a") == hosts.before[0]


def test_an_occupied_port_or_state_directory_changes_nothing(hosts: Hosts) -> None:
    hosts.server()
    between = hosts.state("b")
    options = ("server", "--listen", ENDPOINT, "--tun-name", "second", "--state-dir")
    done = hosts.run("b", *options, hosts.folder / "second")
    assert done.returncode == 3
    assert "UDP port 8000 is in use" in done.stderr
    done = hosts.run("b", *options, hosts.folder / "server")
    assert done.returncode == 3
    assert "another ghosttunnel" in done.stderr
    done = hosts.run("b", "server", "--listen", "198.18.0.2:8001", "--state-dir", hosts.folder / "third")
    assert done.returncode == 3
    assert "network device ghosts exists already" in done.stderr
    assert hosts.state("b") == between


def test_stop_is_a_request_too(hosts: Hosts) -> None:
    server = hosts.server("--no-nat")
    assert ask(hosts.folder / "server" / "control.sock", {"request": "stop"})["ok"]
    assert server.wait(15) == 0


def test_a_server_is_steered_and_watched_while_it_runs(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The invite over the socket lets a client in; it is listed, measured, revoked; the log says it all in JSON."""
    config = hosts.folder / "server.conf"
    config.write_text("log-format = json\nmetrics = 9586\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(hosts.folder / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(hosts.folder / "notify"))
        hosts.server("--no-nat", "--config", str(config))
        monkeypatch.delenv("NOTIFY_SOCKET")
        assert manager.recv(4096) == b"READY=1"
        while manager.recv(4096) != b"STATUS=Listening. No client is connected.":
            pass
    where = hosts.folder / "server" / "control.sock"
    invite = ask(where, {"request": "invite", "name": "laptop", "endpoint": ENDPOINT})["invite"]
    hosts.client(invite, "--no-default-route")
    state = ("--state-dir", hosts.folder / "server")
    assert re.match(r"laptop  10\.77\.0\.2  connected from 198\.18\.0\.1:", hosts.run("b", "peers", *state).stdout)
    assert hosts.can_ping(INNER_SERVER)

    scrape = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9586/metrics', timeout=5).read().decode())"
    exposed = hosts.pair.run("b", sys.executable, "-c", scrape, timeout=20).stdout
    found = {
        sample.name: sample
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.labels.get("peer") == "laptop"
    }
    assert found["ghosttunnel_inner_received_bytes_total"].value >= 2 * 84
    assert found["ghosttunnel_rtt_seconds"].labels == {"peer": "laptop", "address": "10.77.0.2"}

    config.write_text("log-format = json\nlog-level = debug\nsubnet = 10.9.0.0/24\nmetrics = 9586\n")
    reload = hosts.run("b", "reload", *state).stdout
    assert reload == "in force now: log-level\nin force after a restart: subnet\n"
    done = hosts.run("b", "peers", "--revoke", "laptop", *state)
    assert done.stdout == "laptop is no client any more\n"
    deadline = time.monotonic() + 20
    while "lost the server (the server closed the connection: revoked)" not in hosts.log("client.log"):
        assert time.monotonic() < deadline, hosts.log("client.log")
        time.sleep(0.1)
    assert not hosts.can_ping(INNER_SERVER)
    lines = [json.loads(line) for line in hosts.log("server.log").splitlines() if not line.startswith("ghost://")]
    story = " ".join(line["message"] for line in lines if line["level"] == "info")
    for part in (
        "listening on",
        "laptop (10.77.0.2) connected",
        "read the configuration again",
        "left: revoked",
        "came and",
    ):
        assert part in story, part


def test_the_status_is_printed_again_each_second_until_interrupted(hosts: Hosts) -> None:
    hosts.server("--no-nat")
    watching = hosts.pair.spawn(
        "b", *GHOSTTUNNEL, "status", "--watch", "--json", "--state-dir", hosts.folder / "server",
        log=hosts.folder / "watch.log",
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while hosts.log("watch.log").count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert end(watching, signal.SIGINT) == 130
    first, second, *_ = (json.loads(line) for line in hosts.log("watch.log").splitlines())
    assert 0.9 < second["uptime_s"] - first["uptime_s"] < 3


def test_the_dashboard_takes_no_more_than_a_fiftieth_of_a_core(hosts: Hosts) -> None:
    hosts.server("--no-nat")
    hosts.client(hosts.invite(), "--no-default-route")
    pings = hosts.pair.spawn("a", "ping", "-q", "-i", "0.02", INNER_SERVER)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    dashboard = subprocess.Popen(
        [*GHOSTTUNNEL, "top", "--state-dir", hosts.folder / "client"], stdin=follower, stdout=follower,
        env=os.environ | {"TERM": "xterm-256color"},
    )  # fmt: skip
    try:
        drain = threading.Thread(target=_drain, args=(leader,), daemon=True)
        drain.start()
        time.sleep(2.0)
        before = _cpu_seconds(dashboard.pid)
        time.sleep(6.0)
        share = (_cpu_seconds(dashboard.pid) - before) / 6.0
        os.write(leader, b"q")
        assert dashboard.wait(10) == 0
    finally:
        dashboard.kill()
        dashboard.wait()
        end(pings)
        os.close(follower)
        os.close(leader)
    assert share <= 0.02


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


def _cpu_seconds(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def test_a_bad_link_is_put_into_a_running_tunnel_and_ends_by_itself(hosts: Hosts) -> None:
    hosts.server("--chaos", "delay=20ms,rebind=3s")
    hosts.client(hosts.invite())
    state = ("--state-dir", hosts.folder / "client")

    def median_ms() -> float:
        done = hosts.pair.run("a", "ping", "-q", "-c", "9", "-i", "0.1", "-W", "2", INNER_SERVER, timeout=20)
        return float(done.stdout.partition("min/avg/max")[2].split("/")[2])  # the average, of few

    assert 40 <= median_ms() < 80
    done = hosts.run("a", "chaos", "delay=100ms", "--for", "4s", *state)
    assert (done.returncode, done.stdout) == (0, "chaos: delay=100ms for 4 s\n")
    assert 240 <= median_ms() < 320
    assert json.loads(hosts.run("a", "status", "--json", *state).stdout)["chaos"] == "delay=100ms"
    time.sleep(4)
    assert 40 <= median_ms() < 80
    assert hosts.run("a", "chaos", "off", *state).stdout == "chaos: off\n"


def test_a_client_takes_other_ports_and_is_followed(hosts: Hosts) -> None:
    hosts.server()
    hosts.client(hosts.invite())

    def endpoint() -> str:
        [peer] = json.loads(hosts.run("b", "status", "--json", "--state-dir", hosts.folder / "server").stdout)["peers"]
        return str(peer["endpoint"])

    before = endpoint()
    hosts.run("a", "chaos", "rebind=2s", "--state-dir", hosts.folder / "client")
    done = hosts.pair.run("a", "ping", "-q", "-c", "30", "-i", "0.1", "-W", "2", INNER_SERVER, timeout=20)
    assert " 0% packet loss" in done.stdout
    assert endpoint() != before


def test_a_client_keeps_what_the_path_did_and_says_what_is_wrong(hosts: Hosts) -> None:
    hosts.server()
    trace = hosts.folder / "hotel.trace"
    hosts.client(hosts.invite(), "--chaos", "delay=30ms,loss=30%", "--record", str(trace))
    hosts.pair.run("a", "ping", "-q", "-c", "80", "-i", "0.1", "-W", "2", INNER_SERVER, timeout=20)
    state = ("--state-dir", hosts.folder / "client")
    told = hosts.run("a", "why", *state)
    assert told.stdout.startswith("A bad link was put in on purpose")
    assert "server: The path loses packets whatever the speed" in told.stdout
    [peer] = json.loads(hosts.run("a", "why", "--json", *state).stdout)
    assert peer["cause"] == "random loss"
    moments = read_trace(trace).moments
    assert len(moments) >= 7
    assert 0.055 < moments[-1].delay < 0.1
    assert 0.1 < moments[-1].loss_out < 0.5
    played = hosts.run("a", "chaos", "--trace", trace, *state)
    assert (played.returncode, played.stdout) == (0, "chaos: trace hotel.trace\n")


class Workers:
    """A server of two processes, and clients on devices of their own until both serve one."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        hosts.sh("a", "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2")  # several devices lead to one network
        self.server = hosts.server("--workers", "2")
        self.names: list[str] = []
        while len(self.names) < 3 or len(set(self.homes().values())) < 2:
            assert len(self.names) < 12, "one process has them all"
            self.join(f"c{len(self.names)}")

    def join(self, name: str) -> None:
        invite = self.hosts.invite("--name", name)
        options = ("--no-default-route", "--tun-name", name)
        self.hosts.client(invite, *options, state=name, log=f"{name}.log")
        self.names.append(name)

    def status(self) -> dict[str, Any]:
        done = self.hosts.run("b", "status", "--json", "--state-dir", self.hosts.folder / "server")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def homes(self) -> dict[str, int]:
        """Which process serves whom."""
        return {peer["name"]: peer["worker"] for peer in self.status()["peers"]}

    def lost(self, name: str, count: int = 30) -> str:
        arguments = ("-q", "-c", str(count), "-i", "0.1", "-W", "2", "-I", name, INNER_SERVER)
        report = self.hosts.pair.run("a", "ping", *arguments, timeout=30).stdout
        return re.search(r"(\d+)% packet loss", report)[1]  # type: ignore[index]


def test_two_workers_are_one_server_to_clients_that_come_move_and_are_shut_out(hosts: Hosts) -> None:
    workers = Workers(hosts)
    before = workers.homes()
    assert [workers.lost(name, 5) for name in workers.names] == ["0"] * len(before)
    for name in workers.names:  # each takes another port each second: half of them lead to the other process
        hosts.run("a", "chaos", "rebind=1s", "--state-dir", hosts.folder / name)
    assert [workers.lost(name) for name in workers.names] == ["0"] * len(before)
    status = workers.status()
    assert workers.homes() == before, "where they were, not where their packets arrive"
    assert status["handed_over"] > 10
    assert len(status["workers"]) == 2

    state = ("--state-dir", hosts.folder / "server")
    away = next(name for name, worker in before.items() if worker == 1)
    assert hosts.run("b", "peers", "--revoke", away, *state).stdout == f"{away} is no client any more\n"
    hosts.wait(workers.server, f"{away}.log", "the server closed the connection: revoked")
    assert away not in workers.homes()
    assert f"worker 1: {away}" in hosts.log("server.log")
    assert hosts.run("b", "chaos", "delay=20ms", *state).stdout == "chaos: delay=20ms\n"
    assert end(workers.server) == 0
    assert hosts.state("b") == hosts.before[1]


@pytest.mark.parametrize("which", [0, 1])
def test_a_server_ends_with_any_of_its_workers_and_the_next_one_can_start_at_once(hosts: Hosts, which: int) -> None:
    workers = Workers(hosts)
    pids = [int(pid) for pid in workers.status()["workers"]]
    os.kill(pids[which], signal.SIGKILL)
    code = workers.server.wait(15)
    if which:
        assert (code, hosts.state("b")) == (1, hosts.before[1])
        assert f"worker 1 (pid {pids[1]}) has ended, so the server ends: start it again" in hosts.log("server.log")
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)
    hosts.server("--workers", "2", log="server2.log")
    deadline = time.monotonic() + 40
    while not workers.homes():
        assert time.monotonic() < deadline, hosts.log("server2.log")
        time.sleep(0.2)
