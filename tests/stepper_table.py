"""Every stepper with a problem that it solves: a new stepper is one row of STEPPERS, and every proof runs over the rows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.sparse.linalg import cg
from scipy.integrate import solve_ivp

from solvers import Diffusion, Operator, RungeKuttaChebyshev2, Stepper, Strang, VoxelGrid
from solvers.linear.spectral_diffusion import SpectralDiffusion
from solvers.rate import Rate, Sum, as_rate
from solvers.space.stacked import OnComponents, PerComponent
from solvers.steppers.explicit_runge_kutta import HEUN, RK4, SSPRK3, TSITOURAS5, ExplicitRungeKutta
from solvers.steppers.exponential import ExactDiffusion, ExponentialRungeKutta
from solvers.steppers.imex import ARS222, ARS233, ARS443, ImplicitExplicit
from solvers.steppers.implicit_solve import EllipticSolver
from solvers.steppers.locally_one_dimensional import LocallyOneDimensional
from solvers.steppers.rush_larsen import GatedRate, RushLarsen
from solvers.steppers.splitting import Lie, Richardson, Substeps
from solvers.steppers.theta import CrankNicolson, Theta
from tests.problems import noise, number, slitted_mask

SHAPE = (6, 5, 5)
SPACING = (1.0, 1.2, 0.9)


class ConjugateGradients(eqx.Module):
    """Solves with sigma - L to round-off, by JAX's own iteration."""

    operator: Operator

    def solve(self, shift, rhs, guess):
        return cg(lambda x: shift * x - self.operator.apply(x), rhs, x0=guess, tol=1e-15, maxiter=300)[0]


class Growth(Rate):
    """Logistic growth with a rate per cell, and a source that swings in time."""

    growth: jax.Array
    amplitude: jax.Array
    pattern: jax.Array
    bound: float = eqx.field(static=True, default=1.5)

    def evaluate(self, state, time):
        growth, pattern = (jnp.broadcast_to(values, state.shape) for values in (self.growth * self.pattern, self.pattern))
        return growth * state * (1 - state) + self.amplitude * jnp.cos(3 * time).astype(state.dtype) * pattern

    def spectral_bound(self):
        return number(self.bound)


class Forcing(Rate):
    """The source alone, as a rate and as a function of time."""

    amplitude: jax.Array
    pattern: jax.Array

    def evaluate(self, state, time):
        return jnp.broadcast_to(self(time), state.shape)

    def __call__(self, time):
        return self.amplitude * jnp.cos(3 * time) * self.pattern


class Membrane(GatedRate):
    """A potential with a fast and a slow gate of the Hodgkin-Huxley type, driven in time; rows v, m, h."""

    conductance: jax.Array
    drive: jax.Array

    def evaluate(self, state, time):
        v, m, h = state
        steady = jax.nn.sigmoid(5 * (v - 0.3))
        speed = jnp.stack([2 + jnp.exp(-v), 0.3 + 0.2 * v**2])
        change = -self.conductance * m**3 * h * (v - 1.2) - 0.8 * v + self.drive * jnp.cos(2 * time).astype(v.dtype)
        return change[None], jnp.stack([steady, 1 - steady]), speed

    def spectral_bound(self):
        return number(5.0)


class WholeMembrane(Rate):
    """The same as one rate."""

    membrane: Membrane

    def evaluate(self, state, time):
        change, steady, speed = self.membrane.evaluate(state, time)
        return jnp.concatenate([change, speed * (steady - state[1:])])


class FirstComponent(Rate):
    """A rate of the first component; the others rest."""

    rate: Rate

    def evaluate(self, state, time):
        return jnp.concatenate([self.rate.evaluate(state[:1], time), jnp.zeros_like(state[1:])])


@dataclass(frozen=True)
class Problem:
    """The parts of one problem at given parameters; ``whole`` is the right-hand side that a stepper is held against."""

    grid: VoxelGrid
    operator: Operator
    reaction: Rate | GatedRate | None
    whole: Rate
    start: jax.Array

    @property
    def solver(self):
        return ConjugateGradients(self.operator)


PARAMETERS = {"diffusivity": 0.4, "pattern": 0.3, "growth": 1.1, "amplitude": 0.7}


def parameters(dtype=float):
    return {name: jnp.asarray(value, dtype) for name, value in PARAMETERS.items()}


def _field(values, dtype):
    return values.astype(dtype)


def problem(kind: str, p, dtype=float) -> Problem:
    """``diffusion``, ``forced`` diffusion, ``growth``, ``logistic`` growth alone, ``species``, ``cable``, ``gates``, all on a mask with
    slits; on a full box ``heat``, ``box`` (growth) and ``waves`` (growth, periodic).
    """
    box = kind in ("box", "heat", "waves")
    grid = VoxelGrid(np.ones(SHAPE, bool) if box else slitted_mask(SHAPE), SPACING)
    pattern = _field(grid.cells(noise(grid.shape, 4, 0.3, 1.0)), dtype)
    start = _field(grid.cells(noise(grid.shape, 2, 0.1, 0.9)), dtype)
    coefficient = _field(noise(grid.shape, 1, 0.2, 1.0), dtype)
    growth = Growth(p["growth"], p["amplitude"], pattern)
    if box:
        spectral = SpectralDiffusion(grid, p["diffusivity"], 0.5 * p["pattern"], periodic=kind == "waves")
        whole = as_rate(spectral) if kind == "heat" else Sum((as_rate(spectral), growth))
        return Problem(grid, spectral, growth, whole, start)
    varied = coefficient * jnp.exp(p["pattern"] * _field(noise(grid.shape, 8), dtype))
    loss = _field(grid.cells(noise(grid.shape, 6, 0.0, 0.5)), dtype) if kind == "diffusion" else None
    operator = Diffusion(grid, varied, p["diffusivity"], loss=loss)
    if kind == "diffusion":
        return Problem(grid, operator, None, as_rate(operator), start)
    if kind == "forced":
        forcing = Forcing(p["amplitude"], pattern)
        return Problem(grid, operator, forcing, Sum((as_rate(operator), forcing)), start)
    if kind == "growth":
        return Problem(grid, operator, growth, Sum((as_rate(operator), growth)), start)
    if kind == "logistic":
        fast = Growth(6 * p["growth"], 0 * p["amplitude"], pattern)
        return Problem(grid, operator, fast, fast, 0.2 * start)
    membrane = Membrane(4 * p["growth"], p["amplitude"])
    stacked = jnp.stack([start, 0.5 * start, 1 - start]) * grid.mask.reshape(-1)[None]
    if kind == "gates":
        return Problem(grid, operator, membrane, WholeMembrane(membrane), stacked)
    species = jnp.stack([start, 0.5 * start])
    if kind == "species":
        two = PerComponent(operator, jnp.stack([p["growth"], 0.5 * p["growth"]]))
        return Problem(grid, two, growth, Sum((as_rate(two), growth)), species)
    return Problem(grid, operator, membrane, Sum((FirstComponent(as_rate(operator)), WholeMembrane(membrane))), stacked)


@dataclass(frozen=True)
class Row:
    """A stepper for a problem.

    Attributes:
        kind: Of the problem.
        make: The stepper for the problem.
        counts: Numbers of steps over one unit of time whose errors give the order.
    """

    kind: str
    make: Callable[[Problem], Stepper]
    counts: tuple[int, ...] = (8, 16, 32, 64)

    def stepper(self, p, dtype=float) -> tuple[Stepper, jax.Array]:
        chosen = problem(self.kind, p, dtype)
        return self.make(chosen), chosen.start


STEPPERS = {
    "Heun": Row("growth", lambda p: ExplicitRungeKutta(p.whole, HEUN)),
    "SSPRK3": Row("growth", lambda p: ExplicitRungeKutta(p.whole, SSPRK3)),
    "RK4": Row("growth", lambda p: ExplicitRungeKutta(p.whole, RK4)),
    "Tsitouras 5": Row("logistic", lambda p: ExplicitRungeKutta(p.whole, TSITOURAS5), (24, 32, 48, 64)),
    "Crank-Nicolson by multigrid": Row("forced", lambda p: CrankNicolson(p.operator, EllipticSolver(p.operator, None, 1e-11), p.reaction)),
    "RK4, two species": Row("species", lambda p: ExplicitRungeKutta(p.whole, RK4)),
    "RKC, nonlinear": Row("growth", lambda p: RungeKuttaChebyshev2(p.whole, 4)),
    "RKC, forced": Row("forced", lambda p: RungeKuttaChebyshev2(p.whole, 3)),
    "backward Euler": Row("forced", lambda p: Theta(p.operator, p.solver, 1.0, p.reaction), (32, 64, 128, 256)),
    "theta 0.6": Row("forced", lambda p: Theta(p.operator, p.solver, 0.6, p.reaction), (64, 128, 256, 512)),
    "Crank-Nicolson": Row("forced", lambda p: CrankNicolson(p.operator, p.solver, p.reaction)),
    "LOD Crank-Nicolson": Row("diffusion", lambda p: LocallyOneDimensional(p.operator, "Crank-Nicolson")),
    "LOD L-stable": Row("diffusion", lambda p: LocallyOneDimensional(p.operator, "L-stable")),
    "LOD backward Euler": Row("diffusion", lambda p: LocallyOneDimensional(p.operator, "backward Euler"), (32, 64, 128, 256)),
    "ARS(2,2,2)": Row("growth", lambda p: ImplicitExplicit(p.operator, p.reaction, p.solver, ARS222)),
    "ARS(2,3,3)": Row("growth", lambda p: ImplicitExplicit(p.operator, p.reaction, p.solver, ARS233)),
    "ARS(4,4,3)": Row("growth", lambda p: ImplicitExplicit(p.operator, p.reaction, p.solver, ARS443)),
    "ETD1": Row("box", lambda p: ExponentialRungeKutta(p.operator, p.reaction, 1), (32, 64, 128, 256)),
    "ETDRK2": Row("box", lambda p: ExponentialRungeKutta(p.operator, p.reaction, 2)),
    "ETDRK4": Row("box", lambda p: ExponentialRungeKutta(p.operator, p.reaction, 4)),
    "ETDRK2, periodic": Row("waves", lambda p: ExponentialRungeKutta(p.operator, p.reaction, 2)),
    "ETDRK4, periodic": Row("waves", lambda p: ExponentialRungeKutta(p.operator, p.reaction, 4)),
    "exact diffusion": Row("heat", lambda p: ExactDiffusion(p.operator)),
    "Strang with exact diffusion": Row("box", lambda p: Strang(ExplicitRungeKutta(p.reaction, HEUN), ExactDiffusion(p.operator))),
    "Lie": Row("growth", lambda p: Lie((ExplicitRungeKutta(p.reaction, RK4), CrankNicolson(p.operator, p.solver))), (32, 64, 128, 256)),
    "Strang with LOD": Row("growth", lambda p: Strang(ExplicitRungeKutta(p.reaction, RK4), LocallyOneDimensional(p.operator))),
    "Strang with substeps": Row(
        "growth", lambda p: Strang(Substeps(ExplicitRungeKutta(p.reaction, HEUN), 2), RungeKuttaChebyshev2(p.operator, 3))
    ),
    "Richardson of Strang": Row(
        "growth",
        lambda p: Richardson(Strang(ExplicitRungeKutta(p.reaction, TSITOURAS5), CrankNicolson(p.operator, p.solver)), symmetric=True),
    ),
    "Richardson of Heun": Row("growth", lambda p: Richardson(ExplicitRungeKutta(p.whole, HEUN))),
    "Rush-Larsen": Row("gates", lambda p: RushLarsen(p.reaction), (32, 64, 128, 256)),
    "Rush-Larsen 2": Row("gates", lambda p: RushLarsen(p.reaction, 2)),
    "Strang of Rush-Larsen 2 and Crank-Nicolson": Row(
        "cable", lambda p: Strang(RushLarsen(p.reaction, 2), OnComponents(CrankNicolson(p.operator, p.solver), 0, 1))
    ),
}


@cache
def reference(kind: str, span: float = 1.0) -> np.ndarray:
    """The state after a unit of time, to about twelve digits, by SciPy's Runge-Kutta of order eight."""
    chosen = problem(kind, parameters())
    shape = chosen.start.shape
    rate = jax.jit(lambda time, flat: chosen.whole.evaluate(flat.reshape(shape), time).reshape(-1))
    start = np.asarray(chosen.start).reshape(-1)
    found = solve_ivp(lambda t, y: np.asarray(rate(t, y)), (0, span), start, method="DOP853", rtol=1e-13, atol=1e-14)
    assert found.success
    return found.y[:, -1].reshape(shape)


# One row per kind of code for the proofs that compile much; the others are variants and run with the slow tests.
SHORT = (
    "Heun",
    "RKC, nonlinear",
    "Crank-Nicolson",
    "LOD Crank-Nicolson",
    "ARS(2,2,2)",
    "ETDRK2",
    "Strang with exact diffusion",
    "Strang with substeps",
    "Richardson of Heun",
    "Rush-Larsen 2",
)
SHORT_ROWS = [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in STEPPERS]
