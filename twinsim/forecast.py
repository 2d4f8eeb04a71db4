"""Forecasts of a calibrated twin: the posterior pushed forward, per treatment."""

from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers import TimeMesh, map_members, time_mesh
from solvers.status import raise_for_status
from twinsim.glioma import GliomaTwin, negative_log_posterior
from twinsim.glioma_model import GliomaModel
from twinsim.glioma_priors import GLIOMA_PRIORS, TISSUE_PRIORS
from twinsim.glioma_times import MAX_STEP_DAYS, growth_mesh, history_days
from twinsim.observation import visible_volume
from twinsim.prior import values_of
from twinsim.treatment import OPTIMISED, REFERENCE, Course

EDGE_DENSITY, FULL = 0.02, 0.9
WORTH_NAMING = 1.01  # gain of a schedule, at the lower end of its 90 % interval


@dataclass(frozen=True)
class Ensemble:
    """The posterior at the last scan.

    Attributes:
        z: Coordinates, ``(samples, parameters)``; the first is the maximum a posteriori.
        states: Density at the last scan, ``(samples, cells)``.
        power: How far the draws were moved from the Laplace normal (0) to the exact posterior (1).
        history_days: Days from the first scan to the last.
        history_mm3: Visible volume on those days, ``(samples, days)``.
    """

    z: Array
    states: Array
    power: float
    history_days: np.ndarray
    history_mm3: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """One course of treatment, pushed forward.

    Attributes:
        course: The treatment.
        days: Days of the curves, the first is the last scan's.
        volume_mm3: Visible volume, ``(samples, days)``; the first sample is the maximum a posteriori.
        burden_mm3: All tumour cells as a volume at carrying capacity, ``(samples, days)``.
        probability: Chance per voxel that the density is above the visible threshold at the horizon, over the samples without the MAP.
        edge_density: Largest mean density on the border of the region: above 0.02 the region was too small.
        filled: Share of the region's tissue that is visible tumour at the horizon in the sample with most of it.
    """

    course: Course
    days: np.ndarray
    volume_mm3: np.ndarray
    burden_mm3: np.ndarray
    probability: np.ndarray
    edge_density: float
    filled: float

    @property
    def held_back_by(self) -> Literal["border", "tissue"] | None:
        """The region's border, or the end of tissue, where it kept the tumour from growing: volumes and upper bounds are then too small."""
        if self.edge_density > EDGE_DENSITY:
            return "border"
        return "tissue" if self.filled > FULL else None

    @property
    def capped(self) -> bool:
        """Whether anything did."""
        return self.held_back_by is not None

    def gain_over(self, other: "Forecast") -> tuple[float, float, float]:
        """Expected factor by which this course leaves a smaller burden at the horizon than another one, and its 90 % interval."""
        ratio = np.log(other.burden_mm3[1:, -1] / self.burden_mm3[1:, -1])
        low, high = np.quantile(ratio, [0.05, 0.95])
        return float(np.exp(ratio.mean())), float(np.exp(low)), float(np.exp(high))

    def interval(self, values: np.ndarray, probability: float) -> tuple[np.ndarray, np.ndarray]:
        """Central interval over the samples (without the maximum a posteriori)."""
        low, high = np.quantile(values[1:], [0.5 - probability / 2, 0.5 + probability / 2], axis=0)
        return low, high


def ranked(arms: list[Forecast]) -> list[Forecast]:
    """Smallest expected burden first. The optimised schedule comes behind the course that it improves unless it surely gains 1 %."""
    found = sorted(arms, key=lambda arm: float(np.log(np.maximum(arm.burden_mm3[1:, -1], 1e-9)).mean()))
    named = {arm.course.name: arm for arm in found}
    if OPTIMISED in named and REFERENCE in named and named[OPTIMISED].gain_over(named[REFERENCE])[1] < WORTH_NAMING:
        optimised = named[OPTIMISED]
        found.remove(optimised)
        found.insert(found.index(named[REFERENCE]) + 1, optimised)
    return found


def ensemble(twin: GliomaTwin, samples: int, seed: int) -> Ensemble:
    """The maximum a posteriori and posterior samples, grown from onset to the last scan.

    Twice as many points are drawn from the Laplace normal as asked for, weighted by how probable they really are (the likelihood needs
    just the growth that is computed anyway), and resampled: sampling-importance-resampling takes out most of the error of the normal
    where the posterior bends, e.g. along the exchange between radiosensitivity and drug sensitivity. What the voxels can't resolve is
    added to the draws that are kept, and those are grown again.
    Source: Rubin 1988, Bayesian Statistics 3:395.

    Raises:
        solvers.SimulationError: The maximum a posteriori could not be simulated.
    """
    posterior = twin.calibrated
    draws = np.concatenate([posterior.mean[None], posterior.sample(2 * samples, seed)])
    days = history_days(twin.record)
    mesh, at_scans = growth_mesh(twin.record, days), tuple(days.index(scan.day) for scan in twin.record.scans)
    doses = jnp.asarray(twin.given_doses, twin.model.centre.dtype)

    def grown(draws: np.ndarray) -> tuple[Array, Array, np.ndarray, Array, np.ndarray]:
        nonlocal twin
        twin = twin.stable_over(draws)  # no fewer stages the second time, which would be another program
        z = jnp.asarray(draws, doses.dtype)
        states, volumes, value, status = _grow_all(twin.model, mesh, at_scans, doses, z)
        return z, states, np.asarray(volumes, dtype=float), value, np.asarray(status)

    z, states, volumes, value, status = grown(draws)
    raise_for_status(status[0])
    away = draws[1:] - posterior.mean
    proposal = 0.5 * np.einsum("si,ij,sj->s", away, np.linalg.inv(posterior.laplace), away)
    log_weight = np.where(status[1:] == 0, proposal - np.asarray(value[1:], dtype=float), -np.inf)
    weight, power = tempered_weights(log_weight, samples / 2)
    places = (np.random.default_rng(seed).random() + np.arange(samples)) / samples
    chosen = np.minimum(np.searchsorted(np.cumsum(weight), places), 2 * samples - 1)
    if posterior.resolution is None:
        kept = np.concatenate([[0], 1 + chosen])
        return Ensemble(z[kept], jnp.asarray(np.asarray(states)[kept]), power, np.array(days), volumes[kept])
    moved = posterior.moved(draws[1 + chosen], seed)
    z, states, volumes, _, status = grown(np.concatenate([draws[:1], moved]))
    raise_for_status(status)
    return Ensemble(z, jnp.asarray(np.asarray(states)), power, np.array(days), volumes)


def tempered_weights(log_weight: np.ndarray, least: float) -> tuple[np.ndarray, float]:
    """Normalised importance weights to the largest power up to one that leaves an effective number of ``least`` draws, and that power."""

    def normalised(power: float) -> np.ndarray:
        finite = np.isfinite(log_weight)
        weight = np.where(finite, np.exp(power * np.where(finite, log_weight - log_weight[finite].max(), 0.0)), 0.0)
        return weight / weight.sum()

    if 1 / np.sum(normalised(1.0) ** 2) >= least:
        return normalised(1.0), 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / np.sum(normalised(middle) ** 2) >= least else (low, middle)
    return normalised(low), low


def course_mesh(twin: GliomaTwin, days: np.ndarray, horizon_days: float) -> TimeMesh:
    """Steps from the last scan to the horizon with an event on every possible treatment day."""
    last = twin.last_day
    return time_mesh(last, [last + horizon_days], MAX_STEP_DAYS, events=list(days), breakpoints=twin.record.chemotherapy.days)


def forecast(twin: GliomaTwin, members: Ensemble, mesh: TimeMesh, course: Course) -> Forecast:
    """Pushes every member forward under a course of treatment."""
    doses = jnp.asarray(course.doses_gy, members.z.dtype)
    volume, burden, probability, mean, status = _go_on_all(twin.going_on(np.asarray(members.z)), mesh, doses, members.z, members.states)
    raise_for_status(status)
    grid = twin.model.grid
    border = np.ones(grid.shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    density = np.asarray(grid.volume(mean), dtype=float)
    volume = np.asarray(volume, dtype=float)
    tissue = float(np.asarray(grid.mask).sum()) * grid.voxel_volume
    return Forecast(
        course,
        np.concatenate([[twin.last_day], np.asarray(mesh.times, dtype=float)]),
        volume,
        np.asarray(burden, dtype=float),
        np.asarray(grid.volume(probability), dtype=float),
        float(density[border].max()),
        float(volume[:, -1].max()) / tissue,
    )


@eqx.filter_jit
def _grow_all(
    model: GliomaModel, mesh: TimeMesh, at_scans: tuple[int, ...], doses: Float[Array, " fractions"], z: Array
) -> tuple[Array, Array, Array, Array]:
    """State at the last scan, visible volume at every saved day, negative log-posterior and status, for every member."""

    def one(z: Array) -> tuple[Array, Array, Array, Array]:
        states, status = model.grow(z[: len(TISSUE_PRIORS)], mesh, doses)
        threshold = values_of(GLIOMA_PRIORS, z)["threshold_oedema"]
        volumes = jax.vmap(lambda state: visible_volume(model.grid, state, threshold))(states)
        return states[-1], volumes, negative_log_posterior(model, states[jnp.array(at_scans)], z), status

    return map_members(one, z)


@eqx.filter_jit
def _go_on_all(
    model: GliomaModel, mesh: TimeMesh, doses: Float[Array, " fractions"], z: Array, states: Array
) -> tuple[Array, Array, Array, Array, Array]:
    voxel = model.grid.voxel_volume

    def one(pair: tuple[Array, Array]) -> tuple[Array, ...]:
        z, state = pair
        threshold = values_of(GLIOMA_PRIORS, z)["threshold_oedema"]

        def measure(time: Array, state: Array) -> tuple[Array, Array]:
            del time
            return visible_volume(model.grid, state, threshold), state.sum() * voxel

        final, (volume, burden), status = model.go_on(z[: len(TISSUE_PRIORS)], state, mesh, doses, measure)
        start_volume, start_burden = measure(jnp.zeros(()), state)
        curves = jnp.concatenate([start_volume[None], volume]), jnp.concatenate([start_burden[None], burden])
        return *curves, final[-1] > threshold, final[-1], status

    volume, burden, visible, final, status = map_members(one, (z, states))
    return volume, burden, visible[1:].mean(axis=0, dtype=final.dtype), final.mean(axis=0), status
