"""Lattice Boltzmann flows with closed forms: channels, moving walls, a square duct, oscillating flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.lattice_boltzmann import BGK, D3Q19, D3Q27, TRT, ConstantViscosity, Cumulant, LatticeBoltzmann, face_patches, lattice_domain
from tests.problems import number, quick_jit

FORCE, VISCOSITY = 1e-5, 0.1


@quick_jit
def marched(flow, state, steps):
    """Many steps of the lattice; the number is no part of the program."""
    return jax.lax.fori_loop(0, steps, lambda n, s: flow.step(s, n.astype(float)), state)


def channel(lattice, collision, width=8, fraction=None, rule="central", force=FORCE, **options):
    """Two plates across x; y and z wrap."""
    domain = lattice_domain(lattice, face_patches(np.ones((width, 1, 1), bool), {}), (False, True, True))
    cut = None if fraction is None else jnp.full((domain.links_of(0).stop,), fraction)
    push = None if force is None else jnp.array([0, force, 0.0])
    return LatticeBoltzmann(domain, collision, cut, rule, force=push, **options)


def profile(flow, state):
    moments = flow.moments(state, number(0))
    return np.asarray(flow.domain.volume(moments.velocity))[1, :, 0, 0], np.asarray(flow.domain.volume(moments.strain_rate))[3, :, 0, 0]


@pytest.mark.parametrize("lattice", [D3Q19, D3Q27])
@pytest.mark.parametrize("viscosity", [0.1, 0.5])
@pytest.mark.quick(1)
def test_a_channel_of_half_way_walls_is_exact_with_the_magic_product(lattice, viscosity):
    flow = channel(lattice, TRT(ConstantViscosity(number(viscosity))))
    velocity, strain = profile(flow, marched(flow, flow.initial_state(), int(120 / viscosity)))
    place = np.arange(8) + 0.5
    np.testing.assert_allclose(velocity, FORCE / 2 / viscosity * place * (8 - place), rtol=1e-6)
    np.testing.assert_allclose(strain, FORCE / 2 / viscosity * (8 - 2 * place) / 2, rtol=1e-6)


def test_one_relaxation_time_moves_the_wall_as_known():
    """Half-way walls are off by the curvature times (16Λ - 3)/24, Λ = (τ - 1/2)² (Ginzburg, d'Humières 2003)."""
    flow = channel(D3Q19, BGK(ConstantViscosity(number(VISCOSITY))))
    velocity, _ = profile(flow, marched(flow, flow.initial_state(), 800))
    place = np.arange(8) + 0.5
    slip = velocity - FORCE / 2 / VISCOSITY * place * (8 - place)
    np.testing.assert_allclose(slip, FORCE / VISCOSITY * (16 * (3 * VISCOSITY) ** 2 - 3) / 24, rtol=1e-3)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("rule", ["central", "linear"])
@pytest.mark.slow
def test_shear_between_moving_walls_is_exact_wherever_they_cut(fraction, rule):
    """Plates half a link or any other part behind the last voxel; the one at the far end moves."""
    flow = channel(D3Q19, TRT(ConstantViscosity(number(VISCOSITY))), 6, fraction, rule, force=None)
    beyond = np.unravel_index(np.asarray(flow.domain.beyond), flow.domain.shape)[0]
    moving = jnp.asarray(np.where(beyond[:, None] == 7, [0, 0.01, 0], 0.0))
    flow = LatticeBoltzmann(flow.domain, flow.collision, jnp.full(beyond.shape, fraction), rule, wall_velocity=moving)
    velocity, strain = profile(flow, marched(flow, flow.initial_state(), 900))
    height = 5 + 2 * fraction
    np.testing.assert_allclose(velocity, 0.01 * (np.arange(6) + fraction) / height, rtol=1e-6)
    np.testing.assert_allclose(strain, 0.005 / height, rtol=1e-6)


@pytest.mark.parametrize("fraction", [None, 0.8])
def test_walls_take_up_the_push_of_a_steady_flow(fraction):
    """The momentum that links exchange is the force on the fluid, whatever rule brings populations back."""
    flow = channel(D3Q19, TRT(ConstantViscosity(number(0.5))), fraction=fraction)
    state = marched(flow, flow.initial_state(), 500)
    np.testing.assert_allclose(flow.wall_force(state, number(0)), [0, 8 * FORCE, 0], rtol=1e-9, atol=1e-18)


def test_a_cut_at_a_half_is_the_half_way_wall():
    law = TRT(ConstantViscosity(number(VISCOSITY)))
    whole = channel(D3Q19, law)
    for rule in ("central", "linear"):
        flow = channel(D3Q19, law, fraction=0.5, rule=rule)
        np.testing.assert_allclose(flow.coefficients, whole.coefficients, atol=1e-15)


@pytest.mark.parametrize("collision", [TRT, Cumulant])
@pytest.mark.quick(1)
def test_mass_stays_in_a_closed_box_and_momentum_grows_by_the_force(collision):
    lattice = D3Q27
    closed = lattice_domain(lattice, face_patches(np.ones((4, 5, 3), bool), {}))
    open_box = lattice_domain(lattice, face_patches(np.ones((4, 5, 3), bool), {}), (True, True, True))
    speed = jnp.asarray(np.random.default_rng(0).normal(0, 0.02, (3, closed.size)))
    flow = LatticeBoltzmann(closed, collision(ConstantViscosity(number(0.01))))
    state = flow.initial_state(velocity=speed)
    after = marched(flow, state, 20)
    fluid = np.asarray(closed.fluid)
    mass = [float(jnp.sum(s.populations[:, fluid])) for s in (state, after)]
    assert mass[1] == pytest.approx(mass[0], abs=1e-13)
    force = jnp.array([1e-4, -2e-4, 3e-5])
    flow = LatticeBoltzmann(open_box, collision(ConstantViscosity(number(0.01))), force=force)
    state = flow.initial_state(velocity=speed)
    gained = np.asarray(lattice.steps.T @ np.asarray(marched(flow, state, 7).populations - state.populations)[:, fluid])
    np.testing.assert_allclose(gained.sum(axis=1), 7 * fluid.sum() * np.asarray(force), rtol=1e-9)
