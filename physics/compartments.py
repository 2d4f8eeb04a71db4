r"""Closed loops of compartments: elastic volumes and the flows between them, stepped without solving anything."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from physics.closure import Variable
from physics.equation import Equation
from physics.state_layout import StateLayout
from solvers.rows import apart, join_rows
from solvers.shapes import Scalar
from solvers.stepper import Stepper

LoopState = Float[Array, "state *batch"]
ELASTIC = ("passive_elastance", "rest_volume")
ACTIVE = ("active_elastance", "contraction_start", "contraction_time", "relaxation_time")
BRANCH = ("resistance", "inertance")


class Compartments(Equation):
    r"""$P_i = E_i(t)\,(V_i - V_{0i})$, $\dot V_i = \sum Q_{in} - \sum Q_{out}$, $L_j\dot Q_j = \Delta P_j - R_jQ_j$, $Q_j\ge0$ in valves.

    $E_i = E_{p,i} + E_{a,i}\varphi_i(t)$ with $\varphi$ half a cosine up, half a cosine down. Units: mmHg, mL, s. Time runs in beats:
    :class:`StaggeredLoop` reads when each began, so that a heart timed by an electrocardiogram is as good as one of a constant period.

    Attributes:
        elastic: ``(2, compartments, *batch)``, rows :data:`ELASTIC`: mmHg/mL, mL.
        active: ``(4, chambers, *batch)``, rows :data:`ACTIVE`, of the compartments that come first: mmHg/mL, then s from the beginning of a
            beat. A contraction that starts near the end of a beat goes on in the next.
        branches: ``(2, branches, *batch)``, rows :data:`BRANCH`: mmHg s/mL, mmHg s^2/mL; both above 0.
        names: Of the compartments.
        flows: Of the branches.
        upstream: Compartment that each branch leaves.
        downstream: Compartment that it enters.
        valves: Which branches let nothing back.
    """

    elastic: Float[Array, "2 compartments *batch"]
    active: Float[Array, "4 chambers *batch"]
    branches: Float[Array, "2 branches *batch"]
    names: tuple[str, ...] = eqx.field(static=True)
    flows: tuple[str, ...] = eqx.field(static=True)
    upstream: tuple[int, ...] = eqx.field(static=True)
    downstream: tuple[int, ...] = eqx.field(static=True)
    valves: tuple[bool, ...] = eqx.field(static=True)

    def stepper(self) -> "StaggeredLoop":
        """See :class:`physics.equation.Equation`; one beat per second."""
        return StaggeredLoop(self, jnp.arange(2.0))

    def state_layout(self) -> StateLayout:
        """See :class:`physics.equation.Equation`; rates are per second, times are in beats."""
        volumes, flows = (tuple(Variable(name, unit) for name in names) for names, unit in ((self.names, "mL"), (self.flows, "mL/s")))
        return StateLayout(volumes + flows, "s", clock_unit="1")

    def elastance(self, since: Array, period: Array) -> Float[Array, "compartments *batch"]:
        """mmHg/mL, so long (s) after the beginning of a beat that takes ``period``; members of a batch may differ in both."""
        strength, start, rise, fall = self.active
        phase = _hump(since, period, start, rise, fall)
        passive = self.elastic[0]
        count = self.active.shape[1]
        return jnp.concatenate(
            [passive[:count] + strength * phase, jnp.broadcast_to(passive[count:], (passive.shape[0] - count, *phase.shape[1:]))]
        )

    def pressures(self, state: LoopState, since: Array, period: Array) -> Float[Array, "compartments *batch"]:
        """mmHg in every compartment."""
        return self.elastance(since, period) * (state[: len(self.names)] - self.elastic[1])

    def start(self, volumes: Mapping[str, ArrayLike]) -> LoopState:
        """Volumes (mL) by name and no flows."""
        for name in volumes:
            self.index(name)
        parts = [jnp.asarray(volumes[name], float) for name in self.names]
        parts = jnp.stack(jnp.broadcast_arrays(*parts, jnp.zeros(self.elastic.shape[2:]))[:-1])
        return jnp.concatenate([parts, jnp.zeros((len(self.flows), *parts.shape[1:]))])

    def index(self, name: str) -> int:
        """Place of a compartment's volume, or of a branch's flow, in the state."""
        known = (*self.names, *self.flows)
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
            raise ValueError(f"got {name!r}; expected a compartment or branch; do: use {' or '.join(close)}")
        return known.index(name)


class StaggeredLoop(Stepper):
    r"""Volumes at whole steps and flows halfway between, without solving a system.

    $Q_{n+1/2} = aQ_{n-1/2} + (1-a)\,\Delta P_n/R$, $V_{n+1} = V_n + h\sum\pm Q_{n+1/2}$, and $a = 1/(1+x+x^2/2)$ for $x = Rh/L$:
    $e^{-x}$ to order two, positive, and zero for a flow without inertia. A valve's flow is not let below zero. Order two between
    openings and closings of valves, which are placed to a step; the sum of the volumes is kept to round-off. The state is the volumes,
    then the flows; those of a start stand half a step before it.

    Args:
        loop: The equations.
        onsets: Beginnings of the beats, s, one more than beats, increasing. Time of the mesh is in beats: 2.5 is halfway through the third.

    Fails: unstable where a step exceeds $2\sqrt{L/(E_1+E_2)}$ of any branch, which :meth:`stable` can't tell for traced beats; 4 ms is well
    below it for the values of this package. Source: Störmer and Verlet's scheme, Hairer, Lubich and Wanner (2003), Acta Numerica 12, 399;
    its damping is ours.
    """

    loop: Compartments
    onsets: Float[Array, " onsets"]

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def clock(self, time: Scalar) -> tuple[Scalar, Scalar]:
        """Seconds since the beginning of the beat, and its length, at a time in beats."""
        last = self.onsets.shape[0] - 2
        beat = jnp.clip(jnp.floor(time + 1e-6), 0, last).astype(int)
        begin, end = self.onsets[beat], self.onsets[beat + 1]
        return (time - beat) * (end - begin), end - begin

    def before(self, time: Scalar) -> Scalar:
        """Length of the beat before the one at a time in beats; of the first, its own."""
        beat = jnp.clip(jnp.floor(time + 1e-6), 0, self.onsets.shape[0] - 2).astype(int)
        last = jnp.maximum(beat - 1, 0)
        return self.onsets[last + 1] - self.onsets[last]

    def advance(self, state: LoopState, time: Scalar, length: Scalar) -> LoopState:
        """See :class:`solvers.stepper.Stepper`."""
        loop = self.loop
        since, period = self.clock(time)
        h = length * period
        count = len(loop.names)
        volume, flow = state[:count], state[count:]
        pressure = _apart(loop.pressures(state, since, period))
        # Flows of the beat before stand half of its own step back: a push of another length, or the order is one where beats differ.
        pushed = jnp.where(since < 0.5 * h, 0.5 * (h + length * self.before(time)), h)
        drop = _rows(pressure, loop.upstream) - _rows(pressure, loop.downstream)
        resistance, inertance = loop.branches
        pull = pushed / inertance
        decay = resistance * pull
        new = (flow + pull * (1 + 0.5 * decay) * drop) / (1 + decay * (1 + 0.5 * decay))
        floor = np.where(np.array(loop.valves), 0.0, -np.inf).reshape(-1, *[1] * (state.ndim - 1))
        new = jnp.maximum(new, jnp.asarray(floor, state.dtype))
        new = _apart(jnp.where(length > 0, new, flow))
        return jnp.concatenate([volume + h * _net(new, loop.upstream, loop.downstream, count), new])


def compartments(
    names: Sequence[str],
    branches: Sequence[tuple[str, str, str, bool]],
    elastic: ArrayLike | Sequence[Sequence[float]],
    active: ArrayLike | Sequence[Sequence[float]],
    values: ArrayLike | Sequence[Sequence[float]],
) -> Compartments:
    """A loop from its parts.

    Args:
        names: Compartments, chambers first.
        branches: Name, upstream and downstream compartment, and whether it is a valve.
        elastic: See :class:`Compartments`.
        active: See :class:`Compartments`.
        values: Resistance and inertance of each branch.

    Raises:
        ValueError: A branch from or to no compartment, a compartment with no way in or out, a resistance, inertance or elastance that is
            not above 0, tables of another shape.
    """
    upstream, downstream = [], []
    for name, up, down, _ in branches:
        for end in (up, down):
            if end not in names:
                close = get_close_matches(end, names, n=3, cutoff=0.4) or list(names)
                raise ValueError(f"got branch {name!r} at {end!r}; expected a compartment; do: use {' or '.join(close)}")
        upstream.append(names.index(up))
        downstream.append(names.index(down))
    lost = [name for i, name in enumerate(names) if i not in upstream or i not in downstream]
    if lost:
        raise ValueError(f"got compartment {lost[0]!r} that blood cannot enter and leave; expected a loop; do: add a branch")
    tables = [jnp.asarray(table, float) for table in (elastic, active, values)]
    for table, rows, columns, what in zip(
        tables, (2, 4, 2), (len(names), None, len(branches)), ("elastic", "active", "branches"), strict=True
    ):
        if table.shape[0] != rows or (columns is not None and table.shape[1] != columns):
            raise ValueError(f"got {what} values of shape {table.shape}; expected {rows} rows, one column each; do: see Compartments")
    for table, what in ((tables[0][0], "passive elastance"), (tables[2], "resistance or inertance"), (tables[1][2:], "activation time")):
        if not (np.asarray(table) > 0).all():
            raise ValueError(f"got {what} {float(np.asarray(table).min()):g}; expected above 0; do: correct the value")
    flags = tuple(valve for *_, valve in branches)
    flows = tuple(name for name, *_ in branches)
    return Compartments(tables[0], tables[1], tables[2], tuple(names), flows, tuple(upstream), tuple(downstream), flags)


def _hump(since: Array, period: Array, start: Array, rise: Array, fall: Array) -> Array:
    """The activation of :func:`physics.circuit_blocks.cosine_activation`, its cosine as a polynomial: no call of a library in the loop."""
    x = since - start
    x = x - period * jnp.floor(x / period)
    phase = jnp.where(x < rise, x / rise, 1 + jnp.minimum((x - rise) / fall, 1.0))
    y = jnp.pi * (jnp.abs(phase - 1) - 0.5)  # the cosine of the fall is that of the rise, mirrored
    square = y * y
    sine = jnp.ones_like(y)
    for k in range(8, 0, -1):  # Taylor to y^17: 5e-14 at a right angle
        sine = 1 - square * (1 / (2 * k * (2 * k + 1))) * sine
    return 0.5 * (1 - y * sine)


def _apart(values: Array) -> Array:
    """A batch is computed once here, on CPU, and not again by everything that reads it; one member has nothing to lose."""
    return apart(values) if values.ndim > 1 else values


def _rows(values: Array, places: tuple[int, ...]) -> Array:
    """Rows by place, as slices put together, which XLA fuses with what is around, where an indexed read it does not."""
    parts, first = [], 0
    for i in range(1, len(places) + 1):
        if i == len(places) or places[i] != places[i - 1] + 1:
            parts.append(values[places[first] : places[i - 1] + 1])
            first = i
    if len(parts) == 1:
        return parts[0]
    return join_rows(parts) if values.ndim > 1 else jnp.concatenate(parts)


def _net(flow: Array, upstream: tuple[int, ...], downstream: tuple[int, ...], count: int) -> Array:
    """What comes in less what goes out, per compartment."""
    if sorted(upstream) == sorted(downstream) == list(range(count)):  # one way in and one out
        into, out = (tuple(int(i) for i in np.argsort(places)) for places in (downstream, upstream))
        return _rows(flow, into) - _rows(flow, out)
    table = np.zeros((count, len(flow)))
    np.add.at(table, (list(downstream), range(len(flow))), 1)
    np.add.at(table, (list(upstream), range(len(flow))), -1)
    return jnp.tensordot(jnp.asarray(table, flow.dtype), flow, 1)


def closed(flow: Array, valves: Sequence[bool]) -> Bool[Array, "branches *batch"]:
    """Which valves are shut."""
    return (flow <= 0) & jnp.asarray(valves).reshape(-1, *[1] * (flow.ndim - 1))
