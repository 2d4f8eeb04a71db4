"""A tiny glioma patient whose scans the twin's own model made: a ball of white matter with a hole of fluid, 16^3 voxels of 4 mm."""

from dataclasses import replace
from functools import cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from twinsim.anatomy import Anatomy
from twinsim.glioma import GliomaTwin, glioma_twin
from twinsim.glioma_priors import GLIOMA_PRIORS, TISSUE_PRIORS
from twinsim.patient import Chemotherapy, PatientRecord, Radiotherapy, RadiotherapyFraction, Scan
from twinsim.posterior import Posterior

TRUTH = {
    "diffusivity_white": 0.22,
    "proliferation": 0.032,
    "radiosensitivity": 0.06,
    "drug_sensitivity": 2.5e-3,
    "seed_x": 1.5,
    "seed_y": -1.0,
    "seed_z": 0.5,
    "initial_burden": 30.0,
    "growth_time": 170.0,
    "threshold_core": 0.8,
    "threshold_oedema": 0.16,
}
Z_TRUTH = np.array([prior.coordinate(TRUTH[prior.name]) for prior in GLIOMA_PRIORS])
NOISE = 0.02
WHOLE = 1000.0  # a margin that takes in all of the anatomy
FRACTIONS = tuple(RadiotherapyFraction(day, 2.0) for day in (31.0, 32.0, 33.0, 34.0, 35.0))


def anatomy(spacing_mm: float = 4.0, voxels: int = 16) -> Anatomy:
    """A ball of white matter under a thin rind of grey; a ball of fluid beside the middle; the same box at every spacing."""
    axis = (np.arange(voxels) - (voxels - 1) / 2) * spacing_mm
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    reach = voxels * spacing_mm / 2
    distance = np.sqrt(x**2 + y**2 + z**2)
    mask = (distance < 0.95 * reach) & ((x - 0.45 * reach) ** 2 + y**2 + z**2 > (0.2 * reach) ** 2)
    white = np.where(mask & (distance < 0.85 * reach), 1.0, 0.0).astype(np.float32)
    grey = np.where(mask & (distance >= 0.85 * reach), 1.0, 0.0).astype(np.float32)
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = axis[0]
    return Anatomy("ball", white, grey, mask, affine, (0.9 * white + 0.6 * grey).astype(np.float32))


def spot(centre=(-6.0, 2.0, 2.0), radius_mm: float = 9.0) -> np.ndarray:
    """A ball-shaped mask, centre in world mm."""
    brain = anatomy()
    where = np.stack(np.meshgrid(*(np.arange(n) for n in brain.shape), indexing="ij"), axis=-1)
    return np.linalg.norm(brain.world_of_index(where) - np.asarray(centre), axis=-1) < radius_mm


def record(days=(0.0, 30.0, 60.0), fractions=FRACTIONS, drug_days=(31.0, 32.0, 33.0), scans=None) -> PatientRecord:
    """A patient of the tiny anatomy; without scans given, every one shows the same spot."""
    scans = tuple(Scan(day, oedema=spot()) for day in days) if scans is None else scans
    drug = Chemotherapy(drug_days, (75.0,) * len(drug_days))
    return PatientRecord("tiny", anatomy(), scans, Radiotherapy(fractions), drug)


def twin_of(patient: PatientRecord) -> GliomaTwin:
    """Its twin on the whole anatomy."""
    return glioma_twin(patient, WHOLE)


def grown(twin: GliomaTwin, z=Z_TRUTH) -> np.ndarray:
    """Densities at the scans, ``(scans, x, y, z)``."""
    z = jnp.asarray(z[: len(TISSUE_PRIORS)])
    states, status = eqx.filter_jit(twin.model.grow)(z, twin.scan_mesh, jnp.asarray(twin.given_doses))
    assert int(status) == 0
    return np.asarray(twin.model.grid.volume(states))


def imaged(twin: GliomaTwin, density: np.ndarray, outlines: bool, maps: bool) -> tuple[Scan, ...]:
    """Scans of these densities without any noise, on the twin's days."""
    seen_once = Scan(0.0, oedema=spot(), cellularity=density[0].astype(np.float32), cellularity_noise=NOISE)
    average = twin_of(replace(twin.record, scans=(seen_once,)))
    operator = average.model.observations[-1].voxel_average
    scans = []
    for scan, u in zip(twin.record.scans, density, strict=True):
        seen = np.asarray(u + twin.model.grid.volume(operator.apply(jnp.asarray(u.reshape(-1))))).clip(0, 1).astype(np.float32)
        scans.append(
            Scan(
                scan.day,
                enhancing_core=(u > 0.8) if outlines and (u > 0.8).any() else None,
                oedema=(u > 0.16) if outlines else None,
                cellularity=seen if maps else None,
                cellularity_noise=NOISE if maps else 0.0,
                cellularity_mask=(u > 0.02) if maps else None,
            )
        )
    return tuple(scans)


@cache
def patient(days=(0.0, 30.0, 60.0), outlines: bool = True, maps: bool = True) -> PatientRecord:
    """The patient whose scans the model made at :data:`TRUTH`, with a week of chemoradiotherapy between the scans."""
    sketch = twin_of(record(days))
    return replace(sketch.record, scans=imaged(sketch, grown(sketch), outlines, maps))


@cache
def informed_twin() -> GliomaTwin:
    """A twin with the Laplace posterior at the truth, without the cost of a search."""
    twin = twin_of(patient())
    _, _, curvature = twin.evaluate(Z_TRUTH)
    return replace(twin, posterior=Posterior(GLIOMA_PRIORS, Z_TRUTH, np.linalg.inv(curvature)))
