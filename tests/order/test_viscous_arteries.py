"""Waves in arteries with viscous walls against the closed form of the linear equations."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from tests.arteries import DENSITY, MATCHED_END, artery
from tests.problems import quick_jit, slope

LENGTH, WIDTH, TIME, VISCOSITY = 0.5, 0.02, 0.02, 0.2
AMPLITUDE = 1e-6
CELLS = (60, 90, 120, 180)


def damped(place, speed, area):
    """A bump of area at rest after a time: every wave number k with the roots of s^2 + nu k^2 s + c^2 k^2 = 0."""
    nu = VISCOSITY / (DENSITY * np.sqrt(area))
    points = 4096
    fine = np.arange(points) * LENGTH / points
    k = 2 * np.pi * np.fft.rfftfreq(points, LENGTH / points)
    half = 0.5 * nu * k**2
    root = np.sqrt(half**2 - (speed * k) ** 2 + 0j)
    one, two = -half + root, -half - root
    one[0], two[0] = 0, -1  # any two different ones: k = 0 stays as it is
    # At first nothing flows: the rate of change is zero.
    factor = (one * np.exp(two * TIME) - two * np.exp(one * TIME)) / (one - two)
    start = np.fft.rfft(np.exp(-(((fine - LENGTH / 2) / WIDTH) ** 2)))
    return np.interp(place, fine, np.fft.irfft(start * factor, points))


def error(cells, viscosity=VISCOSITY):
    """Mean error of the area's bump over its height, and what is left of the height."""
    vessel = {"ends": (1, 2), "cells": cells, **MATCHED_END}
    network = artery([vessel], lambda t: 0 * t, wall_viscosity=jnp.array([viscosity]))
    state, place = network.initial_state(), network.layout.cell_place * LENGTH
    bump = jnp.asarray(AMPLITUDE * np.exp(-(((place - LENGTH / 2) / WIDTH) ** 2)))
    state = eqx.tree_at(lambda s: s.flow, state, (state.flow[0] * (1 + bump), *state.flow[1:]))
    program = quick_jit(lambda network, state: network.stepper().advance(state, jnp.zeros(()), jnp.asarray(TIME)))
    walls = network.walls(np.zeros(1, int), np.zeros(1))
    area = float(walls.reference_area[0])
    found = (np.asarray(program(network, state).flow[0]) / area - 1) / AMPLITUDE
    exact = damped(place, float(walls.resting_speed[0]), area)
    return np.abs(found - exact).mean() / exact.max(), found.max()


@pytest.mark.slow
def test_a_bump_in_a_viscous_vessel_spreads_as_the_dispersion_relation_says():
    errors, heights = zip(*(error(cells) for cells in CELLS))
    assert slope([1 / cells for cells in CELLS], errors) == pytest.approx(2, abs=0.2), errors
    assert errors[-1] < 3e-3
    assert heights[-1] < 0.8 * error(CELLS[-1], 0.0)[1]  # without viscosity the two halves keep their height
