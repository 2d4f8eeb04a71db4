"""Spikes in a cable, a fork and a tree against traces of jaxley 0.14 (make_jaxley.py), an independent program."""

import json
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CurrentClamp, HodgkinHuxley1952, Neuron, Pulses, Section, neuron_shape
from solvers import simulate
from tests.problems import quick_jit

STORED = json.loads((Path(__file__).parent / "jaxley.json").read_text())


@pytest.mark.parametrize("name", STORED["parents"])
@pytest.mark.quick(1)
def test_implicit_euler_repeats_its_traces(name):
    """The same scheme on the same compartments: equal but for the slope of the current, which it takes by a difference of 1e-3 mV."""
    given, parents = STORED["options"], STORED["parents"][name]
    line = np.array([[0.0, 0, 0], [given["per_branch"] * given["length_um"], 0, 0]])
    sections = [Section(line, np.full(2, given["radius_um"]), parent) for parent in parents]
    shape = neuron_shape(sections, given["length_um"] + 1e-6)
    with_membrane = np.asarray(shape.area) > 0
    ends = [max(i for i, of in enumerate(shape.section) if of == number and with_membrane[i]) for number in range(len(parents))]
    cell = eqx.tree_at(lambda one: one.leak_potential, HodgkinHuxley1952.published(), jnp.asarray(-54.3))
    clamp = CurrentClamp(0, Pulses(given["nanoampere"], given["start_ms"], given["pulse_ms"]))
    neuron = Neuron(shape, cell, jnp.asarray(given["ohm_cm"]), (clamp,))
    mesh = neuron.mesh([given["duration_ms"]], given["step_ms"])
    seen = quick_jit(lambda: simulate(neuron.stepper("euler"), neuron.initial_state(), mesh, observe=neuron.recorder(ends)).observations)()
    theirs = np.array(STORED["millivolts"][name]).T
    ours = np.asarray(seen)[given["every"] - 1 :: given["every"]]
    assert theirs.max() > 20
    np.testing.assert_allclose(ours[: len(theirs)], theirs[: len(ours)], rtol=0, atol=1e-8)
