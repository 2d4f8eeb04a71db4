"""The discrete adjoint over recorded steps is the derivative of the numbers computed, in every structure and for every input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from solvers.stiff.linear_structure import Dense
from solvers.stiff.linear_structure_block import BlockDiagonal, Tridiagonal
from solvers.stiff.linear_structure_sparse import Coloured, banded
from solvers.stiff.rosenbrock import RODAS3, RODAS4, RODAS5P
from solvers.stiff.rosenbrock_integrate import integrate_stiff
from tests import stiff_problems as known
from tests.problems import noise, number, quick_jit

METHODS = {method.name: method for method in (RODAS3, RODAS4, RODAS5P)}
RATES = jnp.asarray(known.ROBERTSON_RATES)
START = jnp.asarray(known.ROBERTSON_START)


def against_differences(function, inputs, size=1e-5, relative=1e-6):
    """Reverse mode against central differences along two random directions."""
    flat, unravel = ravel_pytree(inputs)
    value = quick_jit(lambda flat: function(unravel(flat)))
    gradient = quick_jit(jax.grad(lambda flat: function(unravel(flat))))(flat)
    assert np.isfinite(gradient).all()
    for seed in (1, 2):
        direction = noise(flat.shape, seed, 0.5, 1.0) * flat
        difference = (value(flat + size * direction) - value(flat - size * direction)) / (2 * size)
        assert float(gradient @ direction) == pytest.approx(float(difference), rel=relative)


def chain_of(components, cells):
    """A nonlinear chain with a given number of components, all spreading."""

    def field(time, state, p):
        padded = jnp.pad(state, ((0, 0), (1, 1)), mode="edge")
        spread = p["spread"] * (padded[:, 2:] - 2 * state + padded[:, :-2])
        return spread + jnp.roll(state, 1, axis=0) * p["rate"][None] - state**2 * (1 + 0.1 * jnp.sin(time))

    return field, noise((components, cells), 3, 0.5, 1.0), {"spread": number(4.0), "rate": noise((cells,), 4)}


def network():
    matrix, start = known.linear_network(24, reach=2)
    rows, columns = matrix.nonzero()

    def field(time, state, rates):
        del time
        return jnp.zeros_like(state).at[rows].add(rates * state[columns] * (1 + 0.1 * state[rows]))

    return field, jnp.asarray(start + 0.1), jnp.asarray(matrix[rows, columns]) * 0.01, Coloured(matrix != 0)


PROBLEMS = {
    "dense, three unknowns": lambda: (known.smooth, jnp.asarray([1.0, 0.9]), number(1.3), Dense()),
    "dense, eight unknowns": lambda: (
        lambda t, y, p: p * known.hires(t, y, None),
        jnp.asarray(known.HIRES_START) + 0.1,
        number(1.0),
        Dense(),
    ),
    "block diagonal": lambda: (
        lambda t, y, p: -p[None] * jnp.roll(y, 1, axis=0) * y - y,
        noise((4, 3), 5, 0.5, 1.0),
        noise((3,), 6),
        BlockDiagonal(),
    ),
    "cable": lambda: (*known.excitable_chain(6), Tridiagonal(1)),
    "chain of one": lambda: (*chain_of(1, 7), Tridiagonal()),
    "chain of three": lambda: (*chain_of(3, 5), Tridiagonal()),
    "banded": lambda: (
        lambda t, y, p: p * jnp.roll(y, 1).at[0].set(0) * y - 5 * y,
        noise((9,), 7, 0.5, 1.0),
        noise((9,), 8),
        banded(9, 1, 0),
    ),
    "network": network,
}


SLOW = ("dense, eight unknowns", "chain of three", "network")


@pytest.mark.parametrize("problem", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PROBLEMS])
@pytest.mark.quick(1)
def test_reverse_mode_through_every_structure(problem):
    field, start, parameters, structure = PROBLEMS[problem]()

    def loss(inputs):
        start, parameters = inputs
        solution = integrate_stiff(field, start, 0.0, 0.8, parameters, structure=structure, fixed_steps=5)
        return jnp.sum(jnp.sin(solution.final))

    against_differences(loss, (start, parameters))


@pytest.mark.parametrize("method", ["RODAS3", "RODAS4", pytest.param("RODAS5P", marks=pytest.mark.slow)])
@pytest.mark.quick(1)
def test_reverse_mode_through_every_method_and_the_continuous_extension(method):
    def loss(inputs):
        start, scale = inputs
        options = {"method": METHODS[method], "fixed_steps": 6, "save_at": jnp.array([0.0, 0.33, 0.9, 1.0])}
        return jnp.sum(jnp.sin(integrate_stiff(known.smooth, start, 0.0, 1.0, scale, **options).states))

    against_differences(loss, (jnp.asarray([1.0, 0.9]), number(1.3)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.quick(1)
def test_adaptive_gradients_of_robertson_with_every_default(method):
    """Steps change with the parameters; at a tight tolerance that is a small part of the derivative."""

    def end(logarithms, **options):
        rates = RATES * jnp.exp(logarithms)
        options = {"absolute_tolerance": 1e-13, "method": METHODS[method]} | options
        return integrate_stiff(known.robertson, START, 0.0, 4e2, rates, **options).final

    loose = quick_jit(jax.jacrev(end))(jnp.zeros(3))
    tight = quick_jit(lambda x: end(x, relative_tolerance=1e-9, method=RODAS5P))
    size = 1e-4
    differences = np.stack([(tight(size * row) - tight(-size * row)) / (2 * size) for row in jnp.eye(3)], axis=1)
    assert np.isfinite(loose).all()
    np.testing.assert_allclose(loose, differences, rtol=2e-4, atol=1e-12)


def decay(time, state, rate):
    return -rate * state * (1 + 0.5 * jnp.sin(time))


def decay_exact(state, start, stop, rate):
    return state * jnp.exp(-rate * (stop - start + 0.5 * (jnp.cos(start) - jnp.cos(stop))))


@pytest.mark.parametrize("derivative", ["reverse", "forward"])
def test_both_modes_agree_with_the_closed_form_for_state_times_and_parameters(derivative):
    def end(inputs):
        state, start, stop, rate = inputs
        return integrate_stiff(decay, state, start, stop, rate, derivative=derivative, relative_tolerance=1e-8).final[0]

    inputs = (jnp.asarray([1.2]), number(0.2), number(1.7), number(0.8))
    jacobian = jax.jacrev if derivative == "reverse" else jax.jacfwd
    ours = quick_jit(jacobian(end))(inputs)
    exact = jax.grad(lambda i: decay_exact(*i)[0])(inputs)
    np.testing.assert_allclose(ravel_pytree(ours)[0], ravel_pytree(exact)[0], rtol=2e-6)


@pytest.mark.parametrize("derivative", ["reverse", "forward"])
@pytest.mark.slow
def test_time_and_state_of_an_event_have_their_implicit_derivatives(derivative):
    """y' = -r y from y0 reaches the level c at log(y0/c)/r, where a clock beside it shows the time."""

    def reached(inputs):
        start, rate, level = inputs
        state = jnp.stack([start, jnp.zeros(())])
        solution = integrate_stiff(
            lambda t, y, p: jnp.stack([-p[0] * y[0], jnp.ones(())]),
            state,
            0.0,
            10.0,
            (rate, level),
            event=lambda t, y, p: y[0] - p[1],
            save_at=jnp.array([0.5, 9.0]),
            derivative=derivative,
            relative_tolerance=1e-9,
        )
        return jnp.stack([solution.final_time, solution.final[1], solution.final[0], solution.states[1, 0], solution.states[0, 0]])

    def exact(inputs):
        start, rate, level = inputs
        time = jnp.log(start / level) / rate
        return jnp.stack([time, time, level, level, start * jnp.exp(-0.5 * rate)])

    inputs = (number(2.0), number(0.7), number(0.5))
    np.testing.assert_allclose(quick_jit(reached)(inputs), exact(inputs), rtol=1e-7)
    jacobian = jax.jacrev if derivative == "reverse" else jax.jacfwd
    for ours, theirs in zip(quick_jit(jacobian(reached))(inputs), jax.jacrev(exact)(inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_batch_has_the_gradients_of_its_members_in_either_nesting():
    factors = jnp.asarray([0.5, 1.0, 3.0])

    def end(factor):
        return integrate_stiff(known.robertson, START, 0.0, 40.0, factor * RATES, absolute_tolerance=1e-12, max_steps=256).final[1]

    alone = np.array([quick_jit(jax.grad(end))(factor) for factor in factors])
    inside = quick_jit(jax.vmap(jax.grad(end)))(factors)
    outside = quick_jit(jax.grad(lambda factors: jax.vmap(end)(factors).sum()))(factors)
    np.testing.assert_allclose(inside, alone, rtol=1e-10)
    np.testing.assert_allclose(outside, alone, rtol=1e-10)


def test_a_gradient_reaches_what_the_field_closes_over():
    def end(rate):
        return integrate_stiff(lambda t, y, _: -rate * y, jnp.ones(1), 0.0, 1.0, relative_tolerance=1e-8).final[0]

    assert float(jax.grad(end)(number(0.6))) == pytest.approx(-np.exp(-0.6), rel=1e-6)
