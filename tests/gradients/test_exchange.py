"""The rules of differentiation that the exchange tells JAX, against the ones that JAX derives for the plain sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Diffusion, VoxelGrid, exchange
from solvers.space.exchange import _exchange_plain
from tests.problems import OPERATORS, make_operator, noise, slitted_mask

MASK = slitted_mask((4, 5, 3))
STRIDES = (15, 3, 1)
FACES = Diffusion(VoxelGrid(MASK, 1.0), noise(MASK.shape)).faces
FIELD = noise((60,), 1)


def ours(faces, field):
    return exchange(STRIDES, faces, field)


def plain(faces, field):
    return _exchange_plain(*faces, field, strides=STRIDES)


def tangents(seed):
    return tuple(noise(face.shape, seed + axis) for axis, face in enumerate(FACES)), noise((60,), seed + 3)


def agree(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_value_and_forward_mode():
    agree(jax.jvp(ours, (FACES, FIELD), tangents(5)), jax.jvp(plain, (FACES, FIELD), tangents(5)))


def test_forward_mode_with_one_face_moving():
    def value(f, face):
        return f((FACES[0], face, FACES[2]), FIELD)

    moved = tangents(5)[0][1]
    agree(jax.jvp(lambda face: value(ours, face), (FACES[1],), (moved,)), jax.jvp(lambda face: value(plain, face), (FACES[1],), (moved,)))
    agree(jax.vjp(lambda face: value(ours, face), FACES[1])[1](FIELD), jax.vjp(lambda face: value(plain, face), FACES[1])[1](FIELD))


def test_reverse_mode():
    weight = noise((60,), 9)
    agree(jax.vjp(ours, FACES, FIELD)[1](weight), jax.vjp(plain, FACES, FIELD)[1](weight))


@pytest.mark.slow
def test_second_derivatives():
    def energy(f):
        return lambda faces, field: jnp.sum(f(faces, field) ** 3)

    for outer, inner in ((jax.jvp, jax.grad),):
        found = outer(inner(energy(ours), argnums=(0, 1)), (FACES, FIELD), tangents(2))
        expected = outer(inner(energy(plain), argnums=(0, 1)), (FACES, FIELD), tangents(2))
        agree(found, expected)
    found, expected = (jax.grad(lambda u, f=f: jnp.vdot(jax.grad(lambda v: energy(f)(FACES, v))(u), FIELD))(FIELD) for f in (ours, plain))
    agree(found, expected)


@pytest.mark.parametrize("batched", [(None, 0), (0, None), (0, 0), (None, 1)])
@pytest.mark.slow
def test_batches(batched):
    faces = jax.tree.map(lambda face: jnp.stack([face, 2 * face, face**2]), FACES) if batched[0] == 0 else FACES
    field = {None: FIELD, 0: noise((3, 60), 4), 1: noise((60, 3), 4)}[batched[1]]
    agree(jax.vmap(ours, batched)(faces, field), jax.vmap(plain, batched)(faces, field))

    def slope(f):
        return jax.vmap(jax.grad(lambda faces, field: jnp.sum(f(faces, field) ** 2), argnums=(0, 1)), batched)

    agree(slope(ours)(faces, field), slope(plain)(faces, field))

    def total(f):
        return jax.grad(lambda faces, field: jnp.sum(jax.vmap(f, batched)(faces, field) ** 2), argnums=(0, 1))

    agree(total(ours)(faces, field), total(plain)(faces, field))


@pytest.mark.parametrize("kind", OPERATORS)
def test_leading_batch_axes_of_a_field(kind):
    operator = make_operator(kind, VoxelGrid(MASK, (1.0, 2.0, 0.5)))
    fields = noise((2, 3, 60), 4)
    expected = np.stack([[operator.apply(field) for field in row] for row in fields])
    np.testing.assert_allclose(operator.apply(fields), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", OPERATORS)
def test_reverse_mode_of_an_operator_is_consistent_with_forward_mode(kind):
    operator = make_operator(kind, VoxelGrid(MASK, (1.0, 2.0, 0.5)))
    value, tangent, cotangent = noise((60,), 1), noise((60,), 2), noise((60,), 3)
    moved = jax.tree.map(lambda leaf: leaf * noise(leaf.shape, 6) if leaf.ndim else leaf, operator)

    def apply(operator, field):
        return operator.apply(field)

    _, along = jax.jvp(apply, (operator, value), (moved, tangent))
    to_operator, to_field = jax.vjp(apply, operator, value)[1](cotangent)
    pairs = zip(jax.tree.leaves(to_operator), jax.tree.leaves(moved), strict=True)
    backward = sum(jnp.vdot(a, b) for a, b in pairs) + jnp.vdot(to_field, tangent)
    assert float(jnp.vdot(along, cotangent)) == pytest.approx(float(backward), rel=1e-12)
