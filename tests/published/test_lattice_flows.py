"""Lattice Boltzmann against published numbers: cavities, a sphere in a stream; and the wall shear of a tilted tube."""

import pytest

from tests.lattice_cavity import BOTELLA_PEYRET_U, BOTELLA_PEYRET_V, cavity, differences, largest
from tests.lattice_flows import tilted_tube


@pytest.mark.slow
@pytest.mark.parametrize(("reynolds", "voxels", "most"), [(100, 32, 0.006), (400, 64, 0.006)])
def test_lid_driven_cavity(reynolds, voxels, most):
    """Ghia 1982: both profiles at every point of the tables, as parts of the lid's velocity."""
    assert max(differences(cavity(voxels, reynolds), reynolds)) < most


@pytest.mark.slow
def test_a_small_cavity():
    assert max(differences(cavity(16, 100, settled=1e-4), 100)) < 0.015


@pytest.mark.slow
def test_a_cavity_at_a_thousand():
    """Against seven digits of Botella and Peyret 1998: the error falls by the order of the method between 48 and 64 voxels."""
    errors = []
    for n in (48, 64):
        found = cavity(n, 1000, settled=1e-5)
        errors.append(max(largest(one, table) for one, table in zip(found, (BOTELLA_PEYRET_U, BOTELLA_PEYRET_V))))
    assert errors[1] < 0.03 and errors[0] / errors[1] > (64 / 48) ** 1.8


@pytest.mark.slow
def test_a_cavity_on_voxels_too_coarse_says_so():
    with pytest.raises(FloatingPointError, match="does not stay finite"):
        cavity(32, 1000)


@pytest.mark.slow
def test_wall_shear_of_a_tube_at_thirty_degrees():
    """Twenty voxels per diameter: within two per cent, as asked for, at every point of the wall, the tangents to the grid included."""
    mean, most = tilted_tube()
    assert mean < 2e-3 and most < 0.02
