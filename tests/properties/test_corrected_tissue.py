"""Cells on coarse voxels whose fluxes a closure corrects: what it is made of, its order in time, and that a volume stays tissue."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import FACE_INPUTS, FACE_OUTPUTS, CorrectedDiffusion, CorrectedTissue, MitchellSchaeffer, TenTusscher2006
from physics.cell_model import StimulatedCells
from solvers import Diffusion, OnComponents, RungeKuttaChebyshev2, RushLarsen, Strang, Substeps, VoxelGrid
from tests.problems import noise, number, slitted_mask
from tests.properties.test_corrected_diffusion import loud

SHAPE = (4, 4, 3)


def tissue(cell, rest, swing, steps, closure=None, stages=4):
    """Tissue with a slit in a small volume, and its plain diffusion."""
    grid = VoxelGrid(np.asarray(slitted_mask(SHAPE)), 0.6)
    pattern = noise(SHAPE, 2) + 0.4
    diffusion = Diffusion(grid, pattern, 0.1)
    cells = RushLarsen(StimulatedCells(cell, ()), 2)
    closure = loud(FACE_INPUTS, FACE_OUTPUTS) if closure is None else closure
    fluxes = CorrectedDiffusion(diffusion, grid.cells(pattern), closure, number(0.1), stages)
    return CorrectedTissue(cells, fluxes, number(rest), number(swing), steps)


def excited(cell, rest, swing):
    """At rest but for the potential."""
    state = jnp.broadcast_to(cell.initial_state()[:, None], (len(cell.names), int(np.prod(SHAPE))))
    return state.at[0].set(rest + swing * noise(SHAPE, 3).reshape(-1))


def test_a_closure_that_says_nothing_leaves_the_plain_splitting():
    cell = MitchellSchaeffer.published()
    weights, rest = eqx.partition(loud(FACE_INPUTS, FACE_OUTPUTS), eqx.is_inexact_array)
    silent = eqx.combine(jax.tree.map(jnp.zeros_like, weights), rest)
    silent = eqx.tree_at(lambda c: c.input_scale.scale, silent, jnp.ones_like(silent.input_scale.scale))
    corrected = tissue(cell, 0.0, 1.0, 3, silent)
    plain = OnComponents(RungeKuttaChebyshev2(corrected.fluxes.diffusion, 4), 0, 1)
    state, length = excited(cell, 0.0, 1.0), number(0.6)
    expected = Substeps(Strang(corrected.cells, plain), 3).advance(state, number(0.0), length)
    np.testing.assert_allclose(corrected.advance(state, number(0.0), length), expected, rtol=1e-13, atol=1e-15)


def test_one_part_is_the_splitting_with_the_corrected_step():
    cell = MitchellSchaeffer.published()
    corrected = tissue(cell, 0.0, 1.0, 1)
    state, length = excited(cell, 0.0, 1.0), number(0.2)
    operator = corrected.fluxes.corrected(state[0], length)
    after = Strang(corrected.cells, OnComponents(RungeKuttaChebyshev2(operator, 4), 0, 1)).advance(state, number(0.0), length)
    np.testing.assert_allclose(corrected.advance(state, number(0.0), length), after, rtol=1e-13)
    assert corrected.stable(length)


def test_first_order_in_time():
    cell = MitchellSchaeffer.published()
    corrected, state = tissue(cell, 0.0, 1.0, 1), excited(cell, 0.0, 1.0)

    @jax.jit
    def after(count):
        length = 1.6 / count
        return jax.lax.fori_loop(0, count, lambda _, s: corrected.advance(s, number(0.0), length), state)

    fixed = after(4096)
    counts = np.array([16, 32, 64, 128])
    errors = [float(jnp.abs(after(n) - fixed).max()) for n in counts]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(1, abs=0.2)


@pytest.mark.slow
def test_ventricular_cells_in_a_volume_stay_in_range():
    cell = TenTusscher2006.published()
    corrected, state = tissue(cell, -85.23, 120.0, 3), excited(cell, -85.23, 120.0)
    after = jax.jit(lambda s: jax.lax.fori_loop(0, 100, lambda _, s: corrected.advance(s, number(0.0), number(0.3)), s))(state)
    assert np.isfinite(np.asarray(after)).all()
    assert not cell.examine(after).status
    one = (state[0] + 85.23) / 120
    diffused = corrected.fluxes.advance(one, number(0.0), number(0.1))
    assert float(diffused.sum()) == pytest.approx(float(one.sum()), rel=1e-14)


def test_no_part_is_refused():
    with pytest.raises(ValueError, match="0 parts"):
        tissue(MitchellSchaeffer.published(), 0.0, 1.0, 0)
