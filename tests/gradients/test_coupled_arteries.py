"""Gradients through arteries and circuit together, and of their periodic state."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import beat_mesh, coupled_beat
from solvers import fixed_point, simulate
from tests.coupled import PERIOD, driven, loop, loop_start, pulse
from tests.problems import quick_jit

MESH = beat_mesh(PERIOD, 4)
SUBSTEPS = 40
NAMES = ("ventricle.active_elastance", "veins.compliance", "outlet.open_resistance")


def scaled(model, factors):
    """Parameters on both sides of the ports, scaled."""
    circuit = model.circuit
    values = {name: circuit.value(name) * factors[i + 1] for i, name in enumerate(NAMES)}
    where = lambda m: (m.network.youngs_modulus, m.circuit)  # noqa: E731
    return eqx.tree_at(where, model, (model.network.youngs_modulus * factors[0], circuit.with_values(values)))


@pytest.mark.slow
def test_reverse_mode_against_central_differences():
    model = loop(8)

    def seen(factors):
        changed = scaled(model, factors)
        beat = coupled_beat(changed, loop_start(changed), MESH, SUBSTEPS)
        return (
            jnp.sum(beat.arteries.pressure[0, 2] * jnp.arange(1.0, 5.0)) / 1e3 + beat.circuit[changed.circuit.index("volume:ventricle"), 2]
        )

    one = jnp.ones(1 + len(NAMES))
    value, gradient = quick_jit(seen), np.asarray(quick_jit(jax.grad(seen))(one))
    for place in range(one.size):
        ahead, behind = (float(value(one.at[place].add(sign * 1e-5))) for sign in (1, -1))
        assert gradient[place] == pytest.approx((ahead - behind) / 2e-5, rel=1e-6), place


@pytest.mark.slow
def test_the_periodic_state_and_its_gradient():
    """Found by accelerated beats; marching on from it, it repeats; its gradient is that of converged states."""
    unit = 133.322e6
    model = driven(pulse(20.0), cells=8, outlet="windkessel", proximal=unit, distal=4 * unit, compliance=0.02 / unit)
    start = model.initial_state()

    def over_a_beat(factor, state):
        changed = eqx.tree_at(lambda m: m.network.distal, model, model.network.distal * factor)
        before = eqx.tree_at(lambda s: (s.arteries.flow, s.circuit), start, (state[0], jnp.append(state[1], 0.0)))
        after = simulate(changed.stepper(SUBSTEPS), before, MESH).final
        return after.arteries.flow, after.circuit[:-1]

    def stored(factor):
        found = fixed_point(over_a_beat, factor, (start.arteries.flow, start.circuit[:-1]), 1e-11, 60)
        return found.state[0][2].max() / 1e3, found

    one = jnp.ones(())
    (_, found), gradient = quick_jit(jax.value_and_grad(stored, has_aux=True))(one)
    assert float(found.residual) <= 1e-11
    again = quick_jit(over_a_beat)(one, found.state)
    np.testing.assert_allclose(again[0][0], found.state[0][0], rtol=1e-9)
    value = quick_jit(lambda factor: stored(factor)[0])
    ahead, behind = (float(value(one + sign * 1e-4)) for sign in (1, -1))
    assert float(gradient) == pytest.approx((ahead - behind) / 2e-4, rel=1e-6)
