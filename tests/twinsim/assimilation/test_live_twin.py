"""Every kind of reading has a clear outcome, and none of them corrupts the twin."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from twinsim.assimilation import (
    Channel,
    EnsembleKalmanFilter,
    Gate,
    LiveTwin,
    Outcome,
    PerturbedObservations,
    Reading,
    Rules,
    StreamModel,
    equal_ensemble,
    live_twin,
)
from twinsim.errors import InputError


class Decline(StreamModel):
    """A marker's logarithm as a random walk, and a weight; a weight above 400 breaks the model."""

    noise_size: int = eqx.field(static=True, default=2)

    def advance(self, state, start, length, noise):
        return state + jnp.sqrt(length) * 0.1 * noise

    def predict(self, state):
        return state

    def error(self, predicted):
        return jnp.array([0.2, 2.0])

    def admissible(self, state):
        return jnp.where(state[1] > 300, jnp.nan, state)


CHANNELS = (Channel("psa", "ng/mL", low=0.0, high=1e5, logarithmic=True), Channel("weight", "kg", low=1.0, high=500.0))
RULES = Rules(lag=3, gap=30.0, longest_gap=400.0)


@pytest.fixture(scope="module")
def compiled():
    """One compilation for all twins of this file: the program does not depend on the folder."""
    programs = {}

    def once(model, method, belief, channels, seed):
        if seed not in programs:
            programs[seed] = original(model, method, belief, channels, seed)
        return programs[seed]

    original = live_twin.compiled_update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_twin, "compiled_update", once)
        yield


@pytest.fixture
def make(tmp_path, compiled):
    opened = []

    def twin(name="twin", rules=RULES):
        members = np.random.default_rng(3).normal([1.0, 80.0], [0.5, 5.0], (16, 2))
        method = EnsembleKalmanFilter(PerturbedObservations(), gate=Gate(4.0, "skip"))
        opened.append(LiveTwin(tmp_path / name, Decline(), method, equal_ensemble(jnp.asarray(members), 0.0), CHANNELS, rules=rules))
        return opened[-1]

    yield twin
    for one in opened:
        one.close()


def psa(day, value, identity=None, unit="ng/mL"):
    return Reading("psa", day, value, unit, identity)


def state(twin):
    return np.asarray(twin.belief.members).tobytes()


REFUSED = [
    (psa(5.0, float("nan")), Outcome.NOT_A_NUMBER),
    (psa(5.0, None), Outcome.NOT_A_NUMBER),
    (psa(5.0, "4.2"), Outcome.NOT_A_NUMBER),
    (psa(5.0, float("inf")), Outcome.NOT_A_NUMBER),
    (psa(5.0, [1.0, 2.0]), Outcome.NOT_A_NUMBER),
    (psa(5.0, -1.0), Outcome.OUT_OF_RANGE),
    (psa(5.0, 0.0), Outcome.OUT_OF_RANGE),
    (psa(5.0, 2.0, unit="kg"), Outcome.WRONG_UNIT),
    (psa(5.0, 2.0, unit="furlong/?"), Outcome.WRONG_UNIT),
    (psa(5.0, 2.0, unit=""), Outcome.WRONG_UNIT),
    (Reading("pas", 5.0, 2.0, "ng/mL"), Outcome.UNKNOWN_CHANNEL),
    (psa(float("nan"), 2.0), Outcome.NOT_A_TIME),
    (psa("tomorrow", 2.0), Outcome.NOT_A_TIME),
    (psa(-1.0, 2.0), Outcome.TOO_OLD),
    (psa(1.0, 2.9), Outcome.TOO_OLD),
    (psa(1e6, 2.0), Outcome.FROM_FUTURE),
    (psa(2.0, 3.0, "b"), Outcome.DUPLICATE),
    (psa(2.0, 3.0, "another name"), Outcome.DUPLICATE),
    (psa(2.0, 3.0, "c", unit="ug/L"), Outcome.CONFLICT),
]


def test_bad_readings_are_refused_with_one_line_and_leave_the_twin_alone(make):
    twin = make(rules=Rules(lag=3, gap=30.0, longest_gap=400.0))
    for day, value, name in [(1.5, 3.1, "a"), (2.0, 3.0, "b"), (3.0, 2.9, "c"), (4.0, 2.8, "d"), (5.0, 2.7, "e")]:
        assert twin.assimilate(psa(day, value, name)).outcome is Outcome.ACCEPTED
    before = state(twin)
    for reading, outcome in REFUSED:
        receipt = twin.assimilate(reading)
        assert receipt.outcome is outcome, (reading, receipt)
        assert "\n" not in receipt.message and "expected" in receipt.message and "do: " in receipt.message
        assert twin.journal[-1]["outcome"] == outcome.value and twin.journal[-1]["why"] == receipt.message
        assert state(twin) == before
    assert twin.time == 5.0


def test_an_update_that_is_not_finite_is_refused(make):
    twin = make("broken")
    wild = eqx.tree_at(lambda e: e.members, twin.belief, twin.belief.members.at[:, 1].add(300.0))
    twin._beliefs[0] = wild
    receipt = twin.assimilate(psa(1.0, 2.0))
    assert receipt.outcome is Outcome.FAILED and twin.belief is wild
    assert twin.journal[-1]["outcome"] == Outcome.FAILED.value


def test_any_order_of_arrival_leaves_the_same_twin_to_the_bit(make):
    record = [psa(float(day), float(value)) for day, value in zip(range(1, 9), np.exp(np.linspace(1.0, 0.2, 8)), strict=True)]
    straight, shuffled = make("straight"), make("shuffled")
    for reading in record:
        straight.assimilate(reading)
    outcomes = [shuffled.assimilate(record[i]).outcome for i in (1, 0, 2, 5, 4, 3, 7, 6)]
    assert outcomes.count(Outcome.REORDERED) == 4 and outcomes.count(Outcome.ACCEPTED) == 4
    assert state(straight) == state(shuffled)


def test_a_reopened_twin_goes_on_from_its_saved_state_and_without_it(make, tmp_path):
    record = [psa(float(day), 3.0 - 0.1 * day) for day in range(1, 7)]
    whole = make("whole")
    for reading in record:
        whole.assimilate(reading)
    parted = make("parted")
    for reading in record[:4]:
        parted.assimilate(reading)
    parted.close()
    for path in (tmp_path / "parted").glob("state-*"):
        path.write_bytes(b"damaged") if path.name.endswith("4.npz") else None
    again = make("parted")
    for reading in record[4:]:
        again.assimilate(reading)
    assert state(again) == state(whole)
    again.close()
    for path in (tmp_path / "parted").glob("state-*"):
        path.unlink()
    assert state(make("parted")) == state(whole)


def test_gap_outlier_units_and_two_channels(make):
    twin = make("mixed")
    assert twin.assimilate(psa(1.0, 3.0)).outcome is Outcome.ACCEPTED
    before = float(twin.belief.mean[0])
    twin.assimilate(psa(2.0, 3e-3, unit="g/L"))  # 3000 ng/mL
    assert twin.journal[-1]["values"] == pytest.approx([np.log(3000.0)])
    assert twin.journal[-1]["outcome"] == Outcome.OUTLIER.value
    assert abs(float(twin.belief.mean[0]) - before) < 0.2  # the gate skipped it: what moved is the forecast's draw
    assert twin.assimilate(psa(50.0, 3.0)).outcome is Outcome.AFTER_GAP
    before = np.asarray(twin.belief.mean)
    receipt = twin.assimilate(Reading("weight", 50.0, 84000.0, "g"))
    assert receipt.outcome is Outcome.ACCEPTED
    assert np.asarray(twin.belief.mean)[1] > before[1] + 1.0


def test_a_folder_of_another_twin_or_prior_is_refused(make, tmp_path):
    make("one").close()
    other = equal_ensemble(jnp.ones((16, 2)), 0.0)
    with pytest.raises(InputError, match=r"journal.log of twin"):
        LiveTwin(tmp_path / "one", Decline(), EnsembleKalmanFilter(), other, CHANNELS)


def test_a_full_disk_acknowledges_nothing_and_keeps_the_twin(make, monkeypatch):
    twin = make("full")
    twin.assimilate(psa(1.0, 3.0))
    before = state(twin)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("twinsim.assimilation.journal.os.fsync", full)
        with pytest.raises(InputError, match="No space left"):
            twin.assimilate(psa(2.0, 3.0, "x"))
    assert state(twin) == before and twin.time == 1.0
    assert twin.assimilate(psa(2.0, 3.0, "x")).outcome is Outcome.ACCEPTED
