"""Ageing arteries from the front door at toy size."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.haemodynamics.windkessel_age import Config, run
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

TOY = Config(ages=(25.0, 75.0), draws=20)


@pytest.mark.slow
def test_pulse_pressure_rises_with_stiffness(tmp_path):
    summary = run_experiment("haemodynamics/windkessel_age", TOY, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["age_25_pulse_mmhg"] == pytest.approx(30) and summary["age_25_pulse_published_mmhg"] == 30
    for age in (25, 75):
        for name in ("systolic", "diastolic", "pulse", "mean"):
            assert np.isfinite(summary[f"age_{age}_{name}_people_mean_mmhg"])
        assert summary[f"age_{age}_mean_mmhg"] == pytest.approx(summary[f"age_{age}_mean_published_mmhg"], rel=1e-6)
        assert -4 < summary[f"age_{age}_pulse_per_ten_percent_compliance_mmhg"] < -1
    assert 5 < summary["pulse_rise_stiffness_alone_mmhg"] < 25
    assert summary["age_75_compliance_ml_per_mmhg"] < 0.75 * summary["age_25_compliance_ml_per_mmhg"]
    assert summary["age_75_people_not_found_fraction"] == 0
    assert (tmp_path / "out" / "pressures.png").is_file()
    assert (tmp_path / "out" / "beats.png").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ages": (25.0,)}, "at least two, rising"),
        ({"ages": (45.0, 25.0)}, "at least two, rising"),
        ({"ages": (25.0, 95.0)}, "--ages 95; expected 20 to 80"),
        ({"aortic_share": 1.5}, "--aortic-share 1.5"),
        ({"draws": 3}, "choose at least 20"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(InputError, match=words):
        run(replace(TOY, **options), Workspace(progress=False))
