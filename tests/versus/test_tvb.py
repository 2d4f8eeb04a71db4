"""Networks with delays against The Virtual Brain: the same masses, couplings and steps; see make_tvb.py."""

import json
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from physics import NEURAL_MASSES, BrainNetwork, Connectome, DifferenceCoupling, LinearCoupling, PhaseCoupling

HELD = json.loads((Path(__file__).parent / "tvb_networks.json").read_text())
# parameters that TVB's models have by default, or that make_tvb.py sets, where they are not those of the papers here
CHANGES = {
    "generic_oscillator": {"linear_offset": 0.5},
    "epileptor": {"slow_coupling": 0.2},
    "kuramoto": {"angular_frequency": 0.06},
}
COUPLINGS = {
    "montbrio_pazo_roxin": LinearCoupling(jnp.asarray(0.05)),
    "generic_oscillator": LinearCoupling(jnp.asarray(0.02)),
    "epileptor": DifferenceCoupling(jnp.asarray(0.3)),
    "reduced_wong_wang": LinearCoupling(jnp.asarray(0.1)),
    "jansen_rit": LinearCoupling(jnp.asarray(0.5)),
    "kuramoto": PhaseCoupling(jnp.asarray(0.2 * 9)),  # TVB divides by the number of coupled variables, one, and not of regions
}


def network(name, connectome, speed, dt):
    """The mass and coupling that make_tvb.py runs, on a connectome."""
    mass = NEURAL_MASSES[name]()
    for field, value in CHANGES.get(name, {}).items():
        mass = eqx.tree_at(lambda one, field=field: getattr(one, field), mass, jnp.asarray(value))
    return BrainNetwork(mass, COUPLINGS[name], connectome.edges(speed, dt), dt)


@pytest.mark.parametrize("name", HELD["runs"])
@pytest.mark.quick(1)
def test_states_after_two_hundred_milliseconds(name):
    weights, lengths = np.array(HELD["weights"]), np.array(HELD["lengths"])
    connectome = Connectome(weights, lengths, tuple(f"r{number}" for number in range(len(weights))))
    assert connectome.isolated == ("r4",) and connectome.without_delay(HELD["speed"], HELD["dt"]) >= 3
    steps = round(HELD["duration"] / HELD["dt"])
    final = network(name, connectome, HELD["speed"], HELD["dt"]).march(jnp.asarray(HELD["runs"][name]["start"]), steps, every=steps).final
    expected = np.array(HELD["runs"][name]["final"])
    assert np.abs(final - expected).max() < 1e-7 * np.abs(expected).max()
