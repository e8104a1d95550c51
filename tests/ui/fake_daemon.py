"""A daemon that carries nothing and always answers the same: fake_daemon.py DIR ROLE [chaos] [config=FILE] [version=N]

With `chaos` it knows that request too, with `config` it says that its options are there, with `version` it speaks
another language. It ends by itself after two minutes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent

from ghost.errors import ConfigError
from ghost.runtime import control
from ghost.runtime.asking import SOCKET_NAME
from ghost.runtime.control import ControlServer, Handler
from ghost.runtime.supervisor import Supervisor

LIFETIME = 120.0


def peer(name: str, number: int, **facts: Any) -> dict[str, Any]:
    return {
        "name": name, "address": f"10.77.0.{number}", "public_key": f"{number:02x}" * 32,
        "endpoint": f"198.18.0.{number}:4000{number}", "uptime_s": 61.5, "last_contact_s": 12.25, "rtt_ms": 101.234,
        "rtt_variation_ms": 12.345, "min_rtt_ms": 99.875, "loss": 0.3071, "loss_burst": 1.44, "queue_delay_ms": 3.456,
        "path_mtu_bytes": 1480, "black_holes": 0,
        "congestion_mode": "steady", "rate_bps": 9_123_456, "pacing_rate_bps": 9_050_000, "sent_packets": 1234,
        "received_packets": 5678, "sent_bytes": 2_345_678, "received_bytes": 34_567_890, "inner_sent_bytes": 1_234_567,
        "inner_received_bytes": 23_456_789, "saved_by_compression_bytes": 345_678, "symbols": 1000, "repairs": 400,
        "retransmitted_symbols": 51, "queued_bytes": 7890, "queue_dropped_packets": 0, "redundant_packets": 9,
        "redundancy": 0.451, "overhead": 1.9, "compression_saved": 0.28, "sent_bps": 512_345, "received_bps": 8_765_432,
        "inner_sent_bps": 234_567, "inner_received_bps": 5_432_109,
    } | facts  # fmt: skip


def status(role: str) -> dict[str, Any]:
    names = ("server",) if role == "client" else ("laptop", "phone", "Zoë's 平板")
    peers = [peer(name, 2 + index) for index, name in enumerate(names)]
    totals: dict[str, Any] = {
        key: sum(one[key] for one in peers)
        for key in ("sent_bps", "received_bps", "inner_sent_bps", "inner_received_bps", "sent_bytes", "received_bytes",
                    "inner_sent_bytes", "inner_received_bytes", "saved_by_compression_bytes")
    }  # fmt: skip
    totals |= {"loss": 0.3071, "rtt_ms": 101.234, "queue_delay_ms": 3.456}
    return {
        "role": role, "state": "connected" if role == "client" else "listening", "refusal": None,
        "inner_address": "10.77.0.1/24", "uptime_s": 93784.0, "crypto": "cryptography", "dropped": {"foreign": 3},
        "peers": peers, "udp_errors": {}, "tun_errors": {}, "device": "ghost0", "pid": 1, "config_file": None,
        "totals": totals,
    }  # fmt: skip


class Daemon:
    def __init__(self, role: str, *, has_chaos: bool, config_file: str | None) -> None:
        self._status = status(role) | {"config_file": config_file}
        self._known = [
            {key: one[key] for key in ("name", "address", "public_key")} | {"is_connected": True, "last_seen_s": 12.25}
            for one in self._status["peers"]
        ]
        self._known.append({"name": "tablet", "address": "10.77.0.9", "public_key": "ff" * 32, "is_connected": False,
                            "last_seen_s": 7200.0})  # fmt: skip
        self._link = "off"
        self.handlers: dict[str, Handler] = {
            "status": lambda _: {"status": self._status},
            "stats": self._stats,
            "log": lambda request: {"lines": [line for line in LOG if line["number"] > request.get("since", 0)],
                                    "last": len(LOG)},
            "reload": lambda _: {"applied": ["log-level"], "next_connection": [], "needs_restart": ["subnet"]},
        }  # fmt: skip
        if role == "server":
            self.handlers |= {
                "peers": lambda _: {"peers": self._known, "invites": [{"name": "watch", "expires_in_s": 3600}]},
                "invite": lambda request: {"invite": "ghost://198.18.0.2:8000/" + "a" * 120 + "#client",
                                           "name": request["name"]},
                "revoke": self._revoke,
            }  # fmt: skip
        if has_chaos:
            self.handlers["chaos"] = self._chaos

    def _stats(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        totals = self._status["totals"]
        yield {"status": self._status, "history": [totals] * 100}
        while True:
            gevent.sleep(1.0)
            yield {"status": self._status}

    def _revoke(self, request: dict[str, Any]) -> dict[str, Any]:
        gone = next(one for one in self._known if one["public_key"] == request["peer"])
        self._known.remove(gone)
        self._status["peers"] = [one for one in self._status["peers"] if one["public_key"] != request["peer"]]
        return {"revoked": gone["name"]}

    def _chaos(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("link") == "satellite":
            raise ConfigError("no satellite today")
        self._link = request.get("link", self._link)
        return {"link": self._link}


LOG = [
    {"number": number, "time": f"2026-01-01T10:00:{number:02d}.000Z", "level": level, "message": message}
    for number, (level, message) in enumerate(
        [("info", "listening on 0.0.0.0:8000"), ("warning", "it rains"), *[("info", f"line {n}") for n in range(40)]], 1
    )
]


def main() -> None:
    folder, role, *rest = sys.argv[1:]
    config_file = next((word.removeprefix("config=") for word in rest if word.startswith("config=")), None)
    daemon = Daemon(role, has_chaos="chaos" in rest, config_file=config_file)
    control.VERSION = next((int(word.removeprefix("version=")) for word in rest if word.startswith("version=")), 1)
    with Supervisor() as supervisor:
        server = ControlServer(Path(folder) / SOCKET_NAME, daemon.handlers)
        supervisor.on_exit("control", server.close)
        server.start(supervisor)
        supervisor.spawn("end", lambda: (gevent.sleep(LIFETIME), supervisor.stop()))
        print(json.dumps("ready"), flush=True)
        supervisor.wait()


if __name__ == "__main__":
    main()
