"""Plane waves on lattices: cables together, at many angles in sheets and volumes, and what blocks of voxels really do."""

from itertools import permutations

import jax
import numpy as np
import pytest

from experiments.cardiac._plane_waves import Wave, in_sheets, in_volumes, symbols_of
from physics import (
    CELL_MODELS,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    continuum_symbol,
    fibre_tensor,
    front_fit,
    lattice_symbol,
    niederer_diffusivities,
    plane_wave_speed,
    plane_wave_speeds,
)
from solvers import LatticeDiffusion, VoxelGrid, simulate

ALONG, ACROSS = niederer_diffusivities()
SIMPLE = "mitchell_schaeffer"


@pytest.mark.slow
def test_cables_together_are_cables_apart_and_a_blocked_one_says_so():
    cell = CELL_MODELS[SIMPLE]()
    coarse = 4.0 * np.sqrt(ALONG * float(cell.front_time()))  # second order, four widths of the front: no wave

    def volumes(h):
        return lambda waves: ALONG * (2 - 2 * np.cos(waves * h)) / h**2

    symbols, sizes = [continuum_symbol(ALONG), volumes(0.3), continuum_symbol(ACROSS), volumes(4 * coarse)], [ALONG, ALONG, ACROSS, ALONG]
    found = plane_wave_speeds(cell, symbols, sizes, 0.05, float(cell.front_time()))
    assert np.isnan(found[3]) and found[1] < found[0]
    for speed, symbol, size in zip(found[:3], symbols, sizes, strict=False):
        assert plane_wave_speed(cell, symbol, size, 0.05, float(cell.front_time())) == pytest.approx(speed, rel=1e-9)
    with pytest.raises(ArithmeticError, match="finer voxels"):
        plane_wave_speed(cell, symbols[3], ALONG, 0.05, float(cell.front_time()))


@pytest.mark.parametrize("fibre", [(0.6, 0.8, 0.0), (0.48, 0.6, 0.64)])
def test_the_symbol_of_linear_elements_is_that_of_six_tetrahedra_a_voxel(fibre):
    """Their gradients, one after another, against the sums of cosines."""
    h, size, direction = 0.25, 3.0, np.array([0.36, 0.48, 0.8])
    tensor = ACROSS * np.eye(3) + (ALONG - ACROSS) * np.outer(fibre, fibre)
    energy = 0.0
    for order in permutations(range(3)):
        corner, gradient = np.zeros(3), np.zeros(3, complex)
        for axis in order:
            step = corner + np.eye(3)[axis] * h
            gradient[axis] = (np.exp(1j * size * direction @ step) - np.exp(1j * size * direction @ corner)) / h
            corner = step
        energy += float((gradient.conj() @ tensor @ gradient).real) / 6
    symbol = symbols_of("finite_element", [Wave(fibre, tuple(direction))], h, CELL_MODELS[SIMPLE](), (ALONG, ACROSS))[0]
    assert symbol(np.array([size]))[0] == pytest.approx(energy, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("anisotropy", [1.0, 4.0, 7.6, 12.0])
def test_the_fit_keeps_the_second_exchange_positive_for_every_orientation(anisotropy):
    """The operator itself refuses cross terms that outweigh the rest."""
    generator, grid = np.random.default_rng(5), VoxelGrid(np.ones((6, 6, 6), bool), (0.3, 0.2, 0.25))
    fibres = generator.normal(size=(6, 6, 6, 3))
    fibres /= np.linalg.norm(fibres, axis=-1, keepdims=True)
    for along in (0.01, 0.1, 1.0):
        LatticeDiffusion(grid, fibre_tensor(grid, along, along / anisotropy, fibres), front_fit(CELL_MODELS["ten_tusscher_2006_epi"]()))


@pytest.mark.slow
@pytest.mark.parametrize(("spacing", "allowed"), [(0.1, 0.02), (0.2, 0.035), (0.3, 0.06)])
@pytest.mark.parametrize("draw", [in_sheets, in_volumes])
def test_fitted_voxels_keep_the_speed_of_ten_tusscher_in_directions_that_were_not_fitted(draw, spacing, allowed):
    cell, waves = CELL_MODELS["ten_tusscher_2006_epi"](), list(draw(12))[::2]
    converged = float(plane_wave_speeds(cell, [continuum_symbol(ALONG)], [ALONG], 0.02)[0]) / np.sqrt(ALONG)
    sizes = [wave.diffusivity(ALONG, ACROSS) for wave in waves]
    speeds = plane_wave_speeds(cell, symbols_of("default", waves, spacing, cell, (ALONG, ACROSS)), sizes, 0.02)
    assert np.abs(speeds / (converged * np.sqrt(sizes)) - 1).max() < allowed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fibre", "wave", "shape"),
    [
        ((0.8, 0.6, 0.0), (0.0, 1.0, 0.0), (70, 90, 1)),
        pytest.param(
            *((0.6, 0.48, 0.64), (0.0, 0.0, 1.0), (34, 34, 60)),
            marks=pytest.mark.xfail(reason="2.6 % slow from 6 to 11 mm, 9 % from 9 to 14: the oblique walls of a narrow block, it seems"),
        ),
    ],
)
def test_the_cable_says_what_a_sheet_and_a_block_do(fibre, wave, shape):
    """A wave along an axis, oblique to the fibres, on the fitted lattice; read off far from the walls that it is oblique to."""
    cell, h, axis = CELL_MODELS[SIMPLE](), 0.3, int(np.argmax(wave))
    grid = VoxelGrid(np.ones(shape, bool), h)
    operator = LatticeDiffusion(grid, fibre_tensor(grid, ALONG, ALONG / 4, fibre), front_fit(cell))
    along = np.broadcast_to(np.asarray(grid.centres()[axis]).reshape([-1 if a == axis else 1 for a in range(3)]), shape)
    equation = Monodomain(cell, operator, (TissueStimulus(grid, along < 3.0, 100.0, 1.0),)).for_step(0.05)
    recorder = RecordActivation(equation.stepper(), cell)
    mesh = equation.mesh([70.0], 0.05)
    final = jax.jit(lambda s: simulate(recorder, s, mesh))(recorder.start(equation.initial_state(grid)))
    final.raise_for_status()
    found = np.asarray(grid.volume(final.final.record.activation_times()))
    middle = tuple(slice(None) if a == axis else slice(n // 2, n // 2 + 1) for a, n in enumerate(shape))
    line, place = found[middle].reshape(-1), np.asarray(grid.centres()[axis])
    core = (place > 6.0) & (place < 11.0)
    speed = np.polyfit(line[core], place[core], 1)[0]
    box = VoxelGrid(np.ones([1 if n == 1 else 25 for n in shape], bool), h)
    tensor = fibre_tensor(box, ALONG, ALONG / 4, fibre)
    direction = np.asarray(wave)
    size = float(direction @ np.asarray(tensor[0, 0, 0]) @ direction)
    symbol = lattice_symbol(LatticeDiffusion(box, tensor, front_fit(cell)), box, direction)
    assert speed == pytest.approx(plane_wave_speed(cell, symbol, size, 0.05, float(cell.front_time())), rel=0.01)
