"""Laws of growth, known and unknown, in a tumour on voxels whose diffusion is known."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._coarse_problem import random_image, random_mask
from physics import AnalyticClosure, Closure, Given, ProliferationInvasion, Variable, WithClosure
from solvers import Diffusion, VoxelGrid

READS = (Variable("density", "1"), Variable("oxygen", "mmHg"))
RATE = (Variable("density_relative_rate", "1/day"),)
SPACING_MM, INTERVAL_DAYS, STAGES = 2.0, 4.0, 3
DIFFUSIVITIES = (0.05, 0.25)  # mm^2/day
OXYGEN_MMHG = (1.0, 45.0)
FINER = 4  # steps of the truth in one of the solver's

Values = Float[Array, "inputs *places"]
Rates = Float[Array, "outputs *places"]


def logistic(parameters: tuple[Array, ...], values: Values) -> Rates:
    """$\\rho(1-u)$."""
    (rate,) = parameters
    return rate * (1 - values[:1])


def gompertz(parameters: tuple[Array, ...], values: Values) -> Rates:
    """$-\\rho\\ln u$, held below a density of 1e-4."""
    (rate,) = parameters
    return -rate * jnp.log(jnp.maximum(values[:1], 1e-4))


def allee(parameters: tuple[Array, ...], values: Values) -> Rates:
    """$\\rho(1-u)(u-a)/(u+b)$: sparse cells die."""
    rate, least, half = parameters
    density = values[:1]
    return rate * (1 - density) * (density - least) / (jnp.maximum(density, 0) + half)


def oxygen_limited(parameters: tuple[Array, ...], values: Values) -> Rates:
    """$\\rho(1-u)\\,p/(p+K)$ (Monod)."""
    rate, half = parameters
    return rate * (1 - values[:1]) * values[1:] / (values[1:] + half)


def oxygen_and_death(parameters: tuple[Array, ...], values: Values) -> Rates:
    """$\\rho(1-u)\\,p/(p+K)-\\delta$: the same with a death that does not know of oxygen."""
    rate, half, death = parameters
    return oxygen_limited((rate, half), values) - death


def hypoxia(parameters: tuple[Array, ...], values: Values) -> Rates:
    """$\\rho(1-u)s-\\delta(1-s)$, $s=p^2/(p^2+K^2)$: cells without oxygen die."""
    rate, death, half = parameters
    share = values[1:] ** 2 / (values[1:] ** 2 + half**2)
    return rate * (1 - values[:1]) * share - death * (1 - share)


LAWS = {
    "logistic": (logistic, (0.05,)),
    "gompertz": (gompertz, (0.02,)),
    "allee": (allee, (0.05, 0.05, 0.1)),
    "oxygen-limited": (oxygen_limited, (0.05, 5.0)),
    "oxygen-limited with death": (oxygen_and_death, (0.05, 5.0, 0.01)),
    "hypoxia": (hypoxia, (0.05, 0.02, 8.0)),
}
"""Formulas and where their fit begins; every parameter is above zero."""
TRUTHS = {"gompertz": (0.03,), "allee": (0.12, 0.08, 0.15), "hypoxia": (0.1, 0.06, 12.0)}


class Positive(Closure):
    """A formula of parameters that are above zero, by their logarithms."""

    name: str = eqx.field(static=True)
    logs: Float[Array, " parameters"]
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)

    def __init__(self, name: str, logs: Float[Array, " parameters"]) -> None:
        self.name, self.logs = name, logs
        self.inputs, self.outputs = READS, RATE

    def __call__(self, values: Values) -> Rates:
        return LAWS[self.name][0](tuple(jnp.exp(self.logs)), values)


def truth_of(law: str) -> AnalyticClosure:
    """The hidden law."""
    parameters = tuple(jnp.asarray(value) for value in TRUTHS[law])
    return AnalyticClosure(law=LAWS[law][0], parameters=parameters, inputs=READS, outputs=RATE)


def members_of(generator: np.random.Generator, count: int, voxels: int) -> dict[str, Array]:
    """Random tissue, outlines, oxygen, diffusivities and starts, one per image."""
    shape, samples = (voxels, voxels, 1), []
    for _ in range(count):
        mask = random_mask(generator, shape, (0.42, 0.75))
        white, oxygen = random_image(generator, shape), random_image(generator, shape)
        centre = (inside := np.argwhere(mask))[generator.integers(len(inside))] + 0.5
        places = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), axis=-1)
        squares = ((SPACING_MM * (places - centre)[..., :2]) ** 2).sum(-1)
        start = generator.uniform(0.15, 0.7) * np.exp(-squares / (2 * generator.uniform(4.0, 7.0) ** 2)) * mask
        samples.append(
            {
                "mask": mask, "pattern": white + (1 - white) / 5, "oxygen": OXYGEN_MMHG[0] + np.ptp(OXYGEN_MMHG) * oxygen,
                "diffusivity": np.exp(generator.uniform(*np.log(DIFFUSIVITIES))), "start": start.reshape(-1),
            }
        )  # fmt: skip
    return {key: jnp.asarray(np.stack([sample[key] for sample in samples]), None if key == "mask" else float) for key in samples[0]}


def equation_of(closure: Closure, member: dict[str, Array]) -> WithClosure:
    """Invasion as known, with a closure in the place of proliferation."""
    blank = VoxelGrid(np.ones(member["mask"].shape, bool), SPACING_MM)
    grid = eqx.tree_at(lambda grid: grid.mask, blank, member["mask"])
    invasion = ProliferationInvasion(
        Diffusion(grid, member["pattern"], member["diffusivity"]), jnp.zeros_like(member["diffusivity"]), stages=STAGES
    )
    oxygen = Given(Variable("oxygen", "mmHg"), member["oxygen"].reshape(-1))
    return WithClosure.of(invasion, closure, reads=("density", "oxygen"), adds_to=("density",), given=(oxygen,), grid=grid, relative=True)


@eqx.filter_jit
def courses(closure: Closure, members: dict[str, Array], intervals: int, finer: int = 1) -> tuple[Array, Array]:
    """Densities ``(members, times, cells)`` from the starts, and at each time whether the closure was asked outside of its range."""

    def one(member: dict[str, Any]) -> tuple[Array, Array]:
        equation = equation_of(closure, member)
        stepper, length = equation.stepper(), jnp.asarray(INTERVAL_DAYS / finer)

        def interval(state: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
            state = jax.lax.fori_loop(0, finer, lambda k, u: stepper.advance(u, k * length, length), state)
            return state, (state, equation.examine(jnp.zeros(()), state))

        _, (states, codes) = jax.lax.scan(interval, member["start"], None, length=intervals)
        return jnp.concatenate([member["start"][None], states]), codes

    return jax.lax.map(one, members)
