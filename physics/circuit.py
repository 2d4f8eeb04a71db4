r"""Circulation circuits: blocks and connections put together as one differential-algebraic system."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.circuit_blocks import ACTIVATION, cosine_activation
from physics.circuit_layout import Group, entries_of, key_error, kind_named
from physics.circuit_waveform import Waveform
from physics.equation import Equation
from solvers.linear.sparse_elimination import EliminationPlan
from solvers.shapes import Scalar
from solvers.steppers.generalised_alpha import GeneralisedAlpha, ImplicitSystem, Memory, Unknowns

UNROLLED_OPERATIONS = 64
"""Beyond so many, compilation takes longer than LAPACK costs."""
FLOOR = 1e-9  # of the scales, in the units of the circuit


class Circuit(Equation, ImplicitSystem):
    r"""$E(y,t)\,\dot y + F(y,t) = 0$ for pressures and flows at every connection and what blocks have inside; from :func:`assemble`.

    Unknowns are one array, the first axis; parameters are one array per kind of block, ``(parameters, blocks, *batch)``, so that a
    batch of patients is a trailing axis of both and needs no ``vmap`` (which works, too). Jacobians are forward derivatives of the blocks'
    equations; the linear systems are eliminated in an order planned on the host, without zeros, or by LAPACK for large circuits.

    Attributes:
        parameters: Per kind.
        inputs: What is given over time, in the order of the groups' blocks.
        period: s, of the activations.
        groups: Which blocks there are and where their unknowns lie.
        names: Of the unknowns: ``pressure:up:down``, ``flow:up:down``, ``volume:block``, ...
        kinds: Per unknown 0 for a pressure, 1 a flow, 2 a volume, 3 an opening; in ascending order.
        plan: The elimination.
    """

    parameters: dict[str, Float[Array, "parameters blocks *batch"]]
    inputs: tuple[Waveform, ...]
    period: Float[Array, "*batch"]
    groups: tuple[Group, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    kinds: tuple[int, ...] = eqx.field(static=True)
    plan: EliminationPlan = eqx.field(static=True)

    @property
    def closed(self) -> bool:
        """Whether blood can't come or go."""
        return not any(kind_named(group.kind).inlets == 0 or kind_named(group.kind).outlets == 0 for group in self.groups)

    def stepper(self) -> GeneralisedAlpha:
        """See :class:`physics.equation.Equation`."""
        return GeneralisedAlpha(self)

    def start(self, values: Mapping[str, ArrayLike] | None = None, pressure: ArrayLike = 0.0, flow: ArrayLike = 0.0) -> Unknowns:
        """Unknowns to start from: by name, else one pressure, one flow, and zero inside of blocks."""
        given = dict(values or {})
        for name in given:
            self.index(name)
        common = (pressure, flow, 0.0, 0.0)
        parts = [jnp.asarray(given.get(name, common[kind]), float) for name, kind in zip(self.names, self.kinds, strict=True)]
        return jnp.stack(jnp.broadcast_arrays(*parts, jnp.zeros(self.period.shape))[:-1])

    def index(self, name: str) -> int:
        """The place of an unknown by name; near misses where there is none."""
        if name not in self.names:
            raise key_error("unknown", name, self.names)
        return self.names.index(name)

    def value(self, name: str) -> Array:
        """A parameter by ``block.parameter``."""
        kind, row, column = self._place(name)
        return self.parameters[kind][row, column]

    def with_values(self, values: Mapping[str, ArrayLike]) -> "Circuit":
        """The same circuit with other parameters, by ``block.parameter``; differentiable. Batched values make it a batch."""
        shape = jnp.broadcast_shapes(self.period.shape, *(jnp.shape(value) for value in values.values()))
        grown = {
            kind: jnp.broadcast_to(table.reshape(*table.shape, *[1] * (2 + len(shape) - table.ndim)), (*table.shape[:2], *shape))
            for kind, table in self.parameters.items()
        }
        for name, value in values.items():
            kind, row, column = self._place(name)
            grown[kind] = grown[kind].at[row, column].set(value)
        where = lambda circuit: (circuit.parameters, circuit.period)  # noqa: E731
        return eqx.tree_at(where, self, (grown, jnp.broadcast_to(self.period, shape)))

    def volume(self, state: Unknowns) -> Float[Array, "*batch"]:
        """What all blocks hold, beyond what they hold at no pressure; constant in a closed circuit."""
        total = jnp.zeros(state.shape[1:], state.dtype)
        for group in self.groups:
            kind, table = kind_named(group.kind), self.parameters[group.kind]
            for b, places in enumerate(group.places):
                total = total + kind.stored([table[m, b] for m in range(table.shape[0])], [state[i] for i in places])
        return total

    def newton_step(self, rate: Unknowns, state: Unknowns, time: Scalar, shift: Scalar) -> Unknowns:
        """See :class:`solvers.steppers.generalised_alpha.ImplicitSystem`."""
        if self.plan.operations > UNROLLED_OPERATIONS:
            return self._dense_step(rate, state, time, shift)
        right: list[Array | float] = [0.0] * len(self.names)
        entries: dict[tuple[int, int], Array | float] = {}
        u, r = list(state), list(rate)
        for group in self.groups:
            table = self.parameters[group.kind]
            for b, (rows, places) in enumerate(zip(group.rows, group.places, strict=True)):
                local = [table[m, b] for m in range(table.shape[0])], [u[i] for i in places], [r[i] for i in places]
                residual, found = entries_of(group.kind, *local, self._inputs(group, b, local[0], time), shift)
                for row, value in zip(rows, residual, strict=True):
                    right[row] = -value
                for (i, j), value in found.items():
                    at = (rows[i], places[j])
                    entries[at] = entries[at] + value if at in entries else value
        solved = self.plan.solve(entries, [jnp.asarray(value) for value in right])
        return jnp.stack(jnp.broadcast_arrays(*solved, state[0])[:-1])

    def scales(self, state: Unknowns) -> Unknowns:
        """See :class:`solvers.steppers.generalised_alpha.ImplicitSystem`: the largest of the same kind; one for openings."""
        parts = []
        for kind in range(4):
            count = self.kinds.count(kind)
            if count:
                first = self.kinds.index(kind)
                part = state[first : first + count]
                largest = jnp.max(jnp.abs(part), axis=0, keepdims=True) + FLOOR
                parts.append(jnp.broadcast_to(largest if kind < 3 else jnp.ones_like(largest), part.shape))
        return jnp.concatenate(parts)

    def _inputs(self, group: Group, block: int | slice, parameters: Sequence[Array], time: Scalar) -> list[Array]:
        if group.kind == "chamber":
            start, rise, fall = parameters[-len(ACTIVATION) :]
            return [cosine_activation(time, self.period, start, rise, fall)]
        if isinstance(block, int):
            return [self.inputs[i].at(time) for i in group.inputs[block]]
        columns = list(zip(*group.inputs, strict=True))
        return [jnp.stack([self.inputs[i].at(time) for i in column]) for column in columns]

    def _dense_step(self, rate: Unknowns, state: Unknowns, time: Scalar, shift: Scalar) -> Unknowns:
        """The blocks of a kind together, and LAPACK; written out, so many unknowns would take minutes to compile."""
        batch, size = state.shape[1:], len(self.names)
        values: list[Array] = [jnp.zeros((1, *batch), state.dtype), jnp.ones((1, *batch), state.dtype), -jnp.ones((1, *batch), state.dtype)]
        residuals: list[Array] = []
        where, filled = np.zeros((size, size), int), 3
        for group in self.groups:
            rows, places = np.array(group.rows).T, np.array(group.places).T
            shape = (rows.shape[1], *batch)
            table = self.parameters[group.kind]
            table = table.reshape(*table.shape, *[1] * (state.ndim + 1 - table.ndim))
            given = [g.reshape(-1, *[1] * len(batch)) if g.ndim <= 1 else g for g in self._inputs(group, slice(None), list(table), time)]
            p, s = ([jnp.broadcast_to(value, shape) for value in values_] for values_ in (table, given))
            residual, found = entries_of(group.kind, p, list(state[places]), list(rate[places]), s, shift)
            residuals += residual
            for (i, j), value in found.items():
                if isinstance(value, float):
                    where[rows[i], places[j]] = 1 if value > 0 else 2
                else:
                    where[rows[i], places[j]] = filled + np.arange(rows.shape[1])
                    values.append(jnp.asarray(value))
                    filled += rows.shape[1]
        matrix = lax.stop_gradient(jnp.concatenate(values)[where])
        right = -jnp.concatenate(residuals)
        if not batch:
            return jnp.linalg.solve(matrix, right)
        matrix = jnp.moveaxis(matrix, (0, 1), (-2, -1))
        return jnp.moveaxis(jnp.linalg.solve(matrix, jnp.moveaxis(right, 0, -1)[..., None])[..., 0], -1, 0)

    def _place(self, name: str) -> tuple[str, int, int]:
        known = {
            f"{block}.{parameter}": (group.kind, row, column)
            for group in self.groups
            for column, block in enumerate(group.blocks)
            for row, parameter in enumerate(kind_named(group.kind).parameters)
        }
        if name not in known:
            raise key_error("parameter", name, known)
        return known[name]


def residual_of(circuit: Circuit, rate: Unknowns, state: Unknowns, time: Scalar) -> Unknowns:
    """The equations' residuals, for tests and for looking at a circuit."""
    out = [jnp.zeros(())] * len(circuit.names)
    for group in circuit.groups:
        table = circuit.parameters[group.kind]
        for b, (rows, places) in enumerate(zip(group.rows, group.places, strict=True)):
            p = [table[m, b] for m in range(table.shape[0])]
            given = circuit._inputs(group, b, p, time)
            values = kind_named(group.kind).equations(p, [state[i] for i in places], [rate[i] for i in places], given)
            for row, value in zip(rows, values, strict=True):
                out[row] = value
    return jnp.stack(jnp.broadcast_arrays(*out))


def memory_of(circuit: Circuit, state: Unknowns) -> Memory:
    """The stepper's memory for a start at these unknowns."""
    return circuit.stepper().start(jax.tree.map(jnp.asarray, state))
