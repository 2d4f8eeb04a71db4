"""Interactions by linear regression: what the logarithm of a density gains between samples is what was integrated in between."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import PchipInterpolator

from physics import CellPopulations
from twinsim.discovery.thresholded_ridge import ridge, thresholded_ridge
from twinsim.populations.composition_series import CompositionSeries

type Effects = Literal["lotka_volterra", "saturating"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)
STRENGTHS = (1e-3, 1e-2, 3e-2, 0.1, 0.3)
LEAST_CROWDING = 0.1
"""1/day at the reference density: a type whose own crowding comes out less is fitted again with this, since without it it explodes."""
THRESHOLDS = (2.0, 3.0, 4.0)


@dataclass(frozen=True)
class InteractionFit:
    """Growth, crowding and interactions, in units of the reference densities.

    Attributes:
        growth: $r$, 1/day.
        crowding: $cn^*$, 1/day at the reference density.
        strength: $w$, what type $j$ does to the growth of $i$ at $j$'s reference density, 1/day.
        score: How sure the fit is that there is an interaction, for rankings.
        reference: $n^*$.
        saturation: $n^*$ over the density of half effect; zero for Lotka-Volterra.
        chosen: Ridge strength or threshold that cross-validation chose.
    """

    growth: Float[np.ndarray, " types"]
    crowding: Float[np.ndarray, " types"]
    strength: Float[np.ndarray, "types types"]
    score: Float[np.ndarray, "types types"]
    reference: Float[np.ndarray, " types"]
    saturation: Float[np.ndarray, " types"]
    chosen: float

    def populations(self, immigration: Float[np.ndarray, " types"] | None = None) -> CellPopulations:
        """The fitted model in densities."""
        return scaled_populations(
            self.growth, self.crowding, self.strength, self.saturation, self.reference,
            np.zeros_like(self.growth) if immigration is None else immigration,
        )  # fmt: skip


def scaled_populations(
    growth: Float[Array, " types"] | Float[np.ndarray, " types"],
    crowding: Float[Array, " types"] | Float[np.ndarray, " types"],
    strength: Float[Array, "types types"] | Float[np.ndarray, "types types"],
    saturation: Float[Array, " types"] | Float[np.ndarray, " types"],
    reference: Float[Array, " types"] | Float[np.ndarray, " types"],
    immigration: Float[Array, " types"] | Float[np.ndarray, " types"],
) -> CellPopulations:
    r"""From units of the reference densities: an effect is $w_{ij}(1+\sigma_j)\nu_j/(1+\sigma_j\nu_j)$ with $\nu=n/n^*$: $w$ at $n^*$."""
    import jax.numpy as jnp

    slope = strength * ((1 + saturation) / reference)[None]
    parts = (growth, crowding / reference, slope, (saturation / reference)[None], immigration)
    return CellPopulations(*(jnp.asarray(part) for part in parts))


@dataclass(frozen=True)
class Rows:
    """The regression of one series: per interval $\\Delta\\ln n_i = r_i\\Delta t - c_i\\int\\nu_i + \\sum_jw_{ij}\\int\\phi_j$.

    Attributes:
        span: $\\Delta t$, days, per row.
        own: $\\int\\nu$, ``[rows, types]``.
        others: $\\int\\phi$, ``[rows, types]``.
        gain: $\\Delta\\ln n$, ``[rows, types]``.
        variance: Of the gains.
        culture: Which culture a row is of.
    """

    span: np.ndarray
    own: np.ndarray
    others: np.ndarray
    gain: np.ndarray
    variance: np.ndarray
    culture: np.ndarray


def integral_rows(series: CompositionSeries, saturation: Float[np.ndarray, " types"], reference: Float[np.ndarray, " types"]) -> Rows:
    """Integrates what drives growth over every interval between samples.

    Nothing is differentiated: noise enters a gain once, by its two ends. In between, logarithms follow a monotone cubic (Fritsch and
    Carlson 1980), and integrals are Gauss's with four nodes.
    """
    log_density, variance = np.log(series.densities() / reference), series.log_variances()
    span = np.diff(series.days, axis=1)
    own, others = [], []
    for culture in range(series.cultures):
        curve = PchipInterpolator(series.days[culture], log_density[culture], axis=0)
        times = series.days[culture, :-1, None] + 0.5 * span[culture, :, None] * (1 + NODES)
        density = np.exp(curve(times))
        effect = (1 + saturation) * density / (1 + saturation * density)
        weight = 0.5 * span[culture][:, None, None] * WEIGHTS[None, :, None]
        own.append((weight * density).sum(axis=1))
        others.append((weight * effect).sum(axis=1))
    gain, noise = np.diff(log_density, axis=1), variance[:, 1:] + variance[:, :-1]
    flat = (-1, series.types)
    culture = np.repeat(np.arange(series.cultures), span.shape[1])
    return Rows(span.ravel(), np.concatenate(own), np.concatenate(others), gain.reshape(flat), noise.reshape(flat), culture)


def match_gradients(
    series: CompositionSeries,
    effects: Effects,
    sparse: bool = False,
    reference: Float[np.ndarray, " types"] | None = None,
    folds: int = 4,
) -> InteractionFit:
    """Interactions by weighted regression of every type's gains, dense by a ridge or sparse by sequential thresholding.

    The strength of the ridge, or the threshold (standard errors), is the one that predicts the gains of left-out cultures best, for all
    types together. Saturating effects have half of their largest value at the reference density (a guess that is not fitted here; the fit
    inside the solver moves it).

    Args:
        series: Counts of many cultures; rows (intervals) should be at least twice as many as types.
        effects: ``lotka_volterra`` (proportional) or ``saturating``.
        sparse: Whether to threshold.
        reference: Densities as units; geometric means of the series where left out.
        folds: Of the cross-validation over cultures.

    Fails where intervals are long against the dynamics (the integrals are then of a curve between few noisy points: a bias that more
    cultures do not cure), and where cultures all start alike.

    Source: regression of logarithmic gains, Stein et al. (2013), *PLoS Comput Biol* 9, e1003388; integral form, Schaeffer and McCalla
    (2017), *Phys Rev E* 96, 023302.
    """
    reference = series.reference() if reference is None else reference
    saturation = np.full(series.types, 1.0 if effects == "saturating" else 0.0)
    rows = integral_rows(series, saturation, reference)
    groups = np.arange(series.cultures) % max(2, min(folds, series.cultures))
    scores = []
    choices = THRESHOLDS if sparse else STRENGTHS
    for choice in choices:
        error = 0.0
        for fold in range(groups.max() + 1):
            out = groups[rows.culture] == fold
            for i in range(0, series.types, 1 + series.types // 32):  # some thirty types are enough to choose one number by
                theta, _ = _fitted(rows, i, ~out, choice, sparse)
                miss = rows.gain[out, i] - _columns(rows, i)[out] @ theta
                error += float((miss**2 / rows.variance[out, i]).sum())
        scores.append(error)
    best = choices[int(np.argmin(scores))]
    types = series.types
    growth, crowding, strength, score = np.zeros(types), np.zeros(types), np.zeros((types, types)), np.zeros((types, types))
    everything = np.ones(len(rows.span), bool)
    for i in range(types):
        theta, sure = _fitted(rows, i, everything, best, sparse)
        others = np.arange(types) != i
        growth[i], crowding[i] = theta[0], -theta[1]
        strength[i, others], score[i, others] = theta[2:], sure[2:]
    return InteractionFit(growth, crowding, strength, score, reference, saturation, best)


def _columns(rows: Rows, i: int) -> np.ndarray:
    """Growth, own crowding, then every other type."""
    return np.column_stack([rows.span, rows.own[:, i], np.delete(rows.others, i, axis=1)])


def _fitted(rows: Rows, i: int, used: np.ndarray, choice: float, sparse: bool) -> tuple[np.ndarray, np.ndarray]:
    columns, target, weight = _columns(rows, i)[used], rows.gain[used, i], 1 / rows.variance[used, i]
    theta, sure = _regressed(columns, target, weight, 2, choice, sparse)
    if theta[1] <= -LEAST_CROWDING:
        return theta, sure
    inside = np.arange(len(theta)) != 1
    theta[inside], sure[inside] = _regressed(columns[:, inside], target + LEAST_CROWDING * columns[:, 1], weight, 1, choice, sparse)
    theta[1] = -LEAST_CROWDING
    return theta, sure


def _regressed(columns: np.ndarray, target: np.ndarray, weight: np.ndarray, free: int, choice: float, sparse: bool) -> tuple:
    """Coefficients and how sure they are; the first ``free`` columns are neither penalised nor dropped."""
    fixed = np.arange(columns.shape[1]) < free
    if sparse:
        fit = thresholded_ridge(columns, target, choice, 1e-3, weight, fixed)
        return fit.coefficients, fit.score
    theta, error = ridge(columns, target, choice, weight, fixed)
    return theta, np.abs(theta) / np.maximum(error, np.finfo(float).tiny)
