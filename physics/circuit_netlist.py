"""From a list of blocks and connections to a circuit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from physics.circuit import Circuit
from physics.circuit_blocks import KINDS, BlockKind
from physics.circuit_layout import POINTS, Group, kind_named, local_jacobians, pattern_of
from physics.circuit_waveform import Waveform, constant
from solvers.linear.sparse_elimination import EliminationPlan, elimination_plan


@dataclass(frozen=True)
class Block:
    """One block of a netlist.

    Args:
        name: Unique.
        kind: See :data:`physics.circuit_blocks.KINDS`, or ``junction``.
        values: Parameters by name.
        inputs: Waveforms, or numbers for what does not change, by name.
    """

    name: str
    kind: str
    values: Mapping[str, ArrayLike] = field(default_factory=dict)
    inputs: Mapping[str, Waveform | ArrayLike] = field(default_factory=dict)


def assemble(
    blocks: Sequence[Block], connections: Sequence[tuple[str, str]], period: ArrayLike = 1.0, step: float | None = None
) -> Circuit:
    """One system of all blocks.

    Args:
        blocks: The netlist.
        connections: ``(up, down)``: an outlet of the first block is an inlet of the second. The terminals of a junction are numbered in
            the order in which they appear here.
        period: s, of the activations of chambers.
        step: s, about the length of the steps that will be taken; a thousandth of the period if not given. Only the order of elimination
            depends on it.

    Raises:
        ValueError: An unknown kind or parameter (with near misses), a parameter missing, negative or not finite, an input without
            data, a connection to no block, a terminal that is used twice or not at all, parts that are not connected, or equations that are
            singular.
    """
    if not blocks:
        raise ValueError("got no blocks; expected at least one; do: give a netlist")
    named = _checked_blocks(blocks)
    joined = _joined(named, connections)
    unknowns = [(0, f"pressure:{up}:{down}") for up, down in connections] + [(1, f"flow:{up}:{down}") for up, down in connections]
    for block in blocks:
        for name in joined[block.name][0].internal:
            unknowns.append((0 if "pressure" in name else 2 if "volume" in name else 3, f"{name}:{block.name}"))
    order = sorted(range(len(unknowns)), key=lambda i: unknowns[i][0])
    names = tuple(unknowns[i][1] for i in order)
    place = {name: i for i, name in enumerate(names)}
    groups: dict[str, list[Block]] = {}
    for block in blocks:
        groups.setdefault(joined[block.name][0].name, []).append(block)
    found, inputs, row = [], [], 0
    for kind_name, members in groups.items():
        kind = kind_named(kind_name)
        places, rows, given = [], [], []
        for block in members:
            wires = joined[block.name][1]
            local = [place[f"{what}:{connections[w][0]}:{connections[w][1]}"] for w in wires for what in ("pressure", "flow")]
            places.append((*local, *(place[f"{name}:{block.name}"] for name in kind.internal)))
            equations = kind.terminals + len(kind.internal)
            # The same equation of all blocks of a kind side by side: their residuals then need no sorting.
            rows.append(tuple(row + i * len(members) + len(rows) for i in range(equations)))
            waves = [] if kind_name == "chamber" else [block.inputs[name] for name in kind.inputs]
            given.append(tuple(range(len(inputs), len(inputs) + len(waves))))
            inputs.extend(wave if isinstance(wave, Waveform) else constant(wave) for wave in waves)
        row += len(members) * (kind.terminals + len(kind.internal))
        found.append(Group(kind_name, tuple(block.name for block in members), tuple(places), tuple(rows), tuple(given)))
    if row != len(names):
        got = f"{row} equations for {len(names)} unknowns"
        raise ValueError(f"got {got}; expected as many; do: end every branch in a source, a resistance, a windkessel or a chamber's loop")
    period_array = jnp.asarray(period, float)
    batch = jnp.broadcast_shapes(period_array.shape, *(jnp.shape(v) for block in blocks for v in block.values.values()))
    parameters = {kind: _table(kind_named(kind), members, batch) for kind, members in groups.items()}
    parts = (parameters, tuple(inputs), jnp.broadcast_to(period_array, batch), tuple(found), names, tuple(unknowns[i][0] for i in order))
    return Circuit(*parts, _plan(Circuit(*parts, EliminationPlan(len(names), (), 0)), step))


def _checked_blocks(blocks: Sequence[Block]) -> dict[str, Block]:
    named: dict[str, Block] = {}
    for block in blocks:
        if block.name in named:
            raise ValueError(f"got two blocks named {block.name!r}; expected different names; do: rename one")
        named[block.name] = block
        if block.kind == "junction":
            continue
        if block.kind not in KINDS:
            close = get_close_matches(block.kind, [*KINDS, "junction"], n=3, cutoff=0.4) or [*KINDS, "junction"]
            raise ValueError(f"got block {block.name!r} of kind {block.kind!r}; expected a known kind; do: use {' or '.join(close)}")
        kind = KINDS[block.kind]
        for given, known, what in ((block.values, kind.parameters, "parameter"), (block.inputs, kind.inputs, "input")):
            for name in given:
                if name not in known:
                    close = get_close_matches(name, known, n=3, cutoff=0.4) or known or ("none",)
                    raise ValueError(
                        f"got {what} {name!r} of block {block.name!r}; expected one of {kind.name}; do: use {' or '.join(close)}"
                    )
        for name in kind.parameters:
            if name not in block.values and name not in kind.optional:
                raise ValueError(f"got block {block.name!r} without {name}; expected every parameter of {kind.name}; do: give {name}")
            _check_value(block, kind, name)
        for name in kind.inputs:
            if name not in block.inputs and block.kind != "chamber":
                raise ValueError(
                    f"got {kind.name} {block.name!r} without data for {name}; expected a waveform or a number; do: give {name}"
                )
    return named


def _check_value(block: Block, kind: BlockKind, name: str) -> None:
    value = block.values.get(name, 0.0)
    if isinstance(value, Tracer):
        return
    array = np.asarray(value, float)
    least = -np.inf if name in kind.signed else 0.0
    if not np.isfinite(array).all() or (array < least).any() or (name in kind.positive and (array <= 0).any()):
        expected = "a finite number" if name in kind.signed else "above 0" if name in kind.positive else "0 or above"
        raise ValueError(f"got {name} {array.min():g} of {block.name!r}; expected {expected}; do: correct the value")


def _joined(named: Mapping[str, Block], connections: Sequence[tuple[str, str]]) -> dict[str, tuple[BlockKind, list[int]]]:
    """The kind of each block, and its connections: inlets, then outlets."""
    inlets: dict[str, list[int]] = {name: [] for name in named}
    outlets: dict[str, list[int]] = {name: [] for name in named}
    for number, (up, down) in enumerate(connections):
        for name in (up, down):
            if name not in named:
                close = get_close_matches(name, named, n=3, cutoff=0.4) or list(named)[:8]
                raise ValueError(f"got a connection of {name!r}; expected a block of the netlist; do: use {' or '.join(close)}")
        outlets[up].append(number)
        inlets[down].append(number)
    if len(set(connections)) != len(connections):
        raise ValueError("got the same connection twice; expected each once; do: remove one, or put vessels in between")
    result = {}
    for name, block in named.items():
        kind = kind_named(f"junction_{len(inlets[name])}_{len(outlets[name])}") if block.kind == "junction" else KINDS[block.kind]
        have = (len(inlets[name]), len(outlets[name]))
        if have != (kind.inlets, kind.outlets) or sum(have) == 0:
            got = f"block {name!r} with {have[0]} inlets and {have[1]} outlets connected"
            raise ValueError(f"got {got}; expected {kind.inlets} and {kind.outlets}; do: connect it, several through a junction")
        result[name] = (kind, inlets[name] + outlets[name])
    reached, front = set(), [next(iter(named))]
    while front:
        name = front.pop()
        if name not in reached:
            reached.add(name)
            front.extend(other for pair in connections if name in pair for other in pair)
    if len(reached) < len(named):
        lost = sorted(set(named) - reached)
        raise ValueError(f"got a netlist in parts, {lost[0]!r} not reached from the first block; expected one circuit; do: connect them")
    return result


def _table(kind: BlockKind, blocks: Sequence[Block], batch: tuple[int, ...]) -> jnp.ndarray:
    rows = [[jnp.broadcast_to(jnp.asarray(b.values.get(name, 0.0), float), batch) for b in blocks] for name in kind.parameters]
    return jnp.stack([jnp.stack(row) for row in rows]) if rows else jnp.zeros((0, len(blocks), *batch))


def _plan(circuit: Circuit, step: float | None) -> EliminationPlan:
    """Pivots that are good with valves open and closed, for the first member of a batch."""
    if any(isinstance(leaf, Tracer) for leaf in (*circuit.parameters.values(), circuit.period)):
        raise ValueError("got traced parameters in a netlist; expected numbers; do: assemble once, then use with_values inside of jit")
    size, random = len(circuit.names), np.random.default_rng(0)
    period = float(np.asarray(circuit.period).flat[0])
    if not period > 0:
        raise ValueError(f"got a period of {period:g} s; expected above 0; do: give the time between beats")
    shift = np.full(POINTS, 1.5 / (step or period / 1000))
    kinds = np.array(circuit.kinds)
    scale = np.array([100.0, 100.0, 100.0, 0.5])[kinds]
    states = scale * np.where(kinds < 2, random.normal(size=(POINTS, size)), random.uniform(0.2, 1.0, (POINTS, size)))
    samples, pattern = np.zeros((POINTS, size, size)), np.zeros((size, size), bool)
    for group in circuit.groups:
        table = np.asarray(circuit.parameters[group.kind])
        table = table.reshape(*table.shape[:2], -1)[..., 0] if table.size else np.zeros(table.shape[:2])
        places_of = list(pattern_of(group.kind))
        for b, (rows, places) in enumerate(zip(group.rows, group.places, strict=True)):
            p, u = np.tile(table[:, b], (POINTS, 1)), states[:, list(places)]
            given = random.uniform(0.0, 1.0, (POINTS, len(kind_named(group.kind).inputs)))
            local = local_jacobians(group.kind, p, u, np.zeros_like(u), given, shift)
            for i, j in places_of:
                samples[:, rows[i], places[j]] += local[:, i, j]
                pattern[rows[i], places[j]] = True
    return elimination_plan(samples, pattern)
