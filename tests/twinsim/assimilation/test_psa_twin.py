"""The twin of PSA against the model and the noise that it was calibrated with."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tests.problems import quick_jit
from twinsim.assimilation import ExtendedKalmanFilter, Gate, NormalBelief, NormalState
from twinsim.assimilation.psa_twin import CELLS, calibrated_psa_twin, psa_twin
from twinsim.cohort import Noise, draw_forecasts
from twinsim.cohort import PopulationNormal as Population
from twinsim.errors import InputError
from twinsim.prior import values_of
from twinsim.psa_forecast import psa_cohort
from twinsim.psa_models import HIRATA_WASHOUT
from twinsim.psa_record import PsaRecord

NOISE = Noise(0.4, 0.7, 90.0)
SIZE = len(HIRATA_WASHOUT.priors)
DAYS = np.array([0.0, 28.0, 60.0, 84.0, 110.0, 140.0, 165.0, 200.0, 230.0, 260.0])
ON = np.array([True, True, False, False, True, True, True, False, False, False])


def record(on=ON):
    psa = np.exp(np.array([2.0, 0.9, 0.1, -0.4, 0.6, 1.4, 0.5, -0.3, 0.2, 1.1]))
    psa[3] = np.nan
    return PsaRecord(1, DAYS, psa, np.full(DAYS.size, np.nan), on)


def begun(of, z):
    values = values_of(HIRATA_WASHOUT.priors, z)
    cells = of.psa[0] * jnp.stack([values["initial_1"], values["initial_2"], values["initial_3"]])
    return jnp.concatenate([jnp.log(cells), jnp.zeros(1), z])


@pytest.mark.parametrize("on", [ON, ~ON], ids=["starts on", "starts off"])
def test_it_moves_as_the_model_of_the_calibration(on):
    """Over courses, washouts that a new course cuts short, and intervals that hold two switches."""
    of, z = record(on), jnp.asarray(0.5 * np.random.default_rng(0).standard_normal(SIZE))
    twin, expected = psa_twin(of, NOISE), psa_cohort([of], HIRATA_WASHOUT).predictions(np.asarray(z)[None])[0]

    @quick_jit
    def after(state, start, length):
        state = twin.advance(state, start, length, jnp.zeros(1))
        return state, twin.predict(state)[0]

    state, first = begun(of, z), jnp.asarray(0.0)
    for k in range(DAYS.size - 1):
        state, predicted = after(state, jnp.asarray(DAYS[k]), jnp.asarray(DAYS[k + 1] - DAYS[k]))
        assert float(predicted) == pytest.approx(float(expected[k + 1]), abs=1e-9)
    assert float(after(begun(of, z), first, jnp.asarray(260.0))[1]) == pytest.approx(float(expected[-1]), abs=1e-9)
    np.testing.assert_array_equal(after(state, jnp.asarray(260.0), jnp.asarray(0.0))[0], state)


@pytest.mark.slow
def test_the_evidence_of_a_filter_is_that_of_the_noise_of_the_calibration():
    """With the parameters known the problem is linear, and b and single errors together have the covariance of a cohort."""
    of, z = record(), np.zeros(SIZE)
    twin, filter_ = psa_twin(of, NOISE), ExtendedKalmanFilter(Gate(float("inf")))
    spread = np.zeros(CELLS + 1 + SIZE)
    spread[CELLS] = NOISE.share * NOISE.scale**2
    belief = NormalBelief(NormalState(begun(of, jnp.asarray(z)), jnp.diag(jnp.asarray(spread))), jnp.asarray(0.0))
    logs, found = np.log(of.psa), 0.0
    update = quick_jit(lambda belief, time, value, mask: filter_.update(twin, belief, time, value, mask, jnp.zeros(2, dtype=jnp.uint32)))
    for day, value in zip(of.days, logs, strict=True):
        if np.isfinite(value):
            belief, innovation = update(belief, jnp.asarray(day), jnp.asarray([value]), jnp.ones(1, dtype=bool))
            found += float(innovation.log_evidence)
    seen = np.isfinite(logs)
    covariance = NOISE.scale**2 * (NOISE.lasting(DAYS[seen][None])[0] + (1 - NOISE.share) * np.eye(seen.sum()))
    mean = psa_cohort([of], HIRATA_WASHOUT).predictions(z[None])[0][seen]
    assert found == pytest.approx(multivariate_normal.logpdf(logs[seen], mean, covariance), rel=1e-8)


@pytest.mark.slow
def test_members_of_a_calibrated_twin_forecast_what_the_calibration_does():
    """Mean and spread of log PSA 30 and 60 days after the origin, within the error of 200 draws."""
    of, origin = record(), 200.0
    prior = Population(np.zeros(SIZE), 0.09 * np.eye(SIZE), NOISE)
    twin, ensemble = calibrated_psa_twin(of, prior, origin, 200)
    draws = draw_forecasts(psa_cohort([of], HIRATA_WASHOUT).until(origin), [prior], 200, 1)
    for day in (230.0, 260.0):
        step = quick_jit(lambda state, noise, length: twin.predict(twin.advance(state, jnp.asarray(origin), length, noise))[0])
        noise = jnp.asarray(np.random.default_rng(2).standard_normal((200, 1)))
        length = jnp.asarray(day - origin)
        mine = np.array([float(step(state, one, length)) for state, one in zip(ensemble.members, noise, strict=True)])
        mine += float(twin.error(jnp.zeros(1))[0]) * np.random.default_rng(3).standard_normal(200)
        theirs = draws.readings[:, 0, int(np.searchsorted(DAYS, day))]
        assert abs(mine.mean() - theirs.mean()) < 4 * theirs.std() * np.sqrt(2 / 200)
        assert mine.std() == pytest.approx(theirs.std(), rel=0.25)
    with pytest.raises(InputError, match="day -1"):
        calibrated_psa_twin(of, prior, -1.0, 10)
