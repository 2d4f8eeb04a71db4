"""A record on coarser voxels."""

from dataclasses import replace

import numpy as np
import pytest

from tests import tiny_glioma as tiny
from twinsim.coarsening import coarsened
from twinsim.patient import Scan


def blocks(array):
    """Means over 2 x 2 x 2 voxels."""
    n = array.shape[0] // 2
    return array.astype(float).reshape(n, 2, n, 2, n, 2).mean(axis=(1, 3, 5))


@pytest.fixture(scope="module")
def scan() -> Scan:
    oedema, core = tiny.spot(radius_mm=14.0), tiny.spot(radius_mm=9.0)
    density = np.random.default_rng(2).uniform(0.1, 0.9, (16, 16, 16)).astype(np.float32)
    return Scan(0.0, core, oedema, np.where(oedema, density, 0).astype(np.float32), 0.1, oedema)


@pytest.fixture(scope="module")
def fine(scan):
    dose = np.random.default_rng(3).uniform(0.5, 1.1, (16, 16, 16)).astype(np.float32)
    record = tiny.record(scans=(scan, Scan(30.0, oedema=tiny.spot())))
    return replace(record, radiotherapy=replace(record.radiotherapy, dose_map=dose), notes=("a note",))


def test_everything_lies_on_the_coarse_anatomy(fine):
    coarse = coarsened(fine, 8.0)
    assert coarse.anatomy == fine.anatomy.resampled(8.0)
    assert coarse.anatomy.spacing_mm == (8.0, 8.0, 8.0)
    assert all(array.shape == (8, 8, 8) for scan in coarse.scans for array in scan.volumes().values())
    assert coarse.radiotherapy.dose_map.shape == (8, 8, 8)
    assert [scan.day for scan in coarse.scans] == [0.0, 30.0]
    assert (coarse.name, coarse.notes, coarse.chemotherapy) == (fine.name, fine.notes, fine.chemotherapy)
    assert coarse.radiotherapy.fractions == fine.radiotherapy.fractions


def test_masks_hold_where_half_of_a_voxel_does(fine, scan):
    seen = coarsened(fine, 8.0).scans[0]
    np.testing.assert_array_equal(seen.oedema, blocks(scan.oedema) >= 0.5)
    np.testing.assert_array_equal(seen.enhancing_core, blocks(scan.enhancing_core) >= 0.5)
    assert seen.oedema.any() and seen.enhancing_core.any()
    assert not (seen.enhancing_core & ~seen.oedema).any()


def test_a_map_is_averaged_over_what_was_trusted(fine, scan):
    seen = coarsened(fine, 8.0).scans[0]
    weight = blocks(scan.cellularity_mask)
    expected = blocks(np.where(scan.cellularity_mask, scan.cellularity, 0)) / np.maximum(weight, 1e-6)
    trusted = seen.cellularity_mask
    np.testing.assert_array_equal(trusted, weight >= 0.5)
    np.testing.assert_allclose(seen.cellularity[trusted], expected[trusted], rtol=1e-5)
    assert seen.cellularity.dtype == np.float32 and seen.cellularity.max() <= 1
    assert seen.cellularity_noise == scan.cellularity_noise


def test_what_a_map_says_outside_of_its_mask_is_not_averaged_in(fine, scan):
    noisy = np.where(scan.cellularity_mask, scan.cellularity, 0.9).astype(np.float32)
    record = replace(fine, scans=(replace(scan, cellularity=noisy), fine.scans[1]))
    trusted = coarsened(fine, 8.0).scans[0].cellularity_mask
    np.testing.assert_allclose(
        coarsened(record, 8.0).scans[0].cellularity[trusted], coarsened(fine, 8.0).scans[0].cellularity[trusted], rtol=1e-5
    )


def test_a_map_without_a_mask_is_plainly_averaged(fine):
    density = np.random.default_rng(4).uniform(0, 1, (16, 16, 16)).astype(np.float32)
    seen = coarsened(replace(fine, scans=(Scan(0.0, cellularity=density, cellularity_noise=0.2),)), 8.0).scans[0]
    np.testing.assert_allclose(seen.cellularity, blocks(density), rtol=1e-5)
    assert seen.cellularity_mask is None and seen.cellularity_noise == 0.2


def test_the_dose_is_averaged(fine):
    np.testing.assert_allclose(coarsened(fine, 8.0).radiotherapy.dose_map, blocks(fine.radiotherapy.dose_map), rtol=1e-5)


def test_a_mask_too_small_for_the_voxels_is_left_out(fine, scan):
    speck = np.zeros((16, 16, 16), bool)
    speck[tuple(np.argwhere(scan.oedema)[0])] = True
    seen = coarsened(replace(fine, scans=(replace(scan, enhancing_core=speck),)), 8.0).scans[0]
    assert seen.enhancing_core is None and seen.oedema is not None
    lost = coarsened(replace(fine, scans=(Scan(0.0, oedema=speck, cellularity=scan.cellularity, cellularity_mask=speck),)), 8.0).scans[0]
    assert lost.volumes() == {} and lost.cellularity_noise == 0.0


def test_an_outline_that_thins_out_takes_its_core_along():
    """A core that stays while its surroundings go would stick out of them."""
    oedema = tiny.spot(radius_mm=9.0)
    record = tiny.record(scans=(Scan(0.0, enhancing_core=oedema, oedema=oedema),))
    seen = coarsened(record, 12.0).scans[0]
    assert seen.enhancing_core is None or not (seen.enhancing_core & ~seen.oedema).any()
