"""A closure that is a short sum of terms, found from noisy courses."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import Closure, Variable
from twinsim.discovery.term_library import TermLibrary
from twinsim.discovery.thresholded_ridge import SparseFit, choose_threshold
from twinsim.discovery.weak_form import Course, WeakRows, weak_rows


class SparseRegression(Closure):
    r"""$y_o=\sum_k\xi_{ok}\theta_k(x)$ with few $\xi$ that are not zero: a law that can be read.

    Outside of where it was found it continues by its terms: far better than a network if they are the right ones, and no better at all if
    they are not.

    Attributes:
        coefficients: $\xi$.
        library: $\theta$.
        active: Which coefficients are in the law; the others are zero and stay so.
    """

    coefficients: Float[Array, "outputs terms"]
    library: TermLibrary
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)
    active: tuple[tuple[bool, ...], ...] = eqx.field(static=True)

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        return jnp.tensordot(self.coefficients, self.library(values), axes=1)

    @property
    def equations(self) -> tuple[str, ...]:
        """One line per output."""
        lines = []
        for output, row, used in zip(self.outputs, np.asarray(self.coefficients), self.active, strict=True):
            terms = [
                f"{value:+.3g}" + ("" if name == "1" else f" {name}")
                for value, name, inside in zip(row, self.library.names, used, strict=True)
                if inside
            ]
            lines.append(f"{output.name} = {' '.join(terms) or '0'}")
        return tuple(lines)


@dataclass(frozen=True)
class Identification:
    """What a regression found.

    Attributes:
        closure: The law.
        fits: Of each output.
        criterion: Sum of the information criteria; smaller is better.
    """

    closure: SparseRegression
    fits: tuple[SparseFit, ...]
    criterion: float


def identify(
    rows: WeakRows,
    library: TermLibrary,
    inputs: tuple[Variable, ...],
    outputs: tuple[Variable, ...],
    thresholds: tuple[float, ...] = (2.0, 3.0, 5.0, 8.0, 12.0),
    strength: float = 1e-6,
) -> Identification:
    """Sparse regression of every output by sequential thresholding; the threshold by Bayes' information criterion.

    Args:
        rows: From :func:`twinsim.discovery.weak_form.weak_rows`.
        library: The terms of its columns.
        inputs: Of the closure.
        outputs: Of the closure, in the order of the targets.
        thresholds: In standard errors. Overlapping bumps share their noise, so that errors are too small: hence large ones among them.
        strength: Of the ridge.
    """
    fits = tuple(
        choose_threshold(rows.columns, rows.targets[:, k], thresholds, strength, rows.weights[:, k], share=0.0) for k in range(len(outputs))
    )
    coefficients = np.array([fit.coefficients for fit in fits])
    active = tuple(tuple(bool(one) for one in fit.kept) for fit in fits)
    closure = SparseRegression(coefficients=jnp.asarray(coefficients), library=library, inputs=inputs, outputs=outputs, active=active)
    return Identification(closure, fits, float(sum(fit.criterion for fit in fits)))


def identify_with_saturation(
    courses: list[Course],
    library: TermLibrary,
    halves: Float[np.ndarray, " candidates"],
    width: float,
    inputs: tuple[Variable, ...],
    outputs: tuple[Variable, ...],
) -> Identification:
    """As :func:`identify` on weak rows, for the half-saturation among candidates (one for all saturating terms) that explains most."""
    found = []
    for half in halves if library.pairs else [1.0]:
        trial = eqx.tree_at(lambda one: one.half, library, jnp.full(len(library.pairs), half))
        found.append(identify(weak_rows(courses, trial, width), trial, inputs, outputs))
    return min(found, key=lambda one: one.criterion)
