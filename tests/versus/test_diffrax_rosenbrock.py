"""The methods inside Diffrax, and Diffrax's own implicit method, agree with ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.stiff.rosenbrock import RODAS3, RODAS4, RODAS5P
from solvers.stiff.rosenbrock_integrate import integrate_stiff
from tests import stiff_problems as known
from tests.problems import quick_jit

diffrax = pytest.importorskip("diffrax")

TIMES = jnp.array([0.4, 40.0, 4e4])
RATES = jnp.asarray(known.ROBERTSON_RATES)
START = jnp.asarray(known.ROBERTSON_START)


def through_diffrax(solver, rates, start=START, field=known.robertson):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        solver,
        0.0,
        4e4,
        1e-5,
        start,
        rates,
        saveat=diffrax.SaveAt(ts=TIMES),
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-11),
        max_steps=2048,
    ).ys


@pytest.mark.parametrize("method", [RODAS3, RODAS4, RODAS5P], ids=lambda method: method.name)
@pytest.mark.slow
def test_robertson_through_diffrax_with_our_method(method):
    from solvers.stiff.diffrax_rosenbrock import RosenbrockSolver

    states = quick_jit(lambda rates: through_diffrax(RosenbrockSolver(method), rates))(RATES)
    ours = integrate_stiff(known.robertson, START, 0.0, 4e4, RATES, save_at=TIMES, absolute_tolerance=1e-12).states
    np.testing.assert_allclose(states[-1], known.ROBERTSON_4E4, rtol=2e-5)
    np.testing.assert_allclose(states, ours, rtol=5e-5)


@pytest.mark.slow
def test_gradients_through_diffrax_and_a_state_of_several_leaves():
    from solvers.stiff.diffrax_rosenbrock import RosenbrockSolver

    def field(time, state, rates):
        rates = known.robertson(time, jnp.append(state["slow"], state["fast"])[jnp.array([0, 2, 1])], rates)
        return {"slow": rates[jnp.array([0, 2])], "fast": rates[1]}

    def end(logarithms, solve):
        return solve(RATES * jnp.exp(logarithms))

    start = {"slow": START[jnp.array([0, 2])], "fast": START[1]}
    theirs = quick_jit(jax.jacrev(lambda x: end(x, lambda r: through_diffrax(RosenbrockSolver(), r, start, field)["slow"][-1, 0])))
    ours = quick_jit(jax.grad(lambda x: end(x, lambda r: integrate_stiff(known.robertson, START, 0.0, 4e4, r).final[0])))
    np.testing.assert_allclose(theirs(jnp.zeros(3)), ours(jnp.zeros(3)), rtol=1e-4)


@pytest.mark.slow
def test_diffrax_own_method_ends_where_ours_does():
    states = quick_jit(lambda rates: through_diffrax(diffrax.Kvaerno5(), rates))(RATES)
    np.testing.assert_allclose(states[-1], known.ROBERTSON_4E4, rtol=1e-4)


@pytest.mark.parametrize("start", [jnp.ones(2), (jnp.ones(2), jnp.ones(()))], ids=["array", "tuple"])
def test_the_rise_over_a_part_of_a_step(start):
    from solvers import RosenbrockSolver

    solver, term = RosenbrockSolver(), diffrax.ODETerm(lambda t, y, p: jax.tree.map(jnp.negative, y))
    after, _, dense, _, _ = solver.step(term, 0.0, 0.1, start, None, None, False)
    extension = solver.interpolation_cls(t0=jnp.asarray(0.0), t1=jnp.asarray(0.1), **dense)
    assert jax.tree.structure(after) == jax.tree.structure(start)
    for rise in jax.tree.leaves(extension.evaluate(0.02, 0.07)):
        np.testing.assert_allclose(rise, np.exp(-0.07) - np.exp(-0.02), rtol=1e-4)


@pytest.mark.parametrize(("power", "fine"), [(1.0, True), (2.0, False)])
def test_given_steps_that_end_in_a_nan_are_no_success(power, fine):
    from solvers import RosenbrockSolver

    term = diffrax.ODETerm(lambda t, y, p: jnp.exp(p * y) - 1)  # blows up at t = 0.46 for p = 2, with y = 1 at the start
    solution = diffrax.diffeqsolve(
        term,
        RosenbrockSolver(),
        0.0,
        0.2 if fine else 8.0,
        0.1,
        jnp.ones(1),
        power,
        stepsize_controller=diffrax.ConstantStepSize(),
        throw=False,
    )
    assert bool(solution.result == diffrax.RESULTS.successful) == fine == bool(np.isfinite(solution.ys).all())
