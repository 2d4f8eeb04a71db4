"""A closure trained inside of its solver finds the law that made the truth."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import AnalyticClosure, Variable
from solvers import HEUN, ExplicitRungeKutta, Rate, Status
from twinsim.closures import Horizon, PerceptronClosure, train_unrolled, unroll
from twinsim.errors import InputError

STATE = (Variable("density", "1"),)
RATE = (Variable("rate", "1/day"),)


class Growth(Rate):
    """u' = c f(u)."""

    closure: eqx.Module
    factor: jax.Array

    def evaluate(self, state, time):
        del time
        return self.factor * self.closure(state[None])[0]


def stepper(closure, member):
    return ExplicitRungeKutta(Growth(closure, member["factor"]), HEUN)


LOGISTIC = AnalyticClosure(law=lambda _, values: values * (1 - values), parameters=None, inputs=STATE, outputs=RATE)


@pytest.fixture(scope="module")
def truth():
    """Logistic growth of eight members in the steps of the same solver: what is left is the closure's own error."""
    factor, start = jnp.linspace(0.5, 1.5, 8), jnp.linspace(0.02, 0.6, 8)
    after = jax.vmap(lambda factor, state: unroll(stepper(LOGISTIC, {"factor": factor}), state, 0.25, 20))(factor, start[:, None])
    return {"factor": factor}, jnp.concatenate([start[:, None, None], after], axis=1)


@pytest.mark.slow
def test_the_law_of_growth_is_found_from_trajectories(truth):
    members, states = truth
    samples = (jnp.linspace(0, 1, 50)[None], jnp.linspace(0, 0.25, 50)[None])
    closure = PerceptronClosure.create(0, STATE, RATE, samples=samples, hidden=(16,))
    plan = [Horizon(2, 1500, 2e-2), Horizon(8, 500, 1e-2)]
    found = train_unrolled(closure, stepper, members, states, 0.25, plan, windows=64, batch=16)
    assert [one.status for one in found] == [Status.SUCCESS] * 2
    density = jnp.linspace(0.05, 0.95, 19)
    law = found[-1].model(density[None])[0]
    np.testing.assert_allclose(law, density * (1 - density), atol=0.01)
    assert np.abs(closure(density[None])[0] - density * (1 - density)).max() > 0.1
    whole = unroll(stepper(found[-1].model, {"factor": members["factor"][3]}), states[3, 0], 0.25, 20)
    np.testing.assert_allclose(whole, states[3, 1:], atol=0.01)


def test_a_horizon_that_is_too_long_is_refused(truth):
    members, states = truth
    closure = PerceptronClosure.create(0, STATE, RATE)
    for plan in ([], [Horizon(21, 1, 1e-2)], [Horizon(0, 1, 1e-2)]):
        with pytest.raises(InputError, match="horizons"):
            train_unrolled(closure, stepper, members, states, 0.25, plan)


def test_a_loss_that_is_no_number_ends_the_training_and_says_where(truth):
    members, states = truth
    closure = PerceptronClosure.create(0, STATE, RATE)
    found = train_unrolled(closure, stepper, members, states.at[:, 5:].set(jnp.nan), 0.25, [Horizon(8, 5, 1e-2), Horizon(9, 5, 1e-2)])
    assert len(found) == 1 and found[0].status is Status.NOT_FINITE and "step 0" in found[0].message
