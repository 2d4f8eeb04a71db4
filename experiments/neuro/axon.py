"""A spike along an axon: conduction velocity, and the field of an electrode outside that just starts one."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from physics import (
    AXON_RADIUS_UM,
    AXOPLASM_OHM_CM,
    HODGKIN_HUXLEY_1952,
    CurrentClamp,
    HodgkinHuxley1952,
    Neuron,
    Pulses,
    arrival_times,
    cable_shape,
    field_thresholds,
    point_source_potential,
    ranvier_axon,
    weiss_fit,
)
from physics.parameters import arrays_of
from solvers import SimulationError, Solution, TimeMesh, simulate
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, INK, VERMILION, logarithmic_ticks, new_figure, quiet
from twinsim.option_checks import check_number, check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

FROM, TO = 0.4, 0.7  # of the length, between which the velocity is measured
POLARITY = {"cathode": -1.0, "anode": 1.0}
SQUID_UM, FIBRE_UM = 2 * AXON_RADIUS_UM.value, 10.0
FINEST = 2**24  # numbers that result.h5 may hold
SLOWEST = 0.1  # of the velocity expected: after that no spike is waited for


@dataclass(frozen=True)
class Config:
    """Options; channels and inner resistance are those of the papers named in docs/theory/neurons.md."""

    axon: Literal["squid", "myelinated"] = "squid"
    """squid (Hodgkin and Huxley 1952) or myelinated (nodes of Sweeney 1987, at 37 degrees)."""
    diameter_um: float = 0.0
    """Of the axon, of the fibre with its myelin where it has one, in um; 0 for 476 (squid) or 10 (myelinated)."""
    temperature_c: float = 18.5
    """Of the squid's axon, in degrees Celsius: all rates triple with ten degrees."""
    length_mm: float = 0.0
    """Length in mm; 0 for 60 mm times the root of the diameter over 476 um, or for 60 nodes."""
    compartments: int = 240
    """Of the squid's axon; the other has one per node."""
    dt_ms: float = 0.0025
    """Time step, in ms."""
    threshold: Literal["none", "distance", "duration", "both"] = "both"
    """Also search the current of a point electrode that just starts a spike: by its distance, by the duration of the pulse."""
    distances_mm: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """From the electrode to the middle of the axon, in mm."""
    pulse_ms: float = 0.1
    """Duration of the pulse where the distance is varied, in ms."""
    durations_ms: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """Durations of the pulse at the second distance, or the only one, in ms."""
    tissue_s_per_m: float = 0.3
    """Conductivity of what is around, in S/m."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """A spike from the left end, its times of arrival, and thresholds of an electrode beside the middle."""
    _check(config)
    began = time.perf_counter()
    neuron, expected = _axon(config)
    x = np.asarray(neuron.shape.position)[:, 0] / 1e3
    until = float(x[-1] / expected * 1.3 + 1.0)
    mesh = neuron.mesh([until], config.dt_ms)
    if mesh.steps * len(x) > FINEST:
        got = f"dt-ms {config.dt_ms:g} on {len(x)} compartments for {until:g} ms"
        raise InputError(got, f"at most {FINEST} numbers", "use a longer step or fewer compartments")
    workspace.message(f"{len(x)} compartments over {x[-1] - x[0]:.3g} mm, {mesh.steps} steps")
    solution = _spike(neuron, neuron.initial_state(), mesh)
    try:
        solution.raise_for_status()
    except SimulationError as error:
        raise InputError(f"dt-ms {config.dt_ms:g}: {error}", "potentials that stay finite", "shorten dt-ms") from None
    times, potential = np.asarray(mesh.times, float), np.asarray(solution.observations)
    arrival = arrival_times(times, potential)
    first, last = int(FROM * len(x)), int(TO * len(x))
    velocity = (x[last] - x[first]) / (arrival[last] - arrival[first])
    summary: dict[str, Any] = {
        "axon": config.axon,
        "diameter_um": config.diameter_um or (SQUID_UM if config.axon == "squid" else FIBRE_UM),
        "temperature_c": config.temperature_c if config.axon == "squid" else 37.0,
        "compartments": len(x),
        "conduction_velocity_m_per_s": finite_or_none(velocity),
        "peak_mv": float(potential[:, first].max()),
    }
    dataset = xr.Dataset(
        {
            "potential": (("time", "x"), potential, {"units": "mV", "long_name": "inside against outside"}),
            "arrival": ("x", arrival, {"units": "ms"}),
        },
        coords={"time": ("time", times, {"units": "ms"}), "x": ("x", x, {"units": "mm"})},
    )
    notes = []
    if summary["conduction_velocity_m_per_s"] is None:
        notes.append("no spike travels along this axon (too warm, or too few compartments)")
        workspace.message(f"note: {notes[0]}")
    elif config.threshold != "none":
        found = _thresholds(config, neuron, x, float(velocity), summary, workspace)
        dataset = dataset.assign(found)
    summary["run_seconds"] = time.perf_counter() - began
    return Result(summary, _report(config, summary, dataset, notes), dataset, notes=notes)


@eqx.filter_jit
def _spike(neuron: Neuron, state: Array, mesh: TimeMesh) -> Solution:
    return simulate(neuron.stepper(), state, mesh, observe=lambda _, state: state[0])


def _axon(config: Config) -> tuple[Neuron, float]:
    """The axon with a pulse at its left end, and about how fast it conducts, m/s."""
    if config.axon == "myelinated":
        fibre = config.diameter_um or FIBRE_UM
        nodes = 61 if not config.length_mm else 1 + round(1e3 * config.length_mm / (100 * fibre))
        if not 11 <= nodes <= 2000:
            raise InputError(f"length-mm {config.length_mm:g}", "10 to 2000 spaces of 100 diameters", "change it, or leave it at 0")
        return ranvier_axon(fibre, nodes, (CurrentClamp(0, Pulses(2.0 * fibre / FIBRE_UM, 0.0, 0.1)),)), 5.0 * fibre
    diameter = config.diameter_um or SQUID_UM
    scale = (diameter / SQUID_UM) ** 0.5
    length = config.length_mm or 60.0 * scale
    values = arrays_of(HODGKIN_HUXLEY_1952) | {"temperature_c": jnp.asarray(config.temperature_c, float)}
    shape = cable_shape(1e3 * length, diameter, config.compartments)
    start = CurrentClamp(0, Pulses(3e4 * scale**3, 0.0, 0.2))  # three times the threshold of the paper's axon
    neuron = Neuron(shape, HodgkinHuxley1952(**values), jnp.asarray(AXOPLASM_OHM_CM.value, float), (start,))
    return neuron, 18.7 * scale * min(1.0, 1.3 ** ((config.temperature_c - 18.5) / 5))


def _thresholds(
    config: Config, neuron: Neuron, x: np.ndarray, velocity: float, summary: dict[str, Any], workspace: Workspace
) -> dict[str, Any]:
    """By distance for both polarities, by duration for the cathode; rows of the dataset."""
    quiet_neuron = Neuron(neuron.shape, neuron.membrane, neuron.axial_ohm_cm)
    middle, site = int(len(x) / 2), int(0.9 * len(x))
    at = np.asarray(neuron.shape.position)[middle]

    def search(distances: list[float], signs: list[float], durations: list[float]) -> np.ndarray:
        fields = [point_source_potential(neuron.shape.position, at + np.array([0, 1e3 * d, 0]), config.tissue_s_per_m) for d in distances]
        until = float((x[site] - x[middle]) / velocity * 1.5 + max(durations) + 0.5)
        step = max(config.dt_ms, 0.005)
        return field_thresholds(quiet_neuron, jnp.stack(fields), np.array(signs), np.array(durations), site, until, step)

    rows: dict[str, Any] = {}
    if config.threshold in ("distance", "both"):
        many = len(config.distances_mm)
        found = search([*config.distances_mm] * 2, [s for s in POLARITY.values() for _ in range(many)], [config.pulse_ms] * 2 * many)
        for name, row in zip(POLARITY, found.reshape(2, many), strict=True):
            summary |= {
                f"{name}_threshold_ma_at_{d:g}_mm": finite_or_none(value) for d, value in zip(config.distances_mm, row, strict=True)
            }
            rows[f"{name}_threshold"] = ("distance", row, {"units": "mA"})
        rows["distance"] = ("distance", np.array(config.distances_mm), {"units": "mm"})
    if config.threshold in ("duration", "both"):
        where = config.distances_mm[min(1, len(config.distances_mm) - 1)]
        durations = [*config.durations_ms]
        found = search([where] * len(durations), [-1.0] * len(durations), durations)
        rows["duration_threshold"] = ("duration", found, {"units": "mA", "long_name": f"cathode at {where:g} mm"})
        rows["duration"] = ("duration", np.array(durations), {"units": "ms"})
        fitted = np.isfinite(found).sum() >= 2
        rheobase, chronaxie = weiss_fit(np.array(durations)[np.isfinite(found)], found[np.isfinite(found)]) if fitted else (None, None)
        summary |= {"rheobase_ma": rheobase, "chronaxie_ms": chronaxie}
    if any(np.isnan(row[1]).any() for name, row in rows.items() if name.endswith("threshold")):
        workspace.message("note: some pulses start no spike at any current that was tried")
    return rows


def _check(config: Config) -> None:
    check_options(
        config,
        {
            "diameter_um": (0.0, 2000.0),
            "temperature_c": (0.0, 40.0),
            "length_mm": (0.0, 1e4),
            "compartments": (20, 20_000),
            "dt_ms": (1e-4, 0.05),
            "distances_mm": (0.01, 100.0),
            "durations_ms": (1e-3, 10.0),
            "pulse_ms": (1e-3, 10.0),
            "tissue_s_per_m": (1e-3, 10.0),
        },
    )
    if config.diameter_um:
        check_number("--diameter-um", config.diameter_um, *((2.0, 30.0) if config.axon == "myelinated" else (0.1, 2000.0)))
    for name, values, least in (("distances-mm", config.distances_mm, 1), ("durations-ms", config.durations_ms, 2)):
        if len(set(values)) < max(least, len(values)):
            raise InputError(f"{name} {' '.join(f'{v:g}' for v in values)}", f"at least {least}, different", "give them apart by blanks")


def _report(config: Config, summary: dict[str, Any], dataset: xr.Dataset, notes: list[str]) -> Report:
    report = Report("Axon", f"{config.axon}, {summary['diameter_um']:g} um, {summary['temperature_c']:g} degrees")
    for note in notes:
        report.warn(note)
    report.headline([("conduction velocity", summary["conduction_velocity_m_per_s"], "m/s"), ("peak", summary["peak_mv"], "mV")])
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    x, times, potential = (np.asarray(dataset[name]) for name in ("x", "time", "potential"))
    image = left.imshow(
        potential, origin="lower", aspect="auto", extent=(float(x[0]), float(x[-1]), float(times[0]), float(times[-1])), cmap="viridis"
    )
    left.plot(x, dataset["arrival"], color="white", linewidth=1.0)
    left.set_xlabel("along the axon (mm)")
    left.set_ylabel("time (ms)")
    figure.colorbar(image, ax=left, label="potential (mV)")
    for part in (0.1, FROM, TO):
        place = int(part * len(x))
        right.plot(times, potential[:, place], linewidth=1.2, label=f"{x[place]:.3g} mm")
    right.set_xlabel("time (ms)")
    right.set_ylabel("potential (mV)")
    right.legend(frameon=False)
    quiet(left, grid=None)
    quiet(right)
    report.figure(figure, "The spike in space and time, its arrival in white, and at three places.", "spike", alt="Potential over x and t")
    panels = [name for name in ("distance", "duration") if name in dataset.coords or name in dataset]
    if panels:
        figure = new_figure(3.2)
        for axes, name in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
            for colour, row in zip((BLUE, VERMILION), ("cathode", "anode") if name == "distance" else ("duration",), strict=False):
                axes.loglog(dataset[name], dataset[f"{row}_threshold"], "o-", color=colour, markersize=4, label=row)
            axes.set_xlabel("distance of the electrode (mm)" if name == "distance" else "duration of the pulse (ms)")
            axes.set_ylabel("threshold (mA)")
            if name != "distance":
                axes.lines[0].set_label("cathode")
            if name != "distance" and summary.get("chronaxie_ms"):
                fine = np.geomspace(float(dataset[name].min()), float(dataset[name].max()), 60)
                axes.loglog(
                    fine, summary["rheobase_ma"] * (1 + summary["chronaxie_ms"] / fine), color=INK, linewidth=1.0, label="Weiss 1901"
                )
            axes.legend(frameon=False)
            values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
            values = values[np.isfinite(values)]
            if values.size:
                logarithmic_ticks(axes.yaxis, float(values.min()), float(values.max()))
            logarithmic_ticks(axes.xaxis, float(dataset[name].min()), float(dataset[name].max()))
            quiet(axes)
        caption = f"Least current of a point in {config.tissue_s_per_m:g} S/m that starts a spike; red on the right Weiss's law."
        report.figure(figure, caption, "thresholds", alt="Thresholds against distance and duration")
    report.table(["Quantity", "Value"], [[name, "none" if value is None else str(value)] for name, value in summary.items()])
    return report


if __name__ == "__main__":
    run_script(__spec__)
