"""What DeepXDE and jinns are handed over, and the rows that come of their answers; neither is needed here."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import _informed_peers
from benchmarks._informed_peers import Config, informed_beside, measure
from experiments.learning import _allen_cahn, _drug_target, _inverse_heat
from physics import TargetMediatedDisposition
from twinsim.informed import Rows


def test_the_rod_is_handed_over_with_the_samples_and_the_truth_of_the_network(tmp_path):
    options = json.loads(json.dumps(measure(Config(str(tmp_path), ("inverse_heat",), (1,)))))["inverse_heat_1"]
    with np.load(options["file"]) as given:
        case = _inverse_heat.case(1, width=2, layers=1)
        np.testing.assert_array_equal(given["truth"], case.truth)
        samples = case.problem.known[0]
        assert isinstance(samples, Rows)
        places, values = samples.points
        np.testing.assert_array_equal(given["places"], places)
        np.testing.assert_array_equal(given["values"], values)
    assert options["modes"] == 3 and options["middle"] == _inverse_heat.MIDDLE and options["problem"] == "inverse_heat"


@pytest.mark.slow
def test_the_equations_are_handed_over_as_numbers(tmp_path):
    options = json.loads(json.dumps(measure(Config(str(tmp_path), ("allen_cahn", "drug_target"), (0,)))))
    k, dose = options["drug_target_0"]["rates"], options["drug_target_0"]["dose"]
    rest = k["production"] / k["turnover"]
    # The peers' equation over the sizes of the states, written anew, is ours.
    drug, target, bound = state = np.array([0.4, 0.3, 0.2])
    binds = k["binding"] * dose * drug * target - k["unbinding"] * bound
    found = (-binds * rest / dose - k["elimination"] * drug, k["turnover"] * (1 - target) - binds, binds - k["internalisation"] * bound)
    sizes = np.array([dose, rest, rest])
    np.testing.assert_allclose(found, TargetMediatedDisposition.peletier2012().rate(jnp.asarray(state * sizes)) / sizes, rtol=1e-12)
    with np.load(options["drug_target_0"]["file"]) as given:
        assert given["truth"].shape == (len(_drug_target.times()), 3) and given["times"].shape == _drug_target.times().shape
    with np.load(options["allen_cahn_0"]["file"]) as given:
        assert given["points"].shape == (*given["truth"].shape, 2) and options["allen_cahn_0"]["growth"] == _allen_cahn.GROWTH


@pytest.mark.parametrize(("least", "seconds"), [(0.0, 7.0), (25.0, 25.0)])
def test_peers_train_as_long_as_the_network_or_longer(monkeypatch, tmp_path, least, seconds):
    asked = []

    def answers(script, options):
        asked.append((script, options["seed"], options["seconds"]))
        return None if script.startswith("jinns") else {"error_relative": 0.1 * (1 + options["seed"]), "iterations": 5, "version": "1"}

    monkeypatch.setattr(_informed_peers, "peer_python", lambda: tmp_path)
    monkeypatch.setattr(_informed_peers, "peer_numbers", answers)
    monkeypatch.setattr(_informed_peers, "measure_in_fresh_process", lambda _, config: {f"drug_target_{seed}": {} for seed in config.seeds})
    ours = {"drug_target_training_seconds": 7.0, "drug_target_error_relative": 0.01}
    rows = informed_beside(("drug_target",), (0, 1, 2), ours, least)
    assert asked[:3] == [("deepxde_informed", seed, seconds) for seed in range(3)] and len(asked) == 6
    assert rows["drug_target_deepxde_error_relative"] == pytest.approx(0.2) and rows["drug_target_deepxde_iterations"] == 5
    assert rows["drug_target_deepxde_error_relative_largest"] == pytest.approx(0.3)
    assert rows["drug_target_error_ratio_to_deepxde"] == pytest.approx(20.0)
    assert not [key for key in rows if "jinns" in key]
    assert informed_beside((), (0,), ours, least) == {}
