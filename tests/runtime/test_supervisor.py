from __future__ import annotations

import os
import signal

import gevent
import pytest

from ghost.errors import Bug, HostError, UnreachableError
from ghost.runtime.supervisor import Supervisor


def crash() -> None:
    raise ValueError("no good")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_in_good_order(number: signal.Signals) -> None:
    done = []
    with Supervisor() as supervisor:
        supervisor.on_exit("first", lambda: done.append("first"))
        supervisor.on_exit("second", lambda: done.append("second"))
        supervisor.spawn("sleeper", gevent.sleep, 60)
        gevent.spawn_later(0.01, os.kill, os.getpid(), number)
        with gevent.Timeout(5):
            supervisor.wait()
    assert done == ["second", "first"]


def test_a_greenlet_that_dies_ends_the_process_with_one_line() -> None:
    with Supervisor() as supervisor:
        supervisor.spawn("tun", crash)
        with (
            pytest.raises(Bug, match="internal error in tun: ValueError: no good") as caught,
            gevent.Timeout(5),
        ):
            supervisor.wait()
    assert caught.value.exit_code == 70


def test_a_failure_keeps_its_own_exit_code_and_the_first_one_counts() -> None:
    with Supervisor() as supervisor:
        supervisor.fail(UnreachableError("no answer"))
        supervisor.fail(HostError("later"))
        with pytest.raises(UnreachableError):
            supervisor.wait()


def test_greenlets_are_stopped_before_anything_is_undone() -> None:
    seen = []

    def worker() -> None:
        try:
            gevent.sleep(60)
        finally:
            seen.append("stopped")

    with Supervisor() as supervisor:
        supervisor.spawn("worker", worker)
        supervisor.on_exit("it", lambda: seen.append("undone"))
        gevent.sleep(0)
    assert seen == ["stopped", "undone"]


def test_every_hook_runs_even_when_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    seen = []
    with Supervisor() as supervisor:
        supervisor.on_exit("routes", lambda: seen.append("routes"))
        supervisor.on_exit("the device", crash)
    assert seen == ["routes"]
    assert "undoing the device failed: no good" in caplog.text


def test_an_exception_on_the_way_up_undoes_what_was_done() -> None:
    seen = []
    with pytest.raises(HostError), Supervisor() as supervisor:
        supervisor.on_exit("it", lambda: seen.append("undone"))
        raise HostError("port in use")
    assert seen == ["undone"]
