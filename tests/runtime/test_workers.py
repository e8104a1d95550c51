"""Processes of one server: forked, given orders, listened to, and ended together.

Each story runs in an interpreter of its own, because processes are forked before there is an event loop.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

START = """
import os, signal, sys, time
from gevent import monkey; monkey.patch_all()
import gevent
from ghost.errors import GhostError, HostError
from ghost.runtime.supervisor import Supervisor
from ghost.runtime import workers
from ghost.runtime.workers import Crew

def refuse(order): raise HostError("no such device: make one")
def obedient(station):
    station.report(b"born\\n")
    station.obey({"start": lambda order: {}, "twice": lambda order: {"is": 2 * order["number"]}, "refuse": refuse,
                  "hang": lambda order: time.sleep(60)})
    station.report(b"leaving\\n")
def hear(line, source): print(source, line.decode())
"""


def told(story: str) -> str:
    """Standard output of a story, which must end by itself."""
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(story)],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_workers_answer_report_and_leave_when_they_are_dismissed() -> None:
    output = told("""
        with Crew(3, obedient, hear) as crew:
            print([answer["is"] for answer in crew.tell({"order": "twice", "number": 21})])
            try:
                crew.tell({"order": "refuse"})
            except GhostError as error:
                print(error)
            pids = crew.pids
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids[1:])
    """)
    lines = output.splitlines()
    assert "[42, 42]" in lines
    assert "worker 1: no such device: make one" in lines
    assert {f"worker {index} {what}" for index in (1, 2) for what in ("born", "leaving")} < set(lines)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_worker_outlives_every_signal_that_ends_the_first_process(number: str) -> None:
    output = told(f"""
        with Crew(2, obedient, hear) as crew:
            crew.tell({{"order": "twice", "number": 1}})
            os.kill(crew.pids[1], signal.{number})
            print(crew.tell({{"order": "twice", "number": 4}}))
    """)
    assert "[{'is': 8}]" in output


def test_the_end_of_one_is_the_end_of_all() -> None:
    output = told("""
        with Crew(3, obedient, hear) as crew, Supervisor() as supervisor:
            crew.start(supervisor)
            os.kill(crew.pids[2], signal.SIGKILL)
            try:
                supervisor.wait()
            except GhostError as error:
                print(error)
    """)
    assert "worker 2 (pid " in output
    assert "has ended, so the server ends: start it again" in output
    assert "worker 1 leaving" in output


def test_one_that_hangs_is_found_out_and_killed() -> None:
    output = told("""
        workers._GRACE = 0.3
        with Crew(2, obedient, hear) as crew:
            crew._workers[0]._orders.settimeout(0.3)
            try:
                crew.tell({"order": "hang"})
            except GhostError as error:
                print(error)
            pid = crew.pids[1]
        assert not os.path.exists(f"/proc/{pid}")
    """)
    assert "does not answer: start the server again" in output


def test_a_first_process_that_is_killed_takes_the_others_with_it() -> None:
    output = told("""
        reading, writing = os.pipe()
        if workers._fork() == 0:
            crew = Crew(3, obedient, hear)
            crew.tell({"order": "twice", "number": 1})
            os.write(writing, str(crew.pids[1:]).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        pids = eval(os.read(reading, 1000))
        deadline = time.monotonic() + 20
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):
            assert time.monotonic() < deadline, pids
            time.sleep(0.05)
        print("gone")
    """)
    assert "gone" in output


def test_a_full_inbox_loses_and_counts() -> None:
    output = told("""
        pairs = [workers._inbox(), workers._inbox()]
        here, there = workers.Inbox(0, pairs), workers.Inbox(1, pairs)
        for _ in range(200):
            here.send(1, bytes(100_000))
        count = 0
        while there.receive() is not None:
            count += 1
        print(10 < count < 200, sum(here.errors.values()) == 200 - count, here.receive())
    """)
    assert "True True None" in output
