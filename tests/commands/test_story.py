"""The log's story: said once, when it has lasted."""

from __future__ import annotations

import logging
from typing import Any

from ghost.commands.story import LASTING, Story


def status(**facts: Any) -> dict[str, Any]:
    peer = {
        "name": "laptop", "address": "10.77.0.2", "endpoint": "198.18.0.1:4000", "uptime_s": 100.0,
        "last_contact_s": 0.1, "sent_packets": 1000, "loss": 0.0, "queue_delay_ms": 0.0, "rtt_ms": 100.0,
        "inner_received_bytes": 2048, "inner_sent_bytes": 1024,
    }  # fmt: skip
    return {"peers": [peer | facts]}


def told(story: Story, seconds: int, **facts: Any) -> list[str]:
    return [line for _ in range(seconds) for _, line in story.tell(status(**facts))]


def test_a_clean_link_is_not_worth_a_word() -> None:
    assert told(Story(), 100) == []


def test_a_loss_that_lasts_is_told_once_and_its_end_too() -> None:
    story = Story()
    assert told(story, LASTING - 1, loss=0.3) == []
    assert told(story, 100, loss=0.3) == ["laptop: a bad link that loses 30.0 %, the tunnel mends it"]
    assert told(story, 100, loss=0.18) == []  # a little less is no news
    assert told(story, 100, loss=0.1) == ["laptop: the link loses 10.0 %, the tunnel mends it"]
    assert told(story, 100) == ["laptop: the link is clean again, round trip 100.0 ms"]


def test_what_comes_and_goes_is_not_told() -> None:
    story = Story()
    for _ in range(20):
        assert told(story, LASTING - 1, loss=0.3) == []
        assert told(story, 1) == []


def test_a_handful_of_packets_proves_nothing() -> None:
    assert told(Story(), 100, loss=0.5, sent_packets=10) == []


def test_silence_and_queues_are_told() -> None:
    assert told(Story(), 100, queue_delay_ms=500.0) == [
        "laptop: a queue of 500.0 ms stands on the way: something else fills the link"
    ]
    assert told(Story(), 3, last_contact_s=31.0) == ["laptop: nothing heard for 31.0 s"]


def test_a_move_is_told_at_once() -> None:
    story = Story()
    told(story, 1)
    assert told(story, 2, endpoint="203.0.113.9:5") == ["laptop moved from 198.18.0.1:4000 to 203.0.113.9:5"]


def test_a_connection_that_is_over_is_summed_up() -> None:
    story = Story()
    told(story, 1)
    line = "laptop: 2 KiB came and 1 KiB went in 1 min 40 s"
    assert story.tell({"peers": []}) == [(20, line)]
    told(story, 1)
    assert told(story, 1, uptime_s=0.5) == [line]  # it connected again
    assert story.end() == [(20, "laptop: 2 KiB came and 1 KiB went in 0.5 s")]


def test_a_bad_link_that_ends_by_itself_is_told_and_one_that_was_taken_away_is_not() -> None:
    story = Story()
    assert story.tell(status() | {"chaos": "loss=20%", "chaos_left_s": 0.8}) == []
    assert story.tell(status()) == [(logging.WARNING, "chaos: off, its time is up")]
    assert story.tell(status()) == []
    assert story.tell(status() | {"chaos": "loss=20%", "chaos_left_s": 20.0}) == []
    assert story.tell(status()) == []
