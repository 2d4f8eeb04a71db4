"""Risk of torsade de pointes of the 28 CiPA drugs: net charge of a cell with a drug, categories by the published thresholds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.cardiac._drug_tables import BINDING, CATEGORIES, TRAPPING, Drug, columns, drugs
from experiments.cardiac._shared import finite
from physics import CHANNELS, ActionPotential, HergBinding, OHaraRudyCipa2017, PoreBlock, RectangularPulse, action_potential, net_current
from solvers import TimeMesh, simulate, time_mesh
from twinsim.cli import run_script
from twinsim.errors import InputError, near_misses
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, GREEN, ORANGE, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

HIGH_BELOW, LOW_ABOVE = 0.0581, 0.0671  # uC/uF: Li et al. (2019), Clin Pharmacol Ther 105, 466; taken from public programs
PUBLISHED_AUC = (1.0, 0.958)  # low or not, high or not; same cell, automated patch clamp: Ann Biomed Eng (2026), 10.1007/s10439-026-04028-6
COLOURS = {"high": VERMILION, "intermediate": ORANGE, "low": GREEN}
STIMULUS, STIMULUS_MS = 80.0, 0.5
UPSTROKE_MS, UPSTROKE_STEP = 20.0, 0.02


@dataclass(frozen=True)
class Config:
    """Options of the assessment."""

    drugs: tuple[str, ...] = ()
    """Names of drugs, e.g. dofetilide verapamil; none for all 28."""
    multiples: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)
    """Concentrations, in free clinical concentrations Cmax; the score is the mean net charge over them."""
    beats: int = 200
    """Beats with the drug; the last one is measured. The publication takes 1000."""
    cycle_length_ms: float = 2000.0
    """Time between stimuli, in ms; the thresholds are for 2000."""
    samples: int = 0
    """Samples of binding and block within their published errors, up to 200, for an interval of each training drug's score; 0 for none."""
    dt_ms: float = 0.25
    """Longest step after the first 20 ms of a beat, which take 0.02, in ms."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Paces all drugs and concentrations at once, scores them, and compares with the clinical categories."""
    chosen = _chosen(config)
    names = [drug.name for drug in chosen]
    doses = [(drug.values, drug.concentration * multiple) for drug in chosen for multiple in config.multiples]
    control = (np.array([0.0, 0.0, 1.0, 1.0, 1.0, *[math.inf, 1.0] * (len(CHANNELS) - 1)]), 0.0)
    found = workspace.stage("fixed", lambda: _paced(config, workspace, [control, *doses], "drugs"))
    charge = found["charge"][1:].reshape(len(chosen), -1)
    duration = found["duration"][1:].reshape(len(chosen), -1)
    scores = charge.mean(axis=1)
    spread = _sampled(config, workspace, chosen)
    summary: dict[str, Any] = {
        "beats": config.beats,
        "control_qnet_uc_per_uf": float(found["charge"][0]),
        "control_apd90_ms": finite(found["duration"][0]),
    }
    for group in ("training", "validation"):
        rows = [row for row, drug in enumerate(chosen) if drug.group == group]
        summary |= _accuracy(group, [chosen[row] for row in rows], scores[rows])
    summary |= {"published_auc_low_or_not": PUBLISHED_AUC[0], "published_auc_high_or_not": PUBLISHED_AUC[1]}
    for row, drug in enumerate(chosen):
        summary[f"score_uc_per_uf_{drug.name}"] = float(scores[row])
        summary[f"category_{drug.name}"] = category(float(scores[row]))
        summary[f"largest_apd90_ms_{drug.name}"] = finite(np.max(duration[row]))
        if drug.name in spread:
            low, high = np.quantile(spread[drug.name], (0.05, 0.95))
            summary |= {f"score_5_percent_uc_per_uf_{drug.name}": float(low), f"score_95_percent_uc_per_uf_{drug.name}": float(high)}
    dataset = xr.Dataset(
        {
            "net_charge": (("drug", "multiple"), charge, {"units": "uC/uF"}),
            "apd90": (("drug", "multiple"), duration, {"units": "ms"}),
            "score": ("drug", scores, {"units": "uC/uF"}),
        },
        coords={"drug": names, "multiple": ("multiple", list(config.multiples), {"units": "1", "long_name": "concentration over Cmax"})},
    )
    return Result(summary, _report(config, chosen, charge, duration, scores, spread, summary), dataset)


def category(score: float) -> str:
    """Risk by the published thresholds."""
    return "high" if score < HIGH_BELOW else "intermediate" if score < LOW_ABOVE else "low"


def _chosen(config: Config) -> list[Drug]:
    """The drugs asked for; refuses what no assessment can be made of."""
    check_options(config, {"beats": (1, 100_000), "samples": (0, 200)})
    known = drugs()
    for name in config.drugs:
        if name not in known:
            raise InputError(f"drugs {name!r}", "names of CiPA drugs in small letters", near_misses(name, known))
    if not config.multiples or not all(math.isfinite(value) and 0 < value <= 100 for value in config.multiples):
        raise InputError(f"multiples {config.multiples}", "above 0 and up to 100", "use 1 2 3 4, which the thresholds are for")
    if not 300 <= config.cycle_length_ms <= 10000:
        raise InputError(f"cycle-length-ms {config.cycle_length_ms:g}", "300 to 10000 ms", "use 2000, which the thresholds are for")
    if not 0.02 <= config.dt_ms <= 0.5:
        raise InputError(f"dt-ms {config.dt_ms:g}", "0.02 to 0.5 ms", "use 0.25; above 0.5 calcium is not resolved")
    return [known[name] for name in dict.fromkeys(config.drugs)] or list(known.values())


def _sampled(config: Config, workspace: Workspace, chosen: Sequence[Drug]) -> dict[str, np.ndarray]:
    """Scores of samples of each drug whose errors are published; the same paces for all."""
    if config.samples == 0:
        return {}
    with_samples = [drug for drug in chosen if drug.deviations is not None]
    if not with_samples:
        return {}
    doses = [
        (values, drug.concentration * multiple)
        for drug in with_samples
        for values in drug.sampled(config.samples)
        for multiple in config.multiples
    ]
    found = workspace.stage("samples", lambda: _paced(config, workspace, doses, "samples"))
    scores = found["charge"].reshape(len(with_samples), config.samples, -1).mean(axis=2)
    return {drug.name: row for drug, row in zip(with_samples, scores, strict=True)}


def _paced(config: Config, workspace: Workspace, doses: Sequence[tuple[np.ndarray, float]], what: str) -> dict[str, np.ndarray]:
    """Net charge (uC/uF) and duration (ms) of the last beat at each dose, from the drug-free cell's steady state."""
    values, concentrations = (jnp.asarray(np.array(part), dtype=float) for part in zip(*doses, strict=True))
    rest = OHaraRudyCipa2017.published().initial_state()
    states = jnp.broadcast_to(rest[:, None], (rest.size, len(doses)))
    early = [float(time) for time in np.arange(1, round(UPSTROKE_MS / UPSTROKE_STEP) + 1) * UPSTROKE_STEP]
    mesh = time_mesh(0.0, [config.cycle_length_ms], config.dt_ms, breakpoints=[*early, STIMULUS_MS])
    with workspace.progress(config.beats, f"pacing {what}", "beats") as bar:
        for _ in range(config.beats - 1):
            states = jax.block_until_ready(_beat(values, concentrations, states, mesh)[0])
            bar.advance(1)
        _, charge, marks, whole = _beat(values, concentrations, states, mesh)
        bar.advance(1)
    if not bool(jnp.all(whole)):
        raise InputError(f"dt-ms {config.dt_ms:g}", "steps that calcium stands", "use 0.25 or less")
    duration = jnp.where(marks.repolarised, marks.duration, jnp.nan)
    return {"charge": np.asarray(charge, float), "duration": np.asarray(duration, float)}


def _dosed(values: jax.Array, concentration: jax.Array) -> OHaraRudyCipa2017:
    """The cell with the drug of one row of the table."""
    numbers = dict(zip(columns(), values, strict=True))
    half = jnp.stack([numbers.get(f"{channel}_IC50", jnp.full_like(concentration, jnp.inf)) for channel in CHANNELS])
    hill = jnp.stack([numbers.get(f"{channel}_h", jnp.ones_like(concentration)) for channel in CHANNELS])
    trapping = jnp.where(concentration > 0, TRAPPING, 0.0)
    strength, unbinding, power, threshold, voltage = (numbers[name] for name in BINDING)
    binding = HergBinding(strength, unbinding, power, threshold, voltage, trapping, concentration)
    return OHaraRudyCipa2017.published().dosed(PoreBlock(half, hill).open_shares(concentration), binding)


def _pulse() -> RectangularPulse:
    return RectangularPulse(jnp.asarray(STIMULUS, dtype=float), jnp.asarray(STIMULUS_MS, dtype=float))


@eqx.filter_jit
def _beat(
    values: jax.Array, concentrations: jax.Array, states: jax.Array, mesh: TimeMesh
) -> tuple[jax.Array, jax.Array, ActionPotential, jax.Array]:
    """States after a beat, net charge, action potential and whether all of it is finite; columns of the states are doses."""

    def one(row: jax.Array, concentration: jax.Array, state: jax.Array) -> tuple[jax.Array, jax.Array, ActionPotential, jax.Array]:
        cell = _dosed(row, concentration)

        def observe(_: jax.Array, seen: jax.Array) -> tuple[jax.Array, jax.Array]:
            return cell.millivolts(seen), net_current(cell.currents(seen))

        solution = simulate(cell.paced(_pulse()), state, mesh, observe=observe)
        times = jnp.concatenate([jnp.zeros(1, state.dtype), mesh.times.astype(state.dtype)])
        first = observe(times[0], state)
        voltage, current = (jnp.concatenate([before[None], after]) for before, after in zip(first, solution.observations, strict=True))
        marks = action_potential(times, voltage)
        return solution.final, 1e-3 * jnp.trapezoid(current, times), marks, jnp.isfinite(solution.final).all()

    return jax.vmap(one, (0, 0, 1), (1, 0, 0, 0))(values, concentrations, states)


def _accuracy(group: str, chosen: Sequence[Drug], scores: np.ndarray) -> dict[str, Any]:
    """Share of drugs in their clinical category, mean distance in categories, and how well scores rank, None without drugs."""
    if not chosen:
        return {}
    found = [CATEGORIES.index(category(float(score))) for score in scores]
    known = [CATEGORIES.index(drug.category) for drug in chosen]
    return {
        f"accuracy_{group}": float(np.mean(np.equal(found, known))),
        f"mean_error_{group}_categories": float(np.mean(np.abs(np.subtract(found, known)))),
        f"auc_low_or_not_{group}": _ranked(scores, np.equal(known, 2)),
        f"auc_high_or_not_{group}": _ranked(-scores, np.equal(known, 0)),
    }


def _ranked(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the curve: the share of pairs whose positive member has the larger score."""
    if positive.all() or not positive.any():
        return None
    difference = np.subtract.outer(scores[positive], scores[~positive])
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _report(
    config: Config,
    chosen: Sequence[Drug],
    charge: np.ndarray,
    duration: np.ndarray,
    scores: np.ndarray,
    spread: dict[str, np.ndarray],
    summary: dict[str, Any],
) -> Report:
    report = Report("Drug safety", f"CiPA cell of 2017, {len(chosen)} drugs, {config.beats} beats at {config.cycle_length_ms:g} ms")
    report.warn("A research program: its categories are no clinical advice.")
    if config.beats < 100:
        report.warn("Slowly binding drugs are not in steady state after fewer than 100 beats; the publication takes 1000.")
    figure = new_figure(0.9 + 0.24 * len(chosen))
    axes = figure.subplots(1, 1)
    order = np.argsort(-scores)
    for place, row in enumerate(order):
        drug = chosen[row]
        if drug.name in spread:
            axes.plot(np.quantile(spread[drug.name], (0.05, 0.95)), [place, place], color=SOFT, linewidth=1.2)
        filled = COLOURS[drug.category] if drug.group == "training" else "white"
        axes.plot(scores[row], place, "o", color=COLOURS[drug.category], markerfacecolor=filled, markersize=6)
    axes.set_yticks(range(len(chosen)), [chosen[row].name for row in order])
    for threshold in (HIGH_BELOW, LOW_ABOVE):
        axes.axvline(threshold, color=BLUE, linewidth=0.8)
    axes.set_xlabel("torsade metric score (uC/uF)")
    quiet(axes, grid="x")
    caption = "Mean net charge over the concentrations. Clinical risk: red high, orange intermediate, green low; filled: training drugs."
    report.figure(figure, caption, "scores", alt="Scores of the drugs and the thresholds of the categories")
    marks = [name for name in summary if name.startswith(("accuracy", "mean_error", "auc", "published", "control"))]
    report.table(["Quantity", "Value"], [[name, summary[name]] for name in marks])
    rows = [
        [drug.name, drug.group, drug.category, category(float(score)), f"{score:.4f}", *(f"{value:.0f}" for value in durations)]
        for drug, score, durations in zip(chosen, scores, duration, strict=True)
    ]
    heads = ["Drug", "Set", "Clinical", "Found", "Score", *(f"APD90 at {multiple:g} (ms)" for multiple in config.multiples)]
    report.table(heads, rows, "A duration of nan is a beat that has not repolarised before the next stimulus.")
    return report


if __name__ == "__main__":
    run_script(__spec__)
