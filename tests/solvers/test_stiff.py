"""Stiff integration as a user meets it: statuses, batches, precisions, events, output times and bad input."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from solvers.status import SimulationError, Status
from solvers.stiff.linear_structure import Dense, pattern_error
from solvers.stiff.linear_structure_block import BlockDiagonal, Tridiagonal
from solvers.stiff.linear_structure_sparse import Coloured, banded
from solvers.stiff.rosenbrock import RODAS3, RODAS4, RODAS5P
from solvers.stiff.rosenbrock_integrate import integrate_stiff
from tests import stiff_problems as known
from tests.problems import noise, number, quick_jit

START = jnp.asarray(known.ROBERTSON_START)
RATES = jnp.asarray(known.ROBERTSON_RATES)


def growth(time, state, power):
    """y' = y^p: blows up at t = 1 for p = 2, the exponential for p = 1."""
    del time
    return state**power


@pytest.fixture(scope="module")
def mixed_batch():
    powers = jnp.array([1.0, 2.0, 1.0, jnp.nan])
    run = quick_jit(jax.vmap(lambda power: integrate_stiff(growth, jnp.ones(2), 0.0, 2.0, power, save_at=jnp.array([0.5, 2.0]))))
    return run(powers)


def test_members_that_blow_up_or_are_no_numbers_harm_no_other(mixed_batch):
    np.testing.assert_array_equal(mixed_batch.status == Status.SUCCESS, [True, False, True, False])
    assert int(mixed_batch.status[3]) == Status.NOT_FINITE
    assert int(mixed_batch.status[1]) in (Status.NOT_FINITE, Status.STEP_TOO_SMALL, Status.STEP_LIMIT)
    np.testing.assert_allclose(mixed_batch.final[::2], np.exp(2.0), rtol=1e-5)
    np.testing.assert_allclose(mixed_batch.states[::2, 0], np.exp(0.5), rtol=1e-5)
    assert np.isfinite(mixed_batch.final).all()
    assert float(mixed_batch.final_time[1]) == pytest.approx(1, abs=1e-3)
    with pytest.raises(SimulationError, match="2 of 4 members failed, the first is 1"):
        mixed_batch.raise_for_status()


def test_a_failing_member_leaves_the_gradient_of_the_others_alone():
    powers = jnp.array([1.0, 2.0, 1.0])

    def loss(rate):
        def end(power):
            return integrate_stiff(lambda t, y, p: rate * growth(t, y, p), jnp.ones(1), 0.0, 2.0, power, max_steps=512)

        solutions = jax.vmap(end)(powers)
        return jnp.where(solutions.status == Status.SUCCESS, solutions.final[:, 0], 0).sum()

    assert float(quick_jit(jax.grad(loss))(number(1.0))) == pytest.approx(2 * 2 * np.exp(2.0), rel=1e-4)


def test_members_have_their_own_steps():
    factors = jnp.array([1e-6, 1.0])

    def run(factor):
        return integrate_stiff(known.robertson, START, 0.0, 4e2, factor * RATES, absolute_tolerance=1e-12)

    both = quick_jit(jax.vmap(run))(factors)
    for index, factor in enumerate(factors):
        alone = quick_jit(run)(factor)
        assert int(both.accepted[index]) == int(alone.accepted)
        np.testing.assert_allclose(both.final[index], alone.final, rtol=1e-12)
    assert int(both.accepted[0]) < int(both.accepted[1]) / 4


def test_the_step_limit_is_a_status_and_keeps_what_was_reached():
    solution = integrate_stiff(known.robertson, START, 0.0, 4e4, RATES, max_steps=20)
    assert int(solution.status) == Status.STEP_LIMIT
    assert 0 < float(solution.final_time) < 4e4
    assert float(solution.final.sum()) == pytest.approx(1)
    with pytest.raises(SimulationError, match="do: allow more steps"):
        solution.raise_for_status()


@pytest.mark.parametrize("method", [RODAS3, RODAS4, RODAS5P], ids=lambda method: method.name)
def test_single_precision_stays_single_and_is_as_good_as_asked(method):
    with jax.enable_x64(False):
        solution = quick_jit(
            lambda start, rates: integrate_stiff(
                known.robertson, start, 0.0, 4e2, rates, method=method, relative_tolerance=1e-4, absolute_tolerance=1e-9
            )
        )(jnp.asarray(START, jnp.float32), jnp.asarray(RATES, jnp.float32))
    assert solution.final.dtype == solution.final_time.dtype == jnp.float32
    reference = integrate_stiff(known.robertson, START, 0.0, 4e2, RATES, absolute_tolerance=1e-12)
    np.testing.assert_allclose(solution.final, reference.final, rtol=2e-3)


def test_the_type_of_the_state_decides_where_double_is_on():
    solution = integrate_stiff(lambda t, y, p: -p * y, jnp.ones(2, jnp.float32), 0.0, 1.0, jnp.float32(2.0))
    assert solution.final.dtype == jnp.float32


@pytest.mark.slow
def test_output_at_any_times_in_any_order_and_beyond_an_event():
    times = jnp.array([3.0, 0.0, 0.4, 1.0, 0.4])
    solution = integrate_stiff(
        lambda t, y, p: -y, jnp.ones((2, 3)), 0.0, 3.0, save_at=times, event=lambda t, y, p: y[0, 0] - 0.2, relative_tolerance=1e-8
    )
    stop = np.log(5.0)
    assert bool(solution.event)
    assert float(solution.final_time) == pytest.approx(stop, rel=1e-7)
    expected = np.exp(-np.minimum(np.asarray(times), stop))
    np.testing.assert_allclose(solution.states, np.broadcast_to(expected[:, None, None], (5, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(solution.final, 0.2, rtol=1e-7)


@pytest.mark.slow
def test_an_event_that_does_not_happen_changes_nothing():
    plain, watched = (
        integrate_stiff(known.robertson, START, 0.0, 4e2, RATES, absolute_tolerance=1e-12, event=event)
        for event in (None, lambda t, y, p: y[0] + 1)
    )
    assert not bool(watched.event)
    np.testing.assert_allclose(plain.final, watched.final, rtol=1e-12)
    assert float(watched.final_time) == 4e2


def test_events_in_a_batch_end_each_member_at_its_own_time():
    rates = jnp.array([0.5, 1.0, 2.0, 0.0])
    event = lambda t, y, p: y[0] - 0.5  # noqa: E731
    run = jax.vmap(lambda rate: integrate_stiff(lambda t, y, p: -p * y, jnp.ones(1), 0.0, 5.0, rate, event=event, relative_tolerance=1e-8))
    solution = quick_jit(run)(rates)
    np.testing.assert_array_equal(solution.event, [True, True, True, False])
    np.testing.assert_allclose(solution.final_time, [2 * np.log(2), np.log(2), np.log(2) / 2, 5.0], rtol=1e-7)


STRUCTURES = {
    "dense": (Dense(), (3, 4)),
    "block diagonal": (BlockDiagonal(), (3, 4)),
    "chain": (Tridiagonal(), (2, 5)),
    "chain with local components": (Tridiagonal(1), (3, 5)),
    "line": (Tridiagonal(), (9,)),
    "banded": (banded(9, 2, 1), (9,)),
    "narrow": (banded(9, 1, 1), (9,)),
}


def pattern_of(structure, shape):
    """A nonlinear function with every coupling that the structure allows, and no other."""
    if isinstance(structure, Dense):
        weights = noise((12, 12), 1)
        return lambda y: jnp.sin(weights @ y.reshape(-1)).reshape(shape)
    if isinstance(structure, Coloured):
        offset = np.arange(9)[None] - np.arange(9)[:, None]
        weights = noise((9, 9), 1) * ((offset >= -structure.band if structure.band == 1 else offset >= -2) & (offset <= 1))
        return lambda y: jnp.sin(weights @ y)
    components, cells = shape if len(shape) == 2 else (1, shape[0])
    weights = noise((3, components, components, cells), 1)
    moving = 0 if isinstance(structure, BlockDiagonal) else structure.spreading or components

    def function(y):
        field = y.reshape(components, cells)
        seen = jnp.where((np.arange(components) < moving)[:, None], field, 0)
        left, right = (jnp.pad(seen, ((0, 0), pair))[:, cut] for pair, cut in (((1, 0), slice(None, -1)), ((0, 1), slice(1, None))))
        sides = (weights[0] * left[None]).sum(1) + (weights[2] * right[None]).sum(1)
        sides = jnp.where((np.arange(components) < moving)[:, None], sides, 0)
        return jnp.sin((weights[1] * field[None]).sum(1) + sides).reshape(shape)

    return function


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.quick(2)
def test_a_structure_holds_its_jacobian_and_solves_with_it_and_its_transpose(name):
    structure, shape = STRUCTURES[name]
    structure.check(shape)
    function, state, right = pattern_of(structure, shape), noise(shape, 2), noise(shape, 3)

    @quick_jit
    def results(state, right):
        factors = structure.factor(structure.linearise(function, state)[1], number(7.0))
        solved, backwards = structure.solve(factors, right), structure.solve_transposed(factors, right)
        return solved, backwards, jax.jacfwd(function)(state), pattern_error(structure, function, state, right)

    solved, backwards, jacobian, error = results(state, right)
    assert float(error) < 1e-14
    matrix = 7.0 * np.eye(state.size) - np.asarray(jacobian).reshape(state.size, state.size)
    np.testing.assert_allclose(matrix @ np.ravel(solved), np.ravel(right), rtol=1e-12)
    np.testing.assert_allclose(matrix.T @ np.ravel(backwards), np.ravel(right), rtol=1e-12)


def test_the_pattern_error_shows_a_coupling_that_was_left_out():
    assert float(pattern_error(Tridiagonal(), lambda y: jnp.roll(y, 2) + y, noise((9,)), noise((9,), 1))) > 0.1
    assert float(pattern_error(BlockDiagonal(), lambda y: jnp.roll(y, 1, axis=1), noise((2, 4)), noise((2, 4), 1))) > 0.1


def test_a_pattern_that_merges_columns_does_not_hide_behind_a_direction_of_ones():
    diagonal = Coloured(np.eye(3))  # all columns have one colour, and ones along the rows add up to the same
    robertson = lambda y: known.robertson(0.0, y, RATES)  # noqa: E731
    assert float(pattern_error(diagonal, robertson, START + 0.1)) > 0.1
    assert float(pattern_error(Dense(), robertson, START + 0.1)) < 1e-14
    with pytest.raises(ValueError, match=r"^got a direction of equal entries; expected .*; do: "):
        pattern_error(diagonal, robertson, START + 0.1, jnp.ones(3))


def decay(time, state, args):
    return -state


def test_an_event_whose_function_becomes_nan_is_found_before_it_does():
    root = lambda t, y, p: jnp.sqrt(y[0]) - p  # noqa: E731

    def run(level):
        return integrate_stiff(lambda t, y, p: -jnp.ones_like(y), jnp.ones(1), 0.0, 2.0, level, event=root)

    found = quick_jit(jax.vmap(run))(jnp.array([0.1, 0.5, -0.1, jnp.nan]))
    np.testing.assert_array_equal(found.status, [0, 0, Status.EVENT_NOT_FINITE, Status.EVENT_NOT_FINITE])
    np.testing.assert_array_equal(found.event, [True, True, False, False])
    np.testing.assert_allclose(found.final_time, [0.99, 0.75, 1.0, 0.0], rtol=1e-9)
    np.testing.assert_allclose(found.final[:, 0], [0.01, 0.25, 0.0, 1.0], atol=1e-9)
    slope = quick_jit(jax.grad(lambda level: run(level).final_time))(number(0.1))
    assert float(slope) == pytest.approx(-0.2, rel=1e-9)
    with pytest.raises(SimulationError, match="the event's function became NaN"):
        found.raise_for_status()


def test_traced_arguments_out_of_their_range_are_a_status():
    def status(stop=1.0, tolerance=1e-6, absolute=1e-9, times=(0.5, 0.2), first=0.1):
        return integrate_stiff(
            decay,
            jnp.ones(1),
            0.0,
            stop,
            relative_tolerance=tolerance,
            absolute_tolerance=absolute,
            save_at=times,
            first_step=first,
        ).status

    run = quick_jit(status)
    good = {name: number(value) for name, value in (("stop", 1.0), ("tolerance", 1e-6), ("absolute", 1e-9), ("first", 0.1))}
    good["times"] = jnp.array([0.5, 0.2])
    bad = [("stop", -1.0), ("stop", np.nan), ("tolerance", -1e-6), ("absolute", np.nan), ("first", 0.0), ("first", np.nan)]
    changes = [{name: number(value)} for name, value in bad] + [{"times": jnp.array(pair)} for pair in ((0.5, 1.5), (np.nan, 0.5))]
    assert int(run(**good)) == Status.SUCCESS
    for change in changes:
        assert int(run(**good | change)) == Status.OUT_OF_RANGE, change


def test_a_network_with_a_hub_falls_back_to_the_dense_matrix():
    pattern = np.eye(90, dtype=bool)
    pattern[0, :] = pattern[:, 0] = True
    assert Coloured(pattern).dense
    ring = np.eye(30, dtype=bool) | np.eye(30, k=1, dtype=bool) | np.eye(30, k=-29, dtype=bool)
    assert (Coloured(ring).band, Coloured(ring).dense) == (2, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": jnp.ones(3, int)}, "expected real numbers"),
        ({"state": jnp.ones(0)}, "expected real numbers"),
        ({"stop": 0.0}, "integrate forwards"),
        ({"stop": np.inf}, "finite span"),
        ({"relative_tolerance": 0.0}, "relative_tolerance"),
        ({"absolute_tolerance": -1e-9}, "absolute_tolerance"),
        ({"max_steps": 0}, "max_steps"),
        ({"structure": BlockDiagonal()}, "components, cells"),
        ({"structure": Tridiagonal(2)}, "spreading"),
        ({"structure": banded(4, 1, 1)}, "flatten"),
        ({"save_at": jnp.ones((2, 2))}, "one axis"),
        ({"first_step": -1.0}, "got first_step -1.0"),
        ({"first_step": 0.0}, "got first_step 0.0"),
        ({"first_step": np.nan}, "got first_step nan"),
    ],
)
def test_bad_input_is_refused_with_what_was_got_expected_and_to_do(change, words):
    options = {"state": jnp.ones(3), "start": 0.0, "stop": 1.0} | change
    with pytest.raises(ValueError, match=words) as error:
        integrate_stiff(lambda t, y, p: -y, **options)
    assert all(part in str(error.value) for part in ("got ", "expected ", "do: "))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Tridiagonal(0), "BlockDiagonal"),
        (lambda: Coloured(np.ones((2, 3))), "square"),
        (lambda: banded(3, -1, 0), "below zero"),
    ],
)
def test_impossible_structures_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"structure": Dense}, r"do: method=RODAS4, structure=Dense\(\)"),
        ({"method": "RODAS4"}, "got method 'RODAS4'"),
        ({"state": None}, "got a NoneType as state"),
    ],
)
def test_what_is_of_another_kind_is_refused(change, words):
    jaxtyping.config.update("jaxtyping_disable", True)  # its checks would be first
    try:
        with pytest.raises(ValueError, match=words) as error:
            integrate_stiff(decay, **{"state": jnp.ones(3), "start": 0.0, "stop": 1.0} | change)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert "\n" not in str(error.value)
