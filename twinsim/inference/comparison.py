"""Which model predicts better: leave-one-out cross-validation from the draws of one fit."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinsim.errors import InputError
from twinsim.inference.draws import Draws

UNRELIABLE = 0.7


@dataclass(frozen=True)
class LeaveOneOut:
    r"""$\sum_i \log p(y_i\mid y_{-i})$ by Pareto-smoothed importance sampling.

    Attributes:
        elpd: Expected log predictive density; larger is better.
        standard_error: Of it.
        effective_parameters: How many parameters the data moved.
        pointwise: Its term per observation, for paired differences.
        pareto_k: Shape of the tail of the weights per observation; above 0.7 the term of that observation cannot be trusted.
    """

    elpd: float
    standard_error: float
    effective_parameters: float
    pointwise: np.ndarray
    pareto_k: np.ndarray

    @property
    def unreliable(self) -> int:
        """Observations with a Pareto k above 0.7, or none that could be computed."""
        return int((~(self.pareto_k <= UNRELIABLE)).sum())

    @property
    def words(self) -> str:
        """One line, with a warning where it is due."""
        bad = self.unreliable
        text = f"elpd {self.elpd:.1f} ± {self.standard_error:.1f}, {self.effective_parameters:.1f} effective parameters"
        return text + (f"; {bad} observations with Pareto k above {UNRELIABLE}: leave these out for real" if bad else "")


def leave_one_out(draws: Draws) -> LeaveOneOut:
    """PSIS-LOO of draws that kept their log likelihood.

    The unit that is left out is one observation; for the forecast of a whole patient or of a future, leave that out instead.
    Source: Vehtari, Gelman and Gabry (2017), *Stat Comput* 27, 1413; computed by ArviZ.

    Raises:
        InputError: The draws have no log likelihood.
    """
    if draws.log_likelihood is None:
        raise InputError(got=f"draws of {draws.method} without log likelihood", expected="log likelihood per observation", do="fit with it")
    from arviz_stats.loo.loo import loo

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large Pareto k, which the result carries
        found: Any = loo(draws.to_arviz(), pointwise=True)
    pointwise, shapes = np.asarray(found.elpd_i), np.asarray(found.pareto_k)
    return LeaveOneOut(float(found.elpd), float(found.se), float(found.p), pointwise, shapes)


def compare(models: Mapping[str, Draws]) -> list[tuple[str, float, float, float]]:
    """Models from best to worst: name, elpd, how far below the best, and the standard error of that difference.

    A difference below some two standard errors, or below about 4, does not tell the models apart. Where observations have a Pareto k above
    0.7 the order cannot be trusted: a warning then names the models, and `LeaveOneOut.words` says how many.

    Raises:
        InputError: No model, draws without log likelihood, or models of different data.
    """
    if not models:
        raise InputError("no model", "at least one name with its draws", "give draws by name")
    found = {name: leave_one_out(draws) for name, draws in models.items()}
    doubtful = [f"{name} ({one.unreliable} of {one.pareto_k.size})" for name, one in found.items() if one.unreliable]
    if doubtful:
        warnings.warn(
            f"Pareto k above {UNRELIABLE} in {', '.join(doubtful)}: leave these observations out for real before trusting the order",
            stacklevel=2,
        )
    best = max(found, key=lambda name: found[name].elpd)
    rows = []
    for name, one in sorted(found.items(), key=lambda pair: -pair[1].elpd):
        if one.pointwise.shape != found[best].pointwise.shape:
            raise InputError(
                got=f"{name} with {one.pointwise.size} observations", expected=f"{found[best].pointwise.size}", do="fit the same data"
            )
        difference = found[best].pointwise - one.pointwise
        rows.append((name, one.elpd, float(difference.sum()), float(np.sqrt(difference.size) * difference.std(ddof=1))))
    return rows
