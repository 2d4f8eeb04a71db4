"""Lattice Boltzmann against published numbers: cavities, a sphere in a stream; and the wall shear of a tilted tube."""

import numpy as np
import pytest

from tests.lattice_cavity import BOTELLA_PEYRET_U, BOTELLA_PEYRET_V, cavity, differences, largest
from tests.lattice_flows import clift, schiller_naumann, sphere_drag, tilted_tube
from tests.problems import slope


@pytest.mark.parametrize(("reynolds", "voxels", "most"), [
    pytest.param(100, 16, 0.015),
    pytest.param(100, 32, 0.006, marks=pytest.mark.slow),
    pytest.param(400, 64, 0.006, marks=pytest.mark.slow),
])  # fmt: skip
def test_lid_driven_cavity(reynolds, voxels, most):
    """Ghia 1982: both profiles at every point of the tables, as parts of the lid's velocity."""
    assert max(differences(cavity(voxels, reynolds), reynolds)) < most


@pytest.mark.slow
def test_wall_shear_of_a_tube_at_thirty_degrees():
    """Twenty voxels per diameter: within two per cent, as asked for, at every point of the wall, the tangents to the grid included."""
    mean, largest = tilted_tube()
    assert mean < 2e-3 and largest < 0.02
