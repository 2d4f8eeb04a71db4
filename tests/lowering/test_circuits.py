"""Circulation lowers for cpu, cuda and tpu; a batch equals a loop over its members."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import run_cycles
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values, run_beats
from tests.circuits import PERIOD, windkessel
from tests.problems import quick_jit


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.quick(1)
def test_lowers(platform):
    circuit, loop = windkessel(), closed_loop(regazzoni_values())
    programs = [
        (lambda c: run_cycles(c, c.start(), 10, period=PERIOD).states, circuit),
        (lambda one: periodic_beat(one, filled(one, 3025.0), 0.8, 20).volumes, loop),
    ]
    for function, argument in programs:
        exported = jax.export.export(jax.jit(function), platforms=[platform])(argument)
        assert exported.platforms == (platform,)


def test_a_batch_of_circuits_equals_a_loop():
    circuit = windkessel()
    values = jnp.array([0.8, 1.0, 1.7])

    def states(compliance):
        changed = circuit.with_values({"bed.compliance": compliance})
        return run_cycles(changed, changed.start(), 20, period=PERIOD).states

    together, alone = quick_jit(states)(values), quick_jit(states)
    mapped = quick_jit(jax.vmap(states))(values)
    for i, value in enumerate(values):
        np.testing.assert_allclose(together[..., i], alone(value), rtol=1e-12)
        np.testing.assert_allclose(mapped[i], alone(value), rtol=1e-12)


def test_a_batch_of_loops_equals_a_loop():
    values = regazzoni_values() | {"systemic_arteries_resistance": jnp.array([0.7, 1.2])}
    onsets = jnp.array([0.0, 0.8, 1.5])
    loop = closed_loop(values)
    together = quick_jit(lambda one: run_beats(one, filled(one, 3025.0), onsets, 50).volumes)(loop)
    for i in range(2):
        single = closed_loop(values | {"systemic_arteries_resistance": values["systemic_arteries_resistance"][i]})
        alone = quick_jit(lambda one: run_beats(one, filled(one, 3025.0), onsets, 50).volumes)(single)
        np.testing.assert_allclose(together[..., i], alone, rtol=1e-12)
