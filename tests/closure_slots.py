"""Equations of all fields and closures of all kinds, to put any of these into any of those."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from physics import (
    AnalyticClosure,
    BrainNetwork,
    Closure,
    ClosureTerm,
    LinearCoupling,
    MitchellSchaeffer,
    Monodomain,
    NetworkSpreading,
    NeuralField,
    NeuralMassWithClosure,
    OneCompartment,
    ProliferationInvasion,
    RateEquation,
    TargetMediatedDisposition,
    Variable,
    WilsonCowan,
    WithClosure,
    synthetic_connectome,
)
from physics.androgen_deprivation_hirata import HIRATA2010, HirataTanaka
from physics.closed_loop import closed_loop, filled, regazzoni_values
from physics.neural_field import ExponentialKernel
from solvers import Diffusion, Status, VoxelGrid, simulate, time_mesh
from tests.problems import number, quick_jit
from twinsim.closures import (
    EnsembleClosure,
    GaussianProcessClosure,
    GraphClosure,
    OperatorClosure,
    PerceptronClosure,
    RangedClosure,
    TrainingRange,
)
from twinsim.discovery import TermLibrary, WeakRows, identify

REGIONS = 6


class Slot(NamedTuple):
    """An equation with an open term.

    Attributes:
        equation: Without the closure.
        state: To begin with.
        reads: Of the closure.
        adds_to: Of the closure.
        length: Of a step.
        keywords: More of :meth:`WithClosure.of`.
        beyond: Factor of the state that takes it out of the range of the samples.
        places: ``local``, ``image`` or ``graph``: what stands behind the components.
    """

    equation: Any
    state: Callable[[], jax.Array]
    reads: tuple[str, ...]
    adds_to: tuple[Any, ...]
    length: float
    keywords: Mapping[str, Any] = MappingProxyType({})
    places: str = "local"
    beyond: float = 3.0


def box_grid() -> VoxelGrid:
    """Six by five voxels with a corner and a hole cut out."""
    mask = np.ones((6, 5, 1), bool)
    mask[0, 0], mask[3, 2] = False, False
    return VoxelGrid(mask, 1.0)


def bump(grid: VoxelGrid) -> jax.Array:
    """A smooth field between 0.2 and 0.8."""
    x, y, _ = jnp.meshgrid(*(jnp.arange(n, dtype=float) for n in grid.shape), indexing="ij")
    return grid.cells(0.5 + 0.3 * jnp.cos(x) * jnp.sin(y))


@cache
def connectome_weights() -> np.ndarray:
    """Of six regions."""
    return np.asarray(synthetic_connectome(REGIONS, 1).weights)


def tumour() -> Slot:
    """Growth and invasion in an image."""
    grid = box_grid()
    equation = ProliferationInvasion(Diffusion(grid, 1.0, 0.1), number(0.05), stages=3)
    return Slot(equation, lambda: bump(grid), ("density",), ("density",), 0.5, {"grid": grid, "as_image": True}, "image")


def tissue() -> Slot:
    """Excitable cells in an image."""
    grid = box_grid()
    equation = Monodomain(MitchellSchaeffer.published(), Diffusion(grid, 1.0, 0.05), stages=2)
    state = lambda: jnp.stack([0.3 * bump(grid), 0.9 * jnp.ones(grid.size)])  # noqa: E731
    return Slot(equation, state, ("voltage", "h"), ("voltage",), 0.1, {"grid": grid, "as_image": True}, "image", 2.0)


def cell() -> Slot:
    """Three cells by Rush and Larsen; the closure acts on the voltage and on a gate."""
    state = lambda: jnp.array([[0.3, 0.4, 0.5], [0.7, 0.8, 0.9]])  # noqa: E731
    return Slot(MitchellSchaeffer.published(), state, ("voltage", "h"), ("voltage", "h"), 0.1, beyond=2.0)


def disposition() -> Slot:
    """A drug and its target, by order four."""
    state = lambda: jnp.array([[10.0, 3.0], [12.0, 12.0], [0.0, 1.0]])  # noqa: E731
    return Slot(TargetMediatedDisposition.peletier2012(), state, ("drug", "time"), ("target", ("drug", "complex")), 0.05)


def dose() -> Slot:
    """An oral dose, whose closed form has no place for a term."""
    model = OneCompartment(number(1.0), number(0.2), number(10.0))
    variables = (Variable("amount", "mg"), Variable("concentration", "mg/L"))
    equation = RateEquation(oral, model, variables, "h")
    return Slot(equation, lambda: jnp.array([4.0, 1.0]), ("concentration",), ("concentration",), 0.2)


def oral(model: OneCompartment, state: jax.Array, time: jax.Array) -> jax.Array:
    """The law of an oral dose."""
    del time
    return model.rate(state)


def androgen() -> Slot:
    """PSA of three kinds of cells on therapy."""
    fields = {name: number(HIRATA2010[name].value) for name in HirataTanaka.__dataclass_fields__ if name in HIRATA2010}
    variables = tuple(Variable(f"cells_{k}", "ng/mL") for k in (1, 2, 3))
    model = HirataTanaka(**fields, washout=number(0.0))
    return Slot(
        RateEquation(treated, model, variables, "day"),
        lambda: jnp.array([8.0, 0.5, 0.1]),
        ("cells_1", "cells_2"),
        (("cells_1", "cells_2"),),
        2.0,
    )


def treated(model: HirataTanaka, state: jax.Array, time: jax.Array) -> jax.Array:
    """The law of therapy."""
    return model.rate(state, jnp.ones_like(time))


def loop() -> Slot:
    """The whole circulation with an exchange of blood between two of its compartments."""
    values = regazzoni_values()
    equation = closed_loop(values)
    state = lambda: filled(equation, values["blood_volume"])  # noqa: E731
    reads = ("systemic_veins", "pulmonary_veins")
    return Slot(equation, state, reads, (("systemic_veins", "pulmonary_veins"),), 0.004)


def field() -> Slot:
    """A neural field on a plane."""
    model = NeuralField(ExponentialKernel(number(1.0), number(1.0)), *(number(x) for x in (0.3, 0.1, 10.0, 0.5, 0.1)), spacing_mm=0.5)
    variables = (Variable("activity", "1"), Variable("recovery", "1"))
    x = jnp.linspace(0, 6.0, 8)
    state = lambda: jnp.stack([0.4 + 0.2 * jnp.cos(x)[:, None] * jnp.sin(x)[None, :], jnp.full((8, 8), 0.1)])  # noqa: E731
    return Slot(RateEquation(quiet, model, variables, "ms"), state, ("activity", "recovery"), ("activity",), 0.5, {}, "image")


def quiet(model: NeuralField, state: jax.Array, time: jax.Array) -> jax.Array:
    """The law of a field without a stimulus."""
    return model.rates(state, jnp.zeros_like(time))


def spreading() -> Slot:
    """A protein on the tracts of a connectome."""
    model = (NetworkSpreading.of(synthetic_connectome(REGIONS, 1)), number(0.3), number(0.2))
    equation = RateEquation(spread, model, (Variable("load", "1"),), "year", stacked=False)
    return Slot(equation, lambda: jnp.linspace(0.1, 0.6, REGIONS), ("load",), ("load",), 0.25, {}, "graph")


def spread(model: tuple[Any, ...], state: jax.Array, time: jax.Array) -> jax.Array:
    """The law of spreading."""
    del time
    return model[0].rates(state, *model[1:])


def masses() -> Slot:
    """Two populations in every region, over tracts with delays."""
    return Slot(
        WilsonCowan.published(), lambda: jnp.stack([jnp.linspace(0.1, 0.3, REGIONS), jnp.full(REGIONS, 0.1)]),
        ("excitatory_share", "inhibitory_share"), ("excitatory_share",), 0.5, {}, "graph",
    )  # fmt: skip


SLOTS = {
    "tumour": tumour, "cell": cell, "dose": dose, "tissue": tissue, "androgen": androgen, "disposition": disposition, "loop": loop,
    "field": field, "spreading": spreading, "masses": masses,
}  # fmt: skip


def variables_of(slot: Slot) -> tuple[tuple[Variable, ...], tuple[Variable, ...]]:
    """What a closure in this slot takes and gives."""
    layout = slot.equation.state_layout()
    known = {one.name: one for one in (*layout.variables, *layout.clock)}
    return tuple(known[name] for name in slot.reads), tuple(layout.rate_variable(target) for target in slot.adds_to)


def samples_of(slot: Slot, count: int = 24) -> tuple[jax.Array, jax.Array]:
    """Inputs round the initial state, and smooth outputs that change it by some per cent per step."""
    state, layout = np.asarray(slot.state()), slot.equation.state_layout()
    rows = {one.name: state[k] if layout.stacked else state for k, one in enumerate(layout.variables)}
    generator = np.random.default_rng(0)
    given = []
    for name in slot.reads:
        row = rows.get(name, np.array([0.0, 1.0]))
        low, high = row.min(), row.max()
        width = (high - low) + 0.3 * abs(high) + 0.1
        given.append(generator.uniform(low - width, high + width, count))
    given = np.array(given)
    scaled = (given - given.mean(1, keepdims=True)) / given.std(1, keepdims=True)
    size = 0.02 / slot.length * np.abs(given).mean()
    outputs = len(slot.adds_to)
    return jnp.asarray(given), jnp.asarray(size * np.stack([np.sin(scaled.sum(0) + k) for k in range(outputs)]))


def sine_law(parameters: PyTree, values: jax.Array) -> jax.Array:
    """A formula with as many outputs as it has sizes."""
    sizes, rates = parameters
    total = jnp.tensordot(rates, values, axes=1)
    return jnp.stack([size * jnp.sin(total + k) for k, size in enumerate(sizes)])


def closure_of(kind: str, slot: Slot) -> Closure:
    """A small closure of a kind, of the slot's variables."""
    inputs, outputs = variables_of(slot)
    given, wanted = samples_of(slot)
    if kind == "analytic":
        parameters = ([jnp.abs(row).max() for row in wanted], 1 / given.std(1))
        law = AnalyticClosure(law=sine_law, parameters=parameters, inputs=inputs, outputs=outputs)
        return RangedClosure(law, TrainingRange.of(given))
    if kind == "sparse":
        library = TermLibrary.polynomial([one.name for one in inputs], 1)
        columns = np.asarray(library(given)).T
        rows = WeakRows(columns, np.asarray(wanted).T, np.ones(wanted.T.shape))
        return RangedClosure(identify(rows, library, inputs, outputs, thresholds=(0.0,)).closure, TrainingRange.of(given))
    if kind == "gaussian process":
        return GaussianProcessClosure.of(inputs, outputs, (given, wanted))
    if kind == "graph":
        return GraphClosure.create(0, inputs, outputs, connectome_weights(), samples=(given, wanted), width=3, rounds=1)
    if kind in ("cosine", "deep"):
        images = tuple(part.T[:, :, None, None] for part in (given, wanted))
        modes = 3 if kind == "cosine" else 1
        return OperatorClosure.create(0, inputs, outputs, network=kind, samples=images, channels=4, layers=1, modes=modes, rank=3)
    seeds = range(3 if kind == "ensemble" else 1)
    members = [PerceptronClosure.create(seed, inputs, outputs, samples=(given, wanted), hidden=(5,)) for seed in seeds]
    return members[0] if kind == "perceptron" else EnsembleClosure.of(members, given)


KINDS = {
    "local": ("perceptron", "gaussian process", "analytic", "ensemble", "sparse"),
    "image": ("cosine", "perceptron", "deep", "gaussian process", "analytic", "ensemble", "sparse"),
    "graph": ("graph", "perceptron", "analytic", "gaussian process", "ensemble", "sparse"),
}


def with_closure(slot: Slot, closure: Closure) -> Any:
    """The equation, or the mass, with the closure."""
    if isinstance(slot.equation, WilsonCowan):
        term = ClosureTerm.of(slot.equation.state_layout(), closure, reads=slot.reads, adds_to=slot.adds_to)
        return NeuralMassWithClosure(slot.equation, term)
    keywords = dict(slot.keywords)
    if not isinstance(getattr(closure, "closure", closure), OperatorClosure):
        keywords.pop("as_image", None)
    return WithClosure.of(slot.equation, closure, reads=slot.reads, adds_to=slot.adds_to, **keywords)


def outcome(slot: Slot, equation: Any, state: jax.Array, steps: int = 3) -> jax.Array:
    """The last state of a run."""
    if isinstance(equation, (WilsonCowan, NeuralMassWithClosure)):
        edges = synthetic_connectome(REGIONS, 1).edges(5.0, slot.length)
        return BrainNetwork(equation, LinearCoupling(number(0.3)), edges, slot.length).march(state, steps).final
    return simulate(equation.stepper(), state, time_mesh(0.0, [steps * slot.length], slot.length)).final


def extrapolated(slot: Slot, equation: Any, state: jax.Array, steps: int = 3) -> np.ndarray:
    """The codes observed on the way."""
    mesh = time_mesh(0.0, [steps * slot.length], slot.length)
    solution = quick_jit(lambda state: simulate(equation.stepper(), state, mesh, observe=equation.examine))(state)
    assert int(solution.status) == Status.SUCCESS
    return np.asarray(solution.observations)


class Scaled(Closure):
    """A closure times a number."""

    closure: Closure
    factor: jax.Array

    @property
    def inputs(self) -> tuple[Variable, ...]:
        return self.closure.inputs

    @property
    def outputs(self) -> tuple[Variable, ...]:
        return self.closure.outputs

    def __call__(self, values: jax.Array) -> jax.Array:
        return self.factor * self.closure(values)
