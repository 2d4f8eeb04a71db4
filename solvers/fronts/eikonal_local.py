"""Arrival time of one cell from its neighbours' arrival times: Godunov on 6 of them, Hopf-Lax on 26."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Entry = Array | None
"""An entry of a tensor per cell; None where it is zero everywhere."""


class Symmetric(NamedTuple):
    """A symmetric tensor per cell, in the order of the axes a, b, c of a sweep."""

    aa: Array
    bb: Array
    cc: Array
    ab: Entry = None
    ac: Entry = None
    bc: Entry = None


class Update(NamedTuple):
    """The earliest arrival through one face of the cube of neighbours, and where on that face the ray crosses."""

    time: Array
    b: Array
    c: Array


Near = dict[tuple[int, int], Array]


def inverse(w: Symmetric) -> Symmetric:
    """The inverse of each tensor; a diagonal one stays diagonal."""
    if w.ab is None or w.ac is None or w.bc is None:
        return Symmetric(1 / w.aa, 1 / w.bb, 1 / w.cc)
    aa, bb, cc = w.bb * w.cc - w.bc * w.bc, w.aa * w.cc - w.ac * w.ac, w.aa * w.bb - w.ab * w.ab
    ab, ac, bc = w.ac * w.bc - w.ab * w.cc, w.ab * w.bc - w.ac * w.bb, w.ab * w.ac - w.aa * w.bc
    one = 1 / (w.aa * aa + w.ab * ab + w.ac * ac)
    return Symmetric(aa * one, bb * one, cc * one, ab * one, ac * one, bc * one)


def through_face(near: Near, w: Symmetric, m: Symmetric, side: Array) -> Update:
    r"""The least of $\sum_j\lambda_j T_j + |\sum_j\lambda_j x_j|_M$ over the face on ``side`` of axis a (Hopf-Lax).

    The face has eight triangles: its centre A, the middle B of an edge, a corner C. Inside one, the gradient's components
    $u_b = T_A - T_B$, $u_c = T_B - T_C$ are known and $u^T W u = 1$ leaves a quadratic for $u_a = T - T_A$; it counts if the ray $Wu$
    crosses that triangle. The sixteen edges and nine corners are minimised apart, which is what remains at walls and in slits.
    The four quadrants of the face are a leading axis: a quarter of the operations to compile.

    Args:
        near: Times at the nine neighbours on that side, by their offsets along b and c; infinite where not reached or not seen.
        w: Squared speed in units of cells.
        m: Its inverse.
        side: -1 or 1, of the type of the times.
    """
    w, m = jax.tree.map(lambda entry: entry[None], (w, m))
    rank = w.aa.ndim
    sb, sc = (jnp.asarray(signs, w.aa.dtype).reshape(4, *[1] * (rank - 1)) for signs in ((-1, -1, 1, 1), (-1, 1, -1, 1)))
    centre = near[0, 0][None]
    at_b = jnp.stack([near[-1, 0], near[-1, 0], near[1, 0], near[1, 0]])
    at_c = jnp.stack([near[0, -1], near[0, 1], near[0, -1], near[0, 1]])
    far = jnp.stack([near[-1, -1], near[-1, 1], near[1, -1], near[1, 1]])
    centre = jnp.broadcast_to(centre, far.shape)
    w, m = (
        Symmetric(*tensor[:3], _times(tensor.ab, side * sb), _times(tensor.ac, side * sc), _times(tensor.bc, sb * sc)) for tensor in (w, m)
    )
    zero, one = jnp.zeros_like(far), jnp.ones_like(far)
    to_b, to_c, across = _total(m.aa, m.bb, m.ab, m.ab), _total(m.aa, m.cc, m.ac, m.ac), _total(m.bb, m.cc, m.bc, m.bc)
    to_far = _total(to_b, m.cc, m.ac, m.ac, m.bc, m.bc)
    best = Update(centre + jnp.sqrt(m.aa), zero, zero)
    best = _less(best, at_b + jnp.sqrt(to_b), one, zero)
    best = _less(best, at_c + jnp.sqrt(to_c), zero, one)
    best = _less(best, far + jnp.sqrt(to_far), one, one)
    time, part = _edge(centre, at_b, m.bb, m.ab, m.aa)
    best = _less(best, time, part, zero)
    time, part = _edge(centre, at_c, m.cc, m.ac, m.aa)
    best = _less(best, time, zero, part)
    time, part = _edge(centre, far, across, _entry_total(m.ab, m.ac), m.aa)
    best = _less(best, time, part, part)
    time, part = _edge(at_b, far, m.cc, _entry_total(m.ac, m.bc), to_b)
    best = _less(best, time, one, part)
    time, part = _edge(at_c, far, m.bb, _entry_total(m.ab, m.bc), to_c)
    best = _less(best, time, part, one)
    best = _triangle(best, (centre, at_b, far), w, first_b=True)
    best = _triangle(best, (centre, at_c, far), w, first_b=False)
    best = Update(best.time, sb * best.b, sc * best.c)
    least = Update(*(part[0] for part in best))
    for quadrant in range(1, 4):
        least = _less(least, *(part[quadrant] for part in best))
    return least


def _triangle(best: Update, times: tuple[Array, Array, Array], w: Symmetric, first_b: bool) -> Update:
    centre, middle, far = times
    ub, uc = (centre - middle, middle - far) if first_b else (middle - far, centre - middle)
    beta = _entry_total(_times(w.ab, ub), _times(w.ac, uc))
    rest_b, rest_c = _total(w.bb * ub, _times(w.bc, uc)), _total(w.cc * uc, _times(w.bc, ub))
    gamma = ub * rest_b + uc * rest_c
    inside = w.aa * (1 - gamma) if beta is None else beta * beta + w.aa * (1 - gamma)
    ray_a = jnp.sqrt(jnp.maximum(inside, 0))
    ua = (ray_a if beta is None else ray_a - beta) / w.aa
    ray_b, ray_c = _total(rest_b, _times(w.ab, ua)), _total(rest_c, _times(w.ac, ua))
    long, short = (ray_b, ray_c) if first_b else (ray_c, ray_b)
    # Comparisons with NaN, from neighbours that are not reached, are false.
    crosses = (inside > 0) & (ray_a >= long) & (long >= short) & (short >= 0)
    return _less(best, jnp.where(crosses, centre + ua, jnp.inf), ray_b / ray_a, ray_c / ray_a)


def _edge(first: Array, second: Array, dd: Array, pd: Entry, pp: Array) -> tuple[Array, Array]:
    r"""Least of $(1-\lambda)T_P + \lambda T_Q + |P + \lambda d|_M$, $d = Q-P$; infinite unless $0\le\lambda\le1$. And $\lambda$."""
    fall = first - second
    slope = fall / dd
    left = 1 - fall * slope
    height = pp if pd is None else pp - pd * pd / dd
    root = jnp.sqrt(jnp.maximum(height * left, 0))
    part = fall * root / (left * dd)
    time = first + root
    if pd is not None:
        part, time = part - pd / dd, time + slope * pd
    return jnp.where((left > 0) & (part >= 0) & (part <= 1), time, jnp.inf), part


def _less(best: Update, time: Array, b: Array, c: Array) -> Update:
    better = time < best.time
    return Update(jnp.where(better, time, best.time), jnp.where(better, b, best.b), jnp.where(better, c, best.c))


def godunov(lowest: tuple[Array, Array, Array], w: tuple[Array, Array, Array]) -> Float[Array, "..."]:
    r"""$T$ from $\sum_a W_a\max(T-m_a, 0)^2 = 1$, where $m_a$ is the earlier neighbour along axis $a$.

    The axes enter in the order of $m_a$, each only if the time without it is later.
    Source: Rouy, Tourin (1992), SIAM J. Numer. Anal. 29, 867, scheme 3.5; Zhao (2005), Math. Comput. 74, 603, section 2.
    """
    pairs = [*zip(lowest, w, strict=True)]
    for i, j in ((0, 1), (1, 2), (0, 1)):
        (mi, wi), (mj, wj) = pairs[i], pairs[j]
        swap = mj < mi
        pairs[i] = (jnp.where(swap, mj, mi), jnp.where(swap, wj, wi))
        pairs[j] = (jnp.where(swap, mi, mj), jnp.where(swap, wi, wj))
    (first, total), (second, w2), (third, w3) = pairs
    time = first + 1 / jnp.sqrt(total)
    # Relative to the first neighbour: no cancellation, and an infinite one beside it stays out.
    linear, square = jnp.zeros_like(first), jnp.zeros_like(first)
    for other, weight in ((second, w2), (third, w3)):
        enters = other < time
        gap = jnp.where(enters, other - first, 0)
        weight = jnp.where(enters, weight, 0)
        total, linear, square = total + weight, linear + weight * gap, square + weight * gap * gap
        root = jnp.sqrt(jnp.maximum(linear * linear - total * (square - 1), 0))
        time = jnp.where(enters, first + (linear + root) / total, time)
    return time


def _times(entry: Entry, values: Array) -> Entry:
    return None if entry is None else entry * values


def _entry_total(*terms: Entry) -> Entry:
    """The sum of what is there; None if nothing is."""
    there = [term for term in terms if term is not None]
    return sum(there[1:], there[0]) if there else None


def _total(first: Array, *others: Entry) -> Array:
    """The first and what else is there."""
    return sum((term for term in others if term is not None), first)
