"""The voxel torso: a dipole in a sphere against its closed form, splines, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    Torso,
    TorsoConductivities,
    TorsoShape,
    analytic_torso,
    solve_torso,
    spline_coefficients,
    spline_values,
    torso_sources_at,
)
from solvers import Diffusion, Jacobi, VoxelGrid

RADIUS, SIGMA = 48.0, 0.25


def sphere(h):
    """A homogeneous ball of voxels, electrodes on its skin and the ground at the other side."""
    n = round(2 * RADIUS / h) + 2
    origin = np.full(3, -(n - 1) / 2 * h)
    points = origin + np.stack(np.indices((n, n, n)), axis=-1) * h
    mask = np.linalg.norm(points, axis=-1) <= RADIUS
    towards = np.array([[0, 0, 1.0], [0.6, 0, 0.8], [1, 0, 0], [0, -0.8, -0.6], [0, 0, -1]])
    skin = np.argwhere(mask)
    places = origin + skin * h
    index = [int(np.linalg.norm(places - RADIUS * way, axis=1).argmin()) for way in towards]
    flat = np.ravel_multi_index(tuple(skin[index].T), mask.shape)
    torso = Torso(VoxelGrid(mask, h), origin, np.where(mask, SIGMA, 0.0), flat[:-1], int(flat[-1]), np.zeros(4))
    return torso, places[index] / np.linalg.norm(places[index], axis=1, keepdims=True)


def surface_potential(cosine, moment, depth):
    r"""$\frac{p}{4\pi\sigma R^2}\sum_n (2n+1) f^{n-1} P_n(\cos\theta)$ of a radial dipole at $fR$ in an insulated sphere."""
    total = np.zeros_like(cosine)
    for n in range(1, 40):
        total = total + (2 * n + 1) * depth ** (n - 1) * np.polynomial.legendre.legval(cosine, np.eye(n + 1)[n])
    return moment / (4 * np.pi * SIGMA * RADIUS**2) * total


@pytest.mark.slow
def test_dipoles_in_a_sphere_seen_by_reciprocity():
    """The potential between electrode and ground of a dipole p is p times the slope of the electrode's field; order about one."""
    errors = []
    for h in (8.0, 3.0):
        torso, ways = sphere(h)
        operator = Diffusion(torso.grid, jnp.asarray(torso.conductivity))
        jacobi = Jacobi(-operator.diagonal())  # compiles in a moment, and is enough for a small ball
        solution = solve_torso(operator, torso.electrodes.tolist(), torso.reference, h**3, jacobi)
        solution.raise_for_status()
        worst = 0.0
        for depth in (0.0, 0.4):
            place, step = np.array([[0.0, 0.0, depth * RADIUS]]), 1e-3
            above, below = (torso_sources_at(torso, solution, place + np.array([[0, 0, s]])) for s in (step, -step))
            seen = np.asarray(above - below)[:, 0] / (2 * step)
            potential = surface_potential(ways[:, 2], 1.0, depth)
            exact = potential[:-1] - potential[-1]
            worst = max(worst, float(np.abs(seen - exact).max() / np.abs(exact).max()))
        errors.append(worst)
    assert errors[1] < 0.05 and errors[1] < 0.6 * errors[0]


def test_splines_take_cubics_exactly_and_their_slopes():
    x = np.stack(np.indices((9, 8, 10)), axis=-1).astype(float)

    def cubic(p):
        return 0.3 * p[..., 0] ** 3 - p[..., 0] * p[..., 1] ** 2 + 2 * p[..., 2] ** 2 + p[..., 1]

    # Mirrored ends disturb by a factor 0.27 per voxel: exactly right is what is many voxels away.
    wide = np.stack(np.indices((40, 40, 40)), axis=-1).astype(float) - 20
    coefficients = jnp.asarray(spline_coefficients(cubic(wide)[None], np.ones((40, 40, 40), bool)))
    places = jnp.asarray([[20.3, 19.1, 21.7], [18.0, 22.5, 20.01]])
    np.testing.assert_allclose(spline_values(coefficients, places)[0], cubic(np.asarray(places) - 20), rtol=1e-6)
    slope = jax.grad(lambda p: spline_values(coefficients, p[None])[0, 0])(places[0])
    p = np.asarray(places[0]) - 20
    np.testing.assert_allclose(slope, [0.9 * p[0] ** 2 - p[1] ** 2, -2 * p[0] * p[1] + 1, 4 * p[2]], rtol=1e-5)
    # Values at the centres come back, whatever the field.
    noise = np.random.default_rng(0).normal(size=(2, 9, 8, 10))
    inner = x[2:-2, 2:-2, 2:-2].reshape(-1, 3)
    found = spline_values(jnp.asarray(spline_coefficients(noise, np.ones((9, 8, 10), bool))), jnp.asarray(inner))
    np.testing.assert_allclose(found, noise[:, 2:-2, 2:-2, 2:-2].reshape(2, -1), atol=1e-12)


@pytest.fixture(scope="module")
def ball():
    """A heart that is a ball of muscle round a ball of blood, in voxels of 4 mm."""
    points = (np.stack(np.indices((20, 20, 20)), axis=-1).reshape(-1, 3) - 9.5) * 4.0
    distance = np.linalg.norm(points, axis=1)
    return points[(distance <= 36) & (distance > 20)], points[distance <= 20]


ELECTRODES = np.array([[165.0, 0.0, 190.0], [-125.0, 0.0, 190.0], [0.0, 85.0, 20.0]])


def test_the_torso_has_its_tissues(ball):
    muscle, blood = ball
    middle = np.array([7.0, -3.0, 40.0])
    torso = analytic_torso(8.0, middle, muscle + middle, blood + middle, 64.0, ELECTRODES + middle)
    mask, sigma = np.asarray(torso.grid.mask), torso.conductivity
    volume = mask.sum() * 8.0**3
    assert volume == pytest.approx(np.pi * 160 * 108 * 550, rel=0.02)
    assert (sigma[mask] > 0).all() and not sigma[~mask].any()
    values = TorsoConductivities()
    lungs = (np.abs(sigma - values.lungs) < 1e-12).sum() * 8.0**3
    assert 2.5e6 < lungs < 4.2e6
    # What the heart adds to the conductivity of its surroundings is that of its tissues by volume.
    at = np.rint((middle - torso.origin) / 8.0).astype(int)
    assert sigma[tuple(at)] == pytest.approx(values.blood, rel=0.03)
    assert torso.moved.max() < 40
    turned = np.unravel_index(torso.electrodes[2], mask.shape)
    assert torso.origin[1] + 8 * turned[1] > middle[1] + 70  # on the chest


def test_what_is_refused(ball):
    muscle, blood = ball
    args = (np.zeros(3), muscle, blood, 64.0, ELECTRODES)
    for spacing, changes, message in (
        (1.0, {}, "expected 2 to 12"),
        (8.0, {"conductivities": TorsoConductivities(lungs=0.0)}, "expected all above zero"),
        (8.0, {"shape": TorsoShape(half_depth=40.0)}, "reaches out of the torso"),
    ):
        with pytest.raises(ValueError, match=message):
            analytic_torso(spacing, *args, **changes)
    with pytest.raises(ValueError, match="from the skin"):
        analytic_torso(8.0, *args[:-1], np.array([[400.0, 0.0, 0.0]]))
