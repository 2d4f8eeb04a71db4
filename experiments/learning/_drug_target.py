"""A stiff course of drug, target and their complex: the project's equation object as residual, beside its stiff solver."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._informed_case import Case, Level, relative_error, timed
from physics import TargetMediatedDisposition
from solvers import RODAS4, RODAS5P, Rosenbrock, StiffSolution, integrate_stiff
from twinsim.informed import (
    InformedProblem,
    Jet,
    Sampling,
    SmoothPerceptron,
    Stage,
    coordinate,
    implicit_residual,
    logarithm,
    rate_of,
    reciprocal,
    stacked,
)

DOSE, HOURS = 100.0, 2000.0
FAST_H = 0.1  # about 1 / (k_on L_0), from which on the logarithm of time is spread
LAST = float(np.log1p(HOURS / FAST_H))


@lru_cache
def equation() -> TargetMediatedDisposition:
    """The antibody of Peletier and Gabrielsson."""
    with jax.ensure_compile_time_eval():
        return TargetMediatedDisposition.peletier2012()


def begin() -> Array:
    """The state after the bolus."""
    return equation().start(jnp.asarray(DOSE))


def sizes() -> Array:
    """By which the states are measured: the dose, and the target at rest."""
    rest = begin()[1]
    return jnp.stack([jnp.asarray(DOSE), rest, rest])


class CourseField(eqx.Module):
    r"""$y=y_0+\tfrac t{t+\tau}\,S\,N(\log(1+t/\tau),t)$, whose start is exact.

    Args:
        network: $N$.
    """

    network: SmoothPerceptron

    def jet(self, point: Float[Array, " 1"]) -> Jet:
        """States with their rates."""
        t = coordinate(point, 0, ())
        inner = self.network.of(stacked([logarithm(t * (1 / FAST_H) + 1.0), t]))
        rises = t * reciprocal(t + FAST_H)
        value, first, second = (jnp.stack([part] * 3, axis=-1) for part in (rises.value, rises.first, rises.second))
        rises = Jet(value, first, second, ())
        change, scale = rises * inner, sizes()
        return Jet(begin() + scale * change.value, scale[None] * change.first, change.second, ())

    def __call__(self, time: Float[Array, ""]) -> Float[Array, " 3"]:
        """States alone, mg/L."""
        inner = self.network(jnp.stack([jnp.log1p(time / FAST_H), time]))
        return begin() + time / (time + FAST_H) * sizes() * inner


RATE = rate_of(equation())


def residual(model: CourseField, point: Float[Array, " 1"]) -> Float[Array, " 3"]:
    r"""$S^{-1}\big(\tfrac1{t+\tau}-J\big)^{-1}(\dot y-f(y))$; see :func:`twinsim.informed.implicit_residual`."""
    y = model.jet(point)
    return implicit_residual(RATE, y.value, y.slope(0), point[0], point[0] + FAST_H) / sizes()


def draw(key: Array, count: int) -> Float[Array, "points 1"]:
    """Even in the logarithm of time."""
    return FAST_H * jnp.expm1(jax.random.uniform(key, (count, 1)) * LAST)


def times() -> np.ndarray:
    """At which errors are taken: half of them even in time, half in its logarithm."""
    return np.sort(np.concatenate([np.linspace(HOURS / 200, HOURS, 200), FAST_H * np.expm1(np.linspace(0.01, 0.999, 200) * LAST)]))


@partial(jax.jit, static_argnums=1)
def _states(relative: Array, method: Rosenbrock) -> StiffSolution:
    return integrate_stiff(
        lambda time, state, args: args.rate(state),
        begin(),
        0.0,
        HOURS,
        equation(),
        method=method,
        relative_tolerance=relative,
        absolute_tolerance=relative * 1e-3,
        save_at=jnp.asarray(times()),
        max_steps=16_384,
    )


def by_solver(relative: float, method: Rosenbrock = RODAS4) -> np.ndarray:
    """States at the times, in their sizes."""
    found = _states(jnp.asarray(relative), method)
    found.raise_for_status()
    return np.asarray(found.states) / np.asarray(sizes())


@lru_cache
def exact() -> np.ndarray:
    """By the method of order five at a tolerance of 1e-10."""
    return by_solver(1e-10, RODAS5P)


def case(seed: int, width: int = 16, layers: int = 2, scale: float = 1.0) -> Case:
    """A network for the course; ``scale`` multiplies the iterations."""
    network = SmoothPerceptron((0.0, 0.0), (LAST, HOURS), (width,) * layers, 3, key=jax.random.key(seed), steepness=(3.0, 3.0))
    when = jnp.asarray(times())
    answer = jax.jit(lambda model: jax.vmap(model)(when) / sizes()[None])
    stages = (Stage(400, max(1, round(30 * scale)), 10),)
    return Case(InformedProblem(residual, draw), CourseField(network), stages, Sampling(), answer, exact())


def levels(seeds: Sequence[int] = (0,)) -> tuple[Level, ...]:
    """The project's stiff solver at looser and tighter tolerances."""
    del seeds  # the problem has no data

    def run(relative: float) -> tuple[float, float]:
        found, seconds = timed(lambda: by_solver(relative))
        return relative_error(found, exact()), seconds

    return tuple(Level(f"integrate_stiff, tolerance {t:g}", lambda t=t: run(t)) for t in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8))


def paint(axes: Any, values: np.ndarray, truth: np.ndarray) -> None:
    """The three states over the logarithm of time, the solver's behind."""
    for number, name in enumerate(("drug", "free target", "complex")):
        axes.semilogx(times(), truth[:, number], color="0.75", linewidth=3)
        axes.semilogx(times(), values[:, number], linewidth=1.2, label=name)
    axes.set_xlabel("time (h)")
    axes.set_ylabel("over dose, or target at rest")
    axes.legend(frameon=False, fontsize=8)
