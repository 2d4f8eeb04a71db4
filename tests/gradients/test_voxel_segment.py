"""Gradients through arteries and voxels together."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.problems import quick_jit
from tests.segments import segment

NAMES = ("modulus", "viscosity", "area")


@pytest.mark.slow
def test_reverse_mode_against_central_differences():
    model = segment(voxels=5, length=6, cells=4, substeps=2, sound=12.0)

    def seen(factors):
        where = lambda m: (m.network.youngs_modulus, m.flow.collision.viscosity.viscosity, m.areas)  # noqa: E731
        changed = eqx.tree_at(where, model, tuple(part * factor for part, factor in zip(where(model), factors, strict=True)))
        one, length = changed.stepper(), model.step
        start = eqx.tree_at(lambda s: s.arteries.flow[0], changed.initial_state(), replace_fn=lambda area: area.at[:6].multiply(1.01))

        def body(state, count):
            return one.advance(state, count * length, length), None

        last = jax.lax.scan(body, start, jnp.arange(25.0))[0]
        return 1e6 * last.entering[0] + 1e-2 * last.drop[0] + 2e6 * last.entering[1]

    one = jnp.ones(3)
    value, gradient = quick_jit(seen), np.asarray(quick_jit(jax.grad(seen))(one))
    step = 1e-4
    for place in range(3):
        there = jnp.zeros(3).at[place].set(step)
        coarse = (float(value(one + there)) - float(value(one - there))) / (2 * step)
        fine = (float(value(one + there / 2)) - float(value(one - there / 2))) / step
        np.testing.assert_allclose(gradient[place], (4 * fine - coarse) / 3, rtol=1e-6, err_msg=NAMES[place])
    assert (np.abs(gradient) > 1e-6).all()
