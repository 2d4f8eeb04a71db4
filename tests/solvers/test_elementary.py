"""Exponentials and logarithms by polynomials against those of NumPy in longer numbers; rows of a state taken apart; quotients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics.quotient import Quotient, divided
from solvers import rows_of, split_rows, stack_rows
from solvers.elementary import exp, expm1, log, reciprocal

TYPES = (np.float32, np.float64)
ARGUMENTS = np.concatenate([np.linspace(-85, 85, 20001), np.linspace(-1, 1, 20001), np.logspace(-12, 0, 500), -np.logspace(-12, 0, 500)])
POSITIVE = np.concatenate([np.exp(np.linspace(-80, 80, 20001)), np.linspace(0.5, 2, 20001)])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("ours", "exact", "given"), [(exp, np.exp, ARGUMENTS), (expm1, np.expm1, ARGUMENTS), (log, np.log, POSITIVE)])
def test_to_a_few_units_in_the_last_place(dtype, ours, exact, given):
    given = given.astype(dtype)
    expected = exact(given.astype(np.longdouble))
    found = np.asarray(jax.jit(ours)(jnp.asarray(given)))
    assert found.dtype == dtype
    some = expected != 0
    assert np.max(np.abs(found - expected)[some] / np.abs(expected)[some]) < 1.5 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", TYPES)
def test_at_the_ends(dtype):
    zero, large = jnp.zeros((), dtype), jnp.asarray(1e4, dtype)
    assert float(exp(zero)) == 1 and float(expm1(zero)) == 0 and float(log(jnp.ones((), dtype))) == 0
    assert np.isfinite(exp(large)) and float(exp(-large)) > 0 and float(expm1(-large)) == -1
    assert all(np.isnan(function(jnp.asarray(np.nan, dtype))) for function in (exp, expm1, log))
    assert float(exp(jnp.asarray(1.0, jnp.float16))) == pytest.approx(np.e, rel=1e-3)


@pytest.mark.parametrize(("ours", "library"), [(exp, jnp.exp), (expm1, jnp.expm1), (log, jnp.log), (reciprocal, lambda x: 1 / x)])
def test_derivatives_of_three_orders(ours, library):
    for x in map(jnp.asarray, (0.3, 1.0, 2.7)):
        for order in range(1, 4):
            found, expected = ours, library
            for _ in range(order):
                found, expected = jax.grad(found), jax.grad(expected)
            assert float(found(x)) == pytest.approx(float(expected(x)), rel=1e-14)


def test_other_platforms_take_the_librarys():
    text = export.export(jax.jit(exp), platforms=("cuda",))(jnp.ones(4)).mlir_module()
    assert "exponential" in text and "bitcast_convert" not in text


def test_rows_taken_apart_and_their_reverse():
    stacked = jnp.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(stack_rows(rows_of(stacked)), stacked)
    head, tail = split_rows(stacked, [1, 3])
    np.testing.assert_array_equal(head, stacked[:1])
    np.testing.assert_array_equal(tail, stacked[1:])

    def seen(stacked):
        first, _, third, _ = rows_of(stacked)
        return jnp.sum(first * third**2)

    expected = jax.grad(lambda s: jnp.sum(s[0] * s[2] ** 2))(stacked)
    np.testing.assert_array_equal(jax.grad(seen)(stacked), expected)
    many = jnp.stack([stacked, 2 * stacked], axis=-1)
    np.testing.assert_allclose(jax.vmap(jax.grad(seen), -1, -1)(many)[..., 0], expected)
    with pytest.raises(ValueError, match=r"parts of \[1, 2\] rows for 4; expected their sum"):
        split_rows(stacked, [1, 2])


def test_quotients_add_multiply_and_are_divided_in_pairs():
    x = jnp.asarray([0.5, 1.5, 4.0])
    a, b = Quotient(x, 1 + x), Quotient(2.0, 3 + x**2)
    np.testing.assert_allclose((a + b).value, x / (1 + x) + 2 / (3 + x**2), rtol=1e-15)
    np.testing.assert_allclose((3 * a * b + x).value, 6 * x / (1 + x) / (3 + x**2) + x, rtol=1e-15)
    for found, each in zip(divided([a, b, b.inverse]), (a, b, b.inverse), strict=True):
        np.testing.assert_allclose(found, each.over / each.under, rtol=1e-15)
