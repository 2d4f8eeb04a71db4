"""The analytic heart written as a folder and read back: an example of docs/heart_folder.md, and how far fibres by rule differ from it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from physics import Pose, squared_velocity
from solvers import eikonal, start_at
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figures import Overlay, orthogonal_slices
from twinsim.heart_folder import HeartRecord, analytic_record, load_heart, save_heart
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

AWAY_MM = 8.0  # from the apex and from where the ventricles meet, where no rule says much


@dataclass(frozen=True)
class Config:
    """Options of the example."""

    folder: Path | None = None
    """Where to write heart.yaml, labels, fibres and the transmural coordinate; without it they go into the run's folder."""
    overwrite: bool = False
    """Replace a heart that is there."""
    spacing_mm: float = 1.5
    """Edge of a voxel, in mm."""
    apex: tuple[float, float, float] = (-0.65, 0.45, -0.61)
    """Direction from base to apex in the body: right, anterior, superior; the voxels' axes are turned with it."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Writes the heart, reads it with its own fibres and with fibres by rule, and compares activation times."""
    check_options(config, {"spacing_mm": (0.8, 2.0), "apex": (-1e3, 1e3)})
    if not np.isfinite(config.apex).all() or np.linalg.norm(config.apex) < 1e-6:
        raise InputError(f"apex {config.apex}", "a direction", "write one such as -0.65 0.45 -0.61")
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) if workspace.folder is None else workspace.folder
        folder = home / "heart" if config.folder is None else config.folder
        written = analytic_record(config.spacing_mm, Pose(apex=config.apex))
        save_heart(written, folder, overwrite=config.overwrite or config.folder is None)
        workspace.message(f"wrote {folder}")
        read = load_heart(folder)
        bare = save_heart(written, Path(scratch) / "bare", fibres=False)
        ruled = load_heart(bare)
    times = {name: _activation(record) for name, record in (("written", written), ("read", read), ("ruled", ruled))}
    mask = np.asarray(written.heart.grid.mask)
    cosine = np.abs(np.sum(np.asarray(written.heart.fibres) * np.asarray(ruled.heart.fibres), axis=-1))
    angle = np.where(mask, np.rad2deg(np.arccos(np.clip(cosine, 0, 1))), 0)
    clear = mask & _clear(written)
    late = times["ruled"] - times["written"]
    summary: dict[str, Any] = {
        "muscle_ml": float(mask.sum() * written.heart.grid.voxel_volume / 1000),
        "last_activation_ms": float(times["written"].max()),
        "read_back_largest_difference_ms": float(np.abs(times["read"] - times["written"]).max()),
        "rule_fibre_angle_deg_median": float(np.median(angle[mask])),
        "rule_fibre_angle_deg_median_away_from_apex_and_junction": float(np.median(angle[clear])),
        "rule_fibre_angle_deg_90_percent_away_from_apex_and_junction": float(np.percentile(angle[clear], 90)),
        "rule_transmural_difference_median": float(
            np.median(np.abs(np.asarray(ruled.heart.transmural) - np.asarray(written.heart.transmural))[mask])
        ),
        "rule_activation_difference_ms_rms": float(np.sqrt(np.mean(late**2))),
        "rule_activation_difference_ms_largest": float(np.abs(late).max()),
    }
    report = Report(
        "A heart as a folder", f"{config.spacing_mm:g} mm voxels turned with the heart; fibres by rule beside the analytic ones"
    )
    shade = Overlay(angle, "angle", "degrees", "heat", floor=0.5, limits=(0.0, 45.0))
    figure = orthogonal_slices(np.asarray(written.heart.transmural), written.heart.grid.spacing, [shade])
    caption = (
        "Angle between fibres by rule from the labels alone and the analytic ones. Planes are those of the voxels, turned with the "
        "heart (z is its long axis), not the body's."
    )
    report.figure(figure, caption, "fibre_angle", alt="Angle between the two fibre fields")
    report.table(["Quantity", "Value"], [[name, f"{value:.4g}"] for name, value in summary.items()])
    report.text(
        f"Written to {folder}; docs/heart_folder.md explains every field." if config.folder else "The folder is heart/ beside this report."
    )
    volumes = {"fibre_angle_deg": (angle.astype(np.float32), written.affine)}
    return Result(summary, report, None, volumes)


def _activation(record: HeartRecord) -> np.ndarray:
    """When each muscle voxel is activated from the record's places, ms."""
    grid = record.heart.grid
    start = start_at(grid, [record.heart.nearest(place) for place, _ in record.places], jnp.asarray([t for _, t in record.places]))
    arrival = eikonal(grid, start, squared_speed=squared_velocity(grid, 0.6, 0.3, record.heart.fibres))
    arrival.raise_for_status()
    return np.asarray(grid.volume(arrival.times), float)[np.asarray(grid.mask)]


def _clear(record: HeartRecord) -> np.ndarray:
    """Muscle away from the apex, and from where left and right muscle meet."""
    from scipy import ndimage

    heart = record.heart
    height = heart.positions() @ record.frame.axes[2]
    muscle = np.asarray(heart.grid.mask)
    distance = [ndimage.distance_transform_edt(heart.ventricle != side, sampling=heart.grid.spacing) for side in (1, 2)]
    return (height > height[muscle].min() + AWAY_MM) & (np.maximum(*distance) > AWAY_MM)


if __name__ == "__main__":
    run_script(__spec__)
