"""The optimisers of informed networks, fields of rows on masks and residuals of stiff systems lower for every backend."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import TargetMediatedDisposition
from solvers import Diffusion, VoxelGrid
from twinsim.informed import (
    FieldRows,
    Rows,
    SeparableNetwork,
    TensorRows,
    implicit_residual,
    levenberg_marquardt,
    quasi_newton,
    rate_of,
    split,
    sum_of_squares,
)


def decay(model, point):
    return model[0] * jnp.exp(-model[1] * point) - 1.0


ROWS = (Rows(decay, jnp.linspace(0.0, 1.0, 5), jnp.ones(5)),)
VECTOR, RESTORE = split(jnp.asarray([1.0, 0.3]))
OPTIMISERS = {
    "levenberg-marquardt": lambda at: levenberg_marquardt(ROWS, at, RESTORE, 3, jnp.asarray(0.1)).vector,
    "bfgs": lambda at: quasi_newton(partial(lambda rows, theta: sum_of_squares(rows, RESTORE(theta)), ROWS), at, 3, None, "bfgs").vector,
    "broyden": lambda at: quasi_newton(partial(lambda rows, theta: sum_of_squares(rows, RESTORE(theta)), ROWS), at, 3).vector,
}

GRID = VoxelGrid(np.ones((2, 2, 1), bool), (1.0, 1.0, 1.0))
DRUG = rate_of(TargetMediatedDisposition.peletier2012())
OPTIMISERS["a field of rows"] = lambda at: FieldRows(
    lambda model, p: model[0] * jnp.exp(model[1] * p[0]), Diffusion(GRID, 1.0), GRID
).linearised(at, RESTORE)[1]
OPTIMISERS["a stiff residual"] = lambda at: implicit_residual(DRUG, jnp.append(at, 0.0), jnp.zeros(3), jnp.zeros(()), jnp.ones(()))
SEPARABLE = SeparableNetwork((0.0, 0.0), (1.0, 1.0), (2,), 2, key=jax.random.key(0))
GRID_ROWS = TensorRows(lambda model, p: model.jet(p, (0,)).bend(0)[0], (jnp.linspace(0.0, 1.0, 2),) * 2)
OPTIMISERS["rows of a tensor grid"] = lambda at: GRID_ROWS.normal(at[0] * split(SEPARABLE)[0], split(SEPARABLE)[1])[2]


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_it_lowers(name, platform):
    exported = jax.export.export(jax.jit(OPTIMISERS[name]), platforms=[platform])(VECTOR)
    assert exported.platforms == (platform,)
