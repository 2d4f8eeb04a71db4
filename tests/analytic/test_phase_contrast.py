"""Images of phase contrast against closed forms, and fields on faces without divergence."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.phase_contrast import PhaseContrast, image_noise, phase_noise, truncation, wrapped
from solvers import VoxelGrid
from solvers.space.face_velocity import FaceGrid
from tests.problems import quick_jit

SCANNER = PhaseContrast(1.5, (16, 12, 8), (8, 6, 4))


def test_uniform_flow_is_seen_as_it_is_and_fast_flow_wraps():
    magnitude = jnp.full(SCANNER.shape, 7.0)
    given = jnp.asarray([0.4, -1.2, 1.7])
    images = SCANNER.images(magnitude, jnp.broadcast_to(given[:, None, None, None], (3, *SCANNER.shape)))
    np.testing.assert_allclose(np.abs(images), 7.0, rtol=1e-12)
    seen = np.asarray(SCANNER.velocity(images))
    np.testing.assert_allclose(seen[:, 3, 2, 1], [0.4, -1.2, 1.7 - 3.0], rtol=1e-12)
    np.testing.assert_allclose(wrapped(given, 1.5), seen[:, 3, 2, 1], rtol=1e-12)


def test_low_waves_pass_and_high_ones_vanish():
    x = np.arange(16) / 16
    matrix = truncation(16, 8)
    low, high = np.exp(2j * np.pi * 3 * x), np.exp(2j * np.pi * 5 * x)
    np.testing.assert_allclose(matrix @ low, low[::2], atol=1e-13)
    np.testing.assert_allclose(matrix @ high, 0, atol=1e-13)


def test_a_point_spreads_as_a_dirichlet_kernel():
    point = np.zeros(15)
    point[6] = 1
    place = 3 * np.arange(5) - 6.0
    angle = np.pi * place / 15
    kernel = np.where(place == 0, 5.0, np.sin(5 * angle) / np.where(place == 0, 1, np.sin(angle))) / 15
    np.testing.assert_allclose(truncation(15, 5) @ point, kernel, atol=1e-14)


def test_filling_with_zeros_adds_nothing():
    key = jax.random.key(0)
    images = jax.random.normal(key, (3, *SCANNER.coarse)) + 1j * jax.random.normal(jax.random.key(1), (3, *SCANNER.coarse))
    np.testing.assert_allclose(SCANNER.truncated(SCANNER.filled(images)), images, atol=1e-13)


@pytest.mark.parametrize("ratio", [10.0, 40.0])
def test_noise_of_the_velocity(ratio):
    draws = 400_000
    noise = jax.random.normal(jax.random.key(3), (2, 2, draws)) / ratio
    both = 1 + noise[:, 0] + 1j * noise[:, 1]
    seen = 1.5 / np.pi * np.angle(np.asarray(both[0] * both[1].conj()))
    assert np.std(seen) == pytest.approx(float(phase_noise(1.5, ratio)), rel=0.01)
    assert float(phase_noise(1.5, ratio, 1)) == pytest.approx(1.5 / np.pi / ratio)


def test_the_noise_of_an_image_is_found_beside_a_vessel():
    scanner = PhaseContrast(1.5, (48, 48, 48), (24, 24, 24))
    x, y = np.meshgrid(np.arange(48) - 24.3, np.arange(48) - 23.8, indexing="ij")
    magnitude = 60 / (1 + np.exp((np.hypot(x, y) - 10) / 0.7))[..., None] * np.ones(48)
    clean = scanner.images(jnp.asarray(magnitude), jnp.full((3, 48, 48, 48), 0.5))
    noise = np.random.default_rng(0).normal(size=(2, *clean.shape)) * 1.5
    assert image_noise(np.asarray(clean) + noise[0] + 1j * noise[1]) == pytest.approx(1.5, rel=0.1)


def test_the_mean_by_magnitude_is_third_order_in_the_spread_of_phases():
    scanner = PhaseContrast(1.5, (21, 9, 3), (7, 3, 1))
    grid = np.arange(21)[:, None, None] / 21 * np.ones(scanner.shape)
    magnitude = jnp.asarray(2 + np.cos(2 * np.pi * grid))
    shape = np.stack([np.sin(2 * np.pi * (2 * grid + 0.1)), np.cos(2 * np.pi * 5 * grid), np.sin(2 * np.pi * 7 * grid)])
    sizes = 0.4 / 2.0 ** np.arange(4)
    errors = []
    for size in sizes:
        velocity = jnp.asarray(size * shape)
        seen = scanner.velocity(scanner.images(magnitude, velocity))
        errors.append(float(jnp.abs(seen - scanner.weighted_mean(magnitude, velocity)).max()))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(3, abs=0.2)


@pytest.mark.slow
def test_adjoint_and_gradient():
    """The transpose by reverse mode is the adjoint; the gradient of a misfit is that of central differences."""
    keys = jax.random.split(jax.random.key(5), 4)
    field = jax.random.normal(keys[0], (2, *SCANNER.shape)) + 0j
    image = jax.random.normal(keys[1], (2, *SCANNER.coarse)) + 1j * jax.random.normal(keys[2], (2, *SCANNER.coarse))
    _, back = jax.vjp(SCANNER.truncated, field)
    left = jnp.vdot(image, SCANNER.truncated(field)).real
    assert float(left) == pytest.approx(float(jnp.vdot(back(image.conj())[0].conj(), field).real), rel=1e-12)
    velocity = 0.5 * jax.random.normal(keys[3], (3, *SCANNER.shape))
    magnitude = 1 + jnp.abs(field[0].real)

    def misfit(velocity):
        return jnp.sum(jnp.abs(SCANNER.images(magnitude, velocity) - 1) ** 2)

    slope = quick_jit(jax.grad(misfit))(velocity)
    move = jax.random.normal(keys[0], velocity.shape)
    step = 1e-4
    central = (misfit(velocity + step * move) - misfit(velocity - step * move)) / (2 * step)
    assert float(jnp.vdot(slope, move)) == pytest.approx(float(central), rel=1e-6)


@pytest.mark.parametrize("bad", [{"encoding": 0.0}, {"encoding": jnp.nan}, {"coarse": (17, 6, 4)}])
def test_refusals(bad):
    with pytest.raises(ValueError, match=r"got .*; expected .*; do: "):
        PhaseContrast(**{"encoding": 1.5, "shape": (16, 12, 8), "coarse": (8, 6, 4), **bad})


@lru_cache(maxsize=1)
def ball():
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in (12, 11, 10)], indexing="ij")
    return FaceGrid(VoxelGrid(x**2 + y**2 + z**2 < 20, (1.0, 0.8, 1.25)))


def drawn_faces(keys):
    return jax.random.normal(keys[0], (13, 11, 10)), jax.random.normal(keys[1], (12, 12, 10)), jax.random.normal(keys[2], (12, 11, 11))


@pytest.mark.slow
def test_projection_leaves_no_divergence_and_is_orthogonal():
    space = ball()
    keys = jax.random.split(jax.random.key(1), 3)
    faces = drawn_faces(keys)
    found, solution = space.projected(faces)
    assert int(solution.status) == 0
    scale = float(jnp.linalg.norm(space.divergence(faces)))
    assert float(jnp.linalg.norm(space.divergence(found))) < 1e-9 * scale
    moved = sum(float(jnp.vdot(a - b, b)) for a, b in zip(faces, found, strict=True))
    assert abs(moved) < 1e-7 * sum(float(jnp.vdot(a, a)) for a in faces)


@pytest.mark.slow
def test_gradient_is_minus_the_transpose_of_the_divergence():
    space = ball()
    keys = jax.random.split(jax.random.key(2), 4)
    faces = drawn_faces(keys)
    field = jax.random.normal(keys[3], space.grid.shape)
    left = float(jnp.vdot(space.divergence(faces), field))
    right = -sum(float(jnp.vdot(a, b)) for a, b in zip(faces, space.gradient(field), strict=True))
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.slow
def test_a_solid_rotation_stays_and_what_leaves_a_source_is_its_volume():
    space = ball()
    x, y, _ = np.meshgrid(*[np.arange(n) * h for n, h in zip((12, 11, 10), (1.0, 0.8, 1.25), strict=True)], indexing="ij")
    turning = space.faces_of(jnp.asarray(np.stack([-y, x, 0 * x])))
    found, _ = space.projected(turning)
    for a, b in zip(found, turning, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    spreading = space.faces_of(jnp.asarray(np.stack([x, 0 * x, 0 * x])))
    volume = float(space.grid.mask.sum()) * space.grid.voxel_volume
    assert float(space.outflow(spreading).sum()) == pytest.approx(volume, rel=1e-12)
