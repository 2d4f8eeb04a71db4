"""Bad input of tissue is refused in one line: what was got, what was expected, what to do."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, Monodomain, TissueStimulus, fibre_tensor
from solvers import Diffusion, VoxelGrid
from tests.problems import slitted_mask

GRID = VoxelGrid(slitted_mask((6, 5, 4)), 0.2)
HERE = np.asarray(GRID.mask)


def field_of_fibres(bad=None):
    fibres = np.zeros((*GRID.shape, 3))
    fibres[..., 0] = 1.0
    if bad is not None:
        fibres[tuple(np.argwhere(HERE)[3])] = bad
    return jnp.asarray(fibres)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: fibre_tensor(GRID, 0.1, 0.01, field_of_fibres((2.0, 0, 0))), "unit length"),
        (lambda: fibre_tensor(GRID, 0.1, 0.01, field_of_fibres((0.0, 0, 0))), "missing .* in 1 of"),
        (lambda: fibre_tensor(GRID, 0.1, 0.01, field_of_fibres((np.nan, 0, 0))), "missing .* in 1 of"),
        (lambda: fibre_tensor(GRID, 0.1, 0.01, jnp.zeros((3, 3))), "resample them"),
        (lambda: fibre_tensor(GRID, -0.1, 0.01), "not negative"),
        (lambda: fibre_tensor(GRID, 0.1, 0.01, sheets=(0.6, 0.8, 0.0), normal=0.005), "perpendicular"),
        (lambda: fibre_tensor(GRID, 0.1, 0.01, sheets=(0.0, 1.0, 0.0)), "give normal"),
        (lambda: TissueStimulus(GRID, np.ones(GRID.shape, bool), 50.0, 1.0), "outside of the tissue"),
        (lambda: TissueStimulus(GRID, np.zeros(GRID.shape, bool), 50.0, 1.0), "without a voxel"),
        (lambda: TissueStimulus(GRID, 3.0 * HERE, 50.0, 1.0), "outside of 0 to 1"),
        (lambda: TissueStimulus(GRID, HERE[1:], 50.0, 1.0), "resample"),
        (lambda: TissueStimulus(GRID, HERE, 50.0, 0.0), "positive"),
        (lambda: TissueStimulus(GRID, HERE, jnp.inf, 1.0), "finite number"),
        (lambda: TissueStimulus(GRID, HERE, 50.0, 2.0, [0.0, 1.0]), "overlapping"),
    ],
)
def test_refused_in_one_line(make, expected):
    with pytest.raises(ValueError, match=expected) as caught:
        make()
    assert str(caught.value).startswith("got ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_a_conductivity_off_by_a_thousand_is_warned_of(factor):
    with pytest.warns(UserWarning, match="implies .* m/s"):
        fibre_tensor(GRID, 0.095 * factor, 0.0126 * factor)


def test_fibres_outside_of_the_mask_may_be_missing_and_tissue_is_not_warned_of():
    fibres = np.array(field_of_fibres())
    fibres[~HERE] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = np.asarray(fibre_tensor(GRID, 0.095, 0.0126, jnp.asarray(fibres)))
    assert np.isfinite(tensor).all()
    np.testing.assert_allclose(np.linalg.eigvalsh(tensor[HERE]), np.broadcast_to([0.0126, 0.0126, 0.095], (HERE.sum(), 3)), rtol=1e-12)


def test_an_orthotropic_tensor_has_the_three_diffusivities():
    tensor = np.asarray(fibre_tensor(GRID, 0.1, 0.03, (0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), 0.01))[HERE]
    np.testing.assert_allclose(np.linalg.eigvalsh(tensor), np.broadcast_to([0.01, 0.03, 0.1], (HERE.sum(), 3)), rtol=1e-12)


def test_steps_end_at_the_edges_of_every_stimulus_and_long_ones_are_refused():
    cell = CELL_MODELS["mitchell_schaeffer"]()
    first = TissueStimulus(GRID, HERE, 50.0, 0.73, [0.31, 5.0])
    equation = Monodomain(cell, Diffusion(GRID, jnp.full(GRID.shape, 0.095)), (first, TissueStimulus(GRID, HERE, 20.0, 1.0, 2.22)))
    times = np.asarray(equation.mesh([8.0], 0.1).times)
    for edge in (0.31, 1.04, 2.22, 3.22, 5.0, 5.73):
        assert np.abs(times - edge).min() < 1e-9
    with pytest.raises(ValueError, match=r"up to 0\.2 ms"):
        equation.mesh([8.0], 0.5)
    stiff = Monodomain(cell, Diffusion(GRID, jnp.full(GRID.shape, 3.0)), ())
    with pytest.raises(ValueError, match="explicit limit"):
        stiff.mesh([8.0], 0.1)
    stiff.for_step(0.1).mesh([8.0], 0.1)
    with pytest.raises(ValueError, match="at most 40"):
        Monodomain(cell, Diffusion(GRID, jnp.full(GRID.shape, 3000.0))).for_step(0.1)
