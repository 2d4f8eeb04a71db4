"""4-D-flow MRI denoised and brought to voxels half as wide by a smooth flow without divergence, scored on synthetic images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from twinsim.cli import run_script
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import new_figure
from twinsim.flow_images import FineFlow, FlowImages, read_fine, read_images
from twinsim.flow_reconstruction import FlowProblem, Projected, Vessel, choose, find_vessel, lumen_faces, project
from twinsim.flow_scores import FlowScore, interpolations, score
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "frame": (0, 100_000),
    "layers": (0.0, 1.0),
    "penalties": (1e-3, 1e9),
    "held_out": (0.01, 0.5),
    "draws": (0, 1000),
    "section": (0.0, 1.0),
}


@dataclass(frozen=True)
class Config:
    """Options of 4-D flow."""

    images: Path | None = None
    """HDF5 with u, v, w, mag_u, mag_v, mag_w, venc_u, venc_v, venc_w (m/s) and dx (mm); default is the synthetic aorta of 4DFlowNet."""
    truth: Path | None = None
    """HDF5 with u, v, w, mask and dx on voxels half as wide, for the scores only; default is that of the synthetic aorta."""
    frame: int = 0
    """Which of the frames."""
    layers: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Candidates of the layer at the wall, as share of blood in a voxel; 0 lets the wall slip."""
    penalties: tuple[float, ...] = (1000.0, 300.0, 100.0)
    """Candidates of the weight of the viscous force."""
    held_out: float = 0.1
    """Share of the coarse voxels that choose between candidates."""
    draws: int = 8
    """Draws of the posterior; 0 for none."""
    section_axis: Literal["x", "y", "z"] = "z"
    """Axis whose plane the flow is taken through."""
    section: float = 0.9
    """Place of that plane along the axis, 0 to 1."""
    seed: int = 0
    """Of the coarse voxels left out and of the draws."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision; the divergence is checked to digits that float32 has not."""


def run(config: Config, workspace: Workspace) -> Result:
    """Reads the images, chooses layer and penalty by what is left out, reconstructs, projects, draws and scores."""
    check_options(config, RANGES)
    for name in ("layers", "penalties"):
        if not getattr(config, name):
            raise InputError(f"--{name} without a number", "at least one", "give at least one")
    own = config.images is not None
    images = read_images(config.images or locate("flow4d") / "example_data.h5", config.frame)
    vessel = find_vessel(images)
    fine = _truth(config, images, own)
    found = workspace.stage("fit", lambda: _fit(config, images, vessel, workspace))
    problem = FlowProblem(images, vessel, found["layer"])
    space = lumen_faces(vessel, images.spacing / 2)
    coefficients = found["coefficients"]
    best = project(space, problem.faces(coefficients), problem.velocity(coefficients))
    flows = workspace.stage("draws", lambda: _draws(config, problem, found, space, workspace))
    flow = section_flow(config, best, images)
    scores = {} if fine is None else _scores(images, best, fine, space)
    summary = _summary(config, vessel, images, found, best, flow, flows, fine, scores)
    notes = _notes(own, fine, found)
    report = _report(config, summary, scores, found, notes, _picture(images, best, fine))
    return Result(summary, report, _dataset(images, vessel, best, flows), notes=notes)


def _truth(config: Config, images: FlowImages, own: bool) -> FineFlow | None:
    if own and config.truth is None:
        return None
    fine = read_fine(config.truth or locate("flow4d") / "example_data_HR.h5", config.frame)
    if fine.mask.shape != images.fine_shape():
        raise InputError(
            f"a truth of {fine.mask.shape} voxels", f"{images.fine_shape()}, twice the images'", "give the file that belongs to them"
        )
    return fine


def _fit(config: Config, images: FlowImages, vessel: Vessel, workspace: Workspace) -> dict[str, Any]:
    chosen = choose(images, vessel, config.layers, config.penalties, config.held_out, config.seed, workspace.message)
    fit = chosen.problem.fit(chosen.penalty, start=chosen.start)
    return {
        "layer": chosen.problem.layer,
        "penalty": chosen.penalty,
        "tried": np.array(chosen.tried),
        "coefficients": fit.coefficients,
        "misfit": fit.misfit,
        "iterations": fit.iterations,
    }


def _draws(config: Config, problem: FlowProblem, found: dict[str, Any], space: Any, workspace: Workspace) -> np.ndarray:
    """mL/s through the section, by draw."""
    generator = np.random.default_rng(config.seed + 1)
    flows = []
    for _ in range(config.draws):
        drawn = problem.drawn(found["coefficients"], found["penalty"], generator)
        flows.append(section_flow(config, project(space, problem.faces(drawn), problem.velocity(drawn)), problem.images))
    return np.array(flows)


def section_flow(config: Config, field: Projected, images: FlowImages) -> float:
    """mL/s through the lumen's part of the plane, along its axis."""
    axis = "xyz".index(config.section_axis)
    faces = np.asarray(field.faces[axis])
    place = round(config.section * (faces.shape[axis] - 3)) + 1
    inside = np.take(field.mask, place - 1, axis) & np.take(field.mask, place, axis)
    return float(np.sum(np.take(faces, place, axis)[inside])) * (images.spacing / 2) ** 2


def _true_flow(config: Config, fine: FineFlow, mask: np.ndarray) -> float:
    axis = "xyz".index(config.section_axis)
    place = round(config.section * (mask.shape[axis] - 2)) + 1
    inside = np.take(mask, place - 1, axis) & np.take(mask, place, axis)
    both = (np.take(fine.velocity[axis], place - 1, axis) + np.take(fine.velocity[axis], place, axis)) / 2
    return float(np.sum(both[inside])) * fine.spacing**2


def _scores(images: FlowImages, best: Projected, fine: FineFlow, space: Any) -> dict[str, FlowScore]:
    mask = fine.mask > 0.5
    found = {name: score(field, fine.velocity, mask, spread) for name, (field, spread) in interpolations(images, space).items()}
    return found | {"reconstruction": score(best.centred, fine.velocity, mask, best.divergence)}


def _summary(
    config: Config,
    vessel: Vessel,
    images: FlowImages,
    found: dict[str, Any],
    best: Projected,
    flow: float,
    flows: np.ndarray,
    fine: FineFlow | None,
    scores: dict[str, FlowScore],
) -> dict[str, Any]:
    level = float(np.median(vessel.magnitude[vessel.lumen]))
    summary: dict[str, Any] = {
        "signal_to_noise": level / vessel.noise,
        "velocity_noise_m_per_s": float(images.encoding.mean() / np.pi * vessel.noise / level),
        "layer": found["layer"],
        "penalty": found["penalty"],
        "misfit_over_noise": found["misfit"],
        "lumen_ml": float(vessel.lumen.sum()) * (images.spacing / 2) ** 3 / 1000,
        "divergence_rms_per_s": best.divergence,
        "projection_moved_rms_m_per_s": best.moved,
        "section_flow_ml_per_s": flow,
        "section_flow_deviation_ml_per_s": float(np.std(flows, ddof=1)) if len(flows) > 1 else None,
        "section_flow_true_ml_per_s": None if fine is None else _true_flow(config, fine, best.mask),
    }
    for name, one in scores.items():
        summary[f"{name}_vnrmse"] = one.vector
        summary[f"{name}_speed_error"] = one.speed
        summary[f"{name}_direction_error_deg"] = one.direction
        summary[f"{name}_divergence_rms_per_s"] = one.divergence
    if scores:
        rival = min(scores[name].vector for name in ("trilinear", "divergence_free"))
        summary["gain_over_trilinear_and_divergence_free"] = 1 - scores["reconstruction"].vector / rival
    return summary


def _notes(own: bool, fine: FineFlow | None, found: dict[str, Any]) -> list[str]:
    notes = []
    if not own:
        notes.append("The images are synthetic: a computed flow, its k-space cut and noise added (4DFlowNet, Ferdian 2020). Not in vivo.")
    if fine is not None:
        notes.append(
            "Layer and penalty were chosen by coarse voxels left out, the mask by the magnitude; the fine field serves for scores only. "
            "The law of the layer was thought of after the fine field had been looked at near its wall."
        )
    tried = found["tried"]
    for column, name in ((0, "layer"), (1, "penalty")):
        values = np.unique(tried[:, column])
        if len(values) > 1 and found[name] in (values[-1], values[0]) and found[name] != 0:
            notes.append(f"The {name} chosen, {found[name]:g}, is at the end of its candidates: give more of them.")
    return notes


def _report(
    config: Config, summary: dict[str, Any], scores: dict[str, FlowScore], found: dict[str, Any], notes: list[str], picture: Figure
) -> Report:
    report = Report("4-D flow", "Velocity on voxels half as wide, without divergence")
    for note in notes:
        report.warn(note)
    tiles: list[tuple[str, Any, str]] = [
        ("Divergence left", summary["divergence_rms_per_s"], "1/s"),
        (f"Flow through {config.section_axis} = {config.section:g}", summary["section_flow_ml_per_s"], "mL/s"),
    ]
    if scores:
        tiles.insert(0, ("vNRMSE", scores["reconstruction"].vector, ""))
        tiles.insert(1, ("Gain over trilinear and divergence-free", summary["gain_over_trilinear_and_divergence_free"], ""))
    report.headline(tiles)
    report.figure(
        picture, "Speed in the middle plane, m/s: images, reconstruction, and where it is known the truth.", "speed", alt="Speeds"
    )
    rows = [[n, f"{s.vector:.4f}", f"{s.speed:.4f}", f"{s.direction:.2f}", f"{s.divergence:.3g}"] for n, s in scores.items()]
    if rows:
        columns = ["Field", "vNRMSE", "Speed", "Direction (deg)", "Divergence (1/s)"]
        report.table(columns, rows, "In the fluid of the fine field. Divergence in the lumen of the magnitude, by faces.")
    report.table(
        ["Layer", "Penalty", "Left out, over noise"],
        [[f"{a:g}", f"{b:g}", f"{c:.4f}"] for a, b, c in found["tried"]],
        "Cross-validation: 1 would be the noise alone.",
    )
    return report


def _picture(images: FlowImages, best: Projected, fine: FineFlow | None) -> Figure:
    panels = [("images", np.linalg.norm(images.velocity, axis=0) * (images.magnitude.mean(0) > images.magnitude.max() / 4))]
    panels.append(("reconstruction", np.linalg.norm(best.centred, axis=0) * best.mask))
    if fine is not None:
        panels.append(("truth", np.linalg.norm(fine.velocity, axis=0) * (fine.mask > 0.5)))
    figure = new_figure(2.6)
    top = float(panels[-1][1].max())
    for axes, (name, speed) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(speed[:, speed.shape[1] // 2].T, origin="lower", vmin=0, vmax=top, cmap="magma")
        axes.set_title(name)
        axes.set_axis_off()
    figure.colorbar(ScalarMappable(Normalize(0, top), "magma"), ax=figure.axes, label="speed (m/s)", shrink=0.8)
    return figure


def _dataset(images: FlowImages, vessel: Vessel, best: Projected, flows: np.ndarray) -> xr.Dataset:
    places = {a: (a, np.arange(n) * images.spacing / 2, {"units": "mm"}) for a, n in zip("xyz", images.fine_shape(), strict=True)}
    return xr.Dataset(
        {
            "velocity": (("direction", "x", "y", "z"), jnp.asarray(best.centred), {"units": "m/s"}),
            "fluid_share": (("x", "y", "z"), vessel.fluid, {"units": "1"}),
            "section_flow_draws": ("draw", flows, {"units": "mL/s"}),
        },
        coords={"direction": ["u", "v", "w"], **places},
    )  # fmt: skip


if __name__ == "__main__":
    run_script(__spec__)
