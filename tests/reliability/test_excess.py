"""Loss that the rate causes is told from loss that is the path's."""

from __future__ import annotations

import random

import pytest

from ghost.reliability.excess import ExcessLoss, Verdict
from ghost.reliability.loss import SentPacket

SIZE = 1000
HORIZON = 0.1


class Path:
    """A path that loses `loss` of the packets and lets at most `policed` bytes a second pass."""

    def __init__(self, *, loss: float, policed: float = float("inf"), seed: int = 1) -> None:
        self.loss = loss
        self.policed = policed
        self.rng = random.Random(seed)
        self.now = 0.0
        self.excess = ExcessLoss(0.0)

    def send(self, rate: float, seconds: float) -> list[Verdict]:
        """Sends at `rate`; every packet's fate is known at once. Returns the verdicts but NOTHING."""
        verdicts = []
        for _ in range(int(rate * seconds / SIZE)):
            self.now += SIZE / rate
            packet = SentPacket(
                number=0, time=self.now, size=SIZE, sent_bytes=0, sources=0, repairs=0, symbol=None, prompts=(),
                is_app_limited=False,
            )  # fmt: skip
            passes = self.rng.random() >= self.loss and self.rng.random() * rate < self.policed
            fates = ([packet], []) if passes else ([], [packet])
            verdict = self.excess.update(*fates, rate=rate, burst=1.0, horizon=HORIZON, now=self.now)
            if verdict is not Verdict.NOTHING:
                verdicts.append(verdict)
        return verdicts


@pytest.mark.parametrize("seed", range(5))
def test_a_clean_path_is_never_tried(seed: int) -> None:
    assert Path(loss=0.0, seed=seed).send(1e6, 20) == []


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5])
def test_the_paths_own_loss_is_found_innocent_and_becomes_the_floor(loss: float) -> None:
    verdicts, floors = [], []
    for seed in range(20):
        path = Path(loss=loss, seed=seed)
        for _ in range(30):
            verdicts += path.send(0.6e6 if path.excess.is_on_trial else 1e6, 0.2)
        floors.append(path.excess.floor)
    assert verdicts.count(Verdict.GUILTY) <= 3, "of 20 paths for 6 s each"
    assert sum(floors) / len(floors) == pytest.approx(loss, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_policers_loss_is_found_guilty(loss: float, seed: int) -> None:
    path = Path(loss=loss, policed=0.5e6, seed=seed)
    while not path.excess.is_on_trial:
        path.send(1e6, 0.01)
        assert path.now < 2, f"seed {seed}"
    verdicts: list[Verdict] = []
    while not verdicts:
        verdicts = path.send(0.45e6, 0.01)
        assert path.now < 4, f"seed {seed}"
    assert verdicts == [Verdict.GUILTY], f"seed {seed}"
    assert path.excess.floor < 0.2


def test_a_policers_loss_does_not_creep_into_the_floor() -> None:
    path, rate, verdicts = Path(loss=0.0, policed=1e6), 0.9e6, []
    while not verdicts:
        verdicts = path.send(rate, 0.2)
        rate *= 1.01
        assert rate < 1.3e6, "steps of 1 % went 30 % beyond what passes"
    assert verdicts[0] is Verdict.EXCESS


def test_a_rate_that_is_not_used_is_not_judged() -> None:
    path = Path(loss=0.5)
    for _ in range(50):
        path.now += 0.1
        packets = [
            SentPacket(
                number=0, time=path.now, size=SIZE, sent_bytes=0, sources=0, repairs=0, symbol=None, prompts=(),
                is_app_limited=True,
            )
            for _ in range(10)
        ]  # fmt: skip
        verdict = path.excess.update(packets[:5], packets[5:], rate=1e6, burst=1.0, horizon=HORIZON, now=path.now)
        assert verdict is Verdict.NOTHING
