"""Waves in tissue: speed and its scaling against a fine cable, at every angle; walls; what a stimulus puts in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    CELL_MODELS,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    continuum_symbol,
    fibre_tensor,
    front_fit,
    lattice_symbol,
    monodomain_conductivity,
    niederer_diffusivities,
    plane_wave_speed,
    plane_wave_speeds,
    tissue_diffusivity,
)
from solvers import Diffusion, LatticeDiffusion, TensorDiffusion, VoxelGrid, simulate
from tests.problems import matrix, quick_jit, random_tensor, slitted_mask

ALONG, ACROSS = niederer_diffusivities()


def test_units_of_the_benchmark():
    """Closed form with SI units: sigma/(chi C) in m²/s is a thousandth of mm²/ms."""
    sigma = 0.17 * 0.62 / (0.17 + 0.62)
    assert float(monodomain_conductivity(0.17, 0.62)) == pytest.approx(sigma, rel=1e-12)
    in_si = sigma / (140e3 * 0.01)  # F/m²: 0.01 uF/mm² = 0.01 F/m²
    assert float(tissue_diffusivity(sigma, 140.0, 0.01)) == pytest.approx(in_si * 1e6 / 1e3, rel=1e-12)
    assert pytest.approx((0.0952983725, 0.0125758411), rel=1e-8) == (ALONG, ACROSS)


@pytest.mark.slow
def test_lattice_diffusion_is_exact_for_quadratics_symmetric_and_bounded():
    grid = VoxelGrid(np.ones((9, 9, 9), bool), (0.2, 0.25, 0.3))
    tensor = jnp.broadcast_to(random_tensor((1, 1, 1), 3)[0, 0, 0] + 3 * jnp.eye(3), (9, 9, 9, 3, 3))
    operator = LatticeDiffusion(grid, tensor)
    x, y, z = (np.asarray(c) - float(c[4]) for c in grid.centres())
    X, Y, Z = np.meshgrid(x, y, z, indexing="ij")
    value = grid.volume(operator.apply(grid.cells(jnp.asarray(X**2 + 0.7 * X * Y - 0.4 * Y * Z + 0.5 * Z**2))))[4, 4, 4]
    d = np.asarray(tensor[0, 0, 0])
    assert float(value) == pytest.approx(2 * d[0, 0] + 1.4 * d[0, 1] - 0.8 * d[1, 2] + d[2, 2], rel=1e-9)


@pytest.mark.slow
def test_lattice_diffusion_on_an_irregular_mask_with_a_tensor_per_voxel():
    grid = VoxelGrid(slitted_mask((6, 5, 4)), (1.0, 1.3, 0.7))
    operator = LatticeDiffusion(
        grid, random_tensor(grid.shape) + 3.0 * jnp.eye(3).reshape(1, 1, 1, 3, 3), lambda s, p: (0.1 + 0.2 * s, 0.3 * p), 0.7
    )
    dense = matrix(operator, grid.size)
    np.testing.assert_allclose(dense, dense.T, atol=1e-12 * np.abs(dense).max())
    np.testing.assert_allclose(dense.sum(axis=0), 0, atol=1e-11 * np.abs(dense).max())
    np.testing.assert_allclose(np.diag(dense), operator.diagonal(), rtol=1e-9, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(dense)
    assert eigenvalues[-1] <= 1e-10 * -eigenvalues[0] and -eigenvalues[0] <= float(operator.spectral_bound())
    assert not dense[~np.asarray(grid.mask).reshape(-1)].any()


@pytest.mark.parametrize("orientation", [0.0, 0.35, 1.1])
@pytest.mark.quick(1)
def test_the_symbol_of_a_twelfth_is_of_order_four_at_every_angle(orientation):
    errors, spacings = [], (0.05, 0.07, 0.1, 0.14)
    for h in spacings:
        grid = VoxelGrid(np.ones((15, 15, 1), bool), (h, h, 1.0))
        operator = LatticeDiffusion(grid, fibre_tensor(grid, ALONG, ACROSS, (np.cos(orientation), np.sin(orientation), 0.0)))
        n = np.array([np.cos(0.9), np.sin(0.9), 0.0])
        symbol = lattice_symbol(operator, grid, n)(np.array([3.0]))[0]
        exact = float(n @ np.asarray(fibre_tensor(grid, ALONG, ACROSS, (np.cos(orientation), np.sin(orientation), 0.0))[0, 0, 0]) @ n) * 9
        errors.append(abs(symbol / exact - 1))
    assert np.polyfit(np.log(spacings), np.log(errors), 1)[0] == pytest.approx(4, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("orientation", "wave"), [(0.0, 90.0), (26.565, 90.0), (45.0, 0.0)])
def test_fitted_voxels_keep_the_speed_of_a_simple_cell_and_it_scales_with_the_root_of_diffusivity(orientation, wave):
    cell = CELL_MODELS["mitchell_schaeffer"]()
    angle, normal = np.radians(orientation), np.radians(orientation + wave)
    grid = VoxelGrid(np.ones((17, 17, 1), bool), (0.2, 0.2, 1.0))
    tensor = fibre_tensor(grid, ALONG, ACROSS, (np.cos(angle), np.sin(angle), 0.0))
    diffusivity = ACROSS if wave else ALONG
    direction = np.array([np.cos(normal), np.sin(normal), 0.0])
    speeds = [
        plane_wave_speed(cell, symbol, diffusivity, 0.05, float(cell.front_time()))
        for symbol in (
            continuum_symbol(diffusivity),
            lattice_symbol(LatticeDiffusion(grid, tensor, front_fit(cell)), grid, direction),
            lattice_symbol(TensorDiffusion(grid, tensor), grid, direction),
        )
    ]
    assert speeds[0] == pytest.approx(1.081 * np.sqrt(diffusivity), rel=0.01)
    fitted, volumes = (abs(speed / speeds[0] - 1) for speed in speeds[1:])
    assert fitted < 0.02 and fitted < volumes / 2


@pytest.mark.slow
@pytest.mark.parametrize(("spacing", "allowed"), [(0.2, 0.03), (0.3, 0.05)])
@pytest.mark.parametrize("orientation", [0.0, 10.0, 26.565, 37.0, 45.0])
def test_fitted_voxels_keep_the_speed_of_ten_tusscher_at_every_angle(orientation, spacing, allowed):
    """The goal, in sheets."""
    cell = CELL_MODELS["ten_tusscher_2006_epi"]()
    scaled = plane_wave_speed(cell, continuum_symbol(ALONG), ALONG, 0.02) / np.sqrt(ALONG)
    grid = VoxelGrid(np.ones((17, 17, 1), bool), (spacing, spacing, 1.0))
    tensor = fibre_tensor(grid, ALONG, ACROSS, (np.cos(np.radians(orientation)), np.sin(np.radians(orientation)), 0.0))
    operator = LatticeDiffusion(grid, tensor, front_fit(cell))
    normals = [np.radians(orientation + wave) for wave in (0.0, 30.0, 60.0, 75.0, 90.0, 135.0)]
    directions = [np.array([np.cos(normal), np.sin(normal), 0.0]) for normal in normals]
    sizes = [float(direction @ np.asarray(tensor[0, 0, 0]) @ direction) for direction in directions]
    speeds = plane_wave_speeds(cell, [lattice_symbol(operator, grid, direction) for direction in directions], sizes, 0.02)
    assert np.abs(speeds / (scaled * np.sqrt(sizes)) - 1).max() < allowed


@pytest.mark.slow
def test_the_cable_of_one_dimension_says_what_a_real_sheet_does():
    """A wave in a sheet of voxels, fibres along its diagonal, launched along that diagonal from a corner cut off straight."""
    cell, angle, h = CELL_MODELS["mitchell_schaeffer"](), np.radians(45.0), 0.3
    grid = VoxelGrid(np.ones((90, 90, 1), bool), (h, h, 1.0))
    tensor = fibre_tensor(grid, ALONG, ALONG / 2, (np.cos(angle), np.sin(angle), 0.0))
    x, y = (np.asarray(c) for c in grid.centres()[:2])
    along = (x[:, None] + y[None, :]) / np.sqrt(2)
    strip = TissueStimulus(grid, (along < 8.0)[..., None], 100.0, 1.0)
    equation = Monodomain(cell, TensorDiffusion(grid, tensor), (strip,))
    recorder = RecordActivation(equation.stepper(), cell)
    mesh = equation.mesh([40.0], 0.05)
    final = jax.jit(lambda s: simulate(recorder, s, mesh))(recorder.start(equation.initial_state(grid)))
    final.raise_for_status()
    found = np.asarray(grid.volume(final.final.record.activation_times()))[..., 0]
    core = (np.abs(x[:, None] - y[None, :]) < 2.0) & (along > 14) & (along < 20)
    speed = np.polyfit(found[core], along[core], 1)[0]
    box = VoxelGrid(np.ones((17, 17, 1), bool), (h, h, 1.0))
    operator = TensorDiffusion(box, fibre_tensor(box, ALONG, ALONG / 2, (np.cos(angle), np.sin(angle), 0.0)))
    cable = plane_wave_speed(cell, lattice_symbol(operator, box, np.array([np.cos(angle), np.sin(angle), 0.0])), ALONG, 0.05)
    assert speed == pytest.approx(cable, rel=0.01)


@pytest.mark.slow
def test_a_uniform_sheet_that_is_stimulated_everywhere_is_a_single_cell():
    grid = VoxelGrid(slitted_mask((5, 4, 3)), 0.3)
    cell = CELL_MODELS["mitchell_schaeffer"]()
    pulse = TissueStimulus(grid, grid.mask, 60.0, 1.5, [0.5, 10.0])
    equation = Monodomain(cell, Diffusion(grid, jnp.full(grid.shape, ALONG)), (pulse,))
    mesh = equation.mesh([12.0], 0.05)
    final = quick_jit(lambda s: simulate(equation.stepper(), s, mesh).final)(equation.initial_state(grid))
    one = VoxelGrid(np.ones((1, 1, 1), bool), 1.0)
    alone = Monodomain(cell, Diffusion(one, jnp.ones(one.shape)), (TissueStimulus(one, one.mask, 60.0, 1.5, [0.5, 10.0]),))
    single = quick_jit(lambda s: simulate(alone.stepper(), s, mesh).final)(alone.initial_state(one))
    active = np.asarray(grid.mask).reshape(-1)
    np.testing.assert_allclose(np.asarray(final)[:, active], np.broadcast_to(single, (2, active.sum())), rtol=1e-10)
    assert float(single[0, 0]) > 0.5
    np.testing.assert_array_equal(np.asarray(final)[0, ~active], 0)


def test_box_fractions_keep_the_size_of_a_region():
    for h in (0.5, 0.2, 0.3):
        grid = VoxelGrid(np.ones((10, 10, 10), bool), h)
        assert float(box_fraction(grid, (0, 0, 0), (1.5, 1.5, 1.5)).sum()) * h**3 == pytest.approx(1.5**3, rel=1e-12)
