"""Orders of the lattice: decaying vortices, oscillating channels and tubes, creeping flow through spheres."""

import numpy as np
import pytest

from tests.lattice_flows import ZICK_HOMSY, hasimoto, sphere_array, taylor_green, womersley
from tests.problems import slope


def orders(widths, errors):
    return [slope([1 / n for n in widths], one) for one in np.asarray(errors).T]


@pytest.mark.slow
def test_taylor_green_vortices_are_of_order_two_in_diffusive_scaling():
    """With the product of the relaxations at 1/4: at 3/16 the velocity's error is 20 times less, too small to see its order."""
    sides = (12, 16, 24, 32)
    errors = [taylor_green(n, magic=0.25) for n in sides]
    np.testing.assert_allclose(orders(sides, errors), 2, atol=0.2)
    assert errors[-1][0] < 1e-3


def test_a_solenoidal_start_rings():
    """The sound that it makes is as large beside the pressure on finer voxels, by less than the order of the method."""
    consistent, solenoidal = (taylor_green(24, consistent=flag)[1] for flag in (True, False))
    assert consistent < 0.05 < 0.06 < solenoidal


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "sides"), [(2, (12, 16, 24, 32)), (20, (32, 48, 64, 96))])
def test_womersley_between_plates(alpha, sides):
    errors = [womersley(n, alpha, "channel") for n in sides]
    assert min(orders(sides, errors)) > 1.8  # above 2 while the layer of a voxel or two at the wall is resolved
    assert max(errors[-1]) < 1e-3


@pytest.mark.slow
def test_womersley_in_a_tube():
    """Root mean square of the velocity between interpolated walls; the stress at the wall converges at a lower order (docs/limits.md)."""
    sides = (12, 16, 24, 32)
    errors = [womersley(n, 4)[0] for n in sides]
    assert slope([1 / n for n in sides], errors) == pytest.approx(2, abs=0.3), errors
    assert errors[-1] < 2e-3


@pytest.mark.slow
def test_drag_of_spheres_in_creeping_flow():
    """Against Zick and Homsy 1982, who give four digits: the error falls at second order at least until it is one per cent."""
    sides = (8, 10, 12, 16)
    errors = [sphere_array(n) for n in sides]
    assert slope([1 / n for n in sides], errors) > 1.8, errors
    assert errors[-1] < 0.015


def test_hasimotos_series_is_zicks_table_where_spheres_are_few():
    assert hasimoto(0.027) == pytest.approx(ZICK_HOMSY[0.027], rel=1e-3)
    assert hasimoto(0.064) == pytest.approx(ZICK_HOMSY[0.064], rel=1e-2)
