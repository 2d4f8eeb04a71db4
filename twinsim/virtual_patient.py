"""Virtual patients whose truth is known: made on a finer grid than any twin computes on, with noise that no likelihood assumes."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from physics import tissue_diffusion
from solvers import VoxelGrid, stages_for, time_mesh
from twinsim.anatomy import Anatomy, mni152
from twinsim.errors import InputError
from twinsim.glioma_model import GliomaModel
from twinsim.glioma_priors import TISSUE_PRIORS
from twinsim.glioma_times import MAX_STEP_DAYS, UNSEEN_STEPS
from twinsim.observation import near, visible_volume
from twinsim.patient import Chemotherapy, PatientRecord, Radiotherapy, RadiotherapyFraction, Scan
from twinsim.volumes import resample_onto

SCAN_DAYS = (0.0, 42.0, 63.0)
FRACTION_DAYS = (49.0, 50.0, 51.0, 52.0, 53.0)
FRACTION_DOSE_GY = 2.0
DRUG_DAYS = tuple(float(day) for day in range(49, 63))
DRUG_DOSE_MG_PER_M2 = 75.0
STATED_NOISE = 0.03
REGION_MM = 52.0
EDGE_WANDER_MM = 0.5
STEEPEST_EDGE_PER_MM = 1.0
MAP_REACH_VOXELS = 4


@dataclass(frozen=True)
class Truth:
    """What only the maker of a virtual patient knows.

    Attributes:
        values: True parameters by name.
        days: Days of the volume curve.
        volume_mm3: Visible volume on those days without further treatment.
        forecast_volume_mm3: Its last value, at the horizon.
        density: Cell density at the last scan, on the patient's grid.
    """

    values: dict[str, float]
    days: np.ndarray
    volume_mm3: np.ndarray
    forecast_volume_mm3: float
    density: np.ndarray


def virtual_patient(seed: int, spacing_mm: float, horizon_days: float) -> tuple[PatientRecord, Truth]:
    """Draws a tumour, grows it on half the spacing, and images it three times at the spacing.

    The three scans see the tumour at diagnosis, before treatment, and after a first week of chemoradiotherapy (5 x 2 Gy with daily
    temozolomide), as an adaptive course would. Each scan has a segmentation of core and oedema, whose edges wander smoothly by about
    half a millimetre, and a map of cellularity whose noise is correlated between neighbours and grows with the density; it is trusted
    within four voxels of the oedema where the voxel is all tissue, so it holds the thin rim that no contour shows.

    Args:
        seed: Any whole number; the same number gives the same patient.
        spacing_mm: Voxel edge of the patient's images.
        horizon_days: How far past the last scan the truth is followed.
    """
    random = np.random.default_rng([seed, 20])
    fine, coarse = mni152(spacing_mm / 2), mni152(spacing_mm)
    for _ in range(50):
        values = _draw(random, fine)
        burden = _burden_for_volume(values, fine, target_mm3=float(random.uniform(5e3, 2.2e4)))
        if burden is not None:
            break
    else:
        raise InputError(got=f"seed {seed} without a tumour in 50 draws", expected="one in a few draws", do="use another seed")
    values["initial_burden"] = burden

    region = _region(fine, values)
    states, days, volumes = _grow(values, region, (*SCAN_DAYS, SCAN_DAYS[-1] + horizon_days))
    scans = tuple(
        _image(random, day, state, region, coarse, values) for day, state in zip(SCAN_DAYS, states[: len(SCAN_DAYS)], strict=True)
    )
    record = PatientRecord(
        name=f"virtual patient {seed}",
        anatomy=coarse,
        scans=scans,
        radiotherapy=Radiotherapy(tuple(RadiotherapyFraction(day, FRACTION_DOSE_GY) for day in FRACTION_DAYS)),
        chemotherapy=Chemotherapy(DRUG_DAYS, (DRUG_DOSE_MG_PER_M2,) * len(DRUG_DAYS)),
    )
    density = resample_onto(states[len(SCAN_DAYS) - 1], region.affine, coarse.shape, coarse.affine, 0.0)
    return record, Truth(values, days, volumes, float(volumes[-1]), density)


def _draw(random: np.random.Generator, anatomy: Anatomy) -> dict[str, float]:
    """Parameters inside the priors, and a seed deep in white matter, as a position in world mm."""
    while True:
        diffusivity, proliferation = np.exp(random.uniform(np.log([0.05, 0.020]), np.log([0.25, 0.050])))
        speed, width = 2 * np.sqrt(diffusivity * proliferation), np.sqrt(diffusivity / proliferation)
        if 0.07 < speed < 0.18 and 1.3 < width < 3.0:
            break
    deep = ndimage.distance_transform_edt(anatomy.mask, sampling=anatomy.spacing_mm) > 7.0
    height = anatomy.affine[2, 3] + np.arange(anatomy.shape[2]) * anatomy.affine[2, 2]
    candidates = np.argwhere((anatomy.white > 0.7) & deep & (height > -5.0))
    position = anatomy.world_of_index(candidates[random.integers(len(candidates))].astype(float))
    return {
        "diffusivity_white": float(diffusivity),
        "proliferation": float(proliferation),
        "radiosensitivity": float(np.exp(random.uniform(np.log(0.03), np.log(0.10)))),
        "drug_sensitivity": float(np.exp(random.uniform(np.log(1.0e-3), np.log(3.0e-3)))),
        "growth_time": float(np.exp(random.uniform(np.log(140.0), np.log(240.0)))),
        "world_x": float(position[0]),
        "world_y": float(position[1]),
        "world_z": float(position[2]),
        "threshold_core": float(random.uniform(0.75, 0.85)),
        "threshold_oedema": float(random.uniform(0.12, 0.20)),
    }


def _region(anatomy: Anatomy, values: dict[str, float]) -> Anatomy:
    """The anatomy within :data:`REGION_MM` of the seed."""
    centre = anatomy.index_of_world(np.array([values["world_x"], values["world_y"], values["world_z"]]))
    reach = REGION_MM / np.asarray(anatomy.spacing_mm)
    start = np.maximum(np.floor(centre - reach), 0).astype(int)
    stop = np.minimum(np.ceil(centre + reach), anatomy.shape).astype(int)
    return anatomy.cropped(tuple(int(a) for a in start), tuple(int(b) for b in stop))


def _model(anatomy: Anatomy, values: dict[str, float], max_step: float = MAX_STEP_DAYS) -> GliomaModel:
    grid = VoxelGrid(anatomy.mask, anatomy.spacing_mm)
    diffusion = tissue_diffusion(grid, jnp.asarray(anatomy.white), jnp.asarray(anatomy.grey))
    dtype = diffusion.scale.dtype
    index = anatomy.index_of_world(np.array([values["world_x"], values["world_y"], values["world_z"]]))
    longest = max_step * max(1.0, values["growth_time"] / UNSEEN_STEPS)
    return GliomaModel(
        grid=grid,
        diffusion=diffusion,
        centre=jnp.asarray(index * np.asarray(anatomy.spacing_mm), dtype),
        dose_map=jnp.asarray(1.0, dtype),
        drug_times=jnp.asarray(DRUG_DAYS, dtype),
        drug_doses=jnp.full(len(DRUG_DAYS), DRUG_DOSE_MG_PER_M2, dtype),
        observations=(),
        unseen_until=jnp.asarray(SCAN_DAYS[0], dtype),
        stages=stages_for(float(diffusion.spectral_bound()) * values["diffusivity_white"] * longest),
    )


def _coordinates(values: dict[str, float], burden: float) -> jnp.ndarray:
    known = {**values, "initial_burden": burden, "seed_x": 0.0, "seed_y": 0.0, "seed_z": 0.0}
    return jnp.asarray([prior.coordinate(known[prior.name]) for prior in TISSUE_PRIORS], jnp.result_type(float))


def _burden_for_volume(values: dict[str, float], anatomy: Anatomy, target_mm3: float) -> float | None:
    """The initial burden whose visible volume at the first scan is the target, from a sketch on 4 mm voxels; None if out of reach."""
    region = _region(anatomy, values).resampled(4.0)
    model = _model(region, values, 2 * MAX_STEP_DAYS)
    mesh = time_mesh(SCAN_DAYS[0] - UNSEEN_STEPS * MAX_STEP_DAYS, [SCAN_DAYS[0]], 2 * MAX_STEP_DAYS)
    burdens = np.geomspace(1.0, 500.0, 8)
    z = jnp.stack([_coordinates(values, float(burden)) for burden in burdens])

    @jax.jit
    def volumes(z: jnp.ndarray) -> jnp.ndarray:
        def one(z: jnp.ndarray) -> jnp.ndarray:
            states, _ = model.grow(z, mesh, jnp.zeros(0, z.dtype))
            return visible_volume(model.grid, states[0], jnp.asarray(values["threshold_oedema"], z.dtype))

        return jax.lax.map(one, z)

    found = np.asarray(volumes(z), dtype=float)
    if not found.min() < target_mm3 < found.max():
        return None
    return float(np.exp(np.interp(target_mm3, found, np.log(burdens))))


def _grow(values: dict[str, float], anatomy: Anatomy, days: tuple[float, ...]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Densities on the given days, and the visible volume from the last scan on, on the fine grid."""
    model = _model(anatomy, values)
    grid = model.grid
    z = _coordinates(values, values["initial_burden"])
    doses = jnp.full(len(FRACTION_DAYS), FRACTION_DOSE_GY, z.dtype)
    threshold = jnp.asarray(values["threshold_oedema"], z.dtype)
    onset = SCAN_DAYS[0] - UNSEEN_STEPS * MAX_STEP_DAYS
    before = time_mesh(onset, days[:-1], MAX_STEP_DAYS, events=FRACTION_DAYS, breakpoints=DRUG_DAYS)
    after = time_mesh(days[-2], [days[-1]], MAX_STEP_DAYS, breakpoints=DRUG_DAYS)

    @eqx.filter_jit
    def run(model: GliomaModel, z: jnp.ndarray) -> tuple[jnp.ndarray, ...]:
        states, first = model.grow(z, before, doses)

        def volume(time: jnp.ndarray, state: jnp.ndarray) -> jnp.ndarray:
            del time
            return visible_volume(grid, state, threshold)

        later, volumes, second = model.go_on(z, states[-1], after, jnp.zeros(0, z.dtype), volume)
        start = visible_volume(grid, states[-1], threshold)
        return states, later, jnp.concatenate([start[None], volumes]), first + second

    states, later, volumes, status = run(model, z)
    if int(status):
        raise InputError(got=f"a truth that could not be simulated (status {int(status)})", expected="status 0", do="use another seed")
    densities = [np.asarray(grid.volume(state), dtype=float) for state in (*states, *later)]
    curve_days = np.concatenate([[days[-2]], np.asarray(after.times, dtype=float)])
    return densities, curve_days, np.asarray(volumes, dtype=float)


def _image(random: np.random.Generator, day: float, density: np.ndarray, fine: Anatomy, coarse: Anatomy, values: dict[str, float]) -> Scan:
    """One scan of a density: segmentations with wandering edges and a noisy map of cellularity."""
    kept = np.clip(density, 1e-6, 1 - 1e-6)
    odds = np.log(kept / (1 - kept))
    slope = np.sqrt(sum(np.square(part) for part in np.gradient(odds, *fine.spacing_mm)))
    slope = np.minimum(slope, STEEPEST_EDGE_PER_MM)  # the fall to zero at the ventricles is no edge of the tumour
    odds = odds + EDGE_WANDER_MM * slope * _smooth_noise(random, density.shape, 4.0 / fine.spacing_mm[0])

    def on_scan(array: np.ndarray) -> np.ndarray:
        return np.asarray(resample_onto(array.astype(float), fine.affine, coarse.shape, coarse.affine, 0.0))

    tissue = on_scan(fine.mask)

    def outline(threshold: float) -> np.ndarray:
        inside = (odds > np.log(threshold / (1 - threshold))) & fine.mask
        return (on_scan(inside) >= 0.5 * np.maximum(tissue, 1e-3)) & coarse.mask

    oedema = outline(values["threshold_oedema"])
    core = outline(values["threshold_core"]) & oedema
    trusted = near(oedema, MAP_REACH_VOXELS) & coarse.mask & (tissue > 0.99)
    average = on_scan(density)
    noise = _smooth_noise(random, coarse.shape, 0.9 / coarse.spacing_mm[0]) * (0.015 + 0.035 * average)
    measured = np.clip(average + noise, 0, 1)
    return Scan(
        day=day,
        enhancing_core=core if core.any() else None,
        oedema=oedema,
        cellularity=np.where(trusted, measured, 0).astype(np.float32),
        cellularity_noise=STATED_NOISE,
        cellularity_mask=trusted,
    )


def _smooth_noise(random: np.random.Generator, shape: tuple[int, ...], width_voxels: float) -> np.ndarray:
    """Normal noise of unit variance that is alike over about this many voxels."""
    field = ndimage.gaussian_filter(random.standard_normal(shape), width_voxels)
    return field / field.std()
