"""Derivatives through circuits and closed loops, periodic states included, against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import periodic_run, run_cycles
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values
from tests.circuits import PERIOD, loop_of_two, loop_start, windkessel
from tests.problems import quick_jit


def central(function, at, step):
    return (function(at + step) - function(at - step)) / (2 * step)


def test_through_cycles_of_a_windkessel():
    circuit = windkessel()

    def mean(compliance):
        changed = circuit.with_values({"bed.compliance": compliance})
        return jnp.mean(
            run_cycles(changed, changed.start(pressure=60.0), 40, period=PERIOD).states[:, circuit.index("pressure:heart:bed")] ** 2
        )

    value = jnp.asarray(1.4)
    slope = quick_jit(jax.grad(mean))(value)
    np.testing.assert_allclose(slope, central(quick_jit(mean), value, 1e-4), rtol=1e-6)


@pytest.mark.slow
def test_of_the_periodic_state_of_a_closed_circuit():
    """Reverse and forward mode, through valves, with the volume of the start kept."""
    circuit = loop_of_two()

    def stroke(values):
        changed = circuit.with_values({"ventricle.active_elastance": values[0], "arteries.resistance": values[1]})
        run = periodic_run(changed, loop_start(circuit), 90, period=PERIOD)
        return jnp.mean(run.states[:, circuit.index("pressure:out:arteries")] ** 2)

    at = jnp.array([2.0, 1.0])
    reverse = quick_jit(jax.grad(stroke))(at)
    run = quick_jit(stroke)
    for i in range(2):
        direction = jnp.zeros(2).at[i].set(1.0)
        # A valve closes within a step: in the parameters the function bends over thousandths, and differences must be closer than that.
        difference = central(lambda x, d=direction: run(at + x * d), 0.0, 2e-5)
        np.testing.assert_allclose(reverse[i], difference, rtol=1e-6)
    _, forward = quick_jit(lambda a, t: jax.jvp(stroke, (a,), (t,)))(at, jnp.array([0.3, -0.7]))
    np.testing.assert_allclose(forward, reverse @ jnp.array([0.3, -0.7]), rtol=1e-9)


@pytest.mark.slow
def test_of_the_periodic_beat_of_compartments():
    values = regazzoni_values()
    names = ("left_ventricle_active_elastance", "systemic_arteries_resistance", "blood_volume", "valve_inertance")

    def load(z):
        changed = values | {name: values[name] * z[i] for i, name in enumerate(names)}
        loop = closed_loop(changed)
        run = periodic_beat(loop, filled(loop, changed["blood_volume"]), 0.8, 100)
        return jnp.mean(run.pressures[:, loop.index("systemic_arteries")] ** 2) + jnp.mean(run.pressures[:, 5] ** 2)

    at = jnp.ones(len(names))
    reverse, run = quick_jit(jax.grad(load))(at), quick_jit(load)
    for i in range(len(names)):
        difference = central(lambda x, i=i: run(at.at[i].add(x)), 0.0, 1e-5)
        np.testing.assert_allclose(reverse[i], difference, rtol=1e-6)
