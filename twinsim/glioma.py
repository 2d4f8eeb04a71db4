"""The glioma twin: a patient's record, the tumour model on the patient's anatomy, and what the scans have taught so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from physics import BAKER_1999, Chemotherapy, LinearQuadratic, ProliferationInvasion, gaussian_seed, tissue_diffusion
from solvers import Diffusion, TimeMesh, VoxelGrid, map_members, simulate, stages_for
from solvers.shapes import Cells, Scalar
from twinsim.anatomy import Anatomy
from twinsim.dispersion import independent_fraction
from twinsim.errors import InputError
from twinsim.gauss_newton import Optimum, minimise
from twinsim.glioma_priors import GLIOMA_PRIORS, IMAGING_PRIORS, SEED_SPREAD_MM, TISSUE_PRIORS
from twinsim.glioma_region import abnormal, lesion_of, observations_of, seed_centre
from twinsim.glioma_times import MAX_STEP_DAYS, UNSEEN_STEPS, first_day, given_fractions, growth_mesh
from twinsim.observation import Observation
from twinsim.patient import PatientRecord
from twinsim.posterior import Posterior
from twinsim.prior import Values, values_of

ALPHA_BETA_TUMOUR_GY = 10.0
USUAL_DIFFUSIVITY = 1.0  # mm²/day times stretch: stages for it from the start spare most searches a second program
MOST_TISSUE = 0.5
FAR_FROM_PRIOR = 2.0  # prior standard deviations: less is common among eleven parameters


class GliomaModel(eqx.Module):
    """Everything the compiled programs of one patient share; parameters come in as standard-normal coordinates.

    Attributes:
        grid: Voxels of the region simulated.
        diffusion: Tissue pattern with unit scale.
        centre: Where the seed's prior is centred, mm from the first voxel's centre.
        dose_map: Dose relative to the prescription, per cell or one.
        drug_times: Days of the drug doses.
        drug_doses: The doses, mg/m².
        observations: The measured voxels of all scans.
        unseen_until: Until this day the mesh runs on the tumour's own clock: from onset to it takes ``growth_time``.
        stages: Diffusion stages per step.
    """

    grid: VoxelGrid
    diffusion: Diffusion
    centre: Float[Array, " 3"]
    dose_map: Float[Array, " cells"] | Scalar
    drug_times: Float[Array, " doses"]
    drug_doses: Float[Array, " doses"]
    observations: tuple[Observation, ...]
    unseen_until: Scalar
    stages: int = eqx.field(static=True)

    def equation(self, values: Values, doses: Float[Array, " fractions"]) -> ProliferationInvasion:
        """The tumour model at these parameter values, with these fraction doses in Gy."""
        chemotherapy = None
        if self.drug_times.size:
            elimination = jnp.asarray(BAKER_1999["elimination"].value, self.centre.dtype)
            chemotherapy = Chemotherapy(self.drug_times, self.drug_doses, elimination, values["drug_sensitivity"])
        radiotherapy = LinearQuadratic(values["radiosensitivity"], jnp.asarray(ALPHA_BETA_TUMOUR_GY), doses, self.dose_map)
        diffusion = eqx.tree_at(lambda operator: operator.scale, self.diffusion, values["diffusivity_white"])
        return ProliferationInvasion(diffusion, values["proliferation"], chemotherapy, radiotherapy, self.stages)

    def seed(self, values: Values) -> Cells:
        """The tumour at onset."""
        offset = jnp.stack([values["seed_x"], values["seed_y"], values["seed_z"]])
        return gaussian_seed(self.grid, self.centre + offset, values["initial_burden"])

    def grow(self, z: Array, mesh: TimeMesh, doses: Float[Array, " fractions"]) -> tuple[Float[Array, "times cells"], Array]:
        """States at the mesh's save times from onset, and the status.

        How long the tumour grew unseen is a parameter: the steps before anything was seen or given are stretched to add up to it.
        """
        values = values_of(TISSUE_PRIORS, z)
        equation = self.equation(values, doses)
        unseen = mesh.start < self.unseen_until
        stretch = values["growth_time"] / jnp.sum(jnp.where(unseen, mesh.length, 0))
        mesh = eqx.tree_at(lambda m: m.length, mesh, jnp.where(unseen, mesh.length * stretch, mesh.length))
        solution = simulate(equation.stepper(), self.seed(values), mesh, equation.radiotherapy if doses.size else None)
        return solution.states, solution.status

    def go_on(
        self, z: Array, state: Cells, mesh: TimeMesh, doses: Float[Array, " fractions"], observe: Callable | None = None
    ) -> tuple[Float[Array, "times cells"], PyTree[Array], Array]:
        """States at the mesh's save times from a given state, what was observed on the way, and the status."""
        equation = self.equation(values_of(TISSUE_PRIORS, z), doses)
        solution = simulate(equation.stepper(), state, mesh, equation.radiotherapy if doses.size else None, observe)
        return solution.states, solution.observations, solution.status


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
        return replace(weighted, posterior=posterior, optimum=best, messages=_messages(self.record, posterior, best))

    def _fitted(self, point: np.ndarray, what: str, announce: Callable[[str], None]) -> tuple["GliomaTwin", Optimum]:
        """One round of the calibration: the optimum from a point, and the twin with stages enough for it."""
        best = minimise(self.evaluate, point)
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
        return replace(self, posterior=mine.widened(self.translated(coarse.calibrated.mean, coarse) - mine.mean))

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
def _scores(model: GliomaModel, mesh: TimeMesh, doses: Float[Array, " fractions"], z: Array) -> tuple[tuple[Array, Array], ...]:
    """Slope and curvature of the loss per voxel, for each observation."""
    states, _ = model.grow(z[: len(TISSUE_PRIORS)], mesh, doses)
    predictions = _predictions(model, states, z[len(TISSUE_PRIORS) :])
    return tuple((o.slope(p), o.curvature(p)) for o, p in zip(model.observations, predictions, strict=True))


def _messages(record: PatientRecord, posterior: Posterior, optimum: Optimum) -> tuple[str, ...]:
    """What the data can't identify, and whether the search ended well."""
    found = []
    tissue = record.anatomy.mask
    full = [scan.day for scan in record.scans if (abnormal(scan) & tissue).sum() > MOST_TISSUE * tissue.sum()]
    if full:
        found.append(
            f"The abnormal region fills more than {MOST_TISSUE:.0%} of the tissue on day {', '.join(f'{day:g}' for day in full)}: there is "
            "little room left to see growth in; check the segmentation."
        )
    if not optimum.converged:
        found.append(
            f"The search stopped {optimum.gradient_norm:.2f} posterior standard deviations from the optimum: read intervals with care."
        )
    unknown = [p.name.replace("_", " ") for p in posterior.priors if posterior.identifiability(p.name) == "prior only"]
    if unknown:
        found.append("The scans say next to nothing about " + ", ".join(unknown) + ": their intervals are close to the prior's.")
    far = [(prior, float(z)) for prior, z in zip(posterior.priors, posterior.mean, strict=True) if abs(z) > FAR_FROM_PRIOR]
    if far:
        listed = ", ".join(
            f"{p.name.replace('_', ' ')} ({posterior.value(p.name):.3g} {p.unit}, {abs(z):.1f} {'above' if z > 0 else 'below'})"
            for p, z in far
        )
        found.append(f"Far from what is known, in prior standard deviations from its median: {listed}; doubt the data or the model.")
    width = float(np.sqrt(posterior.value("diffusivity_white") / posterior.value("proliferation")))
    if (voxel := max(record.anatomy.spacing_mm)) > width:
        found.append(
            f"Voxels of {voxel:.3g} mm do not resolve a front of width sqrt(D/rho) = {width:.2g} mm: diffusivity and volumes may be off by "
            "more than their intervals say; use a smaller --spacing-mm."
        )
    (wide, wide_spread), (narrow, narrow_spread) = posterior.combinations(("diffusivity_white", "proliferation"))
    if len(record.scans) == 1:
        found.append(
            "One scan cannot tell fast and slow growth apart: of diffusivity and proliferation only a combination is informed, "
            f"{narrow} ({narrow_spread:.0%} of its prior spread), not {wide} ({wide_spread:.0%})."
        )
    return tuple(found)
