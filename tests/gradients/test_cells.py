"""Gradients of the duration of an action potential with respect to conductances, through every step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, RectangularPulse, action_potential
from solvers import simulate, time_mesh
from tests.problems import number, quick_jit

MESH = time_mesh(0.0, [400.0], 0.05, breakpoints=[1.0])
TIMES = jnp.concatenate([jnp.zeros(1), MESH.times])
PULSE = RectangularPulse(number(52.0), number(1.0))


def duration(cell):
    state = cell.initial_state()
    solution = simulate(cell.paced(PULSE), state, MESH, observe=lambda _, seen: cell.millivolts(seen))
    return action_potential(TIMES, jnp.concatenate([cell.millivolts(state)[None], solution.observations])).duration


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        pytest.param("ten_tusscher_2006_epi", "rapid_potassium_conductance", "calcium_permeability", marks=pytest.mark.slow),
        pytest.param("ohara_rudy_2011_endo", "rapid_potassium_conductance", "calcium_permeability", marks=pytest.mark.slow),
        pytest.param("tor_ord_2019_endo", "rapid_potassium_conductance", "calcium_permeability", marks=pytest.mark.slow),
        ("mitchell_schaeffer", "outward_constant", "closing_constant"),
    ],
)
@pytest.mark.slow
def test_reverse_mode_against_central_differences(name, first, second):
    cell = CELL_MODELS[name]()

    def with_factors(factors):
        changed = [getattr(cell, field) * factors[i] for i, field in enumerate((first, second))]
        return duration(eqx.tree_at(lambda c: [getattr(c, first), getattr(c, second)], cell, changed))

    value = quick_jit(with_factors)
    gradient = np.asarray(quick_jit(jax.grad(with_factors))(jnp.ones(2)))
    for i in range(2):
        ahead, behind = (value(jnp.ones(2).at[i].add(sign * 1e-5)) for sign in (1, -1))
        difference = float(ahead - behind) / 2e-5
        assert abs(difference) > 1
        assert float(gradient[i]) == pytest.approx(difference, rel=1e-6)
    along = quick_jit(lambda f, d: jax.jvp(with_factors, (f,), (d,))[1])(jnp.ones(2), jnp.asarray([0.3, -0.7]))
    assert float(along) == pytest.approx(float(gradient @ np.array([0.3, -0.7])), rel=1e-9)
