"""Gradients of a twelve-lead electrocardiogram through lead fields, action potentials and the eikonal equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cardiac._ectopic_beat import Beat, BeatModel
from experiments.cardiac._heart import body
from physics import electrocardiogram_of_activation, squared_velocity, twelve_leads
from solvers import eikonal, start_at

STEP = 1e-7  # so short that hardly any cell passes a sample or changes the side that its ray comes from


@pytest.fixture(scope="module")
def made():
    return body(2.0)


@pytest.mark.slow
def test_with_respect_to_place_velocities_and_onset(made):
    model = BeatModel(made)
    beat = Beat(made.heart.positions()[made.heart.nearest((-25.0, 5.0, -20.0))] + np.array([0.31, -0.23, 0.17]), 0.61, 0.28, 0.4)
    weight = np.random.default_rng(0).normal(size=(12, 220))
    slopes = np.einsum("lt,ltp->p", weight, np.asarray(model.linearised(beat.parameters)[0]))
    for index in range(6):
        step = jnp.zeros(6).at[index].set(STEP)
        above, below = (float(np.vdot(weight, model.leads(beat.parameters + sign * step))) for sign in (1, -1))
        assert slopes[index] == pytest.approx((above - below) / (2 * STEP), rel=1e-5, abs=1e-6 * np.abs(slopes).max())


@pytest.mark.slow
def test_with_respect_to_the_velocity_of_every_voxel(made):
    """Reverse mode: one gradient for 18 576 velocities, in a random direction against a difference."""
    grid = made.heart.grid
    start = start_at(grid, [made.heart.nearest((-23.0, 0.0, -20.0), inside=0.3)])
    weight = jnp.asarray(np.random.default_rng(1).normal(size=(12, 200)))
    shape = jnp.asarray(np.r_[-85.0, np.linspace(0, 20, 199)])[None]

    @jax.jit
    def seen(factor):
        velocity = squared_velocity(grid, 0.6, 0.3, made.heart.fibres) * factor[..., None, None] ** 2
        times = eikonal(grid, start, squared_speed=velocity).times[made.active]
        leads = twelve_leads(electrocardiogram_of_activation(made.fields, times, jnp.zeros(len(made.active), int), shape, 1.0, 200))
        return jnp.vdot(weight, leads)

    factor = jnp.asarray(1 + 0.1 * np.random.default_rng(2).uniform(size=grid.shape))
    direction = jnp.asarray(np.random.default_rng(3).normal(size=grid.shape))
    exact = float(jnp.vdot(jax.jit(jax.grad(seen))(factor), direction))
    estimate = float(seen(factor + STEP * direction) - seen(factor - STEP * direction)) / (2 * STEP)
    assert exact == pytest.approx(estimate, rel=1e-6)
