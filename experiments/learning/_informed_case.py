"""What the problems of informed networks share: how one is fitted and timed, and which classical solver of equal error stands beside it."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import jax
import numpy as np

from twinsim.errors import InputError, near_misses
from twinsim.informed import InformedProblem, Sampling, Stage, fit

PROBLEMS = ("allen_cahn", "inverse_heat", "masked_poisson", "drug_target", "box_growth")


class Case(NamedTuple):
    """One problem with one network as drawn.

    Attributes:
        problem: What has to hold.
        model: The network in its formula.
        stages: Of the fit.
        sampling: Of the points.
        answer: The field (or whatever is asked for) of a model, jitted.
        truth: What the answer should be.
        more: Further numbers of the fit by name, e.g. intervals; None for none.
    """

    problem: InformedProblem
    model: Any
    stages: tuple[Stage, ...]
    sampling: Sampling
    answer: Callable[[Any], Any]
    truth: np.ndarray
    more: Callable[[Any], dict[str, float]] | None = None


class Solved(NamedTuple):
    """What one network gave; ``rounds`` are iterations, wall seconds, processor seconds and error; ``more`` as in the case."""

    values: np.ndarray
    truth: np.ndarray
    error: float
    rounds: np.ndarray
    compile_seconds: float
    inference_seconds: float
    more: dict[str, float]
    message: str


class Level(NamedTuple):
    """A classical solver at one resolution: what it is called, and error and seconds when it is run."""

    name: str
    run: Callable[[], tuple[float, float]]


def solved(
    case: Case, seed: int, method: str = "levenberg-marquardt", seconds: float = 0.0, progress: Callable[..., None] | None = None
) -> Solved:
    """Fits the network, for ``seconds`` at most (0 for no limit; compiling is not counted), and times its answer."""
    fitted = fit(
        case.problem,
        case.model,
        case.stages,
        seed=seed,
        method=method,
        sampling=case.sampling,
        seconds=seconds or np.inf,
        watch=lambda model: relative_error(case.answer(model), case.truth),
        progress=progress,
    )
    values = jax.block_until_ready(case.answer(fitted.model))
    began = time.perf_counter()
    jax.block_until_ready(case.answer(fitted.model))
    inference = time.perf_counter() - began
    more = {} if case.more is None else case.more(fitted)
    message = fitted.message if fitted.status else ""
    return Solved(
        np.asarray(values), case.truth, relative_error(values, case.truth), fitted.rounds, fitted.compile_seconds, inference, more, message
    )


def classical_beside(levels: tuple[Level, ...], error: float, seconds: float) -> dict[str, Any]:
    """The first of ever finer classical solvers that reaches ``error``, or the last, and its time over that of training."""
    for level in levels:
        level.run()  # what is compiled, is not counted, as for the network
        found, taken = level.run()
        if found <= error or level is levels[-1]:
            return {
                "classical_equal_error_solver": level.name,
                "classical_equal_error_error_relative": found,
                "classical_equal_error_seconds": taken,
                "speed_ratio_to_classical": taken / seconds,
            }
    raise ValueError("got no classical solver; expected one at least; do: give levels")


def named(problem: str) -> Any:
    """The module of a problem, with ``case``, ``levels`` and ``paint``.

    Raises:
        InputError: There is none of that name.
    """
    if problem not in PROBLEMS:
        raise InputError(f"problem {problem!r}", ", ".join(PROBLEMS), near_misses(problem, PROBLEMS))
    return import_module(f"experiments.learning._{problem}")


def relative_error(found: Any, truth: Any) -> float:
    """Of the root mean square."""
    truth = np.asarray(truth)
    return float(np.linalg.norm(np.asarray(found) - truth) / np.linalg.norm(truth))


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """What is computed, and the wall seconds."""
    began = time.perf_counter()
    found = jax.block_until_ready(compute())
    return found, time.perf_counter() - began
