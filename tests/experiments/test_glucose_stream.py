"""The glucose stream at toy size, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.glucose_record import read_glucose

HEADER = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n"
KEYS = {
    *(f"rmse_{ahead}{kind}_mg_dl" for ahead in ("30min", "60min") for kind in ("", "_persistence", "_autoregressive")),
    "coverage90_30min",
    "coverage90_60min",
    "update_seconds_p99",
    "readings_n",
    "outliers_n",
}


def toy(**options):
    from experiments.metabolism.glucose_stream import Config

    return replace(Config(learn_hours=6.0, recalibrate_hours=0.0, members=20, iterations=2, order=3, method="extended"), **options)


def written(path, values, unit="mg/dL"):
    lines = [f"{i},2020-01-0{1 + i // 288}T{i // 12 % 24:02d}:{i % 12 * 5:02d}:00,EGV,{value}" for i, value in enumerate(values)]
    path.write_text(HEADER.replace("mg/dL", unit) + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def compiled_once(monkeypatch):
    """Both segments use one program, and the search is left to the slow test: its score and slope are tested on their own."""
    from experiments.metabolism import glucose_stream
    from twinsim.assimilation import glucose_follow, live_twin

    for module, name in ((live_twin, "compiled_update"), (glucose_follow, "ForecastService")):
        original, programs = getattr(module, name), []

        def once(*arguments, original=original, programs=programs):
            if not programs:
                programs.append(original(*arguments))
            return programs[0]

        monkeypatch.setattr(module, name, once)
    median = glucose_follow.Calibration(np.zeros(len(glucose_follow.GLUCOSE_PRIORS)), 0.0, 0, "the priors' medians")
    monkeypatch.setattr(glucose_stream, "calibrated", lambda *_: median)


def test_a_toy_record_is_followed_and_judged_beside_the_baselines(tmp_path, compiled_once):
    """A sine that both baselines know how to judge; one spike, and one reading above the monitor's range."""
    minutes = 5.0 * np.arange(130)
    glucose = np.round(110 + 30 * np.sin(minutes / 60) + np.random.default_rng(0).normal(size=130), 1)
    values = [str(value) for value in glucose]
    values[90], values[100] = "380", "High"
    path = written(tmp_path / "toy.csv", values)
    folder = tmp_path / "run"
    summary = run_experiment("metabolism/glucose_stream", toy(file=path), RunOptions(out=folder), progress=False)
    assert summary.keys() >= KEYS
    assert all(math.isfinite(summary[key]) for key in KEYS)
    assert summary["readings_n"] == 130 and summary["refused_n"] == 1 and summary["outliers_n"] >= 1
    assert summary["rmse_30min_mg_dl"] < summary["rmse_30min_persistence_mg_dl"]
    assert (folder / "report.html").exists() and (folder / "forecasts.png").exists()


@pytest.mark.slow
@pytest.mark.needs_data
def test_the_public_record(dataset, tmp_path):
    """A day and a half beyond two days of learning: both baselines beside the twin, and the twin ahead of persistence."""
    dataset("cgm")
    options = toy(learn_hours=48.0, readings=1000, iterations=10, members=100, method="fixed_lag")
    summary = run_experiment("metabolism/glucose_stream", options, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["readings_n"] == 1000
    assert summary["rmse_30min_mg_dl"] < summary["rmse_30min_persistence_mg_dl"]
    assert 0.75 < summary["coverage90_30min"] < 0.98
    assert summary["update_seconds_p99"] < 1.0


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "with the columns \\(none\\)"),
        ("a,b\n1,2\n", "with the columns a, b"),
        (HEADER, "without a reading"),
        (HEADER + "0,yesterday,EGV,100\n", "line 2: time 'yesterday'"),
        (HEADER.replace("mg/dL", "furlong") + "0,2020-01-01T00:00:00,EGV,100\n", "glucose in 'furlong'"),
        (HEADER + "0,2020-01-01T00:00:00,EGV,100\n", "got 1 readings"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, content, line):
    from experiments.metabolism.glucose_stream import run
    from twinsim.workspace import Workspace

    path = tmp_path / "record.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=line) as caught:
        run(toy(file=path), Workspace(progress=False))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"members": 1}, {"lag": 0}, {"iterations": 0}, {"order": 0}, {"readings": -1}, {"learn_hours": 0.5}])
def test_bad_options_are_refused_in_one_line(tmp_path, options):
    from experiments.metabolism.glucose_stream import run
    from twinsim.workspace import Workspace

    path = written(tmp_path / "toy.csv", ["100"] * 200)
    with pytest.raises(InputError, match=r"expected .*; do: "):
        run(toy(file=path, **options), Workspace(progress=False))


def test_missing_file_and_molar_units(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_glucose(tmp_path / "nothing.csv")
    record = read_glucose(written(tmp_path / "molar.csv", ["5.5", "Low"], "mmol/L"))
    assert record.unit == "mmol/L" and np.isnan(record.values[1]) and record.minutes[1] == 5.0
