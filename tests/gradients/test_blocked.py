"""Steps that pass through memory together against single steps: values, both modes, second derivatives, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers import Diffusion, TensorDiffusion, VoxelGrid, exchange, simulate, time_mesh
from solvers.space.edge_diffusion import EdgeDiffusion
from solvers.steppers.blocked_diffusion import BlockedDiffusion, diffuse
from solvers.steppers.blocked_march import march
from tests.problems import as_type, make_operator, matrix, noise, quick_jit, random_tensor, slitted_mask

MASK = slitted_mask((7, 6, 5))
GRID = VoxelGrid(MASK, (1.0, 1.5, 0.8))
FIELD = GRID.cells(noise(MASK.shape, 1))
WEIGHT = noise((GRID.size,), 2)


def operator_of(kind, seed=0):
    if kind == "loss":
        return Diffusion(GRID, noise(MASK.shape, seed), 0.7, loss=noise((GRID.size,), seed + 1))
    return make_operator(kind, GRID, seed)


def operands(kind):
    edges = EdgeDiffusion.of(operator_of(kind))
    strides, faces = edges.strides, edges.faces
    if edges.loss is not None:
        strides, faces = (*strides, 0), (*faces, edges.loss)
    return strides, faces, 0.9 / edges.spectral_bound()


def single(strides, faces, factor, field, steps):
    between = [(s, f) for s, f in zip(strides, faces, strict=True) if s]
    for _ in range(steps):
        change = exchange(tuple(s for s, _ in between), tuple(f for _, f in between), field)
        for stride, face in zip(strides, faces, strict=True):
            change = change if stride else change - face * field
        field = field + factor * change
    return field


def agree(found, expected, tolerance=1e-13):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(jnp.abs(b).max())))


@pytest.mark.parametrize("kind", ["order 2", "tensor"])
@pytest.mark.quick(1)
def test_edges_are_the_operator(kind):
    operator = make_operator(kind, GRID)
    edges = EdgeDiffusion.of(operator)
    found = matrix(edges, GRID.size)
    np.testing.assert_allclose(found, matrix(operator, GRID.size), rtol=0, atol=1e-13 * np.abs(found).max())
    np.testing.assert_allclose(edges.diagonal(), np.diag(found), rtol=0, atol=1e-12)
    assert float(edges.spectral_bound()) >= np.abs(np.linalg.eigvalsh(found)).max()


@pytest.mark.parametrize("shape", [(5, 4, 1), (5, 1, 4), (1, 5, 4), (3, 2, 2), (6, 1, 1)])
@pytest.mark.quick(1)
def test_edges_of_thin_grids(shape):
    grid = VoxelGrid(np.ones(shape, bool), 1.0)
    operator = TensorDiffusion(grid, random_tensor(shape))
    np.testing.assert_allclose(matrix(EdgeDiffusion.of(operator), grid.size), matrix(operator, grid.size), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "steps", "depth"), [("order 2", 1, None), ("order 2", 7, 2), ("orthotropic", 5, None), ("tensor", 4, 2), ("loss", 3, 3)]
)
def test_values_and_both_modes(kind, steps, depth):
    strides, faces, factor = operands(kind)

    def ours(faces, factor, field):
        return march(strides, faces, factor, field, steps, depth)

    def plain(faces, factor, field):
        return single(strides, faces, factor, field, steps)

    primals = (faces, factor, FIELD)
    moved = (tuple(noise(face.shape, 5 + n) for n, face in enumerate(faces)), jnp.asarray(0.1), noise(FIELD.shape, 4))
    inside = tuple(jnp.arange(face.shape[0]) < GRID.size for face in faces)  # behind the last cell there is nothing to exchange with
    moved = (tuple(jnp.where(i, m, 0) for i, m in zip(inside, moved[0], strict=True)), *moved[1:])
    agree(*(quick_jit(f)(*primals) for f in (ours, plain)))
    agree(*(quick_jit(lambda *at, f=f: jax.jvp(f, at, moved)[1])(*primals) for f in (ours, plain)))
    found, expected = (quick_jit(lambda w, f=f: jax.vjp(f, *primals)[1](w))(WEIGHT) for f in (ours, plain))
    keep = [jnp.where(i, part, 0) for i, part in zip(inside, found[0], strict=True)]
    agree((keep, *found[1:]), ([jnp.where(i, part, 0) for i, part in zip(inside, expected[0], strict=True)], *expected[1:]))


@pytest.mark.parametrize("kind", ["tensor", "loss"])
@pytest.mark.quick(1)
def test_gradient_of_the_coefficients_against_central_differences(kind):
    length = 4.0 / operator_of(kind).spectral_bound()

    def value(amplitude):
        operator = jax.tree.map(lambda leaf: leaf * (1 + amplitude * jnp.linspace(-1, 1, leaf.size).reshape(leaf.shape)), operator_of(kind))
        return jnp.vdot(diffuse(operator, FIELD, length, 5, 2), WEIGHT)

    size, run = 1e-4, quick_jit(value)
    difference = (run(size) - run(-size)) / (2 * size)
    assert float(quick_jit(jax.grad(value))(0.0)) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.slow
def test_second_derivatives():
    strides, faces, factor = operands("order 2")
    direction = tuple(jnp.where(face > 0, noise(face.shape, 7), 0) for face in faces)  # walls stay walls

    def energy(f):
        def total(faces, factor, field):
            return jnp.sum(f(faces, factor, field) ** 3)

        def along(faces, factor, field):
            to_faces, to_factor, to_field = jax.grad(total, (0, 1, 2))(faces, factor, field)
            slope = sum(jnp.vdot(a, b) for a, b in zip(to_faces, direction, strict=True))
            return slope + to_factor + jnp.vdot(to_field, WEIGHT)

        return along

    def ours(faces, factor, field):
        return march(strides, faces, factor, field, 3, 2)

    def plain(faces, factor, field):
        return single(strides, faces, factor, field, 3)

    primals, moved = (faces, factor, FIELD), (direction, jnp.asarray(0.1), WEIGHT)
    for differentiate in (lambda f: lambda *at: jax.jvp(f, at, moved), lambda f: jax.grad(f, 2)):
        found, expected = (quick_jit(differentiate(energy(f)))(*primals) for f in (ours, plain))
        agree(found, expected, 1e-12)


@pytest.mark.parametrize("batched", [(None, None, 0), (0, 0, 0), (None, 0, 1)])
@pytest.mark.slow
def test_batches(batched):
    strides, faces, factor = operands("order 2")
    faces = jax.tree.map(lambda face: jnp.stack([face, face / 2]), faces) if batched[0] == 0 else faces
    factor = jnp.stack([factor, factor / 3]) if batched[1] == 0 else factor
    field = {None: FIELD, 0: jnp.stack([FIELD, WEIGHT]), 1: jnp.stack([FIELD, WEIGHT], 1)}[batched[2]]

    def ours(faces, factor, field):
        return march(strides, faces, factor, field, 3, 2)

    def plain(faces, factor, field):
        return single(strides, faces, factor, field, 3)

    agree(*(quick_jit(jax.vmap(f, batched))(faces, factor, field) for f in (ours, plain)))

    def slopes(f):
        return quick_jit(jax.vmap(jax.grad(lambda *a: jnp.sum(f(*a) ** 2), (1, 2)), batched))(faces, factor, field)

    agree(slopes(ours), slopes(plain))


@pytest.mark.slow
def test_a_stepper_in_the_time_loop_conserves_and_is_refused_above_its_limit():
    operator = Diffusion(GRID, noise(MASK.shape, 3, 0.2, 1.0))
    substeps = BlockedDiffusion.substeps_for(float(operator.spectral_bound()))
    mesh = time_mesh(0.0, [3.0], 1.0)
    solution = simulate(BlockedDiffusion(operator, substeps), FIELD, mesh)
    assert int(solution.status) == 0
    assert float(solution.final.sum()) == pytest.approx(float(FIELD.sum()), rel=1e-13)
    assert not (solution.final[~MASK.reshape(-1)] != 0).any()
    assert int(simulate(BlockedDiffusion(operator, max(1, substeps // 2)), FIELD, mesh).status) != 0
    fields = jnp.stack([FIELD, 2 * FIELD]).reshape(2, 1, -1)
    agree(diffuse(operator, fields, 1.0, substeps)[1, 0], 2 * diffuse(operator, FIELD, 1.0, substeps))
    agree(diffuse(operator, FIELD, 0.0, substeps), FIELD)


@pytest.mark.parametrize("kind", ["order 2", "tensor"])
def test_it_lowers_for_every_platform_and_keeps_float32(kind):
    operator, field = as_type((operator_of(kind), FIELD), jnp.float32)

    def value(operator, field):
        return diffuse(operator, field, jnp.float32(0.1), 6).sum()

    with jax.enable_x64(False):
        exported = export.export(quick_jit(jax.value_and_grad(value)), platforms=("cpu", "cuda", "tpu"))(operator, field)
    assert "f64" not in exported.mlir_module()


def test_what_cannot_be_marched_is_refused():
    with pytest.raises(ValueError, match="RungeKuttaChebyshev2"):
        BlockedDiffusion(Diffusion(GRID, 1.0, interior_order=4), 2)
    with pytest.raises(ValueError, match="substeps"):
        BlockedDiffusion(Diffusion(GRID, 1.0), 0)
    with pytest.raises(ValueError, match="depth"):
        march((1,), (jnp.zeros(5),), jnp.asarray(1.0), jnp.zeros(4), 3, 0)


def test_second_derivatives_without_jit():
    strides, faces, factor = operands("order 2")

    def energy(field):
        return jnp.sum(march(strides, faces, factor, field, 2) ** 2)

    hessian = jax.jvp(jax.grad(energy), (FIELD,), (WEIGHT,))[1]
    agree(hessian, jax.grad(lambda u: jnp.vdot(jax.grad(energy)(u), WEIGHT))(FIELD), 1e-12)
