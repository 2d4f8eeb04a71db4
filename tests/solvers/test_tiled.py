"""Cells advanced in tiles are the cells advanced at once, derivatives too, and on accelerators nothing is cut."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics import CELL_MODELS, Monodomain, TissueStimulus
from solvers import Diffusion, Tiled, VoxelGrid, device_mesh
from solvers.loop.checkpoint_plan import reverse_bytes_of_a_step
from solvers.steppers.tiled_reverse import tile_width
from tests.problems import quick_jit

GRID = VoxelGrid(np.ones((10, 5, 1), bool), 0.2)
TIME, LENGTH = jnp.asarray(0.1), jnp.asarray(0.02)


def cells():
    """A step of cells whose conductance and stimulus differ from cell to cell, and their state."""
    cell = CELL_MODELS["mitchell_schaeffer"]()
    varied = jnp.linspace(0.8, 1.2, GRID.size)
    cell = eqx.tree_at(lambda c: c.inward_constant, cell, cell.inward_constant * varied)
    region = np.zeros(GRID.shape)
    region[3:] = 0.7
    equation = Monodomain(cell, Diffusion(GRID, 0.1), (TissueStimulus(GRID, region, 30.0, 1.0),))
    state = equation.initial_state(GRID) + jnp.linspace(0, 0.5, GRID.size)[None]
    return equation.stepper().full, state


@pytest.mark.parametrize("tile", [7, 10, 49, 50, 64])
@pytest.mark.quick(2)
def test_tiles_of_any_size_change_nothing(tile):
    stepper, state = cells()
    tiled = Tiled(stepper, tile)
    expected = quick_jit(lambda *given: stepper.advance(*given))(state, TIME, LENGTH)
    np.testing.assert_allclose(quick_jit(lambda *given: tiled.advance(*given))(state, TIME, LENGTH), expected, rtol=1e-14)
    np.testing.assert_array_equal(tiled.advance(state, TIME, jnp.zeros(())), state)
    assert tiled.order == stepper.order == 2


def test_derivatives_are_those_of_the_whole():
    stepper, state = cells()
    weight = jnp.cos(jnp.arange(state.size)).reshape(state.shape)

    def value(stepper, state, length):
        return jnp.vdot(weight, stepper.advance(state, TIME, length))

    found = quick_jit(jax.grad(value, (0, 1, 2)))(Tiled(stepper, 8), state, LENGTH)
    expected = quick_jit(jax.grad(value, (0, 1, 2)))(stepper, state, LENGTH)
    assert float(jnp.abs(expected[1]).max()) > 0.1
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_forward_mode_many_tangents_and_second_derivatives_are_those_of_the_whole():
    stepper, state = cells()
    tiled, tangents = Tiled(stepper, 8), jnp.stack([jnp.cos(jnp.arange(state.size)).reshape(state.shape), jnp.ones_like(state)])

    def moved(stepper):
        def along(tangent):
            return jax.jvp(lambda state: stepper.advance(state, TIME, LENGTH), (state,), (tangent,))[1]

        return along(tangents[0]), jax.vmap(along)(tangents)

    def bent(stepper):
        def value(length, scale):
            return jnp.sum(stepper.advance(scale * state, TIME, length) ** 2)

        return jax.grad(lambda length: jax.grad(value, 1)(length, jnp.ones(())))(LENGTH)

    for a, b in zip(quick_jit(lambda: moved(tiled))(), quick_jit(lambda: moved(stepper))(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert float(quick_jit(lambda: bent(tiled))()) == pytest.approx(float(quick_jit(lambda: bent(stepper))()), rel=1e-10)


def test_reverse_mode_keeps_the_state_alone():
    """What one step leaves for its reverse: the state before it, not the fields between."""
    stepper, state = cells()
    whole, tiled = (reverse_bytes_of_a_step(each, state) for each in (stepper, Tiled(stepper, 8)))
    size = state.size * state.dtype.itemsize
    assert tiled <= 1.1 * size < whole / 2


@pytest.mark.parametrize(("cells", "most", "width"), [(3840, 1024, 960), (50, 7, 5), (64, 64, 64), (53, 10, 10), (10, 16, 10)])
def test_tiles_divide_the_cells_where_they_can(cells, most, width):
    assert tile_width(cells, most) == width


def test_on_one_device_of_a_mesh():
    stepper, state = cells()
    tiled = Tiled(stepper, 16, device_mesh(jax.devices()[:1]))
    found = quick_jit(lambda *given: tiled.advance(*given))(state, TIME, LENGTH)
    np.testing.assert_allclose(found, stepper.advance(state, TIME, LENGTH), rtol=1e-13)


def test_accelerators_get_all_cells_at_once():
    stepper, state = cells()
    program = jax.jit(lambda state: Tiled(stepper, 8).advance(state, TIME, LENGTH))
    texts = {name: export.export(program, platforms=(name,))(state).mlir_module() for name in ("cpu", "cuda", "tpu")}
    assert {name for name, text in texts.items() if "while" in text} == {"cpu"}
    assert {name for name, text in texts.items() if "optimization_barrier" in text} == {"cpu"}


def test_refusals():
    stepper, _ = cells()
    with pytest.raises(ValueError, match=r"tiles of 0 cells.*do: use 1024"):
        Tiled(stepper, 0)
