"""Elliptic solves on masks: accuracy against dense algebra, iterations, batches, warm starts, singular pieces, failure as status."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks._phantom import brain_phantom
from solvers import BlendedDiffusion, CompactGrid, CompactOperator, LatticeDiffusion, MonotoneDiffusion
from solvers.grid import VoxelGrid
from solvers.linear.coarsening import coarsening_plan, prolong, restrict
from solvers.linear.components import connected_components
from solvers.linear.elliptic import solve_elliptic
from solvers.linear.multigrid import multigrid
from solvers.operator import Operator
from solvers.space.diffusion import Diffusion
from solvers.status import SimulationError, Status
from tests.problems import as_type, make_operator, matrix, noise, quick_jit, slitted_mask

SHAPE = (9, 8, 7)
SPACING = (1.0, 1.3, 0.8)


def masked_problem(kind="order 2", seed=0):
    grid = VoxelGrid(slitted_mask(SHAPE), SPACING)
    return grid, make_operator(kind, grid, seed)


def lossy(grid, seed=5):
    """A loss on a fifth of the cells, as walls leave it."""
    loss = np.where(np.asarray(noise(grid.shape, seed)) < 0.2, np.asarray(noise(grid.shape, seed + 1)), 0.0) * np.asarray(grid.mask)
    return jnp.asarray(loss)


def brain(edge, low=1.0, high=100.0):
    phantom = brain_phantom((edge,) * 3, round(0.5 * edge**3))
    grid = VoxelGrid(phantom.mask, 1.0)
    return grid, Diffusion(grid, np.where(phantom.white > 0.5, high, low))


def relative(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("kind", ["order 2", "orthotropic", "order 4", "tensor"])
@pytest.mark.quick(1)
def test_a_shifted_solve_agrees_with_dense_algebra(kind):
    grid, operator = masked_problem(kind)
    source = grid.cells(noise(SHAPE, 1))
    solution = solve_elliptic(operator, source, 0.3, tolerance=1e-12)
    exact = np.linalg.solve(0.3 * np.eye(grid.size) - matrix(operator, grid.size), source)
    assert relative(solution.field, exact) < 1e-11
    assert int(solution.status) == Status.SUCCESS
    assert float(solution.residual) <= 1e-12
    assert float(solution.imbalance) == 0


@pytest.mark.parametrize("kind", ["order 2", "tensor"])
@pytest.mark.quick(1)
def test_without_a_shift_the_pseudoinverse_is_found_on_every_piece(kind):
    grid, operator = masked_problem(kind)
    dense = -matrix(operator, grid.size)
    source = dense @ np.asarray(grid.cells(noise(SHAPE, 1)))
    solution = solve_elliptic(operator, jnp.asarray(source), tolerance=1e-12)
    assert int(solution.status) == Status.SUCCESS
    expected = np.linalg.pinv(dense, rcond=1e-13, hermitian=True) @ source
    assert relative(solution.field, expected) < 1e-9


@pytest.mark.slow
def test_a_loss_makes_its_piece_regular_and_leaves_the_others_singular():
    mask = np.ones((8, 6, 5), bool)
    mask[4] = False
    grid = VoxelGrid(mask, SPACING)
    loss = np.zeros(mask.shape)
    loss[0, 2, 2] = 0.7
    operator = Diffusion(grid, noise(mask.shape, 2, 0.5, 2.0), loss=loss.reshape(-1))
    source = np.array(grid.cells(noise(mask.shape, 3)))
    right = np.flatnonzero(np.broadcast_to(np.arange(8)[:, None, None] > 4, mask.shape).reshape(-1))
    source[right] -= source[right].mean()
    solution = solve_elliptic(operator, jnp.asarray(source), tolerance=1e-12)
    dense = -matrix(operator, grid.size)
    assert int(solution.status) == Status.SUCCESS
    assert (
        relative(solution.field, np.linalg.pinv(dense, rcond=1e-13, hermitian=True) @ source) < 1e-8
    )  # the condition number is some thousands
    assert abs(float(solution.field[right].mean())) < 1e-12


def test_an_incompatible_source_is_reported_and_solved_in_the_least_squares_sense():
    grid, operator = masked_problem()
    source = grid.cells(1 + noise(SHAPE, 1))
    solution = solve_elliptic(operator, source, tolerance=1e-10)
    assert int(solution.status) == Status.INCOMPATIBLE
    dense = -matrix(operator, grid.size)
    best = np.linalg.pinv(dense, rcond=1e-13, hermitian=True) @ np.asarray(source)
    assert relative(solution.field, best) < 1e-8
    left = np.linalg.norm(dense @ best - source) / np.linalg.norm(source)
    assert float(solution.imbalance) == pytest.approx(left, rel=1e-9)
    assert float(solution.residual) == pytest.approx(left, rel=1e-9)
    with pytest.raises(SimulationError, match=r"component 0 has no loss, .*; do: give it a Dirichlet value"):
        solution.raise_for_status()


@pytest.mark.slow
def test_the_component_that_is_incompatible_is_named_and_a_nan_in_source_or_start_too():
    mask = np.ones((8, 4, 3), bool)
    mask[5] = False
    grid = VoxelGrid(mask, 1.0)
    operator = Diffusion(grid, 1.0)
    pieces = connected_components(operator)
    source = pieces.without_mean(grid.cells(noise(mask.shape, 3)), jnp.ones(grid.size, bool))
    solution = solve_elliptic(operator, jnp.stack([source, source + (pieces.labels == 1)]))
    np.testing.assert_array_equal(solution.status, [Status.SUCCESS, Status.INCOMPATIBLE])
    np.testing.assert_array_equal(solution.component, [-1, 1])
    with pytest.raises(SimulationError, match=r"the first is 1: component 1 has no loss"):
        solution.raise_for_status()
    for bad in (solve_elliptic(operator, source.at[0].set(jnp.nan), 1.0), solve_elliptic(operator, source, 1.0, start=source * jnp.nan)):
        with pytest.raises(SimulationError, match="the source, the start or the operator has a NaN"):
            bad.raise_for_status()


@pytest.mark.slow
def test_operators_without_faces_are_solved_with_their_diagonal():
    grid = VoxelGrid(slitted_mask((6, 5, 4)), SPACING)
    tensor = np.broadcast_to(np.array([[2.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 0.7]]), (*grid.shape, 3, 3))
    compact = CompactGrid(grid)
    packed = CompactOperator(compact, Diffusion(grid, 1.0))
    cases = [(make(grid, tensor), grid.cells(noise(grid.shape, 1))) for make in (MonotoneDiffusion, LatticeDiffusion)]
    cases += [(BlendedDiffusion(grid, 1.0), cases[0][1]), (packed, compact.pack(cases[0][1]))]
    for operator, source in cases:
        solution = solve_elliptic(operator, source, 0.3, tolerance=1e-11)
        exact = np.linalg.solve(0.3 * np.eye(source.size) - matrix(operator, source.size), source)
        assert int(solution.status) == Status.SUCCESS
        assert relative(solution.field, exact) < 1e-9


def test_components_are_counted_by_open_faces_and_not_by_the_mask():
    mask = np.zeros((7, 5, 4), bool)
    mask[:3] = mask[4:] = True
    mask[3, 0, 0] = True  # a bridge
    mask[0, 4, 3] = True
    coefficient = np.ones(mask.shape)
    grid = VoxelGrid(mask, 1.0)
    assert connected_components(Diffusion(grid, coefficient)).count == 1
    coefficient[3] = 0
    pieces = connected_components(Diffusion(grid, coefficient))
    assert pieces.count == 2
    np.testing.assert_array_equal(pieces.sizes, [60, 60])
    assert int((pieces.labels == 2).sum()) == mask.size - 120


@pytest.mark.slow
def test_many_right_hand_sides_at_once_agree_with_one_by_one():
    grid, operator = masked_problem()
    sources = jnp.stack([grid.cells(noise(SHAPE, seed)) * 10.0**seed for seed in range(4)] + [jnp.zeros(grid.size)])
    together = solve_elliptic(operator, sources.reshape(5, 1, -1), 0.05, tolerance=1e-11)
    assert together.status.shape == (5, 1)
    for number, source in enumerate(sources):
        alone = solve_elliptic(operator, source, 0.05, tolerance=1e-11)
        np.testing.assert_allclose(together.field[number, 0], alone.field, rtol=0, atol=1e-9 * float(jnp.abs(alone.field).max() + 1))
        assert int(together.iterations[number, 0]) == int(alone.iterations)
    assert int(together.iterations[4, 0]) == 0
    assert not together.field[4].any()


@pytest.mark.slow
def test_a_member_that_is_not_finite_leaves_the_others_unharmed():
    grid, operator = masked_problem()
    good = grid.cells(noise(SHAPE, 1))
    alone = solve_elliptic(operator, good, 0.05)
    for batch in (lambda b: solve_elliptic(operator, b, 0.05), jax.vmap(lambda b: solve_elliptic(operator, b, 0.05))):
        both = batch(jnp.stack([good.at[100].set(jnp.nan), good]))
        np.testing.assert_array_equal(both.status, [Status.NOT_FINITE, Status.SUCCESS])
        np.testing.assert_allclose(both.field[1], alone.field, rtol=0, atol=1e-7 * float(jnp.abs(alone.field).max()))


@pytest.mark.slow
def test_vmap_over_coefficients_and_shifts():
    grid = VoxelGrid(slitted_mask(SHAPE), SPACING)
    source = grid.cells(noise(SHAPE, 1))

    def solve(coefficient, shift):
        return solve_elliptic(Diffusion(grid, coefficient), source, shift, tolerance=1e-11)

    coefficients = jnp.stack([noise(SHAPE, seed, 0.1, 2.0) for seed in range(3)])
    shifts = jnp.array([0.01, 1.0, 30.0])
    batch = quick_jit(jax.vmap(solve))(coefficients, shifts)
    assert (batch.status == Status.SUCCESS).all()
    assert int(batch.iterations[0]) > int(batch.iterations[2])
    for number in range(3):
        dense = float(shifts[number]) * np.eye(grid.size) - matrix(Diffusion(grid, coefficients[number]), grid.size)
        assert relative(batch.field[number], np.linalg.solve(dense, source)) < 1e-10


@pytest.mark.slow
def test_a_warm_start_changes_the_work_and_not_the_solution():
    grid, operator = brain(24)
    sources = grid.cells(noise(grid.shape, 1)), grid.cells(noise(grid.shape, 1) + 1e-4 * noise(grid.shape, 2))
    preconditioner = multigrid(operator, 0.01)
    first, cold = (solve_elliptic(operator, source, 0.01, preconditioner=preconditioner) for source in sources)
    warm = solve_elliptic(operator, sources[1], 0.01, preconditioner=preconditioner, start=first.field)
    assert int(warm.iterations) <= int(cold.iterations) - 4
    assert float(warm.residual) <= 1e-8
    assert relative(warm.field, cold.field) < 1e-7
    exact = solve_elliptic(operator, sources[1], 0.01, preconditioner=preconditioner, start=cold.field)
    assert int(exact.iterations) == 0


@pytest.mark.slow
def test_not_converged_is_a_status_and_the_best_iterate_is_kept():
    grid, operator = brain(24)
    source = grid.cells(noise(grid.shape, 1) - 0.5)
    residuals = []
    for limit in (0, 1, 3, 6):
        solution = solve_elliptic(operator, source, 1e-3, tolerance=1e-13, max_iterations=limit)
        assert int(solution.status) == Status.NOT_CONVERGED
        assert int(solution.iterations) == limit
        true = source - (1e-3 * solution.field - operator.apply(solution.field))
        assert float(jnp.linalg.norm(true) / jnp.linalg.norm(source)) == pytest.approx(float(solution.residual), rel=1e-6)
        residuals.append(float(solution.residual))
    assert residuals[0] == 1.0
    assert all(b < a for a, b in itertools.pairwise(residuals))


class Indefinite(Operator):
    """Not what conjugate gradients are for: some modes grow."""

    rates: jax.Array

    def apply(self, field):
        return self.rates * field

    def spectral_bound(self):
        return jnp.max(jnp.abs(self.rates))


def test_an_operator_that_is_not_negative_ends_with_a_status():
    class Nothing(multigrid.__annotations__["return"]):  # a preconditioner that does nothing
        def apply(self, residual):
            return residual

    operator = Indefinite(jnp.array([-1.0, -2.0, 3.0]))
    solution = solve_elliptic(operator, jnp.array([1.0, 1.0, 5.0]), jnp.asarray(1.0), preconditioner=Nothing(()))
    assert int(solution.status) == Status.NOT_CONVERGED
    assert float(solution.residual) <= 1
    assert np.isfinite(solution.field).all()


@pytest.mark.parametrize(
    ("edge", "allowed"), [(24, 16), pytest.param(48, 18, marks=pytest.mark.slow), pytest.param(64, 20, marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_iterations_on_a_brain_with_contrast_of_100(edge, allowed):
    grid, operator = brain(edge)
    source = grid.cells(noise(grid.shape, 1))
    source = connected_components(operator).without_mean(source, jnp.ones(grid.size, bool))
    solution = solve_elliptic(operator, source)
    assert int(solution.status) == Status.SUCCESS
    assert int(solution.iterations) <= allowed


@pytest.mark.slow
def test_iterations_do_not_depend_on_the_shift_or_grow_with_flat_voxels():
    grid, operator = brain(24)
    source = grid.cells(noise(grid.shape, 1))
    counts = [int(solve_elliptic(operator, source, shift).iterations) for shift in (1e-6, 1e-2, 1.0, 1e2, 1e4)]
    assert max(counts) <= 18
    assert counts[-1] <= 8
    flat = VoxelGrid(grid.mask, (1.0, 1.0, 5.0))
    operator = Diffusion(flat, 1.0)
    semi = int(solve_elliptic(operator, source, 1e-3).iterations)
    assert semi <= 24
    uniform = coarsening_plan(flat.shape)
    slower = solve_elliptic(operator, source, 1e-3, preconditioner=multigrid(operator, 1e-3, plan=uniform))
    assert int(slower.iterations) >= 1.5 * semi  # what semi-coarsening is for


@pytest.mark.slow
def test_the_cycle_is_symmetric_and_positive_and_so_is_it_in_a_batch():
    grid, operator = masked_problem("orthotropic")
    cycle = multigrid(operator, 0.02)
    dense = np.asarray(cycle.apply(jnp.eye(grid.size)))
    np.testing.assert_allclose(dense, dense.T, rtol=0, atol=1e-13 * np.abs(dense).max())
    assert np.linalg.eigvalsh((dense + dense.T) / 2).min() > 0
    spectrum = np.linalg.eigvals(dense @ (0.02 * np.eye(grid.size) - matrix(operator, grid.size))).real
    assert spectrum.max() / spectrum.min() < 12


@pytest.mark.parametrize("periodic", [(True, False, False), (True, True, True)])
@pytest.mark.quick(1)
def test_periodic_axes(periodic):
    from solvers.space.walls import Periodic, Walls

    grid = VoxelGrid(np.ones((9, 8, 6), bool), 1.0)
    walls = Walls(grid, {axis: Periodic() for axis, on in zip("xyz", periodic, strict=True) if on})
    operator = Diffusion(grid, noise(grid.shape, 1, 0.5, 2.0), walls=walls)
    source = grid.cells(noise(grid.shape, 2) - 0.5)
    solution = solve_elliptic(operator, source, 1e-3, tolerance=1e-11)
    assert relative(solution.field, np.linalg.solve(1e-3 * np.eye(grid.size) - matrix(operator, grid.size), source)) < 1e-8
    assert int(solution.iterations) <= 26


@pytest.mark.slow
def test_float32_reaches_its_tolerance_and_preconditions_float64():
    grid, operator = brain(24)
    source = grid.cells(noise(grid.shape, 1))
    single = as_type((operator, source), jnp.float32)
    solution = solve_elliptic(*single, jnp.float32(10.0))
    assert solution.field.dtype == solution.residual.dtype == jnp.float32
    assert int(solution.status) == Status.SUCCESS
    assert float(solution.residual) <= 1e-5
    double = [
        solve_elliptic(operator, source, 1e-2, preconditioner=multigrid(operator, 1e-2, dtype=dtype), tolerance=1e-11)
        for dtype in (jnp.float32, jnp.float64)
    ]
    assert float(double[0].residual) <= 1e-11
    assert abs(int(double[0].iterations) - int(double[1].iterations)) <= 1
    assert relative(double[0].field, double[1].field) < 1e-9


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_prolongation_is_the_transpose_of_restriction(axes):
    shape = (5, 4, 3)
    coarse = tuple((n + 1) // 2 if axis in axes else n for axis, n in enumerate(shape))
    down = np.asarray(restrict(jnp.eye(60), shape, axes))
    up = np.asarray(prolong(jnp.eye(int(np.prod(coarse))), shape, axes))
    np.testing.assert_array_equal(down, up.T)
    np.testing.assert_array_equal(down.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda op, b: solve_elliptic(op, b, -1.0), "got shift -1.0"),
        (lambda op, b: solve_elliptic(op, b, jnp.ones(2)), "do: vmap"),
        (lambda op, b: solve_elliptic(op, b[1:], 1.0), "got a source of 503 cells; expected 504"),
        (lambda op, b: jax.jit(lambda op: solve_elliptic(op, b))(op), "do: call connected_components outside"),
        (lambda op, b: multigrid(op, smoothing=5), "got smoothing 5"),
        (lambda op, b: solve_elliptic(op, b.astype("float32"), 1.0), "got a source of float32; expected float64"),
        (lambda op, b: solve_elliptic(Indefinite(b), b, 1.0), "got Indefinite"),
    ],
)
def test_bad_input_is_refused_with_one_line(call, said):
    grid, operator = masked_problem()
    with pytest.raises(ValueError, match=said) as error:
        call(operator, grid.cells(noise(SHAPE, 1)))
    assert "\n" not in str(error.value)
