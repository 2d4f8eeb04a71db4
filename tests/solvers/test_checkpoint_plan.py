"""The plan of reverse mode: within the budget as compiled, least recomputation first, and refused by name of the minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import ProliferationInvasion
from solvers import Diffusion, Jump, RungeKuttaChebyshev2, Status, simulate, time_mesh
from solvers.loop.checkpoint_plan import MIB, checkpoint_plan, plan_unchecked, reverse_bytes_of_a_step
from tests.problems import GliomaProblem, number, quick_jit, reference_parameters

PROBLEM = GliomaProblem()
SEED = PROBLEM.seed(reference_parameters())
OPERATOR = Diffusion(PROBLEM.grid, 0.1)
STEPPERS = {
    "diffusion": lambda rate: RungeKuttaChebyshev2(OPERATOR, 2),
    "split": lambda rate: ProliferationInvasion(OPERATOR, rate).stepper(),
}
MESHES = {
    "one save": time_mesh(0.0, [1.0], 1 / 2000),
    "uneven saves": time_mesh(0.0, [0.02, 0.3, 0.31, 1.0], 1 / 2000),
}
BUDGETS = {0: 64.0, 1: 0.7, 2: 0.4}
PARAMETER = number(0.05)


def final(stepper, mesh, budget):
    def total(rate, state):
        return jnp.sum(simulate(STEPPERS[stepper](rate), state, mesh, memory_mib=budget).final ** 2)

    return total


@pytest.mark.parametrize("depth", BUDGETS)
@pytest.mark.parametrize(("stepper", "mesh"), [("diffusion", "one save"), ("split", "one save"), ("split", "uneven saves")])
@pytest.mark.quick(5)
def test_the_compiled_program_keeps_within_the_plan_and_the_plan_within_the_budget(stepper, mesh, depth):
    """Temporary memory as XLA reports it, at most 15 % above the plan; parameters' own cotangents are scalars here."""
    plan = checkpoint_plan(SEED, MESHES[mesh], BUDGETS[depth], STEPPERS[stepper](PARAMETER))
    assert plan.recomputed_parts == depth and plan.recomputation == depth + 1
    assert plan.minimum_bytes <= plan.bytes <= BUDGETS[depth] * MIB
    program = quick_jit(jax.grad(final(stepper, MESHES[mesh], BUDGETS[depth]), argnums=(0, 1)))
    found = program.lower(PARAMETER, SEED).compile().memory_analysis().temp_size_in_bytes
    assert found <= 1.15 * plan.bytes
    if stepper == "split":  # a linear step needs no state in reverse, and XLA knows
        assert found >= 0.5 * plan.bytes


def test_memory_grows_with_the_root_of_the_steps_and_slower_still_with_more_levels():
    steps = np.array([400, 1600, 6400, 25600])
    meshes = [time_mesh(0.0, [1.0], 1.0 / n) for n in steps]
    state = jax.ShapeDtypeStruct((10**6,), np.float32)
    plans = [plan_unchecked(state, mesh, 1e6) for mesh in meshes]
    for depth, power in ((0, 1), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4)):
        assert [plan.recomputed_parts for plan in plans] == [depth] * len(steps)
        kept = [plan.states_kept for plan in plans]
        plans = [plan_unchecked(state, mesh, (plan.bytes - 1) / MIB) for mesh, plan in zip(meshes, plans, strict=True)]
        assert np.polyfit(np.log(steps), np.log(kept), 1)[0] == pytest.approx(power, abs=0.06)


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.quick(1)
def test_every_layout_gives_the_same_numbers(mesh):
    mesh = time_mesh(0.0, [0.02, 0.3, 0.31, 1.0], 1 / 60, events=[0.1, 0.3]) if mesh == "uneven saves" else time_mesh(0.0, [1.0], 1 / 60)

    class Halve(Jump):
        def apply(self, state, event):
            return state / 2

    stepper = STEPPERS["split"]

    def run(rate, budget):
        solution = simulate(stepper(rate), SEED, mesh, Halve(), lambda time, u: jnp.stack([time, u.sum()]), budget)
        return solution.states.sum() + (solution.observations[:, 1] ** 2).sum(), solution

    expected = None
    depths = set()
    for budget in (64.0, 0.3, 0.14, 0.13, 0.12):
        depths.add(plan_unchecked(SEED, mesh, budget, stepper(PARAMETER)).recomputed_parts)
        if not plan_unchecked(SEED, mesh, budget, stepper(PARAMETER)).fits:
            continue
        gradient, solution = quick_jit(jax.grad(lambda rate, budget=budget: run(rate, budget), has_aux=True))(PARAMETER)
        np.testing.assert_allclose(solution.observations[:, 0], mesh.times)
        found = (gradient, solution.states, solution.final, solution.observations)
        expected = found if expected is None else expected
        for new, old in zip(found, expected, strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-12)
    assert len(depths) >= 2


def test_a_budget_below_the_minimum_is_refused_with_the_minimum_only_where_reverse_mode_is_asked_for():
    mesh, stepper = MESHES["one save"], STEPPERS["split"](PARAMETER)
    with pytest.raises(ValueError, match=r"^got memory_mib 0.01 for .*; expected at least [0-9.]+; do: ") as caught:
        checkpoint_plan(SEED, mesh, 0.01, stepper)
    least = float(str(caught.value).split("at least ")[1].split(";")[0])
    assert checkpoint_plan(SEED, mesh, least, stepper).bytes <= least * MIB
    with pytest.raises(ValueError, match="expected at least"):
        checkpoint_plan(SEED, mesh, 0.99 * least, stepper)
    total = final("split", mesh, 0.01)
    assert jnp.isfinite(quick_jit(total)(PARAMETER, SEED))
    quick_jit(lambda rate: jax.jvp(lambda r: total(r, SEED), (rate,), (rate,)))(PARAMETER)
    jax.eval_shape(jax.vmap(lambda rate: total(rate, SEED)), jnp.ones(3))
    with pytest.raises(ValueError, match="expected at least"):
        jax.eval_shape(jax.grad(total), PARAMETER, SEED)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a positive number of MiB"):
            checkpoint_plan(SEED, mesh, bad)


def test_the_words_say_what_was_chosen():
    stepper = STEPPERS["split"](PARAMETER)
    every = checkpoint_plan(SEED, MESHES["one save"], 64.0, stepper).words
    assert every.startswith("the state of each of 2000 steps is kept, 1 forward pass recomputed, ") and every.endswith(" of 64 MiB")
    some = checkpoint_plan(SEED, MESHES["one save"], 0.7, stepper).words
    assert "states are kept for" in some and " x " in some and "2 forward passes recomputed" in some


def test_the_inside_of_a_step_counts_what_varies_once():
    """Faces and masks do not change from step to step and are not counted; a step that is linear keeps what faces need."""
    size = SEED.size * SEED.dtype.itemsize
    assert 2 * size <= reverse_bytes_of_a_step(STEPPERS["diffusion"](PARAMETER), SEED) <= 5 * size
    assert 5 * size <= reverse_bytes_of_a_step(STEPPERS["split"](PARAMETER), SEED) <= 12 * size


def test_the_first_bad_time_is_reported_for_each_member():
    """The exact solution of u' = u^2 ends at 1/u0: one member meets it, and its time is found to within eight steps."""

    class Square(RungeKuttaChebyshev2):
        def advance(self, state, time, length):
            return jnp.where(time >= 1 / state[0], jnp.inf, state)

    mesh = time_mesh(0.0, [0.5, 2.0], 0.01)
    starts = jnp.array([[0.1], [1.0], [0.2]])
    solution = quick_jit(jax.vmap(lambda u: simulate(Square(OPERATOR, 2), u, mesh)))(starts)
    assert solution.status.tolist() == [Status.SUCCESS, Status.NOT_FINITE, Status.SUCCESS]
    assert np.isinf(solution.first_bad_time[jnp.array([0, 2])]).all()
    assert 1.0 <= float(solution.first_bad_time[1]) <= 1.0 + 9 * 0.01
    np.testing.assert_array_equal(solution.final[jnp.array([0, 2])], starts[jnp.array([0, 2])])
