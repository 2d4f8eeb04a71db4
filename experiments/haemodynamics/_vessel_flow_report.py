"""What a run of ``haemodynamics/vessel_flow`` leaves: its pictures and its arrays."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from physics.lattice_units import LatticeUnits
from physics.vessel_shape import VesselShape
from physics.wall_shear import WallProbe
from physics.wall_shear_indices import ShearIndices
from solvers.lattice_boltzmann import FlowState, LatticeBoltzmann
from twinsim.report import Report
from twinsim.vessel_bolus import BolusCourse, bolus_words
from twinsim.vessel_figures import bolus_curves, middle_plane, wall_shear

if TYPE_CHECKING:
    from experiments.haemodynamics.vessel_flow import Config


class Case(NamedTuple):
    """A vessel ready to run."""

    shape: VesselShape
    units: LatticeUnits
    flow: LatticeBoltzmann
    probe: WallProbe
    start: FlowState
    samples: np.ndarray
    sections: np.ndarray


def vessel_report(
    config: "Config",
    case: Case,
    found: dict[str, np.ndarray],
    shear: np.ndarray,
    last: ShearIndices,
    summary: dict[str, Any],
    notes: list[str],
    course: BolusCourse | None,
) -> Report:
    """Headline, pictures, and every number in a table."""
    text = f"{config.diameter_mm:g} mm, {config.voxels_per_diameter} voxels across, {100 * config.stenosis:.0f} % narrowed"
    report = Report("Flow in a vessel", text)
    for note in notes:
        report.warn(note)
    report.headline(
        [
            ("Wall shear, time average", f"{summary['tawss_mean_pa']:.3g}", "Pa"),
            ("Largest oscillatory index", f"{summary['osi_max']:.3f}", ""),
            ("Mean pressure drop", f"{summary['pressure_drop_mean_pa']:.3g}", "Pa"),
            ("Mach number", f"{summary['mach_peak']:.3f}", ""),
        ]
    )
    size = config.diameter_mm / config.voxels_per_diameter
    fields = found["fields"][:3] * float(case.units.speed), found["fields"][6] / float(case.units.step)
    place = (np.asarray(case.probe.point) - case.shape.centre) @ case.shape.axis * size
    times = (np.arange(config.frames) + 1) * config.period_s / config.frames
    report.figure(
        middle_plane(*fields, case.shape.distance[1:-1, 1:-1, 1:-1] > 0, size),
        "Speed and vorticity in the middle plane at systole.",
        "fields",
        alt="Two maps",
    )
    report.figure(
        wall_shear(place, np.asarray(last.time_averaged), times, shear[-config.frames :]),
        "Wall shear along the vessel and over the last beat.",
        "wall",
        alt="Two plots",
    )
    if course:
        report.figure(
            bolus_curves(course.times, {"injected": course.injected, "leaving, mixed": course.mixed, "outlet, imaged": course.imaged}),
            bolus_words(summary),
            "bolus",
            alt="Concentration over time",
        )
    report.table(["Number", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    return report


def vessel_dataset(
    config: "Config", case: Case, found: dict[str, np.ndarray], shear: np.ndarray, last: ShearIndices, times: np.ndarray
) -> xr.Dataset:
    """The last beat with its units."""
    units, frames = case.units, config.frames
    scale = float(units.voxel)
    fields = found["fields"]
    parts: dict[str, Any] = {
        "wall_shear": (("time", "point", "axis"), shear[-frames:], {"units": "Pa"}),
        "wall_point": (("point", "axis"), np.asarray(case.probe.point) * scale, {"units": "m"}),
        "time_averaged_wall_shear": ("point", np.asarray(last.time_averaged), {"units": "Pa"}),
        "oscillatory_shear_index": ("point", np.asarray(last.oscillatory), {"units": "1"}),
        "relative_residence_time": ("point", np.asarray(last.residence), {"units": "Pa-1"}),
        "section_pressure": (("time", "section"), found["pressure"][-frames:] * float(units.pressure), {"units": "Pa"}),
        "outlet_pressure": ("time", found["load"][-frames:] * float(units.pressure), {"units": "Pa"}),
        "flow_in": ("time", found["inflow"][-frames:] * float(units.flow), {"units": "m3/s"}),
        "flow_out": ("time", found["outflow"][-frames:] * float(units.flow), {"units": "m3/s"}),
        "velocity": (("axis", "x", "y", "z"), fields[:3] * float(units.speed), {"units": "m/s"}),
        "pressure": (("x", "y", "z"), fields[3] * float(units.pressure), {"units": "Pa"}),
        "vorticity": (("axis", "x", "y", "z"), fields[4:] / float(units.step), {"units": "s-1"}),
    }
    coordinates: dict[str, Any] = {
        "time": ("time", times, {"units": "s"}), "axis": ["x", "y", "z"], "section": ["proximal", "distal"],
        **{name: (name, np.arange(n) * scale, {"units": "m"}) for name, n in zip("xyz", fields.shape[1:])},
    }  # fmt: skip
    return xr.Dataset(parts, coords=coordinates)
