"""Reverse mode through spikes against central differences and forward mode: shape, channels, inner resistance, stimuli, synapses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CurrentClamp, Neuron, Pulses
from solvers import simulate
from tests.order.test_neurons import forked
from tests.problems import quick_jit

STEP, END = 0.05, 4.0
TEMPLATE = forked()
CLAMP = CurrentClamp(0, Pulses(2.0, 0.5, 1.0))


def changed(values):
    """The forked neuron by dimensionless factors, and an onset and a start in ms."""
    width, length, sodium, axial, field, weight, onset, start, duration = values
    shape = TEMPLATE.shape.scaled(width, length)
    membrane = eqx.tree_at(lambda one: one.sodium_conductance, TEMPLATE.membrane, 120.0 * sodium)
    stimuli = eqx.tree_at(lambda one: one[0].potential, TEMPLATE.stimuli, TEMPLATE.stimuli[0].potential * field)
    clamp = eqx.tree_at(lambda one: (one.pulses.start, one.pulses.duration), CLAMP, (start[None], duration[None]))
    synapses = eqx.tree_at(lambda one: (one.weight, one.onset), TEMPLATE.synapses[0], (0.01 * weight[None], onset[None]))
    return Neuron(shape, membrane, 100.0 * axial, (*stimuli, clamp), (synapses,))


MESH = TEMPLATE.mesh([END], STEP)
VALUES = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.33, 0.51, 0.98])


def loss(values, method):
    neuron = changed(values)
    state = neuron.initial_state()
    state = neuron.staggered(state, STEP) if method == "staggered" else state
    seen = simulate(neuron.stepper(method), state, MESH, observe=neuron.recorder([0, 4])).observations
    return jnp.mean((seen / 50) ** 2)


@pytest.mark.parametrize("method", ["symmetric", "staggered", "euler"])
@pytest.mark.quick(1)
def test_against_differences_and_forward_mode(method):
    value, slopes = quick_jit(jax.value_and_grad(lambda v: loss(v, method)))(VALUES)
    program = quick_jit(lambda v: loss(v, method))
    assert float(value) > 0.3
    for i in range(len(VALUES)):
        h = 1e-5
        up, down = (float(program(VALUES.at[i].add(s * h))) for s in (1, -1))
        assert float(slopes[i]) == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-9)
    along = jnp.asarray(np.random.default_rng(3).normal(size=len(VALUES)))
    forward = quick_jit(lambda v: jax.jvp(lambda v: loss(v, method), (v,), (along,))[1])(VALUES)
    assert float(forward) == pytest.approx(float(slopes @ along), rel=1e-10)
