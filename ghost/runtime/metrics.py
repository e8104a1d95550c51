"""The numbers of `status` for Prometheus, over HTTP, on this host's loopback unless told otherwise.

Names follow Prometheus's habits: base units in the name, `_total` for what only grows, one label set for each peer.
Nothing is computed here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ghost import __version__
from ghost.errors import HostError
from ghost.runtime.supervisor import Supervisor

log = logging.getLogger(__name__)

_MOST_CLIENTS = 8


class _Metric(NamedTuple):
    key: str
    name: str
    help: str
    scale: float = 1.0


_COUNTERS = (
    _Metric("sent_bytes", "sent_bytes", "Bytes sent on the wire"),
    _Metric("received_bytes", "received_bytes", "Bytes received on the wire"),
    _Metric("sent_packets", "sent_packets", "Datagrams sent"),
    _Metric("received_packets", "received_packets", "Datagrams received and authentic"),
    _Metric("inner_sent_bytes", "inner_sent_bytes", "Bytes of inner packets taken for sending"),
    _Metric("inner_received_bytes", "inner_received_bytes", "Bytes of inner packets delivered"),
    _Metric("saved_by_compression_bytes", "saved_by_compression_bytes", "Inner bytes that compression saved"),
    _Metric("symbols", "symbols", "Units of data sent for the first time"),
    _Metric("repairs", "repairs", "Coded repairs sent"),
    _Metric("retransmitted_symbols", "retransmitted_symbols", "Plain repeats sent"),
    _Metric("redundant_packets", "redundant_packets", "Packets received in vain"),
    _Metric("queue_dropped_packets", "queue_dropped_packets", "Inner packets refused by a full queue"),
)
_GAUGES = (
    _Metric("uptime_s", "connection_age_seconds", "Age of the connection"),
    _Metric("last_contact_s", "last_contact_seconds", "Time since the last authentic packet"),
    _Metric("rtt_ms", "rtt_seconds", "Smoothed round-trip time", 1e-3),
    _Metric("rtt_variation_ms", "rtt_variation_seconds", "Variation of the round-trip time", 1e-3),
    _Metric("min_rtt_ms", "min_rtt_seconds", "Least round-trip time of the last seconds", 1e-3),
    _Metric("queue_delay_ms", "queue_delay_seconds", "Part of the delay that is a queue", 1e-3),
    _Metric("path_mtu_bytes", "path_mtu_bytes", "Largest packet that is sent"),
    _Metric("loss", "loss_ratio", "Share of the packets sent that were lost"),
    _Metric("loss_burst", "loss_burst_packets", "Mean length of a run of losses"),
    _Metric("redundancy", "redundancy_ratio", "Repairs and repeats for each symbol"),
    _Metric("rate_bps", "path_rate_bits_per_second", "What the path is believed to carry"),
    _Metric("pacing_rate_bps", "pacing_rate_bits_per_second", "What is sent at most"),
    _Metric("queued_bytes", "queued_bytes", "Inner bytes that wait to be sent"),
)
_PREFIX = "ghosttunnel_"
_PEER = ["peer", "address"]


class Metrics:
    """Answers GET /metrics at `address` from the latest `status`."""

    def __init__(self, address: tuple[str, int], status: Callable[[], dict[str, Any]]) -> None:
        """Raises HostError where the package is missing or the address is taken."""
        try:
            import prometheus_client
            from gevent import pool, pywsgi
        except ImportError:
            raise HostError(
                "--metrics needs the Python package prometheus-client: install it with pip, or leave --metrics out"
            ) from None
        registry = prometheus_client.CollectorRegistry()
        registry.register(_Collector(status))
        prometheus_client.ProcessCollector(registry=registry)
        # The pool bounds how many may ask at once; what goes wrong there is theirs and not the tunnel's.
        self._server = pywsgi.WSGIServer(
            address, prometheus_client.make_wsgi_app(registry), spawn=pool.Pool(_MOST_CLIENTS), log=None, error_log=log
        )
        try:
            self._server.init_socket()
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise HostError(f"cannot answer on {where} ({error.strerror}): choose another --metrics") from error
        log.info("metrics for Prometheus are at http://%s:%d/metrics", *address)

    def start(self, supervisor: Supervisor) -> None:
        supervisor.spawn("metrics", self._server.serve_forever)

    def close(self) -> None:
        self._server.stop(timeout=1)

    @property
    def port(self) -> int:
        return int(self._server.server_port)


class _Collector:
    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        status = self._status()
        facts = {key: str(status[key]) for key in ("role", "crypto", "device")} | {"version": __version__}
        yield InfoMetricFamily(_PREFIX + "tunnel", "What runs", facts)
        is_up = status["state"] in ("connected", "listening")
        yield GaugeMetricFamily(_PREFIX + "up", "1 while connected or listening", float(is_up))
        yield GaugeMetricFamily(_PREFIX + "uptime_seconds", "Since the daemon started", status["uptime_s"])
        yield GaugeMetricFamily(_PREFIX + "peers", "Connected peers", len(status["peers"]))
        dropped = CounterMetricFamily(_PREFIX + "dropped", "Dropped in silence, by reason", labels=["reason"])
        for reason, count in status["dropped"].items():
            dropped.add_metric([reason], count)
        yield dropped
        errors = CounterMetricFamily(_PREFIX + "errors", "Refused by the kernel", labels=["device", "reason"])
        for device in ("udp", "tun"):
            for reason, count in status[f"{device}_errors"].items():
                errors.add_metric([device, reason], count)
        yield errors
        for metrics, family in ((_COUNTERS, CounterMetricFamily), (_GAUGES, GaugeMetricFamily)):
            for metric in metrics:
                made = family(_PREFIX + metric.name, metric.help, labels=_PEER)
                for peer in status["peers"]:
                    made.add_metric([peer["name"], peer["address"]], peer[metric.key] * metric.scale)
                yield made
