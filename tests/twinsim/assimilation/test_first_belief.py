"""What a twin cannot follow is refused when it is opened, in one line with the cause, and no folder is left behind."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from twinsim.assimilation import (
    Channel,
    EnsembleKalmanFilter,
    EnsembleKalmanSmoother,
    ExtendedKalmanFilter,
    FixedLagSmoother,
    LiveTwin,
    ParticleFilter,
    Reading,
    Rules,
    StreamModel,
    equal_ensemble,
)
from twinsim.errors import InputError
from twinsim.inference import StudentT


class Level(StreamModel):
    """One level as a random walk."""

    sigma: float = 0.1
    noise_size: int = eqx.field(static=True, default=1)

    def advance(self, state, start, length, noise):
        return state + jnp.sqrt(length) * noise

    def predict(self, state):
        return state

    def error(self, predicted):
        return jnp.full(1, self.sigma)

    def admissible(self, state):
        return state


MEMBERS = jnp.asarray(np.random.default_rng(0).normal(size=(8, 1)))
BELIEF = equal_ensemble(MEMBERS, 0.0)
GOOD = {"model": Level(), "method": EnsembleKalmanFilter(), "belief": BELIEF, "channels": (Channel("level", "mg"),)}


def refused(tmp_path, words, **change):
    with pytest.raises(InputError) as caught:
        LiveTwin(**{"folder": tmp_path / "twin", **GOOD, **change})
    line = str(caught.value)
    assert words in line and "\n" not in line and "do: " in line
    assert not (tmp_path / "twin").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"belief": equal_ensemble(MEMBERS[:0], 0.0)}, "an ensemble of 0 members"),
        ({"belief": equal_ensemble(MEMBERS[:1], 0.0)}, "an ensemble of 1 members; expected at least 2"),
        ({"belief": equal_ensemble(MEMBERS.at[3].set(jnp.nan), 0.0)}, "a first belief with a NaN"),
        ({"model": Level(sigma=0.0)}, "an error of readings of 0; expected standard deviations above 0; do: correct the model's sigma"),
        ({"model": Level(sigma=float("nan"))}, "an error of readings of nan"),
        ({"method": ExtendedKalmanFilter()}, "kind Ensemble; expected NormalBelief, which ExtendedKalmanFilter moves"),
        ({"method": FixedLagSmoother()}, "expected Window, which FixedLagSmoother moves; do: make it with FixedLagSmoother.begin"),
        ({"method": EnsembleKalmanSmoother()}, "make it with EnsembleKalmanSmoother.begin"),
        ({"channels": (Channel("level", "nonsense"),)}, "channel level with the unknown unit 'nonsense'"),
        ({"channels": ()}, "at least one, each with a name of its own"),
        ({"channels": 2 * (Channel("level", "mg"),)}, "level, level"),
        ({"channels": (Channel("level", "mg", size=3),)}, "3 values of 1 channels for a model that predicts 1"),
        ({"seed": -1}, "seed -1"),
        ({"start": float("nan")}, "start nan"),
    ],
)
def test_what_no_reading_could_use_is_refused_at_once(tmp_path, change, words):
    refused(tmp_path, words, **change)


@pytest.mark.parametrize("rules", [{"lag": -1}, {"gap": float("nan")}, {"longest_gap": 0.0}])
def test_rules_that_judge_nothing(rules):
    with pytest.raises(InputError, match="correct the one"):
        Rules(**rules)


def test_a_likelihood_of_its_own_needs_no_error(tmp_path):
    with LiveTwin(tmp_path / "twin", Level(sigma=0.0), ParticleFilter(likelihood=StudentT(0.1, 4.0)), BELIEF, GOOD["channels"]) as twin:
        assert twin.assimilate(Reading("level", 1.0, 0.2, "mg")).outcome.accepted


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "twin", "/proc/twinsim/twin"):
        with pytest.raises(InputError, match=r"for .*twin"):
            LiveTwin(folder, **GOOD)


def test_a_closed_twin_and_the_causes_of_two_refusals(tmp_path):
    with LiveTwin(tmp_path / "twin", **GOOD) as twin:
        early = twin.assimilate(Reading("level", -5.0, 0.2, "mg")).message
        assert "got time -5, before the twin's start; expected a time from its start at 0 on" in early
        nameless = twin.assimilate(Reading("level", 1.0, 0.2, None)).message
        assert "the unit None of level; expected mg; do: give the unit" in nameless
    with pytest.raises(InputError, match="which was closed; expected an open journal; do: open the twin again"):
        twin.assimilate(Reading("level", 1.0, 0.2, "mg"))
