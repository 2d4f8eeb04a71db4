"""What an extracellular electrode does to heart tissue: where it polarises, what excites, and how a bath moves a wave."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.cardiac._shared import check_cell_and_step, finite
from physics import (
    CELL_MODELS,
    NIEDERER_2011,
    Bidomain,
    CellModel,
    ExtracellularStimulus,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    conductor_tensor,
    fibre_tensor,
    tissue_diffusivity,
)
from solvers import VoxelGrid, simulate
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, VERMILION, legend, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "edge_mm": (2.0, 50.0),
    "thickness_mm": (0.01, 10.0),
    "dx_mm": (0.05, 1.0),
    "dt_ms": (0.001, 0.1),
    "electrode_mm": (0.05, 5.0),
    "duration_ms": (0.1, 20.0),
    "watch_ms": (1.0, 50.0),
    "largest_ma": (0.01, 1000.0),
    "small_ma": (1e-6, 1000.0),
    "cable_mm": (6.0, 100.0),
    "bath_conductivity_s_per_m": (0.01, 20.0),
    "rounds": (1, 10),
    "strip_voxels": (1, 40),
    "bath_voxels": (1, 40),
}
STRENGTHS = 8  # tried side by side in each round of a search
FASTEST_MM_PER_MS = 0.7  # of a wave from the rim, where the current of the electrode leaves and may excite too


@dataclass(frozen=True)
class Config:
    """Options; fibres run along x, conductivities are those of Niederer 2011."""

    cell_model: Literal["ten_tusscher_2006_epi", "mitchell_schaeffer", "bueno_orovio_2008_epi"] = "ten_tusscher_2006_epi"
    """Cell."""
    edge_mm: float = 16.0
    """Edge of the square sheet, whose rim is the ground, in mm; a quarter of it is simulated, the rest is its mirror image."""
    thickness_mm: float = 0.5
    """Thickness of the sheet, which currents are spread over, in mm."""
    dx_mm: float = 0.25
    """Edge of a voxel, in mm."""
    dt_ms: float = 0.02
    """Longest time step, in ms."""
    electrode_mm: float = 0.5
    """Radius of the electrode, in mm."""
    duration_ms: float = 2.0
    """Of the pulse, in ms."""
    watch_ms: float = 6.0
    """After the pulse for a wave to grow, in ms; only what no wave from the rim can have reached by then is looked at."""
    small_ma: float = 0.01
    """Current whose polarisation is shown, in mA."""
    largest_ma: float = 20.0
    """Strongest current of the search for thresholds, in mA."""
    rounds: int = 3
    """Rounds of that search, each of which divides the interval by nine."""
    equal_ratios: bool = False
    """Give both media the ratio of the intracellular one: no virtual electrodes."""
    cable_mm: float = 14.0
    """Length of the strip whose wave is timed with and without bath, in mm."""
    strip_voxels: int = 4
    """Depth of that strip, in voxels."""
    bath_voxels: int = 6
    """Depth of the bath on it, in voxels."""
    bath_conductivity_s_per_m: float = 1.0
    """Of the bath, in S/m."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Polarisation by a small current, thresholds of make excitation of both signs, and a wave under a bath."""
    _check(config)
    cell = CELL_MODELS[config.cell_model]()
    polarised = workspace.stage("polarisation", lambda: _polarisation(config, cell))
    summary: dict[str, Any] = {"cell_model": config.cell_model} | _shape(config, polarised)
    notes: list[str] = []
    waves: dict[str, np.ndarray] = {}
    with workspace.progress(2 * config.rounds + 2, "thresholds and waves", "runs") as bar:
        for name, sign in (("cathodal", -1.0), ("anodal", 1.0)):
            low, high = _threshold(config, cell, sign, partial(bar.advance, 1))
            summary[f"{name}_threshold_ma"] = finite(high)
            summary[f"{name}_threshold_below_ma"] = low
            if not np.isfinite(high):
                notes.append(f"No {name} current up to largest-ma {config.largest_ma:g} excites; raise it, or the duration.")
        for name, depth in (("without_bath", 0), ("with_bath", config.bath_voxels)):
            waves[name] = workspace.stage(name, partial(_wave, config, cell, depth))
            bar.advance(1)
    if summary["cathodal_threshold_ma"] and summary["anodal_threshold_ma"]:
        summary["anodal_over_cathodal"] = summary["anodal_threshold_ma"] / summary["cathodal_threshold_ma"]
    summary |= _velocities(config, waves)
    for note in notes:
        workspace.message(f"note: {note}")
    return Result(summary, _report(config, summary, polarised, waves, notes), _dataset(config, polarised, waves), notes=notes)


def _diffusivities(config: Config) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Along and across in the cells and outside of them, mm²/ms; and χ C_m in uF/mm³."""
    p = {name: NIEDERER_2011[name].value for name in NIEDERER_2011}
    per = p["surface_to_volume"], p["capacitance"]
    inside = [float(tissue_diffusivity(p[f"intracellular_{way}"], *per)) for way in ("along", "across")]
    outside = [float(tissue_diffusivity(p[f"extracellular_{way}"], *per)) for way in ("along", "across")]
    if config.equal_ratios:
        outside[1] = outside[0] * inside[1] / inside[0]
    return (inside[0], inside[1]), (outside[0], outside[1]), per[0] * per[1]


def _quarter(config: Config, cell: CellModel, milliampere: float) -> Bidomain:
    """A quarter of the sheet with the electrode in its corner; the planes of symmetry are its insulated walls."""
    count = round(config.edge_mm / 2 / config.dx_mm)
    grid = VoxelGrid(np.ones((count, count, 1), bool), (config.dx_mm, config.dx_mm, config.thickness_mm))
    inside, outside, density = _diffusivities(config)
    centres = (np.arange(count) + 0.5) * config.dx_mm
    near = np.hypot(centres[:, None], centres[None, :])[..., None] <= max(config.electrode_mm, 0.71 * config.dx_mm)
    rim = np.zeros(grid.shape, bool)
    rim[-1], rim[:, -1] = True, True
    electrode = ExtracellularStimulus(grid, near, rim, milliampere / 4, config.duration_ms, density)
    return Bidomain(grid, grid, cell, fibre_tensor(grid, *inside), fibre_tensor(grid, *outside), electrodes=(electrode,))


def _polarisation(config: Config, cell: CellModel) -> np.ndarray:
    """Change of V at the end of a small cathodal pulse, mV, ``(x, y)`` of the quarter."""
    equation = _quarter(config, cell, -config.small_ma)
    start, mesh = equation.initial_state(), equation.mesh([config.duration_ms], config.dt_ms)
    solution = jax.jit(lambda state: simulate(equation.stepper(), state, mesh))(start)
    solution.raise_for_status()
    return np.asarray(cell.millivolts(solution.final[:-1]) - cell.millivolts(start[:-1])).reshape(equation.tissue.shape)[..., 0]


def _shape(config: Config, polarised: np.ndarray) -> dict[str, Any]:
    """The dog bone in numbers: how far it reaches across the fibre, and where and how deep the virtual anode is."""
    inner = polarised[:-2, :-2]  # without the ground
    along, across = inner[:, 0], inner[0]
    place = (np.arange(len(along)) + 0.5) * config.dx_mm
    deepest = int(np.argmin(along))
    there = bool(along[deepest] < -1e-3 * inner.max())
    negative = np.flatnonzero(across < 0)
    return {
        "cathode_mv": float(inner.max()),
        "virtual_anode_mv": float(along[deepest]) if there else None,
        "virtual_anode_distance_mm": float(place[deepest]) if there else None,
        "virtual_anode_share": float(-along[deepest] / inner.max()) if there else 0.0,
        "depolarised_along_mm": float(place[np.flatnonzero(along < 0)[0]] - config.dx_mm / 2) if (along < 0).any() else None,
        "depolarised_across_mm": float(place[negative[0]] - config.dx_mm / 2) if negative.size else None,
    }


def _threshold(config: Config, cell: CellModel, sign: float, advance: Any) -> tuple[float, float]:
    """The largest current that does not excite and the smallest that does, mA; infinite where none does."""
    equation = _quarter(config, cell, 1.0)
    start, mesh = equation.initial_state(), equation.mesh([config.duration_ms + config.watch_ms], config.dt_ms)
    place = (np.arange(equation.tissue.shape[0]) + 0.5) * config.dx_mm
    own = jnp.asarray((np.maximum(place[:, None], place[None, :]) < _out_of_reach(config)).reshape(-1))

    @jax.jit
    def lit(currents: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(current: jax.Array) -> tuple[jax.Array, jax.Array]:
            changed = eqx.tree_at(lambda e: e.conduction.electrodes[0].milliampere, equation, sign * current / 4)
            solution = simulate(changed.stepper(), start, mesh)
            return ((cell.millivolts(solution.final[:-1]) > -20.0) & own).sum(), solution.status

        return jax.vmap(one)(currents)

    low, high = 0.0, np.inf
    tried = config.largest_ma * (np.arange(STRENGTHS) + 1) / STRENGTHS
    for _ in range(config.rounds):
        cells, status = (np.asarray(part) for part in lit(jnp.asarray(tried, start.dtype)))
        # A wave, not the few cells under the electrode; what blew up is too strong and no threshold.
        excites = (cells > (config.electrode_mm / config.dx_mm) ** 2 + 1) & (status == 0)
        if not excites.any():
            return float(tried[-1]) if not np.isfinite(high) else low, high
        first = int(np.argmax(excites))
        low, high = (float(tried[first - 1]) if first else low), float(tried[first])
        tried = low + (high - low) * (np.arange(STRENGTHS) + 1) / (STRENGTHS + 1)
        advance()
    return low, high


def _out_of_reach(config: Config) -> float:
    """How far from the middle no wave that began at the rim can have come, mm."""
    return config.edge_mm / 2 - FASTEST_MM_PER_MS * (config.duration_ms + config.watch_ms)


def _wave(config: Config, cell: CellModel, bath: int) -> np.ndarray:
    """Activation times of a strip ``(x, depth)``, ms; the bath, if any, lies on its last layer."""
    count, depth = round(config.cable_mm / config.dx_mm), config.strip_voxels
    mask = np.zeros((count, 1, depth + bath), bool)
    mask[..., :depth] = True
    tissue, conductor = VoxelGrid(mask, config.dx_mm), VoxelGrid(np.ones_like(mask), config.dx_mm)
    inside, outside, density = _diffusivities(config)
    tensor = conductor_tensor(tissue, conductor, fibre_tensor(conductor, *outside), config.bath_conductivity_s_per_m / density)
    region = box_fraction(tissue, (0, 0, 0), (1.5, config.dx_mm, depth * config.dx_mm))
    equation = Bidomain(tissue, conductor, cell, fibre_tensor(tissue, *inside), tensor, (TissueStimulus(tissue, region, 50.0, 2.0),))
    recorder = RecordActivation(equation.stepper(), cell, upper=-20.0)
    until = 4.0 + config.cable_mm / 0.25  # ms, slower than any wave here
    mesh = equation.mesh([until], config.dt_ms)
    solution = jax.jit(lambda state: simulate(recorder, recorder.start(state), mesh))(equation.initial_state())
    solution.raise_for_status()
    return np.asarray(solution.final.record.activation_times()).reshape(mask.shape)[:, 0, :depth]


def _velocities(config: Config, waves: dict[str, np.ndarray]) -> dict[str, Any]:
    """Between a third and five sixths of the strip, at the surface; and by how much the surface leads the depth."""
    found: dict[str, Any] = {}
    for name, times in waves.items():
        first, last = len(times) // 3, 5 * len(times) // 6
        found[f"velocity_{name}_m_per_s"] = finite((last - first) * config.dx_mm / (times[last, -1] - times[first, -1]))
        found[f"surface_leads_{name}_ms"] = finite(times[last, 0] - times[last, -1])
    along, outside = _diffusivities(config)[0][0], _diffusivities(config)[1][0]
    return found | {"largest_possible_ratio": float(np.sqrt((along + outside) / outside))}


def _check(config: Config) -> None:
    check_options(config, RANGES)
    check_cell_and_step(config.cell_model, config.dt_ms)
    if not config.electrode_mm + 2 * config.dx_mm < _out_of_reach(config):
        raise InputError(
            f"electrode-mm {config.electrode_mm:g} in a sheet of edge-mm {config.edge_mm:g}",
            f"below {_out_of_reach(config) - 2 * config.dx_mm:.3g} mm, where no wave from the rim comes",
            "use a larger edge-mm or a shorter watch-ms",
        )


def _report(config: Config, summary: dict[str, Any], polarised: np.ndarray, waves: dict[str, np.ndarray], notes: list[str]) -> Report:
    report = Report("Virtual electrodes and a bath", f"{config.cell_model}, sheet of {config.edge_mm:g} mm, voxels of {config.dx_mm:g} mm")
    for note in notes:
        report.warn(note)
    report.figure(
        _map(config, polarised),
        "Change of the membrane potential at the end of a small cathodal pulse; fibres run from left to right.",
        "polarisation",
    )
    report.figure(_fronts(config, waves), "When each layer of a strip is activated; the bath lies on the top layer.", "waves")
    report.table(
        ["Quantity", "Value"],
        [
            [name, "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)]
            for name, value in summary.items()
        ],
    )
    return report


def _map(config: Config, polarised: np.ndarray) -> Figure:
    half = np.concatenate([polarised[::-1], polarised])
    whole = np.concatenate([half[:, ::-1], half], axis=1)
    limit = max(3 * float(-polarised[:-2, :-2].min()), 0.02 * float(polarised.max()))
    figure = new_figure(3.8, 5.4)
    axes = figure.subplots()
    span = config.edge_mm / 2
    image = axes.imshow(whole.T, origin="lower", extent=(-span, span, -span, span), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.contour(
        np.linspace(-span, span, len(whole)), np.linspace(-span, span, len(whole)), whole.T, levels=[0.0], colors="black", linewidths=0.7
    )
    axes.set(xlabel="along the fibre (mm)", ylabel="across (mm)")
    figure.colorbar(image, ax=axes, label="change of potential (mV), cut off", extend="max")
    return figure


def _fronts(config: Config, waves: dict[str, np.ndarray]) -> Figure:
    figure = new_figure(2.6)
    axes = figure.subplots()
    for (name, times), colour in zip(waves.items(), (BLUE, VERMILION), strict=True):
        place = (np.arange(len(times)) + 0.5) * config.dx_mm
        axes.plot(place, times[:, -1], color=colour, label=f"{name.replace('_', ' ')}, top layer")
        axes.plot(place, times[:, 0], color=colour, linestyle=":", label=f"{name.replace('_', ' ')}, deepest layer")
    axes.set(xlabel="place (mm)", ylabel="activation (ms)")
    legend(figure, *axes.get_legend_handles_labels())
    quiet(axes)
    return figure


def _dataset(config: Config, polarised: np.ndarray, waves: dict[str, np.ndarray]) -> xr.Dataset:
    place = (np.arange(len(polarised)) + 0.5) * config.dx_mm
    variables = {"polarisation": (("x", "y"), polarised, {"units": "mV"})}
    variables |= {f"activation_{name}": (("strip_x", "depth"), times, {"units": "ms"}) for name, times in waves.items()}
    return xr.Dataset(variables, coords={"x": ("x", place, {"units": "mm"}), "y": ("y", place, {"units": "mm"})})


if __name__ == "__main__":
    run_script(__spec__)
