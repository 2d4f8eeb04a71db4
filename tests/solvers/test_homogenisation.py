"""Effective tensors of periodic cells: closed forms, bounds, duality, order, derivatives, an independent solve, and windings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from scipy import sparse
from scipy.sparse.linalg import spsolve

from physics import bruggeman, dilute, hashin_shtrikman, layer_bounds, maxwell, percolation
from solvers import Status, cell_fields, face_conductivities, homogenise, truncated_tensors, winding_directions
from tests.problems import quick_jit, slope

JITTED = quick_jit(homogenise, static_argnames=("spacing", "tolerance", "max_iterations"))
RNG = np.random.default_rng(5)


def of_voxels(voxels, **options):
    found = JITTED(face_conductivities(jnp.asarray(voxels, float)), **options)
    found.raise_for_status()
    return np.asarray(found.tensor)


def checkerboard(count, contrast):
    cell = np.add.outer(np.arange(count) // (count // 2), np.arange(count) // (count // 2)) % 2
    return np.where(cell, 1.0, 1 / contrast)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.slow
def test_layers_are_harmonic_across_and_arithmetic_along(axis):
    values = RNG.uniform(0.1, 2, 8)
    voxels = np.broadcast_to(values[:, None], (8, 8)).copy()
    voxels = voxels if axis == 0 else voxels.T
    expected = [1 / np.mean(1 / values), values.mean()]
    np.testing.assert_allclose(of_voxels(voxels), np.diag(expected if axis == 0 else expected[::-1]), rtol=1e-8, atol=1e-9)


@pytest.mark.slow
def test_layers_in_three_dimensions_with_unequal_voxels():
    values = RNG.uniform(0.1, 2, 8)
    voxels = np.broadcast_to(values[None, :, None], (4, 8, 6)).copy()
    expected = [values.mean(), 1 / np.mean(1 / values), values.mean()]
    np.testing.assert_allclose(of_voxels(voxels, spacing=(0.5, 1.0, 2.0)), np.diag(expected), rtol=1e-8, atol=1e-9)


@pytest.mark.slow  # a program per resolution
def test_oblique_layers_at_order_two():
    """A function of x + y: harmonic and arithmetic means along the diagonals."""
    phase = 2 * np.pi * np.arange(4096) / 4096
    values = np.exp(np.sin(phase))
    harmonic, arithmetic = 1 / np.mean(1 / values), values.mean()
    expected = np.array([[harmonic + arithmetic, harmonic - arithmetic], [harmonic - arithmetic, harmonic + arithmetic]]) / 2
    counts, errors = np.array([8, 12, 16, 24, 32]), []
    for n in counts:
        x = (np.arange(n) + 0.5) / n
        errors.append(np.abs(of_voxels(np.exp(np.sin(2 * np.pi * np.add.outer(x, x)))) - expected).max())
    assert slope(1 / counts, errors) == pytest.approx(2, abs=0.2) and errors[-1] < 4e-3


@pytest.mark.slow
def test_checkerboards_reach_the_geometric_mean_at_the_order_of_their_corners():
    counts = np.array([16, 32, 64, 128])
    contrast = 10.0
    errors = []
    for n in counts:
        tensor = of_voxels(checkerboard(n, contrast))
        np.testing.assert_allclose(tensor, tensor[0, 0] * np.eye(2), atol=1e-8)
        errors.append(abs(tensor[0, 0] - contrast**-0.5))
    assert slope(1 / counts, errors) == pytest.approx(8 / np.pi * np.arctan(contrast**-0.5), abs=0.06)


@pytest.mark.slow
def test_duality_of_square_lattices_is_exact():
    """Keller (1964), J. Math. Phys. 5, 548, on the lattice: a face of the dual crosses one of the lattice and resists as that conducts."""
    faces = RNG.uniform(0.05, 2, (2, 8, 8))
    dual = np.stack([1 / np.roll(faces[1], -1, 0), 1 / np.roll(faces[0], -1, 1)])
    tensor = np.asarray(JITTED(jnp.asarray(faces), tolerance=1e-13).tensor)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(
        np.asarray(JITTED(jnp.asarray(dual), tolerance=1e-13).tensor), turn @ np.linalg.inv(tensor) @ turn.T, rtol=1e-10
    )


def test_an_independent_sparse_solve_agrees():
    faces = RNG.uniform(0, 1, (2, 8, 8)) * (RNG.uniform(size=(2, 8, 8)) > 0.25)
    number = np.arange(64).reshape(8, 8)
    start = np.concatenate([number.reshape(-1)] * 2)
    end = np.concatenate([np.roll(number, -1, axis).reshape(-1) for axis in (0, 1)])
    weight = faces.reshape(-1)
    row, ones, shape = np.arange(start.size), np.ones(start.size), (start.size, number.size)
    difference = (sparse.coo_matrix((ones, (row, end)), shape) - sparse.coo_matrix((ones, (row, start)), shape)).tocsr()
    unit = np.zeros((start.size, 2))
    unit[: number.size, 0] = unit[number.size :, 1] = 1
    system = (difference.T @ sparse.diags(weight) @ difference).tocsc() + 1e-13 * sparse.eye(number.size, format="csc")
    field = unit - difference @ np.asarray(spsolve(system, difference.T @ (weight[:, None] * unit)))
    expected = field.T @ (weight[:, None] * field) / number.size
    np.testing.assert_allclose(np.asarray(JITTED(jnp.asarray(faces)).tensor), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold(seed):
    rng = np.random.default_rng(seed)
    blocked = rng.uniform(size=(8, 8)) < 0.3
    faces = face_conductivities(jnp.asarray(np.where(blocked, 0.05, 1.0)))
    tensor = np.asarray(JITTED(faces).tensor)
    low, high = (np.asarray(bound) for bound in layer_bounds(faces))
    assert np.linalg.eigvalsh(tensor - np.diag(low)).min() > -1e-12 and np.linalg.eigvalsh(np.diag(high) - tensor).min() > -1e-12
    assert (low >= 1 / np.mean(1 / np.asarray(faces), axis=(1, 2)) - 1e-12).all()  # closer than Wiener's
    assert (high <= np.mean(np.asarray(faces), axis=(1, 2)) + 1e-12).all()
    least, most = hashin_shtrikman(blocked.mean(), 0.05, 1.0)
    assert float(least) < np.trace(tensor) / 2 < float(most)


def test_classical_laws_at_their_limits():
    f = 1e-5
    assert (1 - float(maxwell(f, 0.0, 1.0))) / f == pytest.approx(2, rel=1e-4)
    assert (1 - float(bruggeman(f, 0.0, 1.0))) / f == pytest.approx(2, rel=1e-4)
    assert float(bruggeman(0.6, 0.0, 1.0)) == pytest.approx(0, abs=1e-12) and float(dilute(0.5, np.pi)) == 0
    assert float(percolation(0.5, 0.407)) == 0 and float(percolation(0.0, 0.407)) == 1
    least, most = hashin_shtrikman(jnp.asarray([0.0, 0.3, 1.0]), 0.2, 1.0, dimensions=3)
    np.testing.assert_allclose(least[::2], most[::2], rtol=1e-12)
    assert 0.7 * 1 + 0.3 * 0.2 > float(most[1]) > float(least[1]) > 1 / (0.7 + 0.3 / 0.2)


@pytest.mark.slow
def test_first_and_second_derivatives():
    faces = jnp.asarray(RNG.uniform(0.2, 1, (2, 8, 8)))
    weight, ahead = jnp.asarray(RNG.normal(size=(2, 2))), jnp.asarray(RNG.normal(size=(2, 8, 8)))

    def value(part):
        return jnp.sum(weight * homogenise(part, tolerance=1e-13).tensor)

    gradient = quick_jit(jax.grad(value))
    slope_ = float(jnp.sum(gradient(faces) * ahead))
    h = 1e-4
    quotient = quick_jit(value)
    assert slope_ == pytest.approx(float(quotient(faces + h * ahead) - quotient(faces - h * ahead)) / (2 * h), rel=1e-6)
    bend = quick_jit(lambda part: jax.jvp(jax.grad(value), (part,), (ahead,))[1])(faces)
    np.testing.assert_allclose(bend, (gradient(faces + h * ahead) - gradient(faces - h * ahead)) / (2 * h), atol=1e-6)


@pytest.mark.slow
def test_fields_carry_the_current_that_the_tensor_says():
    faces = jnp.asarray(RNG.uniform(0.2, 1, (2, 8, 8)))
    fields = quick_jit(lambda part: cell_fields(part, tolerance=1e-13))(faces)
    current = jnp.einsum("axy,iaxy->ia", faces, fields) / 64
    np.testing.assert_allclose(current, JITTED(faces, tolerance=1e-13).tensor, atol=1e-10)


def winding_cell(name):
    faces = np.zeros((2, 8, 8))
    if name == "line":
        faces[0, :, 2] = 1
    elif name == "stairs":
        for i in range(8):
            faces[0, i, i] = faces[1, (i + 1) % 8, i] = 1
    elif name == "cross":
        faces[0, :, 2] = faces[1, 3, :] = 1
    elif name == "two ways":
        faces[0, :, 2] = faces[1, 3, :] = 1
        faces[0, 2:4, 2] = 0
    elif name == "island":
        faces[:, 1:4, 1:4] = 1
    return faces


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("line", [[1, 0], [0, 0]]),
        ("stairs", [[0.5, 0.5], [0.5, 0.5]]),
        ("cross", [[1, 0], [0, 1]]),
        ("two ways", [[0, 0], [0, 1]]),
        ("island", [[0, 0], [0, 0]]),
    ],
)
def test_windings_are_the_range_of_the_tensor(name, expected):
    faces = winding_cell(name)
    np.testing.assert_allclose(winding_directions(faces), expected, atol=1e-12)
    tensor = np.asarray(JITTED(jnp.asarray(faces)).tensor)
    others = np.eye(2) - np.asarray(expected)
    assert np.abs(others @ tensor).max() < 1e-12
    assert np.linalg.matrix_rank(tensor, tol=1e-6) == round(np.trace(expected))


def test_windings_of_random_cells_and_of_cells_two_long():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        faces = (rng.uniform(size=(2, 8, 8)) > 0.52).astype(float)
        tensor = np.asarray(JITTED(jnp.asarray(faces)).tensor)
        values, vectors = np.linalg.eigh(tensor)
        range_ = (vectors * (values > 1e-9)) @ vectors.T
        np.testing.assert_allclose(winding_directions(faces), range_, atol=1e-6)
    one_way = np.zeros((2, 2, 2))
    one_way[0, 1, 0] = 1  # around the end only: back and forth is no winding
    assert not winding_directions(one_way).any()
    one_way[0, 0, 0] = 1
    np.testing.assert_allclose(winding_directions(one_way), [[1, 0], [0, 0]])


@pytest.mark.slow
def test_failures_are_a_status_and_bad_input_one_line():
    faces = jnp.asarray(RNG.uniform(0.2, 1, (2, 8, 8)))
    few = JITTED(faces, max_iterations=1)
    assert (np.asarray(few.status) == Status.NOT_CONVERGED).all()
    assert np.linalg.eigvalsh(np.asarray(few.tensor - JITTED(faces).tensor)).min() > -1e-9  # from above
    assert (np.asarray(JITTED(faces.at[0, 0, 0].set(jnp.nan)).status) == Status.NOT_FINITE).all()
    for bad, words in ((-faces, "below zero"), (faces[0], "stack those"), (jnp.ones((3, 4, 4)), "stack those")):
        with pytest.raises(ValueError, match=words) as caught:
            homogenise(bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="positive length"):
        homogenise(faces, spacing=(1.0, 0.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_platform(dtype):
    def program(faces):
        return jax.value_and_grad(lambda part: jnp.trace(homogenise(part).tensor))(faces)

    exported = export.export(jax.jit(program), platforms=("cpu", "cuda", "tpu"))(jnp.ones((2, 4, 4), dtype))
    assert "custom_call" not in exported.mlir_module().replace("@Sharding", "")


EARLY = quick_jit(truncated_tensors, static_argnames=("iterations", "spacing"))


@pytest.mark.slow
def test_early_tensors_fall_to_the_tensor_as_matrices_and_below_those_of_single_directions():
    cell = jnp.asarray(RNG.uniform(0.05, 1, (2, 12, 12)) * (RNG.uniform(size=(2, 12, 12)) > 0.2))
    uppers, exact = np.asarray(EARLY(cell, iterations=14)), np.asarray(JITTED(cell).tensor)
    for upper, lower in zip(uppers, [*uppers[1:], exact], strict=True):
        assert np.linalg.eigvalsh(upper - lower).min() > -1e-12
    np.testing.assert_allclose(uppers[-1], exact, atol=1e-8)
    single = np.asarray(JITTED(cell, max_iterations=3).tensor)
    assert (np.diag(uppers[3]) < np.diag(single) + 1e-12).all() and np.diag(uppers[3]).sum() < np.diag(single).sum()
    np.testing.assert_allclose(uppers[0], np.diag(np.asarray(cell).mean(axis=(1, 2))), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.slow
def test_early_tensors_stay_where_they_have_converged(dtype):
    values = RNG.uniform(0.1, 2, 4)
    voxels = jnp.asarray(np.broadcast_to(values[None, :, None], (4, 4, 2)), dtype)
    exact = np.diag([values.mean(), 1 / np.mean(1 / values), values.mean()])
    rtol = 1e-10 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(EARLY(face_conductivities(voxels), iterations=8, spacing=(0.5, 1.0, 2.0))[-1], exact, rtol=rtol, atol=rtol)
    assert not np.asarray(EARLY(jnp.zeros((2, 4, 4)), iterations=2)).any()


@pytest.mark.parametrize(("iterations", "edge"), [(1, 2), pytest.param(3, 4, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_derivatives_of_early_tensors_are_those_of_what_was_returned(iterations, edge):
    rng = np.random.default_rng(iterations)
    cell, ahead = jnp.asarray(rng.uniform(0.2, 1, (2, edge, edge))), jnp.asarray(rng.normal(size=(2, edge, edge)))
    weights = jnp.asarray(rng.normal(size=(2, 2)))
    program = quick_jit(jax.value_and_grad(lambda part: jnp.sum(weights * truncated_tensors(part, iterations)[-1])))
    slope = float(jnp.sum(program(cell)[1] * ahead))
    h = 1e-4
    near, far = (float(program(cell + n * h * ahead)[0] - program(cell - n * h * ahead)[0]) / (2 * n * h) for n in (1, 2))
    assert slope == pytest.approx((4 * near - far) / 3, rel=1e-6)


def test_a_number_of_iterations_below_zero_is_refused():
    with pytest.raises(ValueError, match="got -1 iterations") as caught:
        truncated_tensors(jnp.ones((2, 4, 4)), -1)
    assert "\n" not in str(caught.value)
