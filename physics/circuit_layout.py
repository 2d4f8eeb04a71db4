"""Where the unknowns of a circuit's blocks lie, and the entries that each kind of block gives to the Jacobian."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from physics.circuit_blocks import KINDS, BlockKind, junction
from solvers.shapes import Scalar

type Found = dict[tuple[int, int], Array | float]


@dataclass(frozen=True)
class Group:
    """The blocks of one kind.

    Attributes:
        kind: Its name.
        blocks: Names of the blocks.
        places: Per block, the unknowns of the circuit that its local ones are.
        rows: Per block, the equations of the circuit that its own are.
        inputs: Per block, which waveforms it is given.
    """

    kind: str
    blocks: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]
    inputs: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=None)
def kind_named(name: str) -> BlockKind:
    """The kind of that name; ``junction_2_3`` joins two inlets and three outlets."""
    if name.startswith("junction_"):
        inlets, outlets = name.split("_")[1:]
        return junction(int(inlets), int(outlets))
    return KINDS[name]


def key_error(what: str, name: str, known: Iterable[str]) -> ValueError:
    """An unknown name with its near misses."""
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.4) or known[:12]
    return ValueError(f"got {what} {name!r}; expected one of this circuit; do: use {' or '.join(close) or 'another block'}")


def entries_of(
    kind: str, parameters: Sequence[Array], unknowns: Sequence[Array], rates: Sequence[Array], inputs: Sequence[Array], shift: Scalar
) -> tuple[list[Array], Found]:
    r"""Residuals of a block, and its entries of $\partial r/\partial y + s\,\partial r/\partial\dot y$ by local row and unknown.

    Entries are held in derivatives; those that are 1 or -1 whatever the values are Python numbers.
    """
    residual = kind_named(kind).equations(parameters, unknowns, rates, inputs)
    pattern = pattern_of(kind)
    p, u, r, s = lax.stop_gradient((list(parameters), list(unknowns), list(rates), list(inputs)))
    found: Found = {}
    for j in range(len(u)):
        rows = [(i, value) for (i, k), value in pattern.items() if k == j]
        found |= {(i, j): value for i, value in rows if value is not None}
        if all(value is not None for _, value in rows):
            continue
        column = _column(kind, p, u, r, s, shift, j)
        found |= {(i, j): column[i] for i, value in rows if value is None}
    return residual, found


def _column(kind: str, p: Sequence[Array], u: Sequence[Array], r: Sequence[Array], s: Sequence[Array], shift: Array, j: int) -> list[Array]:
    def along(step: Array) -> list[Array]:
        moved = [value + step if i == j else value for i, value in enumerate(u)]
        faster = [value + shift * step if i == j else value for i, value in enumerate(r)]
        return kind_named(kind).equations(p, moved, faster, s)

    zero = jnp.zeros_like(u[j])
    return jax.jvp(along, (zero,), (jnp.ones_like(zero),))[1]


@lru_cache(maxsize=None)
def pattern_of(kind: str) -> dict[tuple[int, int], float | None]:
    """Which entries a kind of block has, and their value where it is 1 or -1 at all of several random points."""
    block = kind_named(kind)
    probes = []
    with jax.ensure_compile_time_eval():
        for seed in range(6):
            random = np.random.default_rng(seed)
            # Pressures on both sides of a valve's threshold, flows both ways; an opening between 0 and 1.
            draw = lambda count: [jnp.asarray(value) for value in random.uniform(0.1, 0.9, count)]  # noqa: B023, E731
            u = [value * (-1.0) ** (seed + i) for i, value in enumerate(draw(block.unknowns))]
            u = [jnp.abs(value) if i == block.unknowns - 1 else value for i, value in enumerate(u)]
            p, r, s = draw(len(block.parameters)), draw(block.unknowns), draw(len(block.inputs))
            shift = draw(1)[0] + seed
            probes.append([[float(v) for v in _column(kind, p, u, r, s, shift, j)] for j in range(block.unknowns)])
    values = np.array(probes)
    pattern: dict[tuple[int, int], float | None] = {}
    for j in range(values.shape[1]):
        for i in range(values.shape[2]):
            entry = values[:, j, i]
            if (entry != 0).any():
                same = (entry == entry[0]).all() and abs(entry[0]) == 1
                pattern[i, j] = float(entry[0]) if same else None
    return pattern
