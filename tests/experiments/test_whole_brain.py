"""A whole brain at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import whole_brain
from physics import NEURAL_MASSES
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = whole_brain.Config(duration_ms=10.0, dt_ms=0.1)


@pytest.mark.slow
def test_the_contract():
    result = whole_brain.run(TOY, Workspace(progress=False))
    assert result.dataset["state"].dims == ("time", "region", "variable") and result.dataset["state"].shape == (10, 76, 2)
    last = result.dataset["state"].sel(variable="firing_rate")[-1]
    assert result.summary["final_firing_rate_mean"] == pytest.approx(float(last.mean()))
    assert result.summary["simulated_ms_per_second"] > 0 and result.summary["compile_seconds"] > 0
    assert result.summary["longest_delay_ms"] > 10


@pytest.mark.parametrize("name", [name for name in NEURAL_MASSES if name != "montbrio_pazo_roxin"])
@pytest.mark.quick(1)
def test_every_mass_runs_and_stays_finite(name):
    result = whole_brain.run(dataclasses.replace(TOY, model=name, duration_ms=4.0), Workspace(progress=False))
    assert np.isfinite(result.dataset["state"]).all()


@pytest.mark.slow
def test_noise_follows_its_seed_and_parameters_can_be_set():
    noisy = dataclasses.replace(TOY, noise=1e-4, duration_ms=4.0, save="mean", save_ms=2.0)
    one, again, other = (whole_brain.run(dataclasses.replace(noisy, seed=seed), Workspace(progress=False)).summary for seed in (1, 1, 2))
    key = "final_firing_rate_mean"
    assert one[key] == again[key] != other[key]
    changed = whole_brain.run(dataclasses.replace(noisy, seed=1, set=("mean_excitability=-4",)), Workspace(progress=False)).summary
    assert changed[key] > one[key]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("model", "jansen_ritt", "did you mean 'jansen_rit'"),
        ("set", ("mean_excitabilty=1",), "did you mean 'mean_excitability'"),
        ("set", ("mean_excitability=x",), "name=number"),
        ("connectome", "nowhere.zip", "correct the path"),
        ("dt_ms", 0.0, "0.0001 to 10"),
        ("save_ms", 0.25, "multiple of the step"),
        ("duration_ms", 10.5, "multiple of it"),
        ("conduction_speed_mm_per_ms", 0.01, "0.1 to 1000"),
        ("duration_ms", 1e6, "larger save-ms"),
        ("coupling", 1e5, "stays finite"),
        ("bold", True, "--save mean"),
    ],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        whole_brain.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_observables_of_phases_that_turn_together():
    """Uncoupled phases of 10 Hz, started nearly alike: one rhythm, full order, and BOLD that forgets it."""
    config = whole_brain.Config(
        model="kuramoto",
        duration_ms=20_000.0,
        dt_ms=5.0,
        save_ms=10.0,
        save="mean",
        coupling=0.0,
        bold=True,
        set=("angular_frequency=0.0628",),
    )
    result = whole_brain.run(config, Workspace(progress=False))
    summary = result.summary
    assert summary["spectral_peak_hz"] == pytest.approx(62.8 / (2 * np.pi), abs=0.05)
    assert summary["order_parameter_mean"] > 0.999 and summary["metastability"] < 1e-6
    assert summary["functional_connectivity_mean"] > 0.999
    assert result.dataset["bold"].shape == (20, 76) and 0 < summary["bold_sd_percent"] < 1
    assert set(result.report._pictures) == {"activity", "observables"}
    short = dataclasses.replace(config, duration_ms=400.0, bold=False, observables=True)
    assert "bold_sd_percent" not in whole_brain.run(short, Workspace(progress=False)).summary


@pytest.mark.parametrize(("option", "value", "words"), [("save_ms", 250.0, "at most 200 ms"), ("duration_ms", 15_000.0, "20 or more")])
def test_bold_wants_enough(option, value, words):
    config = whole_brain.Config(duration_ms=20_000.0, dt_ms=5.0, save_ms=10.0, save="mean", bold=True)
    with pytest.raises(InputError, match=words):
        whole_brain.run(dataclasses.replace(config, **{option: value}), Workspace(progress=False))


def test_phases_have_their_mean_on_the_circle():
    mass = NEURAL_MASSES["kuramoto"]()
    found = whole_brain._final(mass, np.array([[np.pi - 0.1, -np.pi + 0.1, 7 * np.pi]]))
    assert abs(abs(found["final_phase_mean"]) - np.pi) < 1e-12
    assert found["final_phase_sd"] == pytest.approx(0.1 * np.sqrt(2 / 3), rel=0.01)


def test_regions_at_rest_are_told(tmp_path):
    result = whole_brain.run(whole_brain.Config(duration_ms=200.0, dt_ms=0.1), Workspace(tmp_path, progress=False))
    assert any("rests in the second half" in note for note in result.notes)


def test_a_number_that_there_is_not_is_said():
    """The peak of a record too short for a spectrum."""
    assert whole_brain._text(None) == "none" and whole_brain._text(0.5) == "0.5" and whole_brain._text("hopf") == "hopf"
