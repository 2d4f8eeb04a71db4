"""The optimisers of informed networks lower for every backend."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from twinsim.informed import Rows, levenberg_marquardt, quasi_newton, split, sum_of_squares


def decay(model, point):
    return model[0] * jnp.exp(-model[1] * point) - 1.0


ROWS = (Rows(decay, jnp.linspace(0.0, 1.0, 5), jnp.ones(5)),)
VECTOR, RESTORE = split(jnp.asarray([1.0, 0.3]))
OPTIMISERS = {
    "levenberg-marquardt": lambda at: levenberg_marquardt(ROWS, at, RESTORE, 3, jnp.asarray(0.1)).vector,
    "bfgs": lambda at: quasi_newton(partial(lambda rows, theta: sum_of_squares(rows, RESTORE(theta)), ROWS), at, 3, None, "bfgs").vector,
    "broyden": lambda at: quasi_newton(partial(lambda rows, theta: sum_of_squares(rows, RESTORE(theta)), ROWS), at, 3).vector,
}


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_it_lowers(name, platform):
    exported = jax.export.export(jax.jit(OPTIMISERS[name]), platforms=[platform])(VECTOR)
    assert exported.platforms == (platform,)
