"""The epileptogenic zone at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import epileptogenic_zone
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.intracranial_recording import ICTAL
from twinsim.workspace import Workspace

TOY = epileptogenic_zone.Config(patients=1, regions=8, seed=1)


def test_hidden_patients_are_found():
    result = epileptogenic_zone.run(TOY, Workspace(progress=False))
    summary = result.summary
    assert summary["auc_worst"] > 0.95 and summary["coverage_of_ci90"] >= 0.6
    assert summary["epileptogenicity_rmse"] < 0.3 * summary["epileptogenicity_rmse_of_prior"]
    assert result.dataset["truth"].shape == (1, 8)


@pytest.mark.slow
def test_a_recording_is_ranked(tmp_path):
    with np.load(locate("ieeg_ictal") / ICTAL) as content:
        held = {name: content[name] for name in content.files}
    chosen = np.r_[0:4, 52:56]
    np.savez(tmp_path / "part.npz", ecog=held["ecog"][chosen], channels=held["channels"][chosen], time_s=held["time_s"], fs=held["fs"],
             soz=held["soz"][chosen])  # fmt: skip
    config = dataclasses.replace(TOY, recording=str(tmp_path / "part.npz"))
    summary = epileptogenic_zone.run(config, Workspace(progress=False)).summary
    assert summary["channels"] == 8 and summary["fragility_auc"] is None
    assert 0.5 < summary["onset_zone_auc"] <= 1 and summary["top10_hits"] >= 4
    assert summary["line_length_auc"] is not None


@pytest.mark.slow
def test_the_recorded_seizure_against_the_published_map():
    summary = epileptogenic_zone.run(dataclasses.replace(TOY, recording="ieeg_ictal"), Workspace(progress=False)).summary
    assert summary["fragility_auc"] == pytest.approx(0.8351, abs=1e-4)
    assert summary["onset_zone_auc"] > 0.9 and summary["top10_hits"] >= 7


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("patients", 0, "at least"),
        ("noise", float("nan"), "0.001 to 10"),
        ("recording", "nowhere.npz", "correct the path"),
        ("regions", 2, "4 to 400"),
        ("connectome", "nowhere.zip", "correct the path"),
    ],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        epileptogenic_zone.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
