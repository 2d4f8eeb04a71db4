"""Allen-Cahn, a rod's diffusivity, Poisson on a mask and a stiff drug by informed networks, each beside its classical solver."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import CYCLE, INK, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {"seeds": (1, 100), "width": (0, 60), "layers": (0, 6), "effort": (0.01, 100.0), "seconds": (0.0, 86_400.0)}


@dataclass(frozen=True)
class Config:
    """Options; widths and layers are the problem's own unless given."""

    problem: Literal["allen_cahn", "inverse_heat", "masked_poisson", "drug_target", "box_growth"] = "inverse_heat"
    """Which: u_t = 1e-4 u_xx + 5 (u - u^3) from x^2 cos(pi x); the diffusivity of an insulated rod from 120 values with errors of 2 %;
    Poisson's equation without flux through the walls of a slice with a hole; an antibody and its receptor over four months;
    a tumour that grows and spreads anisotropically in a box, by a separable network, with a plain one for as many seconds beside it."""
    seeds: int = 3
    """Networks, each drawn and fitted with a seed of its own; data of inverse_heat too."""
    seed: int = 0
    """Of the first one; the others follow."""
    width: int = 0
    """Units of a hidden layer; 0 for the problem's."""
    layers: int = 0
    """Hidden layers; 0 for the problem's."""
    effort: float = 1.0
    """Multiplies the iterations of every stage."""
    seconds: float = 0.0
    """No round of a fit begins after so many seconds; compiling is not counted. 0 is no limit."""
    precision: str = "float64"
    """Floating-point precision: float64."""


def run(config: Config, workspace: Workspace) -> Result:
    """Fits a network per seed and runs ever finer classical solvers until one is as near."""
    check_options(config, RANGES)
    if config.precision != "float64":
        raise InputError(f"precision {config.precision}", "float64", "leave the option out")
    from experiments.learning._informed_case import classical_beside, named

    module = named(config.problem)
    found = []
    seeds = range(config.seed, config.seed + config.seeds)
    for seed in seeds:
        one = workspace.stage(f"seed-{seed}", lambda s=seed: _one(config, module, s, workspace))
        workspace.message(f"seed {seed}: relative error {one.error:.2e}")
        found.append(one)
    errors = np.array([one.error for one in found])
    training = float(np.median([one.rounds[-1, 1] for one in found]))
    summary: dict[str, Any] = {
        "problem": config.problem,
        "seeds": config.seeds,
        "error_relative_median": finite_or_none(np.median(errors)),
        "error_relative_least": finite_or_none(errors.min()),
        "error_relative_worst": finite_or_none(errors.max()),
        "iterations_median": finite_or_none(np.median([one.rounds[-1, 0] for one in found])),
        "fit_seconds_median": training,
        "fit_processor_seconds_median": finite_or_none(np.median([one.rounds[-1, 2] for one in found])),
        "compile_seconds_median": finite_or_none(np.median([one.compile_seconds for one in found])),
        "inference_seconds_median": finite_or_none(np.median([one.inference_seconds for one in found])),
    }
    for key in found[0].more:
        values = [one.more[key] for one in found]
        summary[f"{key}_median"] = finite_or_none(np.median(values))
        if key == "plain_network_error_relative":
            summary |= {f"{key}_least": finite_or_none(min(values)), f"{key}_worst": finite_or_none(max(values))}
    summary |= classical_beside(module.levels(seeds), float(np.median(errors)), training)
    notes = [f"seed {config.seed + k}: {one.message}" for k, one in enumerate(found) if one.message]
    return Result(summary, _report(config, module, summary, found), _dataset(config, found), notes=notes or None)


def _one(config: Config, module: Any, seed: int, workspace: Workspace) -> Any:
    from experiments.learning._informed_case import solved

    sizes = {name: value for name, value in (("width", config.width), ("layers", config.layers)) if value}
    case = module.case(seed, scale=config.effort, **sizes)
    with workspace.progress(sum(stage.rounds for stage in case.stages), f"network, seed {seed}", "rounds") as bar:
        found = solved(case, seed, seconds=config.seconds, progress=lambda *_: bar.advance(1))
    if not hasattr(module, "rival"):
        return found
    plain = solved(module.rival(seed), seed, seconds=found.rounds[-1, 1])
    beside = {"error_relative": plain.error, "iterations": plain.rounds[-1, 0], "fit_seconds": plain.rounds[-1, 1]}
    return found._replace(more=found.more | {f"plain_network_{key}": float(value) for key, value in beside.items()})


def _dataset(config: Config, found: list[Any]) -> xr.Dataset:
    longest = max(len(one.rounds) for one in found)
    history = np.full((len(found), longest, 4), np.nan)
    for row, one in zip(history, found, strict=True):
        row[: len(one.rounds)] = one.rounds
    answers = np.stack([one.values.ravel() for one in found])
    return xr.Dataset(
        {
            "answer": (("seed", "place"), answers, {"units": "1"}),
            "truth": (("seed", "place"), np.stack([one.truth.ravel() for one in found]), {"units": "1"}),
            "iterations": (("seed", "round"), history[..., 0], {"units": "1"}),
            "processor_seconds": (("seed", "round"), history[..., 2], {"units": "s"}),
            "error": (("seed", "round"), history[..., 3], {"units": "1"}),
        },
        coords={"seed": ("seed", config.seed + np.arange(len(found)), {"units": "1"})},
    )


def _report(config: Config, module: Any, summary: dict[str, Any], found: list[Any]) -> Report:
    report = Report(module.__doc__.splitlines()[0], f"{config.seeds} seed(s)")
    report.headline(
        [
            ("Relative error, median", f"{summary['error_relative_median']:.2g}", "", f"worst {summary['error_relative_worst']:.2g}"),
            (
                summary["classical_equal_error_solver"],
                f"{summary['classical_equal_error_error_relative']:.2g}",
                "",
                f"in {summary['classical_equal_error_seconds']:.2g} s, the network in {summary['fit_seconds_median']:.2g} s",
            ),
        ]
    )
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    middle = sorted(found, key=lambda one: one.error)[len(found) // 2]
    module.paint(left, middle.values, middle.truth)
    for number, one in enumerate(found):
        right.semilogy(one.rounds[:, 0], one.rounds[:, 3], color=CYCLE[number % len(CYCLE)], label=f"seed {config.seed + number}")
    right.axhline(summary["classical_equal_error_error_relative"], color=INK, linewidth=0.8, linestyle="--", label="classical solver")
    right.set_xlabel("iterations")
    right.set_ylabel("relative error")
    right.legend(frameon=False, fontsize=8)
    quiet(right)
    report.figure(figure, "The network of the middle seed, and errors over iterations.", "field", alt="Answer and errors")
    texts = [[key, "none" if value is None else value if isinstance(value, str) else f"{value:.4g}"] for key, value in summary.items()]
    report.table(["Quantity", "Value"], texts)
    report.text(
        "A network is no rival of a classical solver where the equation is known; it is for what is missing and for data that are few."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
