"""Every benchmark runs at a toy size: its numbers are there, finite, and its gradients are right. No time is judged."""

import ast
import dataclasses
import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import _phantom, tumour_growth, voxel_diffusion
from twinsim import catalogue
from twinsim.benchmark import run_benchmark
from twinsim.benchmark_keys import kind
from twinsim.benchmark_options import BenchOptions
from twinsim.errors import InputError

TUMOUR = tumour_growth.Config(
    precision="float64", grid_voxels=(16, 18, 10), spacing_mm=(3.0, 3.0, 4.0), active_voxels=1500, repeats=1, copy_mib=1
)
DIFFUSION = voxel_diffusion.Config(precision="float64", edge_voxels=(8,), steps=6, repeats=1, copy_mib=1)
ORDERS = [2, pytest.param(4, marks=pytest.mark.slow)]
TUMOUR_KEYS = {
    "forward_compile_seconds",
    "gradient_compile_seconds",
    "forward_seconds",
    "forward_seconds_median",
    "gradient_seconds",
    "gradient_to_forward",
    "active_voxel_steps_per_second",
    "box_voxel_steps_per_second",
    "nominal_bytes_per_box_voxel_step",
    "fraction_of_copy_bandwidth",
    "gradient_temporary_mib",
    "gradient_peak_resident_increase_mib",
    "peak_memory_mib",
    "time_step_error_relative",
    "gradient_against_difference_relative",
}


def finite(numbers: dict) -> bool:
    return all(math.isfinite(value) for value in numbers.values() if isinstance(value, int | float))


SCRIPTS = catalogue.benchmarks()
# Options that make a benchmark small, by name: a new benchmark needs a row. `cores` 0 leaves the test's process as it is.
TOYS: dict[str, dict] = {
    "tumour_growth": {
        "grid_voxels": (12, 12, 8), "spacing_mm": (3.0, 3.0, 4.0), "active_voxels": 500, "duration_days": 20.0, "repeats": 1, "copy_mib": 1
    },
    "voxel_diffusion": {"edge_voxels": (8, 10), "steps": 2, "blocked_steps": 4, "repeats": 1, "copy_mib": 1},
    "activation_times": {"edge_voxels": 10, "repeats": 1},
    "activation_gradient": {
        **{"grid_voxels": (8, 4, 2), "duration_ms": 3.0, "step_ms": 0.05, "repeats": 1, "host_devices": 1},
        **{"diffusion": "axis", "splitting": "godunov", "cell_model": "mitchell_schaeffer"},
    },
    "heart_tissue": {"spacing_mm": 2.0, "steps": 2, "repeats": 1, "host_devices": 1, "cell_model": "mitchell_schaeffer"},
    "time_to_accuracy": {
        **{"reference_mm": 1.0, "fitted_mm": 1.0, "order_two_mm": (1.0, 0.5), "step_ms": 0.05, "host_devices": 1, "limit_ms": 10.0},
        "block_voxels": 16,
    },
    "monodomain": {"grid_voxels": (8, 8, 8), "steps": 2, "repeats": 1, "host_devices": 1, "copy_mib": 1},
    "assimilation_latency": {
        "updates": 4, "forecasts": 3, "members": 10, "edge_voxels": 8, "voxel_members": 6, "voxel_updates": 2
    },
    "elliptic": {"edge_voxels": (8, 12), "right_hand_sides": 2, "transform_edge_voxels": 8, "repeats": 1, "copy_mib": 1, "peer": False},
    "gray_scott": {
        "edge_voxels": 32, "duration": 4.0, "periodic_steps": 8, "voxel_steps": 8, "peer_steps": 8, "reference_steps": 40, "repeats": 1
    },
    "scaling": {"devices": (1,), "edge_voxels": 8, "steps": 4, "depth": 2, "repeats": 1, "unpinned": False},
    "psa_calibration": {"patients": 3, "iterations": 3, "repeats": 1},
    "sparse_masks": {"edge_voxels": 8, "fill_fractions": (0.2, 0.5), "applications": 2, "repeats": 1},
    "closed_loop": {"cores": 0, "steps": 50, "beats": 5, "batch": 4, "repeats": 1, "peers": False},
    "brain_network": {"cores": 0, "duration_ms": 10.0, "dt_ms": 0.1, "members": 2, "repeats": 1, "peers": False},
    "cable": {"cores": 0, "compartments": 6, "duration_ms": 3.0, "dt_ms": 0.03, "repeats": 1, "peers": False},
    "arterial_network": {"network": "cca", "cell_mm": 12.0, "cycles": 1, "repeats": 1, "peers": False},
    "stiff_kinetics": {"cores": 0, "cells": 5, "batch": 4, "repeats": 1, "peers": False},
    "learning": {
        "cores": 0, "seconds": 0.2, "seeds": 1, "width": 4, "first_points": 20, "first_iterations": 5, "points": 20, "samples": 0,
        "peers": False, "peer_problems": (), "problems": ("drug_target",), "effort": 0.03,
    },
    "lattice_flow": {"edge_voxels": 8, "steps": 4, "repeats": 1, "copy_mib": 1, "peers": False},
    "substrate_transport": {
        "edge_voxels": 12, "spacing_um": 166.0, "substrates": (1, 2), "mask_reference_steps": 16, "repeats": 1
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_options_of_a_benchmark_are_documented_and_its_own(name):
    script = SCRIPTS[name]
    tree = ast.parse(script.path.read_text(encoding="utf-8"))
    assert len(ast.get_docstring(tree).splitlines()) == 1, "one line of docstring: `twinsim list` shows it"
    config = catalogue.load(script).Config
    assert config.__dataclass_params__.frozen
    config()  # every option has a default
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    texts = [isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body]
    undocumented = [
        node.target.id for at, node in enumerate(body) if isinstance(node, ast.AnnAssign) and not (at + 1 < len(body) and texts[at + 1])
    ]
    assert not undocumented
    reserved = {field.name for field in dataclasses.fields(BenchOptions)}
    assert not reserved & {field.name for field in dataclasses.fields(config)}, "an option of `twinsim bench` itself"
    assert name in TOYS, "add a row of small options to TOYS"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TOYS) & set(SCRIPTS)))
def test_every_benchmark_runs_small_with_finite_numbers_and_a_time(name, dataset):
    if name in ("psa_calibration", "assimilation_latency"):
        dataset("psa_iadt")
    if name == "arterial_network":
        dataset("openbf")
    config = dataclasses.replace(catalogue.load(SCRIPTS[name]).Config(), **TOYS[name])
    numbers = run_benchmark(name, config)
    assert finite(numbers)
    assert {kind(key) for key in numbers} >= {"time", "error"}, "a time, and an error beside it"
    json.dumps(numbers, allow_nan=False)


@pytest.mark.parametrize("interior_order", ORDERS)
@pytest.mark.slow
def test_tumour_growth_through_thirty_fractions_and_chemotherapy(interior_order):
    numbers = tumour_growth.measure(replace(TUMOUR, interior_order=interior_order))
    assert numbers.keys() >= TUMOUR_KEYS
    assert finite(numbers)
    assert numbers["active_voxels"] == 1500 and numbers["box_voxels"] == 16 * 18 * 10 and numbers["steps"] == 270
    assert numbers["gradient_against_difference_relative"] < 1e-7
    assert numbers["time_step_error_relative"] < 1e-4
    assert 0 < numbers["burden_mm3"] < 1500 * 36
    assert numbers["gradient_proliferation_mm3"] > 0 > numbers["gradient_radiosensitivity_mm3"]
    assert numbers["gradient_drug_sensitivity_mm3"] < 0


def test_nominal_traffic_grows_with_stages_and_order():
    assert tumour_growth.nominal_words(2, 2) == 22
    assert tumour_growth.nominal_words(3, 2) == 22 + 5 + 6
    assert tumour_growth.nominal_words(2, 4) == 48


@pytest.mark.parametrize("interior_order", ORDERS)
@pytest.mark.slow
def test_voxel_diffusion(interior_order):
    numbers = voxel_diffusion.measure(replace(DIFFUSION, interior_order=interior_order))
    assert finite(numbers)
    for edge in DIFFUSION.edge_voxels:
        assert numbers[f"active_voxels_{edge}"] == round(0.6 * edge**3)
        assert numbers[f"gradient_scale_against_difference_relative_{edge}"] < 1e-7
        assert numbers[f"gradient_coefficient_against_difference_relative_{edge}"] < 1e-7
        assert numbers.keys() >= {
            f"{name}_{edge}"
            for name in (
                "operator_box_cells_per_second",
                "step_box_cells_per_second",
                "operator_fraction_of_copy_bandwidth",
                "step_fraction_of_copy_bandwidth",
                "gradient_scale_to_forward",
                "gradient_coefficient_to_forward",
            )
        }


def test_a_run_measures_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()  # a folder of that name must not shadow the benchmarks
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise ImportError")
    cores = 1 if hasattr(os, "sched_setaffinity") else 0
    config = replace(TUMOUR, precision="float32", cores=cores, duration_days=20.0)
    numbers = run_benchmark("tumour_growth", config)
    assert finite(numbers)
    assert numbers["steps"] == 20 and numbers["gradient_against_difference_relative"] < 1e-2
    assert "measured elsewhere, not run here" in numbers["peer"]
    if cores:
        assert "pinned to core" in numbers["process"] and "eigen=false" in numbers["process"]
    json.dumps(numbers, allow_nan=False)


@pytest.mark.parametrize("change", [{"cores": -1}, {"cores": 10**6}, {"repeats": 0}, {"copy_mib": 0}])
def test_bad_options_are_refused(change):
    for module, config in ((tumour_growth, TUMOUR), (voxel_diffusion, DIFFUSION)):
        with pytest.raises(InputError):
            module.run(replace(config, **change))


def test_the_phantom_is_irregular_and_of_the_size_of_the_task():
    phantom = _phantom.brain_phantom((77, 116, 36), 201_913)
    assert phantom.mask.sum() == 201_913 and phantom.mask[phantom.inside]
    np.testing.assert_allclose((phantom.white + phantom.grey)[phantom.mask], 1)
    assert not (phantom.white + phantom.grey)[~phantom.mask].any()
    missing = ~phantom.mask
    slits = missing[1:-1] & phantom.mask[:-2] & phantom.mask[2:]  # one voxel wide along x
    assert slits.sum() > 500
    with pytest.raises(InputError):
        _phantom.brain_phantom((8, 8, 8), 512)
