"""Many patients with one kind of series each, calibrated as one batch under a common normal prior, and forecast from it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from solvers import device_mesh, vmap_members
from twinsim.batched_least_squares import Fit, least_squares
from twinsim.prior import Prior, Values, values_of

Table = Float[np.ndarray, "patients times"]
Points = Float[np.ndarray, "patients parameters"]
Matrices = Float[np.ndarray, "patients parameters parameters"]
JITTER = 1e-6


@dataclass(frozen=True)
class Noise:
    r"""Differences of data from the model: $\sigma^2[(1-a)\,\delta_{ij} + a\,e^{-|t_i-t_j|/\ell}]$.

    Attributes:
        scale: $\sigma$, in the unit of the data (of their logarithm, say).
        share: $a$, how much of the variance lasts: what the model gets wrong for a while, beside the noise of single readings.
        days: $\ell$.
    """

    scale: float
    share: float
    days: float

    def lasting(self, times: Table) -> Float[np.ndarray, "patients times times"]:
        """The part that lasts, relative to the variance."""
        return self.share * np.exp(-np.abs(times[:, :, None] - times[:, None, :]) / self.days)


@dataclass(frozen=True)
class PopulationNormal:
    """A prior of all patients in the standard-normal coordinates of the parameters, with the noise that belongs to it."""

    mean: Float[np.ndarray, " parameters"]
    covariance: Float[np.ndarray, "parameters parameters"]
    noise: Noise


@dataclass(frozen=True)
class Cohort:
    """Patients whose series are padded to one length.

    Attributes:
        priors: Of the parameters; wide, since the population narrows them.
        predict: From values and the record of one patient what should be seen at all its times, in the unit of `values`.
        records: What else `predict` needs: arrays with a leading axis of patients.
        times: Days; padded by repeating the last.
        values: Data, e.g. logarithms; NaN where nothing was measured, and in the padding.
        rows: Per patient the rows with data, padded with the first row; found where none are given. A part of a record keeps those of
            the whole, so that it is fitted by the same compiled program.
    """

    priors: tuple[Prior, ...]
    predict: Callable[[Values, Any], Array]
    records: Any
    times: Table
    values: Table
    rows: Int[np.ndarray, "patients readings"] = field(default_factory=lambda: np.zeros((0, 0), dtype=int))
    _whitening: dict[tuple[float, float], np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Finds the rows with data."""
        if not self.rows.size:
            found = [np.flatnonzero(np.isfinite(row)) for row in self.values]
            most = max(row.size for row in found)
            object.__setattr__(self, "rows", np.stack([np.concatenate([row, np.zeros(most - row.size, dtype=int)]) for row in found]))

    @property
    def size(self) -> int:
        """How many patients."""
        return self.times.shape[0]

    def until(self, last: Float[np.ndarray, " patients"] | float) -> "Cohort":
        """The same patients with what was measured after a day of each missing."""
        limit = np.broadcast_to(np.asarray(last, dtype=float), (self.size,))[:, None]
        return replace(self, values=np.where(self.times <= limit, self.values, np.nan))

    def wide(self, noise: Noise) -> PopulationNormal:
        """The prior before anybody was seen."""
        return PopulationNormal(np.zeros(len(self.priors)), np.eye(len(self.priors)), noise)

    def predictions(self, z: Points) -> Table:
        """What the model says at all times."""
        return np.asarray(_predictions(self.priors, self.predict, self.records, jnp.asarray(z)))

    def readings(self, table: Table) -> Float[np.ndarray, "patients readings"]:
        """What a table of all times has where there are data; zero where data are missing, and in the padding."""
        return np.where(self.seen, np.take_along_axis(np.nan_to_num(table), self.rows, 1), 0.0)

    @property
    def seen(self) -> Bool[np.ndarray, "patients readings"]:
        """Which of the rows with data are some, not padding and not missing in this part of the record."""
        padding = (self.rows == 0) & (np.arange(self.rows.shape[1]) > 0)[None]
        return np.isfinite(np.take_along_axis(self.values, self.rows, 1)) & ~padding

    def whitening(self, noise: Noise) -> Float[np.ndarray, "patients readings readings"]:
        """Matrices that turn differences of readings into independent ones of size one; rows of missing values are zero."""
        key = (noise.share, noise.days)
        if key not in self._whitening:  # many fits of one cohort differ in priors only
            seen, eye = self.seen, np.eye(self.rows.shape[1])
            both = seen[:, :, None] & seen[:, None, :]
            lasting = noise.lasting(np.take_along_axis(self.times, self.rows, 1))
            roots = np.linalg.cholesky(np.where(both, lasting + (1 - noise.share + JITTER) * eye, eye))
            self._whitening[key] = np.where(both, np.linalg.inv(roots), 0.0)
        return self._whitening[key] / noise.scale

    def fit(self, priors: list[PopulationNormal], start: Points, iterations: int, shift: "tuple[Points, Table] | None" = None) -> Fit:
        """Maximum a posteriori of all patients as one program, divided over the devices of this process.

        Args:
            priors: One per patient; all with the same share and days of noise.
            start: First points.
            iterations: Of Levenberg-Marquardt.
            shift: Added to prior means and data, for draws by randomised maximum likelihood.
        """
        means = np.stack([p.mean for p in priors])
        inverse_roots = np.linalg.inv(np.linalg.cholesky(np.stack([p.covariance for p in priors])))
        scales = np.array([p.noise.scale for p in priors])[:, None, None]
        white = self.whitening(replace(priors[0].noise, scale=1.0)) / scales
        data = self.values
        if shift is not None:
            means, data = means + shift[0], data + shift[1]
        arrays = [jnp.asarray(a) for a in (start, self.readings(data), self.rows, white, means, inverse_roots)]
        return _fit(self.priors, self.predict, self.records, *arrays, iterations=iterations)


@eqx.filter_jit
def _predictions(priors: tuple[Prior, ...], predict: Callable, records: Any, z: Array) -> Array:
    return jax.vmap(lambda point, record: predict(values_of(priors, point), record))(z, records)


@eqx.filter_jit
def _fit(
    priors: tuple[Prior, ...],
    predict: Callable,
    records: Any,
    start: Array,
    data: Array,
    rows: Array,
    white: Array,
    means: Array,
    inverse_roots: Array,
    *,
    iterations: int,
) -> Fit:
    def one(z: Array, record: Any, y: Array, at: Array, whiten: Array, mean: Array, inverse_root: Array) -> Fit:
        def residuals(point: Array) -> Array:
            return jnp.concatenate([whiten @ (y - predict(values_of(priors, point), record)[at]), inverse_root @ (point - mean)])

        return least_squares(residuals, z, iterations)

    arrays = (start, records, data, rows, white, means, inverse_roots)
    return vmap_members(lambda patient: one(*patient), arrays, device_mesh(jax.local_devices()[: len(start)]))


def estimate_population(
    cohort: Cohort,
    start: PopulationNormal,
    first: Fit,
    weights: Float[np.ndarray, " patients"],
    rounds: int = 4,
    strength: float = 3.0,
) -> PopulationNormal:
    r"""Mean, covariance and noise of a population by expectation-maximisation on Gauss-Newton likelihoods.

    Args:
        cohort: Patients; those of weight zero have no part in it.
        start: The wide prior.
        first: Everybody's maximum under it.
        weights: How much each counts: one, zero for who is left out, a fraction for those of another group.
        rounds: How often likelihoods are linearised anew.
        strength: How many patients the covariance $0.3\,I$ counts for, which keeps that of few patients proper.

    Each round: two steps of Levenberg-Marquardt under the current population, then fifteen of expectation-maximisation in closed form,
    since each likelihood is then a normal one. The noise scale follows from the whitened residuals and the degrees of freedom left.
    It fails where a patient's likelihood has several modes. Source: Lindstrom and Bates (1990), *Biometrics* 46, 673.
    """
    mean, covariance, noise = start.mean, start.covariance, start.noise
    found, count, size = first, float(weights.sum()), start.mean.size
    for _ in range(rounds):
        now = PopulationNormal(mean, covariance, noise)
        found = cohort.fit([now] * cohort.size, np.asarray(found.z), 2)
        z, prior_precision = np.asarray(found.z), np.linalg.inv(covariance)
        information = _positive(np.asarray(found.curvature) - prior_precision)
        pull = np.einsum("pij,pj->pi", information, z) + (z - mean) @ prior_precision - np.asarray(found.gradient)
        for _ in range(15):
            precision = np.linalg.inv(covariance)
            each = np.linalg.inv(information + precision)
            centre = np.einsum("pij,pj->pi", each, pull + precision @ mean)
            mean = weights @ centre / count
            away = centre - mean
            spread = np.einsum("p,pij->ij", weights, each) + np.einsum("p,pi,pj->ij", weights, away, away)
            covariance = (spread + strength * 0.3 * np.eye(size)) / (count + strength)
        white = np.einsum("pij,pj->pi", cohort.whitening(noise), cohort.readings(cohort.values - cohort.predictions(z)))
        used = np.trace(np.linalg.solve(np.asarray(found.curvature), information), axis1=1, axis2=2)
        readings = np.isfinite(cohort.values).sum(1)
        free = max(float(weights @ (readings - used)), 1.0)
        size_of_one = float(np.sqrt(weights @ (white**2).sum(1) / free))
        noise = replace(noise, scale=noise.scale * size_of_one)
    return PopulationNormal(mean, covariance, noise)


def _positive(matrices: Matrices) -> Matrices:
    """Without the eigenvalues that round-off made negative, which a step in closed form would amplify."""
    values, vectors = np.linalg.eigh(0.5 * (matrices + np.swapaxes(matrices, 1, 2)))
    return np.einsum("pij,pj,pkj->pik", vectors, np.maximum(values, 0.0), vectors)


@dataclass(frozen=True)
class Draws:
    """What may be at all times, by draw.

    Attributes:
        z: Coordinates of the maxima, ``(patients, parameters)``, then of the draws.
        curves: The model plus what of the noise lasts, given the data.
        readings: The same with the noise of single readings.
        points: Coordinates of the draws.
    """

    z: Points
    curves: Float[np.ndarray, "draws patients times"]
    readings: Float[np.ndarray, "draws patients times"]
    points: Float[np.ndarray, "draws patients parameters"]


def draw_forecasts(cohort: Cohort, priors: list[PopulationNormal], count: int, seed: int, iterations: int = 25) -> Draws:
    """Draws of the posterior by randomised maximum likelihood, pushed through the model.

    Every draw is the maximum for data and prior means to which noise was added, which is exact for a linear model and, unlike a normal
    about the maximum, follows a curved posterior. What the data say about the noise that lasts is carried on by regression on residuals.
    Source: Oliver, He and Reynolds (1996), *ECMOR V*; Chen and Oliver (2012), *Math Geosci* 44, 1.
    """
    random = np.random.default_rng(seed)
    noise = priors[0].noise
    means = np.stack([p.mean for p in priors])
    best = cohort.fit(priors, means, iterations)
    z = np.asarray(best.z)
    roots = np.linalg.cholesky(np.stack([p.covariance for p in priors]))
    scales = np.array([p.noise.scale for p in priors])[:, None]
    seen = np.isfinite(cohort.values)
    lasting, eye = noise.lasting(cohort.times), np.eye(cohort.times.shape[1])
    noise_roots = np.linalg.cholesky(lasting + JITTER * eye)
    both = seen[:, :, None] & seen[:, None, :]
    gain = np.linalg.solve(np.where(both, lasting + (1 - noise.share + JITTER) * eye, eye), np.where(seen[:, :, None], lasting, 0.0))

    def sampled(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        slow = np.einsum("pij,pj->pi", noise_roots, random.standard_normal(shape)) * scales
        return slow, np.sqrt(1 - noise.share) * scales * random.standard_normal(shape)

    curves, readings, points = [], [], []
    for _ in range(count):
        slow, fast = sampled(cohort.times.shape)
        moved = np.einsum("pij,pj->pi", roots, random.standard_normal(z.shape))
        one = np.asarray(cohort.fit(priors, z, 8, (moved, slow + fast)).z)
        model = cohort.predictions(one)
        other, single = sampled(cohort.times.shape)
        # A draw of the lasting part given the data (Matheron): unconditional draw plus regression on what it misses.
        missed = np.where(seen, np.nan_to_num(cohort.values) - model - other - single, 0.0)
        curve = model + other + np.einsum("pji,pj->pi", gain, missed)
        curves.append(model + np.einsum("pji,pj->pi", gain, np.where(seen, np.nan_to_num(cohort.values) - model, 0.0)))
        readings.append(curve + sampled(cohort.times.shape)[1])
        points.append(one)
    return Draws(z, np.array(curves), np.array(readings), np.array(points))
