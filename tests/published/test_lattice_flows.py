"""Lattice Boltzmann against published numbers: the cavity of Ghia; and the wall shear of a tilted tube."""

import pytest

from tests.lattice_flows import cavity, tilted_tube


@pytest.mark.slow
def test_lid_driven_cavity():
    """Ghia 1982, Re 100: both profiles within 0.8 % of the lid's velocity on 32 voxels."""
    assert max(cavity(32)) < 8e-3


@pytest.mark.slow
def test_wall_shear_of_a_tube_at_thirty_degrees():
    """Twenty voxels per diameter: within two per cent, as asked for, at every point of the wall, the tangents to the grid included."""
    mean, largest = tilted_tube()
    assert mean < 2e-3 and largest < 0.02
