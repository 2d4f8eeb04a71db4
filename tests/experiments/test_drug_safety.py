"""Drug safety at toy size, the tables of drugs, and, marked slow, the categories of all 28."""

import dataclasses

import numpy as np
import pytest

from experiments.cardiac._drug_tables import columns, drugs
from experiments.cardiac.drug_safety import Config, category, run
from twinsim.errors import InputError
from twinsim.workspace import Workspace

# One sample per column of the run without them, so that one program serves both.
TOY = Config(drugs=("dofetilide", "nifedipine"), multiples=(4.0,), beats=1, cycle_length_ms=600.0, dt_ms=0.5, samples=3)


def test_a_blocker_of_calcium_scores_above_one_of_potassium(tmp_path):
    """The first beat after rest at 2000 ms: without a drug 289.24 ms; pore block acts at once, binding has hardly begun."""
    result = run(TOY, Workspace(tmp_path, progress=False))
    summary = result.summary
    assert summary["control_apd90_ms"] == pytest.approx(289.36, abs=0.1)
    assert summary["score_uc_per_uf_nifedipine"] > summary["control_qnet_uc_per_uf"] > summary["score_uc_per_uf_dofetilide"] > 0.04
    assert summary["category_nifedipine"] == "low" and summary["accuracy_validation"] == 1.0
    assert summary["auc_low_or_not_training"] is None
    low, high = (summary[f"score_{end}_percent_uc_per_uf_dofetilide"] for end in (5, 95))
    assert low < high and (low + high) / 2 == pytest.approx(summary["score_uc_per_uf_dofetilide"], rel=0.05)
    assert "score_5_percent_uc_per_uf_nifedipine" not in summary
    assert result.dataset["net_charge"].shape == (2, 1)


def test_the_table_holds_28_drugs_and_errors_of_twelve():
    known = drugs()
    assert len(known) == 28 and sum(drug.group == "training" for drug in known.values()) == 12
    counts = [sum(drug.category == name for drug in known.values()) for name in ("high", "intermediate", "low")]
    assert counts == [8, 11, 9]
    for drug in known.values():
        assert drug.values.shape == (len(columns()),) and drug.concentration > 0
        assert (drug.values[[name != "Vhalf" for name in columns()]] > 0).all()
        if drug.group == "validation":
            with pytest.raises(ValueError, match="do: use a training drug"):
                drug.sampled(2)
            continue
        samples = drug.sampled(4000)
        assert (np.isinf(samples) == np.isinf(drug.values)).all()
        # hERG's affinity varies by 6 to 15 %, and nothing that is not measured does.
        affinity = np.log(samples[:, columns().index("halfmax")]) / drug.values[columns().index("n")]
        assert 0.06 < affinity.std() < 0.16
        assert (samples[:, columns().index("Ku")] == drug.values[columns().index("Ku")]).all()


def test_categories_follow_the_thresholds():
    assert [category(score) for score in (0.05, 0.0581, 0.06, 0.0671, 0.08)] == ["high", "intermediate", "intermediate", "low", "low"]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("drugs", ("dofetilid",), "dofetilide"),
        ("multiples", (), "above 0"),
        ("beats", 0, "choose at least 1"),
        ("samples", 201, "0 to 200"),
        ("cycle_length_ms", 100.0, "300 to 10000"),
        ("dt_ms", 1.0, "0.02 to 0.5"),
    ],
)
def test_bad_options_are_refused_in_one_line(option, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_training_drugs_are_all_in_their_category_and_validation_drugs_three_of_four(tmp_path):
    summary = run(Config(), Workspace(tmp_path, progress=False)).summary
    assert summary["accuracy_training"] == 1.0
    assert summary["accuracy_validation"] >= 0.75
    assert summary["auc_low_or_not_validation"] >= 0.9 and summary["auc_high_or_not_validation"] >= 0.95
    assert summary["control_qnet_uc_per_uf"] == pytest.approx(0.0697, rel=0.002)
