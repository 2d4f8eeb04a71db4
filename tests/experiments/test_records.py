"""Experiments on real records of tumours at toy size: the headline numbers, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.oncology import psa_forecast, tumour_volume
from twinsim.errors import InputError
from twinsim.workspace import Workspace

pytestmark = pytest.mark.needs_data


@pytest.fixture
def records(dataset):
    dataset("psa_iadt")
    dataset("human_volume")


@pytest.mark.slow
def test_psa_of_a_toy_cohort(records):
    config = psa_forecast.Config(cohort=True, patients=8, model="hirata", draws=10, relapse_origins=2)
    summary = psa_forecast.run(config, Workspace(progress=False)).summary
    assert summary["forecasts_n"] >= 20
    assert summary["rmse_log_psa"] < summary["rmse_log_psa_persistence"]
    assert 0.5 < summary["coverage90"] <= 1.0
    assert math.isfinite(summary["crps"])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"patient": 5}, "patient 5"), ({"train_days": 99999.0}, "99999"), ({"train_days": -1.0}, "-1"), ({"draws": 2}, "--draws 2")],
)
def test_psa_refuses(records, options, words):
    with pytest.raises(InputError, match="expected") as caught:
        psa_forecast.run(replace(psa_forecast.Config(), **options), Workspace(progress=False))
    assert words in str(caught.value)


@pytest.mark.slow
def test_tumour_volumes_of_every_twentieth_series(records):
    config = tumour_volume.Config(every=20, folds=2, draws=10)
    summary = tumour_volume.run(config, Workspace(progress=False)).summary
    assert summary["series_n"] >= 20
    # Every law has weight zero among the choices, so that none may be much worse than the last value.
    assert summary["median_abs_log10_error"] < 1.3 * summary["median_abs_log10_error_persistence"]
    assert 0.75 < summary["coverage90"] <= 1.0
    alone = [value for key, value in summary.items() if key.endswith("_alone") and not isinstance(value, str)]
    assert len(alone) >= 5 and np.isfinite(alone).all()


def test_too_few_series_are_refused(records):
    with pytest.raises(InputError, match="series with 16 readings"):
        tumour_volume.run(tumour_volume.Config(readings=16), Workspace(progress=False))
