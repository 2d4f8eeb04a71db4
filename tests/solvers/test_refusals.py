"""What a fresh reader found accepted in silence, or refused in many lines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import (
    RK4,
    BlockedDiffusion,
    CompactGrid,
    CrankNicolson,
    Diffusion,
    Dirichlet,
    EllipticSolver,
    ExplicitRungeKutta,
    ExponentialRungeKutta,
    LocallyOneDimensional,
    RungeKuttaChebyshev2,
    SpectralDiffusion,
    Status,
    VoxelGrid,
    Walls,
    decomposed,
    device_mesh,
    diffuse,
    eikonal,
    integrate_stiff,
    point_source,
    simulate,
    solve_elliptic,
    start_at,
    time_mesh,
)
from tests.problems import quick_jit

SHAPE = (5, 4, 4)
GRID = VoxelGrid(np.ones(SHAPE, bool), 1.0)
PLAIN = Diffusion(GRID, 1.0)
HELD = Diffusion(GRID, 1.0, walls=Walls(GRID, {"x-": Dirichlet(0.0), "x+": Dirichlet(1.0)}))
FIELD = jnp.ones(GRID.size)
EMPTY_LAYER = VoxelGrid(np.arange(5)[:, None, None] * np.ones(SHAPE) > 0, 1.0)

REFUSED = {
    "whole numbers as a state": lambda: simulate(ExplicitRungeKutta(PLAIN, RK4), jnp.ones(GRID.size, int), time_mesh(0.0, [1.0], 0.1)),
    "a layer without a voxel": lambda: Walls(EMPTY_LAYER, {"x-": Dirichlet(1.0)}),
    "a grey mask": lambda: VoxelGrid(np.full(SHAPE, 0.3), 1.0),
    "a mask of NaN": lambda: VoxelGrid(np.full(SHAPE, np.nan), 1.0),
    "walls that bring something in, blocked": lambda: BlockedDiffusion(HELD, 4),
    "a field of another size, blocked": lambda: diffuse(PLAIN, FIELD[:9], jnp.asarray(0.1), 3),
    "a field of another size, packed": lambda: CompactGrid(GRID).pack(jnp.ones(5)),
    "a field of fewer slopes": lambda: integrate_stiff(lambda t, y, p: -y[:1], jnp.arange(3.0), 0.0, 1.0),
    "a negative scale": lambda: Diffusion(GRID, 1.0, scale=-1.0),
    "a tolerance of zero": lambda: solve_elliptic(PLAIN, FIELD, 0.5, tolerance=0.0),
    "fewer than no iterations": lambda: solve_elliptic(PLAIN, FIELD, 0.5, max_iterations=-1),
    "events and nothing that happens": lambda: simulate(ExplicitRungeKutta(PLAIN, RK4), FIELD, time_mesh(0.0, [1.0], 0.1, events=[0.5])),
    "a field of another grid": lambda: PLAIN.apply(FIELD[:9]),
    "a source without a number": lambda: point_source(GRID, np.zeros(3), np.nan),
    "output after the end": lambda: integrate_stiff(lambda t, y, p: -y, jnp.arange(1.0, 3.0), 0.0, 1.0, save_at=np.array([0.5, 1.5])),
    "fewer halo planes than stages": lambda: decomposed(RungeKuttaChebyshev2(PLAIN, 4), GRID, device_mesh(jax.devices()[:1]), 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^got .*; expected .*; do: ") as caught:
        REFUSED[name]()
    assert "\n" not in str(caught.value)


def test_scalar_spacings_of_any_kind_are_taken():
    for spacing in (2, 2.0, np.float32(2.0), np.int64(2), jnp.asarray(2.0), (2, 2.0, np.float32(2.0))):
        assert VoxelGrid(np.ones(SHAPE, bool), spacing).spacing == (2.0, 2.0, 2.0)


def test_a_divided_operator_keeps_what_its_walls_bring_in():
    np.testing.assert_array_equal(decomposed(HELD, GRID, device_mesh(jax.devices()[:1]), 1).source, HELD.source)


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_float32_solves_for_sources_of_any_size(size):
    operator = Diffusion(GRID, jnp.ones(SHAPE, jnp.float32))
    operator = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), operator)
    source = jnp.asarray(np.random.default_rng(0).random(GRID.size), jnp.float32)
    expected, found = solve_elliptic(operator, source, 0.5), solve_elliptic(operator, source * jnp.float32(size), 0.5)
    assert int(found.status) == Status.SUCCESS
    np.testing.assert_allclose(np.asarray(found.field) / size, expected.field, rtol=1e-4)


@pytest.mark.parametrize(("iterations", "status"), [(200, Status.SUCCESS), (1, Status.NOT_FINITE)])
def test_an_implicit_step_whose_solve_does_not_converge_shows_in_the_status(iterations, status):
    stepper = CrankNicolson(PLAIN, EllipticSolver(PLAIN, tolerance=1e-12, max_iterations=iterations))
    assert int(quick_jit(lambda field: simulate(stepper, field, time_mesh(0.0, [20.0], 10.0)).status)(jnp.arange(80.0))) == status


@pytest.mark.parametrize(("speed", "status"), [(1.0, Status.SUCCESS), (-1.0, Status.NOT_FINITE), (np.nan, Status.NOT_FINITE)])
def test_a_traced_speed_that_is_none_is_a_status(speed, status):
    start = start_at(GRID, [(0, 0, 0)])
    found = jax.jit(lambda speed: eikonal(GRID, start, speed=speed).status)(jnp.asarray(speed))
    assert int(found) == status


def test_options_are_not_guessed():
    for make in (
        lambda: LocallyOneDimensional(PLAIN, "CN"),
        lambda: SpectralDiffusion(GRID, 1.0, symbol="spectral"),
        lambda: ExponentialRungeKutta(SpectralDiffusion(GRID, 1.0), None, 3),
        lambda: Walls(GRID, {"x-": 3.0}),
    ):
        with pytest.raises((ValueError, TypeError)):  # the shape checker of the tests may be first
            make()
