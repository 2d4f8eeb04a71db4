"""The arrays and the report of an experiment with a lead."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.neuro._dbs_figures import View, effects_figure, plane_figure, slices_figure
from physics import Lead, conductivity_from_diffusion
from physics.electrode_voxels import ElectrodeVoxels
from twinsim.anatomy import Anatomy
from twinsim.report import Report
from twinsim.stimulation import Effect, Plan


class TissueTensors(NamedTuple):
    """Diffusion on the voxels of the cube, ``(x, y, z, 3, 3)`` in mm²/s, where it is known, and the share that was repaired."""

    diffusion: np.ndarray
    known: np.ndarray
    raised: float

    def conductivity(self, isotropic: jax.Array, change: jax.Array, scaling: Literal["volume normalised", "linear"]) -> jax.Array:
        """Tensors where diffusion is known, and the isotropic conductivity elsewhere.

        With ``"linear"`` doubts of a tissue's conductivity, ``change`` as a factor, scale what diffusion says.
        """
        found = conductivity_from_diffusion(self.diffusion, isotropic, scaling)
        found = found * change[..., None, None] if scaling == "linear" else found
        return jnp.where(jnp.asarray(self.known)[..., None, None], found, isotropic[..., None, None] * jnp.eye(3)[None, None, None])


class Scene(NamedTuple):
    """What does not depend on conductivities."""

    anatomy: Anatomy
    lead: Lead
    voxels: ElectrodeVoxels
    points: np.ndarray
    target: np.ndarray
    capsule: np.ndarray
    tensors: TissueTensors | None = None


class Solved(NamedTuple):
    """Under each scenario: its name, what counts of the fields, and resistances between contacts and ground, kΩ."""

    names: list[str]
    picked: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    resistance: np.ndarray


def dataset_of(scene: Scene, solved: Solved, plan: Plan, effects: list[Effect]) -> xr.Dataset:
    """Currents, resistances and effects under every set of conductivities."""
    contacts = list(scene.lead.shape.names)
    columns = {"covered": "1", "avoided": "1", "activated_mm3": "mm^3", "spill_mm3": "mm^3"}
    return xr.Dataset(
        {
            "current": ("contact", plan.milliampere, {"units": "mA"}),
            "resistance": (("scenario", "contact", "other_contact"), 1000 * solved.resistance, {"units": "ohm"}),
            **{name: ("scenario", [getattr(one, name) for one in effects], {"units": unit}) for name, unit in columns.items()},
        },
        coords={"scenario": solved.names, "contact": contacts, "other_contact": contacts},
    )


def report_of(
    title: str,
    capsule_percent: float,
    threshold: float,
    scene: Scene,
    summary: dict[str, Any],
    solved: Solved,
    plan: Plan,
    effects: list[Effect],
    shown: np.ndarray,
    notes: list[str],
) -> Report:
    """Pictures first, then every number of the summary."""
    report = Report("Stimulation of the subthalamic nucleus", title)
    for note in notes:
        report.warn(note)
    view = View(scene.anatomy, scene.lead, scene.target, scene.capsule, shown, threshold)
    report.figure(
        plane_figure(view, plan.milliampere),
        "The plane of the lead and of the way to the internal capsule, and one across the lead at the target: strength of the field, and "
        "what exceeds the threshold.",
        "lead",
    )
    report.figure(slices_figure(view), "Slices of the brain through the target.", "slices")
    report.figure(
        effects_figure(solved.names, effects, capsule_percent, scene.lead.shape.names, plan.milliampere),
        "What the same currents do if conductivities are off, and the currents.",
        "scenarios",
    )
    report.table(
        ["Quantity", "Value"],
        [
            [name, "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)]
            for name, value in summary.items()
        ],
    )
    report.text(
        "Slopes say by how many per cent the impedance or the activated volume changes if one conductivity rises by one per cent; those "
        "of the impedance add up to minus one without an impedance of the contacts."
    )
    report.text("Target and internal capsule are ellipsoids from the literature in an average brain, of nobody. No advice for treatment.")
    return report
