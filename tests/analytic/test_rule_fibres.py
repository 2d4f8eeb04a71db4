"""Fibres by rule: against the analytic heart's, and against a shell in which the rule is known."""

import numpy as np
import pytest

from physics import biventricular_heart, rule_fibres
from physics.biventricular import LEFT, RIGHT
from twinsim.heart_cavities import surroundings

UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def heart():
    return biventricular_heart(2.0)


@pytest.fixture(scope="module")
def around(heart):
    return surroundings(heart.ventricle, np.zeros(heart.ventricle.shape, int), heart.positions(), UP)


@pytest.fixture(scope="module")
def ruled(heart, around):
    return rule_fibres(heart.grid, heart.ventricle, around[0])


def test_the_cavities_have_the_volumes_of_their_ellipsoids(around):
    found, frame = around
    left = np.pi * 23**2 * (12 + 60 - (12**3 + 60**3) / (3 * 60**2))
    assert found.left.sum() * 8.0 == pytest.approx(left, rel=0.02)
    assert 60e3 < found.right.sum() * 8.0 < 100e3
    np.testing.assert_allclose(frame.middle, 0, atol=0.5)
    np.testing.assert_allclose(frame.axes, np.eye(3), atol=0.02)
    assert frame.radius == pytest.approx(23, rel=0.01) and frame.length == pytest.approx(72, abs=2)


@pytest.mark.slow
def test_fibres_are_unit_and_sheets_perpendicular(heart, ruled):
    mask = np.asarray(heart.grid.mask)
    fibres, sheets = np.asarray(ruled.fibres), np.asarray(ruled.sheets)
    np.testing.assert_allclose(np.linalg.norm(fibres[mask], axis=1), 1, atol=1e-9)
    np.testing.assert_allclose((fibres * sheets)[mask].sum(axis=1), 0, atol=1e-9)
    assert not fibres[~mask].any()
    assert ruled.transmural.min() >= 0 and ruled.transmural.max() <= 1


@pytest.mark.slow
def test_they_are_near_those_of_the_analytic_heart(heart, ruled):
    """Not the same: the analytic heart takes its axis for the long direction, the rule the slope of a Laplace solution."""
    mask = np.asarray(heart.grid.mask) & (heart.positions()[..., 2] > -40)
    angle = np.rad2deg(np.arccos(np.clip(np.abs(np.sum(np.asarray(ruled.fibres) * np.asarray(heart.fibres), axis=-1)), 0, 1)))
    left, right = (angle[mask & (heart.ventricle == side)] for side in (LEFT, RIGHT))
    assert np.median(left) < 7 and np.percentile(left, 90) < 20
    assert np.median(right) < 16
    assert np.median(np.abs(np.asarray(ruled.transmural - heart.transmural))[mask]) < 0.03


def test_the_helix_angle_turns_evenly_through_the_left_wall(heart, ruled):
    mask = np.asarray(heart.grid.mask)
    points, fibres, t = heart.positions()[mask], np.asarray(ruled.fibres)[mask], np.asarray(ruled.transmural)[mask]
    free = (heart.ventricle[mask] == LEFT) & (np.abs(points[:, 2]) < 4) & (points[:, 0] < 0)
    around = np.stack([-points[:, 1], points[:, 0], 0 * points[:, 0]], axis=1)
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    sine, cosine = fibres[:, 2], (fibres * around).sum(axis=1)
    angle = np.rad2deg(np.arctan2(sine * np.sign(cosine), np.abs(cosine)))[free]
    line = np.polyfit(t[free], angle, 1)
    assert line[0] == pytest.approx(-120, abs=10) and line[1] == pytest.approx(60, abs=6)
    assert np.std(angle - np.polyval(line, t[free])) < 5


def test_angles_of_ones_own_and_bad_ones(heart, around):
    flat = rule_fibres(heart.grid, heart.ventricle, around[0], 0.0, 0.0)
    mask = np.asarray(heart.grid.mask) & (heart.positions()[..., 2] > -30) & (heart.ventricle == LEFT)
    assert np.median(np.abs(np.asarray(flat.fibres)[mask][:, 2])) < 0.05
    with pytest.raises(ValueError, match="-90 to 90"):
        rule_fibres(heart.grid, heart.ventricle, around[0], 120.0)
