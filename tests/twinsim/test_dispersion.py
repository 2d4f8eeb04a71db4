"""How many independent voxels a voxel of residuals counts for."""

import numpy as np
import pytest
from scipy import ndimage

from twinsim.dispersion import independent_fraction

SHAPE = (32, 30, 28)
EVERYWHERE = np.ones(SHAPE)


def noise(seed=0, width=0.0):
    """Normal noise of unit variance, alike over about this many voxels."""
    field = np.random.default_rng(seed).standard_normal(SHAPE)
    field = ndimage.gaussian_filter(field, width, mode="wrap") if width else field
    return field / field.std()


def ball():
    x, y, z = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
    return (x**2 + y**2 + z**2 < 12**2).astype(float)


@pytest.mark.parametrize("used", [EVERYWHERE, ball()], ids=["box", "ball"])
@pytest.mark.parametrize("seed", range(3))
def test_white_noise_counts_in_full(used, seed):
    assert 0.75 < independent_fraction(noise(seed), used) <= 1.0


@pytest.mark.parametrize("width", [0.7, 0.9, 1.1])
def test_smooth_noise_counts_once_per_correlation_volume(width):
    r"""White noise smoothed by a Gaussian of width $w$ has autocorrelation $e^{-l^2/4w^2}$; a box has fewer pairs at longer lags."""
    expected = 1.0
    for count in SHAPE:
        lag = np.arange(-count + 1, count)
        expected *= float(np.sum(np.exp(-(lag**2) / (4 * width**2)) * (1 - np.abs(lag) / count)))
    assert expected == pytest.approx((4 * np.pi * width**2) ** 1.5, rel=0.2)
    found = np.mean([1 / independent_fraction(noise(seed, width), EVERYWHERE) for seed in range(4)])
    assert found == pytest.approx(expected, rel=0.25)


def test_a_larger_misfit_counts_for_less_by_its_square():
    field = noise(1, 1.0)
    assert independent_fraction(2 * field, EVERYWHERE) == pytest.approx(independent_fraction(field, EVERYWHERE) / 4, rel=1e-9)
    assert independent_fraction(3 * noise(2), EVERYWHERE) == pytest.approx(1 / 9, rel=0.25)


def test_a_small_misfit_counts_for_no_more_than_one():
    assert independent_fraction(0.01 * noise(1), EVERYWHERE) == 1.0
    assert independent_fraction(np.zeros(SHAPE), EVERYWHERE) == 1.0


def test_what_was_not_used_does_not_matter():
    used = ball()
    field = noise(4, 1.0)
    elsewhere = np.where(used > 0, field, 1e6)
    assert independent_fraction(elsewhere, used) == independent_fraction(field, used)


def test_one_common_misfit_is_worth_few_voxels():
    """The same error everywhere is one measurement as far as the lags reach, walls aside."""
    assert independent_fraction(np.ones(SHAPE), EVERYWHERE) < 1 / (4 / 3 * np.pi * 5.5**3)


def test_information_sets_the_scale():
    """Scores of variance four where information is four are as large as they should be; four times as large, they count for 1/16."""
    information = np.where(ball() > 0, 4.0, 1.0)
    field = noise(5) * np.sqrt(information)
    assert 0.75 < independent_fraction(field, information) <= 1.0
    assert independent_fraction(4 * field, information) == pytest.approx(1 / 16, rel=0.25)


def test_correlation_along_a_thin_shell_counts_in_full():
    """Errors that are alike over a width count as in two dimensions there: 4 pi w^2 on a plane of voxels."""
    plane = np.zeros(SHAPE)
    plane[16] = 1.0
    random = np.random.default_rng(6)
    fields = []
    for _ in range(6):
        flat = ndimage.gaussian_filter(random.standard_normal(SHAPE[1:]), 1.4, mode="wrap")
        fields.append(np.where(plane > 0, flat / flat.std(), 0.0))
    found = np.mean([1 / independent_fraction(field, plane) for field in fields])
    assert found == pytest.approx(4 * np.pi * 1.4**2, rel=0.35)
