"""Laws from data at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.learning import discovery
from experiments.learning._hidden_systems import SYSTEMS
from twinsim.errors import InputError
from twinsim.workspace import Workspace


@pytest.mark.parametrize("name", SYSTEMS)
def test_terms_of_a_hidden_law_are_the_law(name):
    """The table of terms and the function that makes the data are written apart, and agree."""
    system = SYSTEMS[name]
    random = np.random.default_rng(0)
    for _ in range(5):
        x = random.uniform(0.1, 3.0, 2)
        values = dict(zip(system.variables, x, strict=True))

        def value(term, values=values, x=x, system=system):
            if term == "saturating":
                return x[0] * x[1] / (system.half + x[1])
            parts = [] if term == "1" else term.split()
            return np.prod([values[part.split("^")[0]] ** int(part.split("^")[1] if "^" in part else 1) for part in parts])

        written = [sum(factor * value(term) for term, factor in terms.items()) for terms in system.terms]
        np.testing.assert_allclose(system.rate(x), written, rtol=1e-12)


@pytest.mark.slow
def test_the_headline():
    config = discovery.Config(system="lotka_volterra", steps=150)
    result = discovery.run(config, Workspace(progress=False))
    summary = result.summary
    assert summary["laws_recovered_by_solver"] == 1
    assert summary["lotka_volterra_coefficient_error_percent_solver"] < 5
    assert summary["lotka_volterra_extrapolation_error_solver"] < 0.3
    assert summary["lotka_volterra_extrapolation_error_solver"] < summary["lotka_volterra_extrapolation_error_network"]
    assert set(result.report._pictures) == {"extrapolation", "errors"}


@pytest.mark.parametrize(("option", "value", "words"), [("samples", 5, "12 to"), ("noise", 2.0, "at most|1"), ("seeds", 0, "1 to 100")])
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        discovery.run(dataclasses.replace(discovery.Config(), **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
