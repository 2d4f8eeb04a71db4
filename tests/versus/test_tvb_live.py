"""The Virtual Brain run live on 76 regions with delays, and the state of rest by an independent root search.

TVB is GPL and no requirement: `pip install 'twinsim[tvb]'` into this environment, or into the peers' (`TWINSIM_PEERS`), makes these run.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import root

from physics import Connectome
from physics.mass_reduced_wong_wang import REDUCED_WONG_WANG_2013
from tests.versus.test_tvb import network

HERE = Path(__file__).parent
SPEED, DT, DURATION = 4.0, 0.1, 200.0
NAMES = ("montbrio_pazo_roxin", "generic_oscillator", "reduced_wong_wang", "jansen_rit")
"""Those that seek a state of rest; 76 Epileptors seize within the time and make 1.6e-7 of the rounding of two orders of summation."""


def interpreter() -> str | None:
    """One that has TVB and its data."""
    peers = os.environ.get("TWINSIM_PEERS")
    has = "import tvb.simulator, tvb_data"
    if peers and not subprocess.run([f"{peers}/bin/python", "-c", has], check=False, capture_output=True).returncode:
        return f"{peers}/bin/python"
    return sys.executable if find_spec("tvb") and find_spec("tvb_data") else None


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    python = interpreter()
    if python is None:
        pytest.skip("no TVB: pip install 'twinsim[tvb]'")
    where = "from pathlib import Path; import tvb_data; print(Path(tvb_data.__file__).parent / 'connectivity' / 'connectivity_76.zip')"
    archive = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.split()[-1]
    target = tmp_path_factory.mktemp("tvb") / "states.npz"
    subprocess.run([python, str(HERE / "make_tvb.py"), archive, str(target)], check=True, capture_output=True)
    return np.load(target)


def live_network(live, name):
    weights, lengths = live["weights"], live["tract_lengths"]
    return network(name, Connectome(weights, lengths, tuple(f"r{number}" for number in range(len(weights)))), SPEED, DT)


@pytest.mark.parametrize("name", NAMES)
def test_states_of_seventy_six_regions(live, name):
    assert live["weights"].shape == (76, 76) and not np.array_equal(live["weights"], live["weights"].T)
    steps = round(DURATION / DT)
    final = live_network(live, name).march(jnp.asarray(live[f"{name}_start"]), steps, every=steps).final
    expected = live[f"{name}_final"]
    assert np.abs(final - expected).max() < 1e-7 * np.abs(expected).max()


def test_the_state_of_rest_from_an_independent_root_search(live):
    model = live_network(live, "reduced_wong_wang")
    start = live["reduced_wong_wang_final"]
    reached = np.asarray(model.march(jnp.asarray(start), 40_000, every=40_000).final)
    weights, coupling, of = live["weights"], 0.1, {name: float(getattr(model.mass, name)) for name in REDUCED_WONG_WANG_2013}

    def rate(share):
        # Deco et al. (2013), equations 1 to 3, written again: nothing of the network is used but the parameters.
        current = of["synaptic_current"] * (of["recurrence"] * share + coupling * (weights @ share)) + of["input"]
        above = of["current_gain"] * current - of["current_offset"]
        firing = above / (1 - np.exp(-of["curvature"] * above))
        return -share / of["gating_time"] + (1 - share) * of["kinetic"] * firing

    found = root(rate, reached[0], tol=1e-13)
    assert found.success
    np.testing.assert_allclose(reached[0], found.x, rtol=1e-7)
