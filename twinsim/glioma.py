"""The glioma twin: a patient's record, the tumour model on the patient's anatomy, and what the scans have taught so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import tissue_diffusion
from solvers import TimeMesh, VoxelGrid, map_members, stages_for
from solvers.shapes import Scalar
from twinsim.anatomy import Anatomy
from twinsim.dispersion import independent_fraction
from twinsim.errors import InputError
from twinsim.gauss_newton import Optimum, minimise
from twinsim.glioma_messages import calibration_messages
from twinsim.glioma_model import GliomaModel
from twinsim.glioma_priors import GLIOMA_PRIORS, IMAGING_PRIORS, SEED_SPREAD_MM, TISSUE_PRIORS
from twinsim.glioma_region import box_of, lesion_of, observations_of, overlap, seed_centre
from twinsim.glioma_times import MAX_STEP_DAYS, UNSEEN_STEPS, first_day, given_fractions, growth_mesh
from twinsim.observation import OUTLINE_SD_MM, IsoContour
from twinsim.patient import PatientRecord
from twinsim.posterior import Posterior
from twinsim.prior import values_of

USUAL_DIFFUSIVITY = 1.0  # mm²/day times stretch: stages for it from the start spare most searches a second program
DESCRIBED = 0.6  # overlap with the last scan's outline below which the model is taken not to describe it
LOOSER = (2, 4, 8)  # times the usual uncertainty of an outline


@dataclass(frozen=True)
class GliomaTwin:
    """A patient's twin. Every method returns something new; nothing is changed in place.

    Attributes:
        record: The patient.
        anatomy: The part of the anatomy that is simulated.
        model: The compiled programs' common data.
        scan_mesh: Steps from onset to the last scan.
        given_doses: Doses of the fractions before the last scan, Gy.
        posterior: What the scans have taught; None before :meth:`calibrate`.
        optimum: How the search ended.
        messages: What a user must know about this calibration.
    """

    record: PatientRecord
    anatomy: Anatomy
    model: GliomaModel
    scan_mesh: TimeMesh
    given_doses: np.ndarray
    posterior: Posterior | None = None
    optimum: Optimum | None = None
    messages: tuple[str, ...] = ()

    @property
    def calibrated(self) -> Posterior:
        """The posterior of a twin that must have one.

        Raises:
            ValueError: There is none.
        """
        if self.posterior is None:
            raise ValueError("got a twin without a posterior; expected a calibrated one; do: call calibrate first")
        return self.posterior

    @property
    def last_day(self) -> float:
        """Day of the last scan."""
        return self.record.scans[-1].day

    @property
    def evaluate(self) -> Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]:
        """Negative log-posterior, gradient and Gauss-Newton curvature at a point, for :func:`twinsim.gauss_newton.minimise`.

        A point that needs more diffusion stages gets them, and all later points too.
        """
        doses = jnp.asarray(self.given_doses, self.model.centre.dtype)
        twin = self

        def run(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            nonlocal twin
            twin = twin.stable_over(z[None])
            terms, status = _linearised(twin.model, self.scan_mesh, doses, _coordinates(z))
            value, gradient, curvature = 0.5 * float(z @ z), np.array(z, dtype=float), np.eye(z.size)
            # Sums in float64: a curvature summed in float32 loses the prior beside the data and is then not positive definite.
            for observation, term in zip(twin.model.observations, terms, strict=True):
                weight = float(observation.weight)
                loss, slope, information, jacobian = (np.asarray(part, dtype=float) for part in term)
                value += weight * loss.sum()
                gradient += weight * jacobian @ slope
                curvature += weight * (jacobian * information) @ jacobian.T
            return (value if status == 0 else np.inf), gradient, curvature

        return run

    def searched(self, starts: Sequence[np.ndarray], announce: Callable[[str], None] = lambda text: None) -> np.ndarray:
        """The best point after a few steps from each start; on coarse voxels this is quick and guards against local optima."""
        found = []
        for number, start in enumerate(starts):
            found.append(minimise(self.evaluate, start, iterations=8))
            announce(f"start {number + 1} of {len(starts)}: negative log-posterior {found[-1].value:.1f}")
        return min(found, key=lambda optimum: optimum.value).z

    @property
    def outline_sd_mm(self) -> float | None:
        """Uncertainty of the outlines that the likelihood allows for; None without outlines."""
        return next((o.softness_mm for o in self.model.observations if isinstance(o, IsoContour)), None)

    def outlined(self, sd_mm: float | None) -> "GliomaTwin":
        """The twin whose outlines are uncertain by so much; None changes nothing."""
        if sd_mm is None or sd_mm == self.outline_sd_mm:
            return self
        changed = tuple(replace(o, softness_mm=sd_mm) if isinstance(o, IsoContour) else o for o in self.model.observations)
        return replace(self, model=replace(self.model, observations=changed))

    def loosened(self, point: np.ndarray, starts: Sequence[np.ndarray], announce: Callable[[str], None]) -> tuple["GliomaTwin", np.ndarray]:
        """The twin and its best point, with outlines taken as less certain where the model cannot follow the last one.

        A real lesion is not as round as the model's, and misses it by many times what a rater errs. An outline that counts as certain
        to 0.7 mm then fits best to a density that hardly varies, since that is right nowhere and far off nowhere (seen on a real
        lesion). So where the overlap is below 0.6 the search is repeated with twice, four and eight times that uncertainty, and the
        largest posterior wins: a profile likelihood, for the loss of outlines is that of a normalised probability. A twin whose outlines
        count as less certain already stays as it is.
        """
        agreement, usual = self.agreement(self.last_density(point), point), self.outline_sd_mm
        if usual is None or usual > OUTLINE_SD_MM or agreement is None or agreement >= DESCRIBED:
            return self, point
        found = [(self.evaluate(point)[0], usual, point)]
        for factor in LOOSER:
            looser = self.outlined(factor * usual)
            best = looser.searched(starts)
            found.append((looser.evaluate(best)[0], factor * usual, best))
            announce(f"outlines uncertain by {factor * usual:.1f} mm: negative log-posterior {found[-1][0]:.1f}")
        _, sd_mm, best = min(found, key=lambda entry: entry[0])
        return self.outlined(sd_mm), best

    def last_density(self, z: np.ndarray) -> np.ndarray:
        """Density at the last scan at a point, on the region's voxels."""
        ready, doses = self.stable_over(z[None]), jnp.asarray(self.given_doses, self.model.centre.dtype)
        states, _ = _grown(ready.model, self.scan_mesh, doses, _coordinates(z))
        return np.asarray(self.model.grid.volume(states[-1]), dtype=np.float32)

    def agreement(self, density: np.ndarray, z: np.ndarray) -> float | None:
        """Overlap (Dice) of the last scan's outline and a density above its threshold; None without an outline of all of the lesion."""
        seen = self.record.scans[-1].oedema
        if seen is None:
            return None
        threshold = float(values_of(GLIOMA_PRIORS, _coordinates(z))["threshold_oedema"])
        return overlap(seen[box_of(self.record.anatomy, self.anatomy)] > 0, density, threshold)

    def calibrate(self, start: np.ndarray | None = None, announce: Callable[[str], None] = lambda text: None) -> "GliomaTwin":
        """Finds the maximum a posteriori by Gauss-Newton and the Laplace posterior around it.

        Two rounds with weights estimated from the residuals where the round begins: what voxels are worth
        (:func:`twinsim.dispersion.independent_fraction`), so that intervals do not pretend that neighbouring voxels err independently.
        Without a start, whose residuals would mean something, a round that takes every voxel as worth a twentieth goes first.

        Args:
            start: Where to start, in standard-normal coordinates, e.g. from :meth:`searched` on coarse voxels; None is the prior's median.
            announce: Called with one line of progress at a time.

        Raises:
            InputError: The likelihood is not finite at the start.
        """
        point = np.zeros(len(GLIOMA_PRIORS)) if start is None else start
        weighted = self.stable_over(point[None])
        if start is None:
            weighted, best = weighted._fitted(point, "roughly calibrated", announce)
            point = best.z
        weighted, best = weighted.reweighted(point)._fitted(point, "calibrated", announce)
        weighted, best = weighted.reweighted(best.z)._fitted(best.z, "refined", announce)
        posterior = _laplace(best)
        return replace(weighted, posterior=posterior, optimum=best, messages=calibration_messages(self.record, posterior, best))

    def _fitted(self, point: np.ndarray, what: str, announce: Callable[[str], None]) -> tuple["GliomaTwin", Optimum]:
        """One round of the calibration: the optimum from a point, and the twin with stages enough for it."""
        best = minimise(self.evaluate, point, iterations=60)
        if not np.isfinite(best.value):
            raise InputError(
                got=f"no finite likelihood at the start of the calibration of {self.record.name}",
                expected="a model that runs at the prior's median",
                do="check that the lesion lies in tissue and that the voxel spacing is in mm",
            )
        announce(f"{what}: {best.iterations} steps, {best.gradient_norm:.3f} posterior sd from the optimum")
        return self.stable_over(best.z[None]), best

    def translated(self, z: np.ndarray, other: "GliomaTwin") -> np.ndarray:
        """Another twin's coordinates of the same patient in this one's: seed positions count from each twin's own centre."""
        here, there = (twin.anatomy.world_of_index(np.asarray(twin.model.centre) / twin.anatomy.spacing_mm) for twin in (self, other))
        direction = np.sign(np.diag(self.anatomy.affine)[:3])
        moved = np.array(z, dtype=float)
        first = [prior.name for prior in GLIOMA_PRIORS].index("seed_x")
        moved[first : first + 3] += direction * (there - here) / SEED_SPREAD_MM
        return moved

    def widened_by(self, coarse: "GliomaTwin") -> "GliomaTwin":
        """The twin whose posterior also carries what voxels of this size can't resolve, judged by a calibration on coarser ones.

        Residuals don't show this error, since the parameters absorb it: folds and thin grey matter inside a voxel lower the
        conductivity, and the fitted diffusivity follows. See :meth:`twinsim.posterior.Posterior.widened`.
        """
        mine = self.calibrated
        posterior = mine.widened(self.translated(coarse.calibrated.mean, coarse) - mine.mean)
        messages = self.messages if self.optimum is None else calibration_messages(self.record, posterior, self.optimum)
        return replace(self, posterior=posterior, messages=messages)

    def stable_over(self, z: np.ndarray) -> "GliomaTwin":
        """The twin with at least as many diffusion stages as growth from onset needs at all these points ``(points, parameters)``."""
        stages = self._stages(z, stretched=True)
        return self if stages <= self.model.stages else replace(self, model=replace(self.model, stages=stages))

    def going_on(self, z: np.ndarray) -> GliomaModel:
        """The model with just as many diffusion stages as growth after the last scan needs: its steps are not stretched."""
        return replace(self.model, stages=self._stages(z, stretched=False))

    def _stages(self, z: np.ndarray, *, stretched: bool) -> int:
        names = [prior.name for prior in GLIOMA_PRIORS]
        diffusivity, growth_time = (
            np.asarray(GLIOMA_PRIORS[i].value(jnp.asarray(z[:, i]))) for i in map(names.index, ("diffusivity_white", "growth_time"))
        )
        stretch = np.maximum(1.0, growth_time / (UNSEEN_STEPS * MAX_STEP_DAYS)) if stretched else 1.0
        # A hundredth more, since the same product is formed in another precision and order when a step asks whether it is stable.
        largest = 1.01 * float((diffusivity * stretch).max())
        return stages_for(float(self.model.diffusion.spectral_bound()) * largest * MAX_STEP_DAYS)

    def reweighted(self, z: np.ndarray) -> "GliomaTwin":
        """The twin with each observation's weight estimated from the residuals at a point."""
        doses = jnp.asarray(self.given_doses, self.model.centre.dtype)
        scores = _scores(self.model, self.scan_mesh, doses, _coordinates(z))
        weights = []
        for observation, (score, information) in zip(self.model.observations, scores, strict=True):
            volumes = np.zeros((2, self.model.grid.size))
            volumes[:, np.asarray(observation.cells)] = score, information
            weights.append(independent_fraction(*volumes.reshape(2, *self.model.grid.shape)))
        model = eqx.tree_at(
            lambda m: [observation.weight for observation in m.observations],
            self.model,
            [jnp.asarray(w, self.model.centre.dtype) for w in weights],
        )
        return replace(self, model=model)


def glioma_twin(record: PatientRecord, margin_mm: float = 24.0) -> GliomaTwin:
    """Builds the twin of a patient: the region round the lesion, the model on it, and the observations.

    Args:
        record: From :func:`twinsim.patient.load_patient`, on the grid to compute on.
        margin_mm: How far past the seen lesion the region reaches; choose what the tumour may grow until the horizon, and three
            front widths.

    Raises:
        InputError: The lesion's centre is outside of tissue, or no scan has a lesion.
    """
    region = lesion_of(record.scans)
    margin = [int(np.ceil(margin_mm / h)) for h in record.anatomy.spacing_mm]
    where = np.argwhere(region)
    start = np.maximum(where.min(axis=0) - margin, 0)
    stop = np.minimum(where.max(axis=0) + 1 + margin, region.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    anatomy = record.anatomy.cropped(tuple(int(a) for a in start), tuple(int(b) for b in stop))

    grid = VoxelGrid(anatomy.mask, anatomy.spacing_mm)
    diffusion = tissue_diffusion(grid, jnp.asarray(anatomy.white), jnp.asarray(anatomy.grey))
    centre = seed_centre(lesion_of(record.scans[:1])[box], anatomy)
    dose_map = record.radiotherapy.dose_map
    dtype = diffusion.scale.dtype
    model = GliomaModel(
        grid=grid,
        diffusion=diffusion,
        centre=jnp.asarray(centre, dtype),
        dose_map=jnp.asarray(1.0, dtype) if dose_map is None else grid.cells(jnp.asarray(dose_map[box], dtype)),
        drug_times=jnp.asarray(record.chemotherapy.days, dtype),
        drug_doses=jnp.asarray(record.chemotherapy.doses_mg_per_m2, dtype),
        observations=observations_of(record.scans, box, grid),
        unseen_until=jnp.asarray(first_day(record), dtype),
        stages=stages_for(float(diffusion.spectral_bound()) * USUAL_DIFFUSIVITY * MAX_STEP_DAYS),
    )
    mesh = growth_mesh(record, [scan.day for scan in record.scans])
    return GliomaTwin(record, anatomy, model, mesh, np.array([fraction.dose_gy for fraction in given_fractions(record)]))


def _laplace(optimum: Optimum) -> Posterior:
    return Posterior(GLIOMA_PRIORS, optimum.z, np.linalg.inv(optimum.curvature))


def _coordinates(z: np.ndarray) -> Array:
    return jnp.asarray(z, jnp.result_type(float))


def _predictions(model: GliomaModel, states: Float[Array, "times cells"], z_imaging: Array) -> tuple[Array, ...]:
    values = values_of(IMAGING_PRIORS, z_imaging)
    return tuple(observation.predict(states[observation.scan], values) for observation in model.observations)


def negative_log_posterior(model: GliomaModel, states: Float[Array, "times cells"], z: Float[Array, " parameters"]) -> Scalar:
    """Negative log-posterior of coordinates whose states at the scans are known, up to a constant."""
    predictions = _predictions(model, states, z[len(TISSUE_PRIORS) :])
    value = 0.5 * jnp.vdot(z, z)
    for observation, prediction in zip(model.observations, predictions, strict=True):
        value = value + observation.weight * observation.loss(prediction).sum()
    return value


@eqx.filter_jit
def _linearised(
    model: GliomaModel, mesh: TimeMesh, doses: Float[Array, " fractions"], z: Float[Array, " parameters"]
) -> tuple[tuple[tuple[Array, ...], ...], Array]:
    """Per observation and voxel the loss, its slope, its curvature and the prediction's Jacobian; and the status.

    The Jacobian is pushed forward, one tangent per tissue parameter.
    """
    count = len(TISSUE_PRIORS)
    z_tissue, z_imaging = z[:count], z[count:]

    def grow(z_tissue: Array) -> tuple[Array, Array]:
        return model.grow(z_tissue, mesh, doses)

    def tangent(direction: Array) -> tuple[Array, Array, Array]:
        (states, status), (d_states, _) = jax.jvp(grow, (z_tissue,), (direction,))
        return states, status, d_states

    # Every tangent computes the states on its way; taking them from there spares a program of their own.
    states, status, d_states = map_members(tangent, jnp.eye(count, dtype=z.dtype))
    states, status = states[0], status[0]

    def predict(states: Array, z_imaging: Array) -> tuple[Array, ...]:
        return _predictions(model, states, z_imaging)

    predictions = predict(states, z_imaging)
    zero_states, zero_imaging = jnp.zeros_like(states), jnp.zeros_like(z_imaging)
    from_tissue = jax.vmap(lambda d: jax.jvp(predict, (states, z_imaging), (d, zero_imaging))[1])(d_states)
    directions = jnp.eye(z_imaging.size, dtype=z.dtype)
    from_imaging = jax.vmap(lambda d: jax.jvp(predict, (states, z_imaging), (zero_states, d))[1])(directions)

    terms = tuple(
        (o.loss(p), o.slope(p), o.curvature(p), jnp.concatenate([first, second]))
        for o, p, first, second in zip(model.observations, predictions, from_tissue, from_imaging, strict=True)
    )
    return terms, status


@eqx.filter_jit
def _grown(model: GliomaModel, mesh: TimeMesh, doses: Float[Array, " fractions"], z: Array) -> tuple[Array, Array]:
    """States at the scans and the status."""
    return model.grow(z[: len(TISSUE_PRIORS)], mesh, doses)


@eqx.filter_jit
def _scores(model: GliomaModel, mesh: TimeMesh, doses: Float[Array, " fractions"], z: Array) -> tuple[tuple[Array, Array], ...]:
    """Slope and curvature of the loss per voxel, for each observation."""
    states, _ = model.grow(z[: len(TISSUE_PRIORS)], mesh, doses)
    predictions = _predictions(model, states, z[len(TISSUE_PRIORS) :])
    return tuple((o.slope(p), o.curvature(p)) for o, p in zip(model.observations, predictions, strict=True))
