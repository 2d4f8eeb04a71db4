"""Separable networks: derivatives against nested ones, normal equations of grids against those of single points, what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Diffusion, VoxelGrid
from twinsim.errors import InputError
from twinsim.informed import (
    FieldRows,
    InformedProblem,
    Jet,
    Rows,
    Sampling,
    SeparableNetwork,
    SmoothPerceptron,
    Stage,
    TensorRows,
    coordinate,
    fit,
    grid_axes,
    levenberg_marquardt,
    normal_equations,
    quasi_newton,
    split,
    stratified,
    sum_of_squares,
)

LOW, HIGH = (-1.0, 0.0, 2.0), (1.0, 0.5, 3.0)
POINT = jnp.array([0.3, 0.1, 2.4])
ORDERS = ((0, 0, 0), (1, 1, 0), (0, 3, 0), (2, 0, 1))


def network(outputs=1, ends=("free", "insulated", "periodic"), widths=(4,), rank=3):
    return SeparableNetwork(LOW, HIGH, widths, rank, outputs, key=jax.random.key(0), ends=ends, steepness=(2.0, 1.0, 1.0))


def nested(function, point, order):
    """By jax.jvp over jax.jvp."""
    for axis, times in enumerate(order):
        for _ in range(times):
            function = (lambda inner, unit: lambda p: jax.jvp(inner, (p,), (unit,))[1])(function, jnp.eye(len(order))[axis])
    return function(point)


def written_out(model, point):
    """The sum of products without series: each perceptron called as it is."""
    whole = 1.0
    for i, one in enumerate(model.axes):
        s = (point[i] - model.low[i]) / (model.high[i] - model.low[i])
        if model.ends[i] == "free":
            seen = (2 * s - 1)[None]
        elif model.ends[i] == "insulated":
            seen = jnp.cos(jnp.pi * s)[None]
        else:
            seen = jnp.stack([jnp.cos(2 * jnp.pi * s), jnp.sin(2 * jnp.pi * s)])
        whole = whole * one(seen).reshape(model.rank, model.outputs)
    return jnp.sum(whole, axis=0)


def test_derivatives_of_any_order_are_those_of_nested_forward_mode():
    model = network()
    found = jax.jit(lambda p: model.partials(p, ORDERS))(POINT)
    for row, order in zip(found, ORDERS, strict=True):
        np.testing.assert_allclose(row, jax.jit(lambda p, k=order: nested(lambda q: written_out(model, q), p, k))(POINT), rtol=1e-11)


def test_a_perceptron_answers_the_same_questions():
    model = SmoothPerceptron(LOW, HIGH, (4,), key=jax.random.key(1))
    value, mixed, bend = jax.jit(lambda p: model.partials(p, ((0, 0, 0), (1, 0, 1), (2, 0, 0))))(POINT)
    np.testing.assert_allclose(value, model(POINT), rtol=1e-14)
    hessian = jax.jit(jax.hessian(lambda p: model(p)[0]))(POINT)
    np.testing.assert_allclose([mixed[0], bend[0]], [hessian[0, 2], hessian[0, 0]], rtol=1e-11)


@pytest.mark.slow
def test_a_jet_is_that_of_the_plain_networks_interface_and_ends_hold():
    model = network(2)
    jet, slopes, bends = jax.jit(lambda p: (model.jet(p, (0, 2)), jax.jacfwd(model)(p), jax.jacfwd(jax.jacfwd(model))(p)))(POINT)
    np.testing.assert_allclose(jet.value, model(POINT), rtol=1e-13)
    np.testing.assert_allclose(jet.first, slopes.T, rtol=1e-12)
    np.testing.assert_allclose(jet.second, jnp.stack([bends[:, 0, 0], bends[:, 2, 2]]), rtol=1e-11)
    for y in (0.0, 0.5):
        np.testing.assert_allclose(model.jet(jnp.array([0.3, y, 2.4]), ()).slope(1), 0.0, atol=1e-13)
    np.testing.assert_allclose(model(jnp.array([0.3, 0.1, 2.0])), model(jnp.array([0.3, 0.1, 3.0])), rtol=1e-13)


@pytest.mark.slow
def test_values_and_derivatives_on_a_grid():
    model, axes = network(2), [jnp.linspace(a, b, n) for a, b, n in zip(LOW, HIGH, (2, 3, 4), strict=True)]
    points = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
    each = jax.vmap(jax.vmap(jax.vmap(lambda p: model.partials(p, ((0, 0, 0), (1, 1, 0))))))(points)
    np.testing.assert_allclose(model.on_grid(axes), each[..., 0, :], rtol=1e-12)
    np.testing.assert_allclose(model.on_grid(axes, (1, 1, 0)), each[..., 1, :], rtol=1e-11, atol=1e-13)


class Field(eqx.Module):
    """u = 1 + t N in (x, t), with a diffusivity that is sought."""

    network: SeparableNetwork
    diffusivity: jax.Array

    def jet(self, point):
        inner, t = self.network.jet(point, (0,)), coordinate(point, 1, (0,))
        return 1.0 + t * Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], (0,))


def plane(seed=0, rank=2, widths=(3,), outputs=1):
    return SeparableNetwork((0.0, 0.0), (1.0, 2.0), widths, rank, outputs, key=jax.random.key(seed), ends=("insulated", "free"))


def growth(model, point):
    u = model.jet(point)
    return u.slope(1) - model.diffusivity * u.bend(0) - u.value * (1 - u.value) - point[0]


def system(model, point):
    """Two rows of two outputs with a mixed derivative."""
    value, mixed = model.partials(point, ((0, 0), (1, 1)))
    return jnp.stack([mixed[0] + value[0] * value[1], mixed[1] - point[1]])


CASES = {"growth": (lambda: Field(plane(), jnp.asarray(0.3)), growth), "system": (lambda: plane(outputs=2), system)}


@pytest.mark.parametrize("name", ["growth", pytest.param("system", marks=pytest.mark.slow)])
def test_rows_and_normal_equations_of_a_grid_are_those_of_its_points(name):
    build, residual = CASES[name]
    model = build()
    axes = (jnp.linspace(0.0, 1.0, 3), jnp.linspace(0.1, 2.0, 4))
    points = jnp.stack([one.ravel() for one in jnp.meshgrid(*axes, indexing="ij")], axis=1)
    grid, single = TensorRows(residual, axes, 2.0), Rows(residual, points, jnp.full(12, 2 / 12**0.5))
    vector, restore = split(model)

    def all_of(one, at):
        normal = normal_equations((one,), at, restore)
        return normal if name == "growth" else (normal, one.residuals(restore(at)), one.half_square(restore(at)))

    both = jax.jit(lambda at: [all_of(one, at) for one in (grid, single)])
    for a, b in zip(*(jax.tree.leaves(one) for one in both(vector)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13 * (1 + np.abs(b).max()))


@pytest.mark.slow
def test_the_gradient_of_the_loss_is_that_of_differences():
    vector, restore = split(Field(plane(), jnp.asarray(0.3)))
    rows = (TensorRows(growth, (jnp.linspace(0.0, 1.0, 3), jnp.linspace(0.1, 2.0, 4))),)
    value = jax.jit(lambda at: sum_of_squares(rows, restore(at)))
    slope, normal = jax.jit(lambda at: (jax.grad(value)(at), normal_equations(rows, at, restore)[1]))(vector)
    direction, step = jax.random.normal(jax.random.key(1), vector.shape), 1e-5
    difference = (value(vector + step * direction) - value(vector - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope @ direction, difference, rtol=1e-6)
    np.testing.assert_allclose(slope, normal, atol=1e-12)


def decay(model, point):
    """Solved by cos(pi x) exp(-t) + 1."""
    u = model.jet(point)
    return u.slope(1) - u.bend(0) / jnp.pi**2


class Cooling(eqx.Module):
    """u = 1 + cos(pi x) + t N."""

    network: SeparableNetwork

    def jet(self, point):
        inner, t = self.network.jet(point, (0,)), coordinate(point, 1, (0,))
        c = jnp.cos(jnp.pi * point[0])
        begin = Jet(1 + c, jnp.stack([-jnp.pi * jnp.sin(jnp.pi * point[0]), 0 * c]), -(jnp.pi**2) * c[None], (0,))
        return begin + t * Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], (0,))


@pytest.mark.slow
def test_diffusion_in_a_box_is_solved_with_axes_that_are_renewed():
    problem = InformedProblem(decay, lambda key, count: stratified(key, count, (0.0, 0.0), (1.0, 2.0)), tensor=True)
    found = fit(problem, Cooling(plane(0, 2, (5,))), (Stage(8, 6, 15),))
    axes = [jnp.linspace(0.0, 1.0, 9), jnp.linspace(0.0, 2.0, 9)]
    x, t = (np.asarray(axis) for axis in axes)
    u = 1 + np.cos(np.pi * x)[:, None] + t * np.asarray(found.model.network.on_grid(axes)[..., 0])
    exact = 1 + np.cos(np.pi * x)[:, None] * np.exp(-t)
    assert found.losses[-1] < 1e-8 * found.losses[0] and np.abs(u - exact).max() < 1e-4


def test_a_product_is_learnt_from_a_grid():
    axes = (jnp.linspace(0.0, 1.0, 6), jnp.linspace(0.0, 2.0, 5))
    rows = (TensorRows(lambda model, p: model(p)[0] - jnp.cos(jnp.pi * p[0]) * jnp.exp(-p[1]), axes),)
    vector, restore = split(plane(0, 1, (3,)))
    found = jax.jit(lambda at: levenberg_marquardt(rows, at, restore, 60, jnp.asarray(0.1)))(vector)
    assert float(found.value) < 1e-8 < float(found.values[0])
    u = restore(found.vector).on_grid(axes)[..., 0]
    np.testing.assert_allclose(u, np.outer(jnp.cos(jnp.pi * axes[0]), jnp.exp(-axes[1])), atol=1e-3)


@pytest.mark.slow
def test_quasi_newton_goes_through_the_slabs():
    axes = (jnp.linspace(0.0, 1.0, 4), jnp.linspace(0.0, 2.0, 4))
    rows = (TensorRows(lambda model, p: model(p)[0] - p[0] * p[1], axes),)
    vector, restore = split(plane(0, 1, (3,)))
    found = jax.jit(lambda at: quasi_newton(lambda theta: sum_of_squares(rows, restore(theta)), at, 40))(vector)
    assert float(found.value) < 1e-2 * float(found.values[0])


def test_axes_are_found_in_points_and_parts_stay_in_place():
    axes = (np.array([0.0, 1.0]), np.array([2.0, 3.0, 5.0]))
    points = np.stack([one.ravel() for one in np.meshgrid(*axes)], axis=1)
    for found, expected in zip(grid_axes(points), axes, strict=True):
        np.testing.assert_array_equal(found, expected)
    drawn = np.asarray(stratified(jax.random.key(0), 4, (0.0, 1.0), (1.0, 3.0)))
    np.testing.assert_array_equal(np.floor(drawn[:, 0] * 4), np.arange(4))
    np.testing.assert_array_equal(np.floor((drawn[:, 1] - 1) * 2), np.arange(4))


AXES = (jnp.linspace(0.0, 1.0, 3),) * 2


def elsewhere(model, point):
    return model(point + 0.1)[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plane(rank=0), "got rank 0; expected at least 1"),
        (lambda: SeparableNetwork((0.0, 0.0), (1.0,), (3,), 2, key=jax.random.key(0)), "2 lower ends, 1 upper ends"),
        (lambda: SeparableNetwork((0.0,), (1.0,), (3,), 2, key=jax.random.key(0), ends=("open",)), "free, insulated, periodic"),
        (lambda: SeparableNetwork((1.0,), (1.0,), (3,), 2, key=jax.random.key(0)), "lower ends below upper ends"),
        (lambda: TensorRows(system, AXES[:1]).half_square(plane()), "got 1 axes of points; expected 2"),
        (lambda: plane().on_grid((*AXES, AXES[0])), "got 3 axes of points; expected 2"),
        (lambda: TensorRows(system, (AXES[0], jnp.zeros((3, 2)))), r"axis 1 of shape \(3, 2\)"),
        (lambda: grid_axes(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])), "got 3 points; expected 4, all of a tensor grid"),
        (lambda: TensorRows(elsewhere, AXES).half_square(plane()), "asks for the network elsewhere"),
        (lambda: TensorRows(elsewhere, AXES).half_square((plane(), plane())), "got 2 separable networks"),
        (
            lambda: fit(InformedProblem(system, tensor=True), plane(), (Stage(2, 1, 1),), sampling=Sampling(slabs=3)),
            "3 slabs of time on a tensor grid",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_mask_takes_a_separable_network_like_any_other():
    mask = np.ones((3, 3, 2), bool)
    mask[1, 1], mask[0, 0, 0] = False, False
    voxels = VoxelGrid(mask, (0.5, 0.5, 0.5))
    model = SeparableNetwork((0.0,) * 3, (1.5, 1.5, 1.0), (2,), 2, key=jax.random.key(0))
    rows = FieldRows(lambda net, p: net(p)[0], Diffusion(voxels, 1.0), voxels)
    vector, restore = split(model)
    found, jacobian = jax.jit(lambda at: rows.linearised(at, restore))(vector)
    values = jnp.zeros(mask.size).at[rows.active].set(jax.jit(jax.vmap(model))(rows.points[0])[:, 0])
    expected = Diffusion(voxels, 1.0).apply(values)[rows.active] / len(found) ** 0.5
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(jacobian, jax.jit(jax.jacfwd(lambda at: rows.residuals(restore(at))))(vector), atol=1e-12)
