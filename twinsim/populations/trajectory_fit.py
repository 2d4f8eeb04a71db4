"""Interactions fitted inside the solver: whole courses from unknown starts, by the likelihood of the counts."""

from abc import abstractmethod
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from physics import CellPopulations
from solvers import Status
from twinsim.closures import decaying_adam, train
from twinsim.closures.courses import rollout as held_rollout
from twinsim.errors import InputError
from twinsim.populations.composition_series import CompositionSeries
from twinsim.populations.gradient_matching import InteractionFit, scaled_populations

SUBSTEPS = 4
"""Runge-Kutta steps between two samples."""
CAP = 12.0
"""Logarithms of densities (in units of the reference) are kept within this of zero, so that a course that explodes still has a gradient."""
SMOOTH = 0.01
"""1/day below which the penalty of an interaction is round, so that it has a slope."""


class Samples(NamedTuple):
    """A series as the solver takes it; times first, cultures last.

    Attributes:
        spans: Days between samples, ``[samples - 1, cultures]``.
        counts: ``[samples, types, cultures]``.
        log_totals: ``[samples, cultures]``.
        total_error: Of the logarithm of a total.
    """

    spans: Float[Array, "intervals cultures"]
    counts: Float[Array, "samples types cultures"]
    log_totals: Float[Array, "samples cultures"]
    total_error: Float[Array, ""]

    @classmethod
    def of(cls, series: CompositionSeries, dtype: type = np.float32) -> "Samples":
        """In the precision that the fit runs in."""
        counts = np.moveaxis(series.counts, 0, 2)
        parts = (np.diff(series.days, axis=1).T, counts, np.log(series.totals).T, np.asarray(series.total_error))
        return cls(*(jnp.asarray(np.asarray(part, dtype)) for part in parts))


class PopulationModel(eqx.Module):
    """What is trained: everything about the types in units of the reference densities.

    Attributes:
        growth: $r$, 1/day.
        log_crowding: Logarithm of $cn^*$, 1/day.
        log_saturation: Logarithm of $n^*/h$ of each source; None is Lotka-Volterra.
        reference: $n^*$; fixed.
    """

    growth: eqx.AbstractVar[Float[Array, " types"]]
    log_crowding: eqx.AbstractVar[Float[Array, " types"]]
    log_saturation: eqx.AbstractVar[Float[Array, " types"] | None]
    reference: eqx.AbstractVar[Float[Array, " types"]]

    @abstractmethod
    def effects(self) -> Float[Array, "types types"]:
        """$w$, 1/day at the reference densities; the diagonal is not used."""

    @abstractmethod
    def trainable(self) -> "PopulationModel":
        """The same tree with True where training changes a leaf."""

    def populations(self) -> CellPopulations:
        """The equations with densities in units of the reference."""
        ones = jnp.ones_like(self.growth)
        saturation = 0 * ones if self.log_saturation is None else jnp.exp(self.log_saturation)
        off = self.effects() * (1 - jnp.eye(len(ones), dtype=ones.dtype))
        return scaled_populations(self.growth, jnp.exp(self.log_crowding), off, saturation, ones, 0 * ones)


class FreePopulations(PopulationModel):
    """Every pair of types has a number of its own.

    Attributes:
        growth: See :class:`PopulationModel`.
        log_crowding: The same.
        strength: $w$.
        log_saturation: The same.
        reference: The same.
    """

    growth: Float[Array, " types"]
    log_crowding: Float[Array, " types"]
    strength: Float[Array, "types types"]
    log_saturation: Float[Array, " types"] | None
    reference: Float[Array, " types"]

    @classmethod
    def from_fit(cls, fit: InteractionFit, dtype: type = np.float32) -> "FreePopulations":
        """Begins where a regression ended."""
        array = partial(jnp.asarray, dtype=dtype)
        log_saturation = array(np.log(fit.saturation)) if fit.saturation.any() else None
        return cls(
            growth=array(fit.growth), log_crowding=array(np.log(fit.crowding)), strength=array(fit.strength), log_saturation=log_saturation,
            reference=array(fit.reference),
        )  # fmt: skip

    def effects(self) -> Float[Array, "types types"]:
        """The numbers themselves."""
        return self.strength

    def trainable(self) -> "FreePopulations":
        """All but the reference."""
        return eqx.tree_at(lambda tree: tree.reference, jax.tree.map(eqx.is_inexact_array, self), False)


class Courses(eqx.Module):
    """A model and where each culture starts; the starts are unknowns like the rest.

    Attributes:
        model: The types.
        start: Logarithms of densities at the first sample, in units of the reference.
    """

    model: PopulationModel
    start: Float[Array, "types cultures"]


def rollout(
    populations: CellPopulations, start: Float[Array, "types cultures"], spans: Float[Array, "intervals cultures"], substeps: int = SUBSTEPS
) -> Float[Array, "samples types cultures"]:
    """Logarithms of densities at all samples, the first included; what reverse mode keeps is one state per interval."""

    limit = jnp.full(start.shape[:1], CAP, start.dtype)
    return held_rollout(populations.log_rate, start, spans, limit, substeps)


def misfit(log_density: Float[Array, "samples types cultures"], reference: Float[Array, " types"], samples: Samples) -> Float[Array, ""]:
    r"""$-\ln$ likelihood up to a constant: counts multinomial in the shares, totals log-normal."""
    whole = log_density + jnp.log(reference)[None, :, None]
    total = jax.nn.logsumexp(whole, axis=1)
    shares = -(samples.counts * (whole - total[:, None])).sum()
    return shares + 0.5 * (((samples.log_totals - total) / samples.total_error) ** 2).sum()


def best_misfit(samples: Samples) -> Float[Array, ""]:
    """The misfit of shares that are those counted: what no model can go below."""
    counts = samples.counts
    return -(xlogy(counts, counts) - xlogy(counts, counts.sum(axis=1, keepdims=True))).sum()


def penalty(model: PopulationModel, scale_per_day: float) -> Float[Array, ""]:
    r"""$\sum\sqrt{w^2+\epsilon^2}/b$, a Laplace prior with a round tip, and weak normal ones that keep the other numbers in their units."""
    sparse = jnp.sqrt(model.effects() ** 2 + SMOOTH**2).sum() / scale_per_day
    weak = 0.5 * ((model.growth / 1.0) ** 2 + ((model.log_crowding + 0.5) / 1.0) ** 2).sum()
    if model.log_saturation is not None:
        weak = weak + 0.5 * ((model.log_saturation / 0.7) ** 2).sum()
    return sparse + weak


class TrajectoryFit(NamedTuple):
    """What training inside the solver left.

    Attributes:
        courses: The model and the starts.
        losses: Of every step: half of the mean deviance per count, with the priors.
        status: Of the training.
    """

    courses: Courses
    losses: np.ndarray
    status: Status

    @property
    def strength(self) -> np.ndarray:
        """$w$, zero on the diagonal."""
        strength = np.array(self.courses.model.effects(), dtype=float)
        np.fill_diagonal(strength, 0.0)
        return strength


def fit_trajectories(
    series: CompositionSeries,
    model: PopulationModel,
    steps: int = 150,
    scale_per_day: float = 0.05,
    learning_rate: float = 0.004,
    horizons: tuple[int, ...] = (4, 12),
) -> TrajectoryFit:
    r"""Minimises the misfit of courses plus the penalty by Adam: short courses first, then longer ones.

    Lotka-Volterra and saturating models, free or of a network, under the same likelihood, prior, steps and rate. A parameter's gradient
    goes through every step of every course (discrete adjoint, one kept state per interval). Courses are cut into windows of so many
    intervals, each from an unknown start of its own; a sample at which one ends and the next begins counts for both.

    Args:
        series: Counts.
        model: Where to begin, in single precision; best a sparse regression.
        steps: Of Adam for the first horizon, 100 to 300; the next has twice as many, and so on.
        scale_per_day: $b$ of the Laplace prior.
        learning_rate: First one of the first horizon, half of it for the next; it decays by a cosine.
        horizons: Intervals per window; the whole course where they are as many or more.

    Good values: courses of a few growth times with samples less than a growth time apart. Fails where a window is chaotic over its length
    (gradients explode); a course that leaves $e^{\pm12}$ of the reference is held there and says nothing more.

    Raises:
        InputError: No horizon.

    Source: fits inside solvers, Rackauckas et al. (2020), arXiv 2001.04385; windows with starts of their own are Bock's multiple shooting
    (1981).
    """
    losses, status = [], Status.SUCCESS
    courses = None
    for number, horizon in enumerate(horizons):
        samples, densities = windows(series, horizon)
        start = jnp.asarray(np.log(densities / np.asarray(model.reference)).T, jnp.float32)
        rate, count = learning_rate * 0.5**number, steps * (number + 1)
        done = train(
            Courses(model, start), partial(_loss, scale_per_day, len(series.days.ravel()) * series.types), samples, steps=count, chunk=50,
            trainable=_trainable,
            optimiser=decaying_adam(rate, count, clip=10.0, end=0.02, b2=0.99),
        )  # fmt: skip
        courses, model = done.model, done.model.model
        losses.append(done.losses)
        status = max(status, done.status)
    if courses is None:
        raise InputError("no horizon", "at least one number of intervals per window", "give horizons=(4, 12)")
    return TrajectoryFit(courses, np.concatenate(losses), status)


def windows(series: CompositionSeries, horizon: int) -> tuple[Samples, np.ndarray]:
    """Courses cut into windows of ``horizon`` intervals as cultures of their own, and the densities counted at their starts.

    Intervals at the end that fill no window make one that begins earlier.
    """
    intervals = series.days.shape[1] - 1
    horizon = min(horizon, intervals)
    begins = sorted({*range(0, intervals - horizon + 1, horizon), intervals - horizon})
    parts = [slice(begin, begin + horizon + 1) for begin in begins]
    days, counts, totals = (np.concatenate([array[:, part] for part in parts]) for array in (series.days, series.counts, series.totals))
    cut = CompositionSeries(days, counts, totals, series.total_error)
    return Samples.of(cut), cut.densities()[:, 0]


def _loss(scale_per_day: float, cells: int, courses: Courses, samples: Samples) -> Float[Array, ""]:
    course = rollout(courses.model.populations(), courses.start, samples.spans)
    off = misfit(course, courses.model.reference, samples) - jax.lax.stop_gradient(best_misfit(samples))
    return (off + penalty(courses.model, scale_per_day)) / cells


def _trainable(courses: Courses) -> Courses:
    nothing = jax.tree.map(lambda _: False, courses)
    return eqx.tree_at(lambda tree: (tree.model, tree.start), nothing, (courses.model.trainable(), True))


def forecast(
    populations: CellPopulations, log_start: Float[np.ndarray, "cultures types"], days: Float[np.ndarray, "cultures samples"]
) -> tuple[Float[np.ndarray, "cultures samples types"], np.ndarray]:
    """Logarithms of densities from given starts at given days (the first is the start), and which cultures left $e^{\\pm12}$ on the way.

    Args:
        populations: In the units of the starts.
        log_start: Logarithms at the first day.
        days: Increasing.
    """
    spans = jnp.asarray(np.diff(days, axis=1).T)
    course = _rollout(populations, jnp.asarray(log_start.T), spans)
    found = np.moveaxis(np.asarray(course, dtype=float), 2, 0)
    return found, (np.abs(found) >= CAP).any(axis=(1, 2))


_rollout = jax.jit(partial(rollout, substeps=8))
