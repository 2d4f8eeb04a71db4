"""Derivatives of elliptic solves: against central differences, both modes, of second order, singular or not, warm or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.linear.components import connected_components
from solvers.linear.elliptic import solve_elliptic
from solvers.linear.multigrid import multigrid
from solvers.space.diffusion import Diffusion
from solvers.space.tensor_diffusion import TensorDiffusion
from tests.problems import noise, number, quick_jit, random_tensor, slitted_mask

SHAPE = (6, 5, 5)
GRID = VoxelGrid(slitted_mask(SHAPE), (1.0, 1.2, 0.9))
INPUTS = {
    "coefficient": noise(SHAPE, 1, 0.3, 2.0),
    "scale": number(0.7),
    "loss": GRID.cells(noise(SHAPE, 2, 0.1, 0.5)),
    "shift": number(0.2),
    "source": GRID.cells(noise(SHAPE, 3)),
}
WEIGHT = GRID.cells(noise(SHAPE, 4, -1, 1))
TIGHT = 1e-13
START = GRID.cells(noise(SHAPE, 5))


def objective(inputs, start=None):
    operator = Diffusion(GRID, inputs["coefficient"], inputs["scale"], loss=inputs["loss"])
    solution = solve_elliptic(operator, inputs["source"], inputs["shift"], tolerance=TIGHT, start=start)
    return jnp.sum(WEIGHT * jnp.sin(solution.field))


def directions(seed):
    return {name: noise(value.shape, seed + k, -1, 1) * (value > 0) for k, (name, value) in enumerate(INPUTS.items())}


def central(function, point, direction, size=1e-4):
    """Fourth-order central difference, whose own error is far below the bound."""
    along = [float(function(jax.tree.map(lambda a, d, s=s: a + s * size * d, point, direction))) for s in (-2, -1, 1, 2)]
    return (along[0] - 8 * along[1] + 8 * along[2] - along[3]) / (12 * size)


@pytest.fixture(scope="module")
def value():
    return quick_jit(objective)


@pytest.fixture(scope="module")
def gradient():
    return quick_jit(jax.grad(objective))(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_reverse_mode_against_central_differences(name, value, gradient):
    direction = {key: part * (key == name) for key, part in directions(10).items()}
    expected = central(value, INPUTS, direction)
    assert abs(expected) > 1e-4
    assert float(jnp.sum(gradient[name] * direction[name])) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_both_modes_agree_and_a_warm_start_does_not_matter(gradient):
    direction = directions(20)
    _, forward = quick_jit(lambda point, along: jax.jvp(objective, (point,), (along,)))(INPUTS, direction)
    backward = sum(float(jnp.sum(gradient[name] * direction[name])) for name in INPUTS)
    assert float(forward) == pytest.approx(backward, rel=1e-10)
    warm = quick_jit(jax.grad(lambda point: objective(point, START)))(INPUTS)
    for name in INPUTS:
        np.testing.assert_allclose(warm[name], gradient[name], rtol=0, atol=1e-9 * float(jnp.abs(gradient[name]).max()))


@pytest.mark.slow
def test_second_derivative_along_a_direction(gradient):
    direction = directions(30)
    hessian = quick_jit(lambda point, along: jax.jvp(jax.grad(objective), (point,), (along,))[1])(INPUTS, direction)
    found = sum(float(jnp.sum(hessian[name] * direction[name])) for name in INPUTS)
    slope = quick_jit(lambda point, along: jax.jvp(objective, (point,), (along,))[1])
    expected = central(lambda point: slope(point, direction), INPUTS, direction)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_a_singular_problem_has_the_derivative_of_the_pseudoinverse():
    mask = np.ones(SHAPE, bool)
    mask[2] = False
    grid = VoxelGrid(mask, (1.0, 1.2, 0.9))
    components = connected_components(Diffusion(grid, INPUTS["coefficient"]))
    assert components.count == 2
    source = components.without_mean(grid.cells(noise(SHAPE, 3)), jnp.ones(grid.size, bool))

    def potential(inputs):
        operator = Diffusion(grid, inputs["coefficient"], inputs["scale"])
        solution = solve_elliptic(operator, inputs["source"], components=components, tolerance=TIGHT)
        return jnp.sum(WEIGHT * jnp.sin(solution.field))

    point = {name: INPUTS[name] for name in ("coefficient", "scale")} | {"source": source}
    found = quick_jit(jax.grad(potential))(point)
    run = quick_jit(potential)
    for name in point:
        direction = {key: directions(40)[key] * (key == name) for key in point}
        assert float(jnp.sum(found[name] * direction[name])) == pytest.approx(central(run, point, direction), rel=1e-6)


@pytest.mark.slow
def test_a_tensor_operator():
    tensor = random_tensor(SHAPE, 3)
    change = random_tensor(SHAPE, 4)
    source = INPUTS["source"]

    def potential(tensor):
        solution = solve_elliptic(TensorDiffusion(GRID, tensor), source, 0.2, tolerance=TIGHT)
        return jnp.sum(WEIGHT * solution.field)

    found = quick_jit(jax.grad(potential))(tensor)
    assert float(jnp.sum(found * change)) == pytest.approx(central(quick_jit(potential), tensor, change, 1e-5), rel=1e-6)


@pytest.mark.slow
def test_gradients_of_a_batch_are_those_of_its_members():
    operator = Diffusion(GRID, INPUTS["coefficient"])
    preconditioner = multigrid(operator, 0.2)
    sources = jnp.stack([GRID.cells(noise(SHAPE, seed)) for seed in range(3)])

    def total(scale, sources):
        scaled = Diffusion(GRID, INPUTS["coefficient"], scale)
        solution = solve_elliptic(scaled, sources, 0.2, preconditioner=preconditioner, tolerance=TIGHT)
        return jnp.sum(solution.field**2)

    scale_slope, source_slope = quick_jit(jax.grad(total, argnums=(0, 1)))(number(1.0), sources)
    alone = [jax.grad(total, argnums=(0, 1))(number(1.0), source) for source in sources]
    assert float(scale_slope) == pytest.approx(sum(float(part[0]) for part in alone), rel=1e-10)
    np.testing.assert_allclose(source_slope, jnp.stack([part[1] for part in alone]), rtol=0, atol=1e-9)


def test_no_iterations_are_stored_and_the_gradient_costs_one_more_solve():
    operator = Diffusion(GRID, INPUTS["coefficient"])
    preconditioner = multigrid(operator, 0.2)

    def energy(source):
        return jnp.sum(solve_elliptic(operator, source, 0.2, preconditioner=preconditioner, max_iterations=50).field ** 2)

    program = jax.jit(jax.grad(energy))
    text = str(jax.make_jaxpr(jax.grad(energy))(INPUTS["source"]))
    assert text.count("custom_linear_solve[") == 1
    assert f"50,{GRID.size}]" not in program.lower(INPUTS["source"]).as_text()
