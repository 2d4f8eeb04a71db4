"""The slab and the plane waves at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.cardiac import conduction_velocity, niederer, niederer_convergence, velocity_fit, velocity_table
from twinsim.errors import InputError
from twinsim.workspace import Workspace

SLAB = niederer.Config(dx_mm=0.5, dt_ms=0.05, precision="float64", cell_model="mitchell_schaeffer")
WAVE = conduction_velocity.Config(dt_ms=0.05, cell_model="mitchell_schaeffer", angle_deg=30.0)

TABLE = velocity_table.Config(
    spacings_mm=(0.3,), schemes=("default", "finite_element"), cell_models=("mitchell_schaeffer",), tissue="sheets", dt_ms=0.1, held_out=2
)

FIT = velocity_fit.Config(
    cell_model="mitchell_schaeffer",
    spacings_mm=(0.3,),
    allowed_percent=(2.0,),
    allowed_on_axes_percent=(2.0,),
    directions=8,
    screened=20,
    rounds=1,
    dt_ms=0.1,
)


def test_the_slab_has_the_nine_points_and_costs(tmp_path):
    summary = niederer.run(SLAB, Workspace(tmp_path, progress=False)).summary
    times = [summary[niederer.point_key(point)] for point in niederer.POINTS_MM]
    assert len({niederer.point_key(point) for point in niederer.POINTS_MM}) == 9 and "activation_ms_x10_y3.5_z1.5" in summary
    assert times[0] < times[2] < times[1] < times[7] and max(times) == times[7]
    assert summary["activation_ms_x20_y0_z0"] == pytest.approx(18.5 / (1.08 * np.sqrt(0.0953)), rel=0.1)
    assert all(summary[name] > 0 for name in ("cell_steps_per_second", "run_seconds", "peak_memory_mib"))


@pytest.mark.slow
def test_finer_voxels_come_nearer_to_the_limit(tmp_path):
    config = niederer_convergence.Config(spacings_mm=(0.5, 1.0), dt_ms=0.05, cell_model="mitchell_schaeffer", precision="float64")
    result = niederer_convergence.run(config, Workspace(tmp_path, progress=False))
    summary = result.summary
    assert summary["limit_from"] == "lattice, 0.5 mm" and summary["largest_difference_ms_lattice_dx_0_5"] == 0
    assert 0 < summary["largest_difference_ms_finite_volume_dx_0_5"] < summary["largest_difference_ms_finite_volume_dx_1"]
    assert 0 < summary["largest_difference_ms_lattice_dx_1"] < summary["largest_difference_ms_finite_volume_dx_1"]
    assert result.dataset["activation"].shape == (2, 2, 9)


def test_turned_fibres_turn_the_wave(tmp_path):
    summary = niederer.run(dataclasses.replace(SLAB, fibre_angle_deg=90.0), Workspace(tmp_path, progress=False)).summary
    assert summary["activation_ms_x0_y7_z0"] < summary["activation_ms_x20_y0_z0"] / 3


def test_points_are_read_off_by_a_cubic_that_walls_mirror():
    points = {(0.0, 0.0, 1.0): 1.0, (1.0, 1.0, 0.4): -1.0, (0.25, 0.5, 0.5): -np.cos(np.pi / 4), (0.3, 0.0, 0.1): np.cos(0.3 * np.pi)}
    errors = []
    for n in (8, 16):
        x = (np.arange(n) + 0.5) / n
        field = np.cos(np.pi * x)[:, None, None] * np.cos(2 * np.pi * x)[None, :, None] * np.ones((1, 1, n))
        errors.append([abs(niederer.at_point(field, (1 / n,) * 3, point) - value) for point, value in points.items()])
    assert max(errors[1]) < 1e-3
    assert all(fine < coarse / 8 for coarse, fine in zip(*errors, strict=True))  # of third order or better, on walls too


@pytest.mark.slow
def test_a_plane_wave_on_fitted_voxels(tmp_path):
    summary = conduction_velocity.run(WAVE, Workspace(tmp_path, progress=False)).summary
    assert summary["conduction_velocity_m_per_s"] == summary["conduction_velocity_along_m_per_s"]
    assert summary["converged_along_m_per_s"] / summary["converged_across_m_per_s"] == pytest.approx(2.753, abs=0.002)
    assert max(abs(summary[f"error_{name}percent"]) for name in ("", "along_", "across_")) < 1


@pytest.mark.slow
def test_the_table_says_how_each_scheme_errs(tmp_path):
    result = velocity_table.run(TABLE, Workspace(tmp_path, progress=False))
    ours, elements = (result.summary[f"largest_error_percent_dx_0_3_{scheme}"] for scheme in TABLE.schemes)
    assert result.summary["waves_in_sheets"] == 16 and result.summary["waves_in_volumes"] == 0
    assert ours < 3 and ours < elements / 2
    assert 0 <= result.summary["share_where_default_errs_under_half_of_finite_element_dx_0_3"] <= 1


@pytest.mark.slow
def test_a_linear_program_lowers_the_largest_error_of_a_cell_that_was_not_fitted(tmp_path):
    result = velocity_fit.run(FIT, Workspace(tmp_path, progress=False))
    assert result.summary["largest_ratio"] < 0.8 * result.summary["largest_ratio_before"]
    assert result.dataset is not None and result.dataset["table"].shape == (4, 10)
    assert result.summary["waves"] == 8 + 1
    assert result.summary["largest_error_percent_volumes_dx_0_3"] < result.summary["largest_error_percent_volumes_dx_0_3_before"]


@pytest.mark.parametrize(
    ("experiment", "config", "option", "value", "expected"),
    [
        (niederer, SLAB, "dx_mm", 0.3, "divisor of 20, 7 and 3"),
        (niederer, SLAB, "dt_ms", 1.0, "0.0005 to 0.1 ms"),
        (niederer, SLAB, "cell_model", "mitchel_schaeffer", "mitchell_schaeffer"),
        (niederer, SLAB, "scheme", "finite_volumes", "finite_volume"),
        (niederer, SLAB, "fibre_angle_deg", float("nan"), "-360 to 360"),
        (niederer, SLAB, "limit_ms", 0.0, "2 to 10000"),
        (conduction_velocity, WAVE, "dx_mm", 0.0, "0.01 to 1"),
        (conduction_velocity, WAVE, "scheme", "blended_mass", "0 or 90"),
        (velocity_table, TABLE, "schemes", ("lattice",), "default"),
        (velocity_table, TABLE, "spacings_mm", (0.0,), "0.01 to 1;"),
        (velocity_table, TABLE, "cell_models", (), "at least one"),
        (velocity_table, TABLE, "held_out", -1, "0 to 1000"),
        (velocity_fit, FIT, "allowed_percent", (1.0, 2.0), "one allowance"),
        (velocity_fit, FIT, "precision", "float32", "float64"),
    ],
)
def test_bad_options_are_refused_in_one_line(experiment, config, option, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        experiment.run(dataclasses.replace(config, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
