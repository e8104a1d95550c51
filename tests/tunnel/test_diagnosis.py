"""One cause for each kind of evidence, with the numbers in the sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ghost.tunnel.diagnosis import WINDOW, Cause, Sample, Watch

CALM = Sample(
    sent=200, lost=0, loss=0.0, acked=280_000, heard=100, expected=100, sent_bps=2.4e6, queue=0.008, jitter=0.001,
    guilty=0, backlog=50_000, cpu=0.2,
)  # fmt: skip
DEAD = replace(CALM, sent=10, acked=0, heard=0, expected=0, sent_bps=2e5)


def found(samples: list[Sample]) -> tuple[Cause, str]:
    watch = Watch()
    watch.samples.extend(samples)
    finding = watch.finding()
    assert "\n" not in finding.sentence
    assert finding.sentence.endswith(".")
    return finding.cause, finding.sentence


def policed(number: int) -> Sample:
    """Sends 160 to 240 packets a second, of which 150 pass."""
    sent = 160 + 16 * (number % 6)
    return replace(CALM, sent=sent, lost=sent - 150, sent_bps=sent * 12e3, queue=0.001)


@pytest.mark.parametrize(
    ("samples", "cause", "told"),
    [
        ([CALM] * 20, Cause.NONE, "the path is full at 2.4 Mbit/s"),
        ([replace(CALM, backlog=0)] * 20, Cause.NONE, "carries all that it is given, 2.4 Mbit/s"),
        ([replace(CALM, lost=20)] * 20, Cause.LOSS, "10.0% of what we send."),
        ([replace(CALM, lost=16, loss=0.3)] * 20, Cause.LOSS, "30.0% of what we send."),  # the others acknowledge
        ([replace(CALM, heard=90)] * 20, Cause.LOSS, "10.0% of what the peer sends."),
        ([replace(CALM, queue=0.18)] * 20, Cause.QUEUE, "packets wait 180 ms in it, and 2.4 Mbit/s is"),
        ([policed(number) for number in range(24)], Cause.POLICER, "what exceeds about 1.8 Mbit/s"),
        ([CALM] * 10 + [DEAD] * 5, Cause.BLACKOUT, "silent, both ways, for 5 s"),
        ([CALM] * 10 + [DEAD] * 3 + [CALM] * 4, Cause.BLACKOUT, "silent for 3 of the last 17 s, the last time 4 s ago"),
        ([CALM] * 4 + [replace(DEAD, heard=2)] * 6, Cause.FREEZE, "6 s nothing of it has arrived, after 800 packets"),
        ([replace(CALM, cpu=0.97, lost=9)] * 12, Cause.CPU, "busy 97% of the last 10 s"),
    ],
)  # fmt: skip
def test_the_evidence_names_its_cause(samples: list[Sample], cause: Cause, told: str) -> None:
    assert found(samples)[0] is cause
    assert told in found(samples)[1]


def test_losses_that_come_whatever_the_speed_are_no_policers() -> None:
    samples = [replace(CALM, sent=sent, lost=sent // 5, queue=0.001) for sent in (160, 176, 192, 208, 224, 240) * 4]
    assert found(samples)[0] is Cause.LOSS


@pytest.mark.parametrize(("arrives", "cause"), [(100, Cause.POLICER), (None, Cause.LOSS)])
def test_a_rate_that_climbs_slowly_and_brings_nothing_is_policed(arrives: int | None, cause: Cause) -> None:
    samples = [CALM] * 4
    for sent in range(120, 220, 6):
        passed = arrives or sent * 7 // 10
        samples.append(replace(CALM, sent=sent, lost=sent - passed, acked=passed * 1400, sent_bps=sent * 11.2e3))
    assert found(samples)[0] is cause


def test_trials_of_the_rate_convict_a_policer_as_well() -> None:
    samples = [replace(CALM, lost=4)] * 18 + [replace(CALM, lost=4, guilty=1)] * 2
    assert found(samples)[0] is Cause.POLICER
    assert "2 times the losses fell when less was sent" in found(samples)[1]
    assert found(samples[:-1])[0] is Cause.LOSS


def test_the_first_packets_after_a_silence_are_no_freeze() -> None:
    assert found([CALM] * 5 + [DEAD] * 4 + [replace(DEAD, heard=9)])[0] is Cause.BLACKOUT


def test_an_end_that_has_nothing_to_say_is_not_in_the_dark() -> None:
    assert found([CALM] * 5 + [replace(DEAD, sent=0)] * 9)[0] is Cause.NONE


def test_a_few_lost_packets_are_not_worth_a_word() -> None:
    assert found([replace(CALM, lost=1), *[CALM] * 20])[0] is Cause.NONE


def test_jitter_is_no_queue() -> None:
    assert found([replace(CALM, queue=0.06, jitter=0.03)] * 20)[0] is Cause.NONE


def snapshot(**changed: Any) -> dict[str, Any]:
    facts = {
        "sent_packets": 0, "lost_packets": 0, "loss": 0.0, "acked_bytes": 0, "received_packets": 0,
        "expected_packets": 0, "sent_bytes": 0, "queue_delay_ms": 8.0, "jitter_ms": 1.0, "rate_trials_guilty": 0,
        "queued_bytes": 0,
    }  # fmt: skip
    return facts | changed


def test_samples_are_what_grew_within_a_second() -> None:
    watch = Watch()
    watch.add(snapshot(sent_packets=100, sent_bytes=1000), cpu=0.1)
    assert "Too early" in watch.finding().sentence
    watch.add(snapshot(sent_packets=150, lost_packets=5, sent_bytes=3000), cpu=0.5)
    [sample] = watch.samples
    assert (sample.sent, sample.lost, sample.sent_bps, sample.queue, sample.cpu) == (50, 5, 16_000, 0.008, 0.5)


def test_a_new_connection_begins_anew_and_the_memory_is_bounded() -> None:
    watch = Watch()
    for number in range(2 * WINDOW):
        watch.add(snapshot(sent_packets=number), cpu=0.0)
    assert len(watch.samples) == WINDOW
    watch.add(snapshot(sent_packets=1), cpu=0.0)
    assert not watch.samples
