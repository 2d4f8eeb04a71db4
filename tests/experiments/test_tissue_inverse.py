"""The inverse problems on sheets of tissue at toy size."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments.cardiac import _mapped_tissue, activation_inverse, scar_inverse
from experiments.cardiac._mapped_sheet import directions_for, reading, sheet, site_lattice
from experiments.cardiac._scarred_sheet import inside
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.workspace import Workspace

ACTIVATION, SCAR = activation_inverse.Config(), scar_inverse.Config()


def test_sites_read_voxels_at_third_order_at_walls_too():
    sites = site_lattice((3.0, 2.0), 0.37, 0.5)
    assert (np.linalg.norm(sites, axis=1) >= 0.5).all() and len(sites) == len({tuple(site) for site in sites})
    errors = []
    for h in (0.25, 0.125):
        grid = sheet((3.0, 2.0), h)
        x, y = ((np.arange(n) + 0.5) * h for n in grid.shape[:2])
        field = np.cos(np.pi * x / 3)[:, None] * np.cos(np.pi * y)[None, :]  # without flux at the walls
        exact = np.cos(np.pi * sites[:, 0] / 3) * np.cos(np.pi * sites[:, 1])
        errors.append(np.abs(np.asarray(reading(grid, sites)) @ field.reshape(-1) - exact).max())
    assert errors[1] < 1e-3 and errors[1] < errors[0] / 8


def test_averaging_keeps_sums_and_places():
    fine, coarse = sheet((3.0, 2.0), 0.25), sheet((3.0, 2.0), 0.5)
    x, y = ((np.arange(n) + 0.5) * 0.25 for n in fine.shape[:2])
    linear = jnp.asarray(np.stack([2 * x[:, None] - y[None, :], x[:, None] + 0 * y[None, :]]).reshape(2, -1))
    x, y = ((np.arange(n) + 0.5) * 0.5 for n in coarse.shape[:2])
    expected = np.stack([2 * x[:, None] - y[None, :], x[:, None] + 0 * y[None, :]]).reshape(2, -1)
    np.testing.assert_allclose(_mapped_tissue.averaged(linear, fine, coarse), expected, rtol=1e-12)
    np.testing.assert_array_equal(_mapped_tissue.averaged(linear, fine, fine), linear)


def test_directions_serve_every_ratio():
    few, many = (directions_for(0.2, 30.0, ratios) for ratios in ([7.6], np.geomspace(2, 25, 20)))
    assert set(few) <= set(many) and len(many) > len(few)


def test_a_scar_is_half_on_its_outline():
    values = {"centre_x": 3.0, "centre_y": 4.0, "radius": 2.0, "cos_2": 0.2, "sin_2": -0.1, "cos_3": 0.1, "sin_3": 0.05}
    angle = np.linspace(0, 6, 7)
    bend = 0.2 * np.cos(2 * angle) - 0.1 * np.sin(2 * angle) + 0.1 * np.cos(3 * angle) + 0.05 * np.sin(3 * angle)
    outline = np.array([3.0, 4.0]) + (2 * np.exp(bend))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    np.testing.assert_allclose(inside(jnp.asarray(outline), values, 0.5), 0.5, atol=0.01)
    assert float(inside(jnp.asarray([3.0, 4.0]), values, 0.2)) > 0.999 and float(inside(jnp.asarray([9.0, 4.0]), values, 0.2)) < 1e-6


@pytest.mark.slow
def test_conductivities_and_channels_are_found(tmp_path):
    """Some three minutes: on fewer or wider voxels no channel is found."""
    summary = run_experiment("cardiac/activation_inverse", ACTIVATION, RunOptions(out=tmp_path / "run"), progress=False)
    for name in activation_inverse.WANTED:
        assert summary[f"{name}_relative_error_worst"] < 0.05
    assert summary["values"] == 4 and summary["values_covered_by_ci90"] >= 3
    with xr.open_dataset(tmp_path / "run" / "result.h5", engine="h5netcdf", decode_times=False) as result:
        left = (result["data"] - result["fitted"]).values[0]
        assert left[0].std() < 0.6 and left[1:].std() < 2.4  # the noise is 0.5 and 2 ms


@pytest.mark.slow
def test_a_scar_is_found(tmp_path):
    summary = run_experiment("cardiac/scar_inverse", SCAR, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["dice_median"] > 0.85 and summary["centre_error_mm_median"] < 1
    assert summary["better_than_every_threshold"] == 1


@pytest.mark.parametrize(
    ("experiment", "config", "change", "message"),
    [
        (activation_inverse, ACTIVATION, {"spacing_mm": 0.3}, "divisor of 10 and 6"),
        (activation_inverse, ACTIVATION, {"search_spacing_mm": 0.125}, "not below"),
        (activation_inverse, ACTIVATION, {"activation_noise_ms": 0.0}, "0.001 to 10"),
        (activation_inverse, ACTIVATION, {"tissues": 0}, "1 to 1000"),
        (scar_inverse, SCAR, {"spacing_mm": 0.7}, "divisor of 24"),
        (scar_inverse, SCAR, {"step_ms": 0.03}, "divisor of 1 ms"),
        (scar_inverse, SCAR, {"noise_mv": float("nan")}, "0.0001 to 10"),
        (scar_inverse, SCAR, {"seed": -1}, "--seed -1"),
    ],
)
def test_bad_options_are_refused_in_one_line(experiment, config, change, message):
    with pytest.raises(InputError, match=message) as caught:
        experiment.run(replace(config, **change), Workspace(None, progress=False))
    assert "\n" not in str(caught.value)
