"""Where the unknowns of a circuit's blocks lie, and the entries that each kind of block gives to the Jacobian."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from physics.circuit_blocks import KINDS, BlockKind, junction
from solvers.shapes import Scalar

POINTS = 8
"""How many points a kind of block is looked at, for its pattern and for pivots."""

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


@cache
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


@cache
def _compiled(kind: str) -> Callable[..., Array]:
    """All columns at several points at once, ``(points, equations, unknowns)``: one small program per kind."""

    def at_point(p: Array, u: Array, r: Array, s: Array, shift: Array) -> Array:
        return jnp.stack([jnp.stack(_column(kind, list(p), list(u), list(r), list(s), shift, j)) for j in range(u.size)], axis=1)

    return jax.jit(jax.vmap(at_point))


def local_jacobians(kind: str, p: np.ndarray, u: np.ndarray, r: np.ndarray, s: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Jacobians of a kind of block at :data:`POINTS` points, on the host; the first axis of every argument."""
    with jax.ensure_compile_time_eval():
        return np.asarray(_compiled(kind)(p, u, r, s, shift))


@cache
def pattern_of(kind: str) -> dict[tuple[int, int], float | None]:
    """Which entries a kind of block has, and their value where it is 1 or -1 at all of several random points."""
    block, random = kind_named(kind), np.random.default_rng(0)

    def draw(count: int) -> np.ndarray:
        return random.uniform(0.1, 0.9, (POINTS, count))

    # Pressures on both sides of a valve's threshold, flows both ways; what is last (a volume, an opening) positive.
    u = draw(block.unknowns) * np.where((np.arange(POINTS)[:, None] + np.arange(block.unknowns)) % 2, -1.0, 1.0)
    u[:, -1] = np.abs(u[:, -1])
    shift = np.linspace(0.7, 5.3, POINTS)
    values = local_jacobians(kind, draw(len(block.parameters)), u, draw(block.unknowns), draw(len(block.inputs)), shift)
    pattern: dict[tuple[int, int], float | None] = {}
    for i, j in np.argwhere((values != 0).any(0)):
        entry = values[:, i, j]
        pattern[int(i), int(j)] = float(entry[0]) if (entry == entry[0]).all() and abs(entry[0]) == 1 else None
    return pattern
