"""Interactions of cells at toy size."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.oncology import cell_interactions
from experiments.oncology._hidden_tissue import BLOOD, cultures, hidden_tissue
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = cell_interactions.Config(
    types=14, cultures=30, held_out=6, samples=8, left_out=2, steps=20, network_steps=200, blood="synthetic", depth=50_000
)


def test_the_hidden_tissue_rests_where_it_says():
    tissue = hidden_tissue(40, BLOOD, 3)
    rest = jnp.asarray(tissue.rest)
    assert np.abs(np.asarray(tissue.populations.log_rate(jnp.log(rest)))).max() < 1e-12
    assert np.linalg.eigvals(np.asarray(tissue.populations.jacobian(rest))).real.max() < 0
    assert len(tissue.names) == len(set(tissue.names)) == 40 and 0.03 < tissue.linked.mean() < 0.2
    series, clean = cultures(tissue, 3, 6, 1.0, 10**7, 1e-4, 0, absent=np.array([0, 5]))
    assert series.types == 38 and (np.diff(series.days) > 0).all()
    big = clean > 0.2
    np.testing.assert_allclose(series.densities()[big], clean[big], rtol=0.05)


@pytest.mark.slow
def test_the_headline():
    result = cell_interactions.run(TOY, Workspace(progress=False))
    summary = result.summary
    assert summary["forecast_log_rmse_saturating_solver"] < summary["forecast_log_rmse_lv_solver"]
    assert summary["forecast_log_rmse_saturating_solver"] < summary["forecast_log_rmse_lv_dense"]
    assert summary["forecast_log_rmse_saturating_solver"] < 0.5 * summary["forecast_log_rmse_no_change"]
    assert summary["forecast_log_rmse_truth_from_counted_start"] < summary["forecast_log_rmse_saturating_solver"]
    assert summary["pr_auc_saturating_solver"] > 3 * summary["pr_auc_chance"]
    assert result.dataset["inferred_effect"].shape == (6, 14, 14)
    assert set(result.report._pictures) == {"matrices", "recovery", "forecasts"}


BAD = [("left_out", 7, "fewer than half"), ("types", 4, "8 to 512"), ("depth", 1, "100 to")]


@pytest.mark.parametrize(("option", "value", "words"), BAD)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        cell_interactions.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
