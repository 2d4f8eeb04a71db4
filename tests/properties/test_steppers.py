"""Steppers at their limits: steps of length zero, single precision, stiff problems, mass, positivity, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers import Diffusion, RungeKuttaChebyshev2, Strang, VoxelGrid, simulate, stability_limit, time_mesh
from solvers.linear.spectral_diffusion import SpectralDiffusion
from solvers.rate import Affine, Rate
from solvers.space.stacked import OnComponents, PerComponent
from solvers.steppers.explicit_runge_kutta import HEUN, RK4, SSPRK3, TSITOURAS5, ButcherTable, ExplicitRungeKutta
from solvers.steppers.imex import ARS222, ARS233, ARS443, ImplicitExplicit
from solvers.steppers.implicit_solve import EllipticSolver
from solvers.steppers.locally_one_dimensional import LocallyOneDimensional
from solvers.steppers.rush_larsen import RushLarsen
from solvers.steppers.splitting import Lie, Richardson, Substeps
from solvers.steppers.step_limit import check_step, longest_stable_step
from solvers.steppers.theta import CrankNicolson, Theta
from tests.problems import noise, number, quick_jit, slitted_mask
from tests.stepper_table import SHORT_ROWS, STEPPERS, ConjugateGradients, Forcing, parameters, problem

SHAPE = (6, 5, 5)


@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.quick(4)
def test_a_step_of_length_zero_changes_nothing_and_single_precision_stays(name):
    row = STEPPERS[name]
    with jax.enable_x64(False):
        stepper, start = row.stepper(parameters(jnp.float32), jnp.float32)
        step = quick_jit(lambda *arguments: stepper.advance(*arguments))
        stays = step(start, jnp.float32(0.3), jnp.float32(0.0))
        moved = step(start, jnp.float32(0.3), jnp.float32(0.02))
    np.testing.assert_array_equal(stays, start)
    assert moved.dtype == jnp.float32 == stays.dtype
    double, exact_start = row.stepper(parameters())
    exact = quick_jit(lambda *arguments: double.advance(*arguments))(exact_start, number(0.3), number(0.02))
    np.testing.assert_allclose(moved, exact, rtol=0, atol=3e-6)
    assert np.abs(moved - start).max() > 1e-4


@pytest.mark.parametrize("name", SHORT_ROWS)
def test_inactive_voxels_stay_empty(name):
    row = STEPPERS[name]
    chosen = problem(row.kind, parameters())
    outside = ~np.asarray(chosen.grid.mask).reshape(-1)
    if row.kind in ("gates", "cable"):
        pytest.skip("gates have a value everywhere; only diffused components are fields of the tissue")
    stepper, start = row.stepper(parameters())
    moved = quick_jit(lambda *arguments: stepper.advance(*arguments))(start, number(0.3), number(0.02))
    assert np.abs(np.asarray(moved)[..., outside]).max(initial=0.0) <= (1e-12 if "multigrid" in name else 0)


# Every implicit method at a step far above any explicit limit, on a mask with slits and coefficients over two decades.
GRID = VoxelGrid(slitted_mask(SHAPE), (1.0, 1.2, 0.9))
VARIED = Diffusion(GRID, jnp.asarray(10.0 ** np.random.default_rng(0).uniform(-1, 1, SHAPE)))
STILL = Forcing(number(0.0), jnp.ones(GRID.size))
SOLVER = ConjugateGradients(VARIED)
IMPLICIT = {
    "backward Euler": (Theta(VARIED, SOLVER, 1.0), True),
    "Crank-Nicolson": (CrankNicolson(VARIED, SOLVER), False),
    "LOD Crank-Nicolson": (LocallyOneDimensional(VARIED, "Crank-Nicolson"), False),
    "LOD L-stable": (LocallyOneDimensional(VARIED, "L-stable"), True),
    "LOD backward Euler": (LocallyOneDimensional(VARIED, "backward Euler"), True),
    "ARS(2,2,2)": (ImplicitExplicit(VARIED, STILL, SOLVER, ARS222), True),
    "ARS(2,3,3)": (ImplicitExplicit(VARIED, STILL, SOLVER, ARS233), False),
    "ARS(4,4,3)": (ImplicitExplicit(VARIED, STILL, SOLVER, ARS443), True),
}


@pytest.mark.parametrize("name", IMPLICIT)
@pytest.mark.quick(3)
def test_no_step_is_too_long_for_implicit_methods_and_mass_is_kept(name):
    stepper, damps = IMPLICIT[name]
    start = GRID.cells(noise(SHAPE, 5, -1.0, 1.0))
    length = 1e4 / float(VARIED.spectral_bound())
    assert stepper.stable(number(length))
    step = quick_jit(lambda *arguments: stepper.advance(*arguments))
    state, size = start, float(jnp.linalg.norm(start))
    for _ in range(5):
        state = step(state, number(0.0), number(length))
        assert jnp.linalg.norm(state) <= size * (1 + 1e-10)
        size = float(jnp.linalg.norm(state))
    # L-stable methods make the stiffest mode vanish (lines: all but what a product of projections leaves); the others only bound it.
    fastest = np.linalg.eigh(np.asarray(VARIED.apply(jnp.eye(GRID.size))))[1][:, 0]
    left = float(jnp.linalg.norm(step(jnp.asarray(fastest), number(0.0), number(length))))
    assert (left < (0.2 if name.startswith("LOD") else 0.001)) if damps else (0.5 < left <= 1)
    np.testing.assert_allclose(state.sum(), start.sum(), rtol=0, atol=1e-11)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), step=st.floats(1e-3, 1e4), scheme=st.sampled_from(["Crank-Nicolson", "L-stable", "backward Euler"]))
@pytest.mark.slow
def test_lines_keep_mass_on_any_mask_and_backward_euler_positivity(seed, step, scheme):
    rng = np.random.default_rng(seed)
    mask = rng.random(SHAPE) < 0.7
    mask[0, 0, 0] = True
    grid = VoxelGrid(mask, (1.0, 0.7, 1.3))
    operator = Diffusion(grid, jnp.asarray(rng.uniform(0.1, 3.0, SHAPE)), 0.8)
    start = grid.cells(jnp.asarray(rng.random(SHAPE) ** 8))
    end = _advance_lines(LocallyOneDimensional(operator, scheme), start, number(step))
    np.testing.assert_allclose(end.sum(), start.sum(), rtol=1e-12)
    assert not np.asarray(end)[~mask.reshape(-1)].any()
    if scheme == "backward Euler":
        assert float(end.min()) >= 0


@jax.jit
def _advance_lines(stepper, state, length):
    return stepper.advance(state, number(0.0), length)


@pytest.mark.slow
def test_lines_of_a_plane_and_of_a_row():
    """Axes of one voxel are left out; the result is that of the same tissue in any orientation."""
    pattern, field = noise((6, 5), 1, 0.2, 1.0), noise((6, 5), 2)
    found = []
    for place in range(3):
        mask = jnp.expand_dims(jnp.ones((6, 5), bool), place)
        spacing = [1.0, 0.8]
        spacing.insert(place, 3.0)
        grid = VoxelGrid(mask, tuple(spacing))
        stepper = LocallyOneDimensional(Diffusion(grid, jnp.expand_dims(pattern, place)))
        found.append(stepper.advance(field.reshape(-1), number(0.0), number(0.4)))
    np.testing.assert_allclose(found[1], found[0], atol=1e-14)
    np.testing.assert_allclose(found[2], found[0], atol=1e-14)
    row = VoxelGrid(np.ones((1, 1, 7), bool), 1.0)
    line = LocallyOneDimensional(Diffusion(row, 1.0), "backward Euler").advance(jnp.eye(7), number(0.0), number(0.5))
    matrix = np.eye(7) - 0.5 * np.asarray(Diffusion(row, 1.0).apply(jnp.eye(7)))
    np.testing.assert_allclose(line, np.linalg.inv(matrix), atol=1e-14)


@pytest.mark.parametrize("table", [HEUN, SSPRK3, RK4, TSITOURAS5], ids=["Heun", "SSPRK3", "RK4", "Tsitouras 5"])
def test_the_stated_explicit_limit_is_the_limit(table):
    class Decay(Rate):
        rates: jax.Array

        def evaluate(self, state, time):
            return -self.rates * state

        def spectral_bound(self):
            return jnp.max(self.rates)

    def amplification(reach):
        stepper = ExplicitRungeKutta(Decay(reach), table)
        return np.abs(stepper.advance(jnp.ones(reach.size), number(0.0), number(1.0)))

    limit = table.stability_limit
    assert amplification(jnp.linspace(0, limit, 2001)).max() <= 1 + 1e-12
    assert amplification(jnp.array([1.01 * limit])).item() > 1
    stepper = ExplicitRungeKutta(Decay(jnp.array([1.0, 4.0])), table)
    assert float(stepper.step_limit()) == pytest.approx(limit / 4)
    assert longest_stable_step(Substeps(stepper, 3), 100.0) == pytest.approx(3 * limit / 4, rel=2e-3)


@pytest.mark.parametrize("table", [ARS222, ARS233, ARS443])
def test_the_explicit_parts_of_the_imex_tables_have_the_stated_limits(table):
    explicit = ButcherTable(table.explicit, table.explicit_weights, table.order)
    assert table.explicit_limit <= explicit.stability_limit < 1.01 * table.explicit_limit


def test_a_step_above_the_limit_is_refused_with_limit_and_remedy_and_simulate_says_it_as_a_status():
    chosen = problem("growth", parameters())
    stepper = Lie((ExplicitRungeKutta(chosen.reaction), RungeKuttaChebyshev2(chosen.operator, 2)))
    limit = stability_limit(2) / float(chosen.operator.spectral_bound())
    check_step(stepper, 0.99 * limit)
    with pytest.raises(ValueError, match=rf"^got a step of .*; expected at most {limit:.2f}.*; do: shorten the step, or take more stages"):
        check_step(stepper, 1.5 * limit)
    with pytest.raises(ValueError, match="got a step of nan"):
        check_step(stepper, float("nan"))
    assert simulate(stepper, chosen.start, time_mesh(0.0, [3 * limit], 1.5 * limit)).status == 1
    assert longest_stable_step(LocallyOneDimensional(chosen.operator), 1e9) == 1e9
    implicit = ImplicitExplicit(chosen.operator, chosen.reaction, chosen.solver)
    assert longest_stable_step(implicit, 1e9) == pytest.approx(float(implicit.step_limit()), rel=2e-3)


REFUSED = {
    "rows of a table": (lambda: ExplicitRungeKutta(PLAIN, ButcherTable(((), ()), (0.5, 0.5), 1)), r"rows of lengths \[0, 0\]"),
    "order 4 in lines": (lambda: LocallyOneDimensional(Diffusion(GRID, 1.0, interior_order=4)), "interior_order 4"),
    "theta": (lambda: Theta(PLAIN, SOLVER, 0.3), "got theta 0.3"),
    "substeps": (lambda: Substeps(ExplicitRungeKutta(PLAIN), 0), "got 0 substeps"),
    "components": (lambda: OnComponents(ExplicitRungeKutta(PLAIN), 2, 2), "got components 2 to 2"),
    "a hole": (lambda: SpectralDiffusion(GRID, 1.0), "inactive voxels"),
    "a coefficient per voxel": (lambda: SpectralDiffusion(FULL, jnp.ones(SHAPE)), "shape"),
    "a negative coefficient": (lambda: SpectralDiffusion(FULL, -1.0), "got a coefficient of -1"),
    "a negative loss": (lambda: SpectralDiffusion(FULL, 1.0, np.array([0.1, -0.1])), "got a loss of"),
}
FULL = VoxelGrid(np.ones(SHAPE, bool), 1.0)
PLAIN = Diffusion(GRID, 1.0)


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_with_what_was_got_expected_and_to_do(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("got ") and "; expected " in message and "; do: " in message


def test_a_splitting_reports_order_and_limit_of_its_parts():
    chosen = problem("growth", parameters())
    heat, growth = RungeKuttaChebyshev2(chosen.operator, 2), ExplicitRungeKutta(chosen.reaction, RK4)
    assert (Lie((growth, heat)).order, Lie((heat,)).order, Substeps(heat, 2).order) == (1, 2, 2)
    assert (Richardson(heat).order, Richardson(Strang(growth, heat), symmetric=True).order) == (3, 4)
    assert OnComponents(heat, 0, 1).order == 2
    limit = float(heat.step_limit())
    for stepper in (Lie((growth, heat)), Richardson(heat), OnComponents(heat, 0, 1)):
        assert stepper.stable(number(0.9 * limit)) and not stepper.stable(number(1.1 * limit))
    assert Substeps(heat, 2).stable(number(1.9 * limit)) and not Substeps(heat, 2).stable(number(2.1 * limit))


def test_per_component_scales_each_species():
    factors = jnp.array([0.5, 2.0])
    both = PerComponent(VARIED, factors)
    fields = jnp.stack([GRID.cells(noise(SHAPE, 1)), GRID.cells(noise(SHAPE, 2))])
    for i in range(2):
        np.testing.assert_allclose(both.apply(fields)[i], factors[i] * VARIED.apply(fields[i]), rtol=1e-14)
    assert float(both.spectral_bound()) == pytest.approx(2 * float(VARIED.spectral_bound()))


@pytest.mark.slow
def test_a_steady_source_is_taken_by_every_method_that_takes_rates():
    """L u + s with a loss has a steady state; no method leaves it, none needs a small step for it."""
    loss = GRID.cells(noise(SHAPE, 3, 0.1, 0.4))
    operator = Diffusion(GRID, noise(SHAPE, 1, 0.2, 1.0), 0.4, loss=loss)
    steady = GRID.cells(noise(SHAPE, 2))
    source = -operator.apply(steady)
    rate = Affine(operator, source)
    steppers = [
        RungeKuttaChebyshev2(rate, 3),
        ExplicitRungeKutta(rate, RK4),
        Theta(operator, ConjugateGradients(operator), 1.0, lambda time: source),
        CrankNicolson(operator, EllipticSolver(operator), lambda time: source),
        ImplicitExplicit(operator, Affine(Diffusion(GRID, 0.0), source), ConjugateGradients(operator), ARS443),
    ]
    for stepper in steppers:
        moved = stepper.advance(steady, number(0.0), number(0.5))
        np.testing.assert_allclose(moved, steady, atol=1e-12)


def test_gates_stay_between_zero_and_one_for_every_step():
    chosen = problem("gates", parameters())
    held = jnp.concatenate([chosen.start[:1], jnp.ones_like(chosen.start[1:2]), jnp.zeros_like(chosen.start[2:])])
    for length in (0.1, 10.0, 1e4):
        gates = RushLarsen(chosen.reaction).advance(held, number(0.0), number(length))[1:]
        assert float(gates.min()) >= 0 and float(gates.max()) <= 1
