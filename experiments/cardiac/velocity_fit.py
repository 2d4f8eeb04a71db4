"""Fits the table of ``front_fit``: the least largest velocity error over fibres and waves at many angles, spacings, sheets and volumes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from experiments.cardiac._front_fit import Case, Stencil, Table, derivatives, errors, improved, responses, stencil
from experiments.cardiac._plane_waves import Wave, in_sheets, in_volumes
from experiments.cardiac._shared import check_cell_and_step, finite, spacing_mark
from physics import CELL_MODELS, front_fit, niederer_diffusivities
from physics.front_fit import SPACINGS
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

ROWS = ("bend", "bend_slope", "cross", "cross_slope")
SETTINGS = ((1.0, 0.01), (2.0, 0.03), (4.0, 0.1), (12.0, 0.3))  # anisotropies and diffusivities along fibres that the table must bear


@dataclass(frozen=True)
class Config:
    """Options; the diffusivities are those of Niederer 2011. Starts from the table in use, whose last fit these are; takes half an hour."""

    cell_model: str = "ten_tusscher_2006_epi"
    """Cell; see cardiac/conduction_velocity. The table is one of its own front, in units of its time."""
    spacings_mm: tuple[float, ...] = (0.1, 0.15, 0.2, 0.25, 0.3)
    """Edges of the voxels, in mm."""
    allowed_percent: tuple[float, ...] = (1.8, 2.6, 3.0, 4.2, 5.0)
    """Error allowed at each edge: the fit makes the largest ratio of error and allowance least. In percent."""
    allowed_on_axes_percent: tuple[float, ...] = (0.9, 1.2, 1.3, 2.5, 4.0)
    """The same for waves across fibres, both along axes of the voxels, as in slabs. In percent."""
    directions: int = 360
    """Waves at each edge: those of cardiac/velocity_table first, then others by chance."""
    screened: int = 600
    """So many more waves by chance at each edge are tried with the first table, and the twentieth that it serves worst is fitted too."""
    rounds: int = 10
    """Linear programs, one after another."""
    trust: float = 0.05
    """How far a number of the table may move in a round; divided by 1.6 where a round makes it worse."""
    smoothness: float = 0.003
    """Cost of a bend of the table, beside the largest ratio."""
    dt_ms: float = 0.04
    """Time step, in ms; of the velocity without voxels as well."""
    seed: int = 40
    """Of the waves drawn by chance."""
    precision: str = "float64"
    """Floating-point precision: float64."""


def run(config: Config, workspace: Workspace) -> Result:
    """The table that was best, with its largest errors before and after."""
    _check(config)
    cell, (along, across) = CELL_MODELS[config.cell_model](), niederer_diffusivities()
    front = float(cell.front_time())
    cases, stencils = _cases(config, along, across, front)
    table = Table(np.array(SPACINGS), np.asarray(front_fit(cell).table, float))
    with workspace.progress(config.rounds + 1, "linear programs", "rounds") as bar:
        scaled, answers = responses(cell, table, along, config.dt_ms)
        if config.screened:
            more, added = _cases(config, along, across, front, config.screened)
            cases, stencils = cases + _worst(more, errors(cell, table, more, scaled, config.dt_ms)), stencils + added
        first = found = errors(cell, table, cases, scaled, config.dt_ms)
        slopes, allowed, trust = derivatives(table, cases, answers, front), np.array([case.allowed for case in cases]), config.trust
        history = [_largest_ratio(found, allowed)]
        bar.advance(1)
        for _ in range(config.rounds):
            runs = np.isfinite(found)  # a blocked wave has no velocity to correct
            tried, _ = improved(table, found[runs], slopes[runs], allowed[runs], stencils, trust, config.smoothness)
            now = errors(cell, tried, cases, scaled, config.dt_ms)
            ratio = _largest_ratio(now, allowed)
            if ratio < min(history):
                table, found, slopes = tried, now, derivatives(tried, cases, answers, front)
            else:
                trust /= 1.6
            history.append(ratio)
            bar.advance(1)
    summary: dict[str, Any] = {"largest_ratio_before": finite(history[0]), "largest_ratio": finite(min(history)), "waves": len(cases)}
    for edge in config.spacings_mm:
        for where, flat in (("sheets", True), ("volumes", False)):
            chosen = [i for i, case in enumerate(cases) if case.edge == edge and case.wave.in_sheet == flat]
            if chosen:
                mark = spacing_mark(edge)
                summary[f"largest_error_percent_{where}_dx_{mark}_before"] = finite(np.abs(first[chosen]).max())
                summary[f"largest_error_percent_{where}_dx_{mark}"] = finite(np.abs(found[chosen]).max())
    dataset = xr.Dataset(
        {
            "table": (("row", "spacing"), table.rows, {"units": "1", "meaning": "b0, b1, r0, r1 of physics.FrontFit"}),
            "error": ("wave", found, {"units": "percent"}),
            "error_before": ("wave", first, {"units": "percent"}),
            "edge": ("wave", np.array([case.edge for case in cases]), {"units": "mm"}),
            "ratio": ("round", np.array(history), {"units": "1"}),
        },
        coords={"row": list(ROWS), "spacing": ("spacing", np.array(SPACINGS), {"units": "ms^0.5 over the root of the time of the front"})},
    )
    return Result(summary, _report(config, summary, table, history), dataset)


def _largest_ratio(found: np.ndarray, allowed: np.ndarray) -> float:
    """Of error and allowance; infinite where a wave is blocked."""
    return float(np.nan_to_num(np.abs(found / allowed), nan=np.inf).max())


def _worst(cases: list[Case], found: np.ndarray) -> list[Case]:
    """The twentieth with the largest ratio of error and allowance, blocked waves first."""
    ratios = np.nan_to_num(np.abs(found / np.array([case.allowed for case in cases])), nan=np.inf)
    return [cases[i] for i in np.argsort(-ratios)[: -(-len(cases) // 20)]]


def _spread(waves: list[Wave], count: int) -> list[Wave]:
    """So many of them, evenly over the list; all where there are fewer."""
    return waves if count >= len(waves) else [waves[i] for i in np.linspace(0, len(waves) - 1, count).round().astype(int)]


def _cases(config: Config, along: float, across: float, front: float, screened: int = 0) -> tuple[list[Case], list[Stencil]]:
    """Waves with what they may err, and all stencils on which the second exchange has to stay positive; or those to be screened."""
    seed = config.seed + screened + 1
    drawn = zip(in_sheets(seed), in_volumes(seed), strict=False)
    first: list[Wave] = [] if screened else [*in_sheets(), *in_volumes()]
    waves = _spread(first, config.directions)
    waves += _spread([wave for pair in drawn for wave in pair], (screened or config.directions) - len(waves))
    known: dict[tuple[Any, ...], Stencil] = {}
    cases = []
    for edge, allowed, on_axes in zip(config.spacings_mm, config.allowed_percent, config.allowed_on_axes_percent, strict=True):
        for wave in waves:
            key = (wave.fibre, wave.in_sheet, edge)
            if key not in known:
                known[key] = stencil(wave.fibre, wave.in_sheet, edge, along, across, front)
            straight = wave.angle_deg > 89.9 and min(max(map(abs, wave.fibre)), max(map(abs, wave.direction))) > 0.999
            cases.append(Case(wave, edge, on_axes if straight else allowed, known[key], wave.diffusivity(along, across)))
    return cases, [*known.values(), *_borne(front)]


def _borne(front: float) -> list[Stencil]:
    """Stencils of other tissue, on which the second exchange has to stay positive, too."""
    generator, found = np.random.default_rng(5), []
    for anisotropy, along in SETTINGS:
        for fibre in generator.normal(size=(12, 3)):
            x, y, z = (float(part) for part in fibre / np.linalg.norm(fibre))
            found += [stencil((x, y, z), False, edge, along, along / anisotropy, front) for edge in (0.2, 0.3)]
    return found


def _check(config: Config) -> None:
    check_options(
        config,
        {
            "spacings_mm": (0.01, 1.0),
            "allowed_percent": (0.1, 100.0),
            "allowed_on_axes_percent": (0.1, 100.0),
            "directions": (1, 1000),
            "screened": (0, 5000),
            "rounds": (0, 1000),
            "trust": (1e-4, 1.0),
            "smoothness": (0.0, 10.0),
        },
    )
    check_cell_and_step(config.cell_model, config.dt_ms)
    if not len(config.spacings_mm) == len(config.allowed_percent) == len(config.allowed_on_axes_percent) or not config.spacings_mm:
        raise InputError("spacings-mm and allowances of different length", "one allowance of each kind per spacing", "give as many")
    if config.precision != "float64":
        raise InputError(f"precision {config.precision}", "float64", "leave the option out")


def _report(config: Config, summary: dict[str, Any], table: Table, history: list[float]) -> Report:
    report = Report(
        "Fit of the velocity on voxels", f"largest error over what is allowed: {history[0]:.3g} before, {min(history):.3g} after"
    )
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    for axes, pair, title in ((left, (0, 1), "b"), (right, (2, 3), "ρ / P")):
        for row, colour, name in zip(pair, (BLUE, VERMILION), ("constant", "times the share"), strict=True):
            axes.plot(table.knots, table.rows[row], "o-", color=colour, markersize=3, label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("spacing (ms^½)")
        quiet(axes)
    right.legend(frameon=False, fontsize=8)
    report.figure(figure, f"The table for {config.cell_model}.", "table", alt="Rows of the fitted table over the spacing")
    report.table(["Quantity", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    rows = [[name, ", ".join(f"{value:.4f}" for value in row)] for name, row in zip(ROWS, table.rows, strict=True)]
    report.table(["Row", "Values"], rows)
    return report


if __name__ == "__main__":
    run_script(__spec__)
