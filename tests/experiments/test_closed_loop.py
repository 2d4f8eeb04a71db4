"""The closed loop at its published values, and fitted to a record."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.closed_loop import svzerod_case
from experiments.haemodynamics import closed_loop
from physics.closed_loop import closed_loop_circuit, regazzoni_values
from twinsim.errors import InputError
from twinsim.svzerod_file import read_svzerod
from twinsim.workspace import Workspace


def test_a_healthy_adult():
    result = closed_loop.run(closed_loop.Config(subject="healthy", steps=100), Workspace(progress=False))
    summary = result.summary
    assert 0.5 < summary["left_ventricle_ejection_fraction"] < 0.7
    assert 120 < summary["systemic_arteries_max_mmhg"] < 140 and 70 < summary["systemic_arteries_min_mmhg"] < 90
    assert summary["total_volume_drift_relative"] < 1e-10
    assert any("pulmonary hypertension" in note for note in result.notes)  # what the published values give is said
    assert np.isfinite(result.dataset["pressure"]).all()


@pytest.mark.slow
def test_coronaries_of_the_loop():
    result = closed_loop.run(closed_loop.Config(subject="healthy", steps=100, coronaries=True), Workspace(progress=False))
    summary = result.summary
    assert 120 < summary["left_coronary_flow_ml_per_min"] + summary["right_coronary_flow_ml_per_min"] < 220
    assert summary["left_coronary_diastolic_over_systolic"] > max(1.2, summary["right_coronary_diastolic_over_systolic"])
    assert any("autoregulation" in note for note in result.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learn": 0.95}, "0.1 to 0.9"),
        ({"steps": 10}, "choose at least 50"),
        ({"draws": 1}, "--draws 1; expected 20 to"),
        ({"pulmonary": "ABP"}, "two pressures"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(InputError, match=words):
        closed_loop.run(replace(closed_loop.Config(), **options), Workspace(progress=False))


def test_the_same_loop_as_a_circuit_and_as_a_file():
    values = regazzoni_values()
    circuit = closed_loop_circuit(values)
    assert circuit.closed and len(circuit.groups) == 3
    case = read_svzerod(svzerod_case(values, 100, 5))
    assert case.circuit.closed and case.steps == 100
    assert float(case.circuit.value("left_ventricle.active_elastance")) == 2.75


@pytest.mark.slow
@pytest.mark.needs_data
def test_a_record_is_forecast(dataset):
    """The goals for MIMIC 041: means within 5 mmHg, waves within 8 mmHg, 80 to 97 % of samples in the 90 % bands."""
    dataset("wfdb")
    summary = closed_loop.run(closed_loop.Config(draws=100), Workspace(progress=False)).summary
    for name in ("systemic", "pulmonary"):
        assert abs(summary[f"{name}_forecast_mean_error_mmhg"]) < 5
        assert summary[f"{name}_forecast_rms_mmhg"] < 8
        assert 0.80 <= summary[f"{name}_forecast_coverage90"] <= 0.97
