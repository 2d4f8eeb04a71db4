"""Population pharmacokinetics and the honesty checks at toy size."""

import numpy as np
import pytest

from experiments.inference import honesty
from experiments.pharmacology import theophylline, warfarin
from twinsim.inference import fit_population, problems
from twinsim.workspace import Workspace


@pytest.mark.needs_data
def test_theophylline_population_means_are_those_of_the_published_fit(dataset):
    """Within 5 %, by Laplace; the joint sampler is checked by the slow test."""
    population = fit_population(problems(theophylline.volunteers(dataset("pkpd"))), shared=("error",))
    assert population.converged
    for name, (log_value, _) in theophylline.PUBLISHED.items():
        assert population.value(name) == pytest.approx(np.exp(log_value), rel=0.05), name
    assert population.value("error") == pytest.approx(theophylline.PUBLISHED_ERROR, rel=0.05)


@pytest.mark.slow
@pytest.mark.needs_data
def test_theophylline_by_the_joint_sampler(dataset):
    dataset("pkpd")
    summary = theophylline.run(theophylline.Config(), Workspace(progress=False)).summary
    assert summary["worst_relative_difference_laplace"] < 0.05
    assert summary["worst_relative_difference_nuts"] < 0.05
    assert summary["largest_r_hat"] < 1.01
    assert summary["forecast_rmse_mg_per_l_population_after_6"] < summary["forecast_rmse_mg_per_l_typical_after_6"]


@pytest.mark.slow
@pytest.mark.needs_data
def test_warfarin_is_near_the_published_fit(dataset):
    """The disposition and the effect within a tenth; the two absorption rates are exchangeable and follow few early readings."""
    dataset("pkpd")
    summary = warfarin.run(warfarin.Config(), Workspace(progress=False)).summary
    for name in ("clearance", "volume", "largest_inhibition", "half_concentration", "turnover", "baseline"):
        assert abs(summary[f"{name}_relative_difference_laplace"]) < 0.1, name


@pytest.mark.slow
def test_honesty_checks_pass_at_a_small_size():
    config = honesty.Config(replicates=60, estimators=("laplace", "ensemble"), problems=("growth",))
    summary = honesty.run(config, Workspace(progress=False)).summary
    assert summary["checks_failed"] == 0
    assert summary["coverage90_of_intervals_half_as_wide"] < 0.75
