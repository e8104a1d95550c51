"""What Prometheus is told: read by its own client library, from a real socket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket
from prometheus_client.parser import text_string_to_metric_families

from ghost.errors import HostError
from ghost.runtime.metrics import Metrics
from ghost.runtime.supervisor import Supervisor

from ..ui.fake_daemon import status

GRAFANA = Path(__file__).parents[2] / "packaging" / "grafana.json"
STATUS = status("server") | {"udp_errors": {"No buffer space available": 2}}
LOOPBACK = "127.0.0.1"


@pytest.fixture
def port() -> Iterator[int]:
    with Supervisor() as supervisor, gevent.Timeout(20):
        metrics = Metrics((LOOPBACK, 0), lambda: STATUS)
        supervisor.on_exit("metrics", metrics.close)
        metrics.start(supervisor)
        yield metrics.port


def scrape(port: int, path: str = "/metrics") -> str:
    with socket.create_connection((LOOPBACK, port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nAccept: text/plain\r\n\r\n".encode())
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    head, _, body = b"".join(pieces).decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200")
    return body


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and, where there is one, peer, reason or nothing."""
    return {
        (sample.name, sample.labels.get("peer") or sample.labels.get("reason") or ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_client_library_of_prometheus_reads_the_numbers_of_the_status(port: int) -> None:
    found = samples(scrape(port))
    peer: dict[str, Any] = STATUS["peers"][0]
    assert found["ghosttunnel_up", ""] == 1
    assert found["ghosttunnel_peers", ""] == 3
    assert found["ghosttunnel_dropped_total", "foreign"] == 3
    assert found["ghosttunnel_errors_total", "No buffer space available"] == 2
    assert found["ghosttunnel_sent_bytes_total", "laptop"] == peer["sent_bytes"]
    assert found["ghosttunnel_rtt_seconds", "laptop"] == pytest.approx(peer["rtt_ms"] / 1000)
    assert found["ghosttunnel_loss_ratio", "laptop"] == peer["loss"]
    assert "process_cpu_seconds_total" in {name for name, _ in found}


def test_it_can_be_scraped_again_and_again(port: int) -> None:
    assert samples(scrape(port)).keys() == samples(scrape(port)).keys()


def test_an_address_that_is_taken_is_named(port: int) -> None:
    with pytest.raises(HostError, match=f"cannot answer on 127.0.0.1:{port} .*choose another --metrics"):
        Metrics((LOOPBACK, port), lambda: STATUS)


def test_the_dashboard_for_grafana_asks_for_what_there_is(port: int) -> None:
    exported = {name for name, _ in samples(scrape(port))}
    board = json.loads(GRAFANA.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [variable.get("definition", "") for variable in board["templating"]["list"]]
    named = {name for text in asked for name in re.findall(r"ghosttunnel_\w+", text)}
    assert named <= exported
    assert len(named) >= 15


def test_the_panels_for_grafana_lie_beside_each_other() -> None:
    board = json.loads(GRAFANA.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_dashboard_for_grafana_can_be_imported_anywhere(port: int) -> None:
    board = json.loads(GRAFANA.read_text())
    assert board["id"] is None  # else it would replace whatever has that number there
    assert board["schemaVersion"] >= 36  # from which on a data source is an object
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    asking = [variable for variable in variables.values() if variable["type"] == "query"]
    asking += [*board["panels"], *(target for panel in board["panels"] for target in panel["targets"])]
    assert all(one["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for one in asking)
    used = set(re.findall(r"\$\{?(\w+)", GRAFANA.read_text())) - {"__all", "__rate_interval"}
    assert used == variables.keys()
    for panel in board["panels"]:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names), panel["title"]


def test_the_labels_that_the_dashboard_for_grafana_names_exist(port: int) -> None:
    families = text_string_to_metric_families(scrape(port))
    labels: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    for panel in json.loads(GRAFANA.read_text())["panels"]:
        for target in panel["targets"]:
            names = re.findall(r"ghosttunnel_\w+|process_\w+", target["expr"])
            asked = re.findall(r"(\w+)=~?\"", target["expr"]) + re.findall(r"{{(\w+)}}", target["legendFormat"])
            known = set.intersection(*(labels[name] for name in names))
            assert set(asked) <= known, panel["title"]
