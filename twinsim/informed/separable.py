"""Separable networks: sums of products of networks of one coordinate each, cheap on tensor grids."""

from collections.abc import Callable, Sequence
from math import factorial
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from twinsim.errors import InputError
from twinsim.informed.jet import Jet
from twinsim.informed.network import SmoothPerceptron
from twinsim.informed.taylor import cosine_series, perceptron_series

Ends = Literal["free", "insulated", "periodic"]
Orders = tuple[tuple[int, ...], ...]


class SeparableNetwork(eqx.Module):
    r"""$u_c(x_1,\dots,x_d)=\sum_{r=1}^R\prod_{i=1}^df_i^{rc}(x_i)$ with one small perceptron per coordinate; time is a coordinate.

    On a grid of $N^d$ points the perceptrons are evaluated $dN$ times. A derivative of any order, mixed ones too, is a sum of products of
    derivatives of one variable: $\partial^ku=\sum_r\prod_i\partial^{k_i}f_i^r$. It takes the place of a :class:`SmoothPerceptron` in any
    model that asks for ``jet``, ``partials`` or values at a point; :class:`twinsim.informed.tensor_rows.TensorRows` makes use of grids.

    Args:
        low: Lower ends of the coordinates.
        high: Upper ends.
        widths: Units of the hidden layers of each perceptron.
        rank: $R$; 4 to 16.
        outputs: Numbers at a point.
        key: Random key.
        ends: Per coordinate ``free``; ``insulated``: the perceptron sees $\cos\pi s$, $s\in[0,1]$ over the axis, so that slopes are zero at
            both ends whatever the weights are; ``periodic``: it sees $\cos2\pi s$ and $\sin2\pi s$. None for all free.
        steepness: As of :class:`SmoothPerceptron`, per coordinate.

    Raises:
        InputError: No rank, ends out of order or of another number than coordinates, a name of ends that is unknown.

    Good: smooth fields whose features lie along the axes. Fails: fronts across the axes, which cost a rank that grows with their steepness.
    Source: Cho, Nam, Yang, Yun, Hong and Park (2023), Separable physics-informed neural networks, NeurIPS 36.
    """

    axes: tuple[SmoothPerceptron, ...]
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    ends: tuple[str, ...] = eqx.field(static=True)
    rank: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        low: tuple[float, ...],
        high: tuple[float, ...],
        widths: tuple[int, ...],
        rank: int,
        outputs: int = 1,
        *,
        key: PRNGKeyArray,
        ends: tuple[str, ...] | None = None,
        steepness: tuple[float, ...] | None = None,
    ) -> None:
        count = len(low)
        ends = ("free",) * count if ends is None else ends
        steepness = (1.0,) * count if steepness is None else steepness
        if rank < 1:
            raise InputError(f"rank {rank}", "at least 1", "use 4 to 16")
        if not count or {len(high), len(ends), len(steepness)} != {count}:
            sizes = f"{count} lower ends, {len(high)} upper ends, {len(ends)} kinds of ends, {len(steepness)} numbers of steepness"
            raise InputError(sizes, "one of each per coordinate", "give as many")
        if not set(ends) <= set(get_args(Ends)):
            raise InputError(f"ends {ends}", ", ".join(get_args(Ends)), "choose one of them per coordinate")
        if not all(a < b for a, b in zip(low, high, strict=True)):
            raise InputError(f"coordinates from {low} to {high}", "lower ends below upper ends", "give one pair per coordinate")
        keys = jax.random.split(key, count)
        self.axes = tuple(
            SmoothPerceptron((-1.0,) * n, (1.0,) * n, widths, rank * outputs, key=keys[i], steepness=(steepness[i],) * n)
            for i, (kind, n) in enumerate((kind, 2 if kind == "periodic" else 1) for kind in ends)
        )
        self.low, self.high, self.ends, self.rank, self.outputs = low, high, ends, rank, outputs

    def tables(self, axes: Sequence[Array], orders: tuple[int, ...]) -> list[Float[Array, "points orders rank outputs"]]:
        r"""$\partial^kf_i^{rc}(x)$ at the points of every axis, $k=0,1,\dots$ up to the order given for it."""
        found = self._on_axes(axes, orders, perceptron_series)
        return [one.reshape(*one.shape[:2], self.rank, self.outputs) for one in found]

    def slopes(self, axes: Sequence[Array], orders: tuple[int, ...]) -> list[Float[Array, "points features parameters"]]:
        """Derivatives of the flat tables in the parameters of each axis's own perceptron, in the order of ``ravel_pytree``."""

        def at(one: SmoothPerceptron, seen: Array) -> Array:
            vector, restore = ravel_pytree(eqx.filter(one, eqx.is_inexact_array))
            static = eqx.filter(one, eqx.is_inexact_array, inverse=True)
            return jax.jacrev(lambda theta: perceptron_series(eqx.combine(restore(theta), static), seen))(vector)

        return [one.reshape(one.shape[0], -1, one.shape[-1]) for one in self._on_axes(axes, orders, at)]

    def _seen(self, axis: int, x: Float[Array, " _"], terms: int) -> Float[Array, "points terms inputs"]:
        """Power series of what the perceptron of an axis is given, in the coordinate."""
        span = self.high[axis] - self.low[axis]
        s = (x - self.low[axis]) / span
        if self.ends[axis] == "free":
            line = [2 * s - 1, jnp.full_like(s, 2 / span)] + [jnp.zeros_like(s)] * (terms - 2)
            return jnp.stack(line[:terms], axis=1)[..., None]
        turns, shifts = (jnp.pi, (0.0,)) if self.ends[axis] == "insulated" else (2 * jnp.pi, (0.0, jnp.pi / 2))
        series = [cosine_series(turns * s - shift, turns / span, terms) for shift in shifts]
        return jnp.moveaxis(jnp.stack(series, axis=-1), 1, 0)

    def _on_axes(self, axes: Sequence[Array], orders: tuple[int, ...], function: Callable[..., Array]) -> list[Array]:
        """A function of perceptron and input series at all points of all axes, as derivatives; alike axes in one go."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i, (end, x) in enumerate(zip(self.ends, axes, strict=True)):
            groups.setdefault((1 + (end == "periodic"), x.size), []).append(i)
        answers: dict[int, Array] = {}
        for alike in groups.values():
            terms = 1 + max(orders[i] for i in alike)
            networks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(self.axes[i] for i in alike))
            seen = jnp.stack([self._seen(i, axes[i], terms) for i in alike])
            found = jax.vmap(jax.vmap(function, in_axes=(None, 0)))(networks, seen)
            scale = jnp.asarray([float(factorial(k)) for k in range(terms)])
            found = found * scale.reshape(terms, *(1,) * (found.ndim - 3))[None, None]
            answers |= {i: found[n, :, : 1 + orders[i]] for n, i in enumerate(alike)}
        return [answers[i] for i in range(len(axes))]

    def partials(self, point: Float[Array, " axes"], orders: Orders) -> Float[Array, "orders outputs"]:
        """Derivatives at a point, each by its order along every coordinate: ``((0, 0), (1, 1))`` is the value and the mixed one."""
        tables = self.tables([x[None] for x in point], tuple(max(k[i] for k in orders) for i in range(len(self.axes))))
        return jnp.stack([jnp.sum(_product([table[0, k[i]] for i, table in enumerate(tables)]), axis=0) for k in orders])

    def __call__(self, point: Float[Array, " axes"]) -> Float[Array, " outputs"]:
        """Values alone."""
        return self.partials(point, ((0,) * len(self.axes),))[0]

    def jet(self, point: Float[Array, " axes"], bent: tuple[int, ...]) -> Jet:
        """Values with slopes along all coordinates, and bends along those of ``bent``."""
        return jet_of(self.partials(point, jet_orders(len(self.axes), bent)), len(self.axes), bent)

    def on_grid(self, axes: Sequence[Array], order: tuple[int, ...] | None = None) -> Float[Array, "..."]:
        """Values, or one derivative, on a tensor grid: one axis of the answer per coordinate, outputs last.

        Raises:
            InputError: Another number of axes than coordinates.
        """
        check_axes(axes, len(self.axes))
        order = (0,) * len(axes) if order is None else order
        tables = [one[:, k] for one, k in zip(self.tables(axes, order), order, strict=True)]
        if len(tables) == 1:
            return jnp.sum(tables[0], axis=1)
        answer = tables[0]
        for table in tables[1:-1]:
            answer = answer[..., None, :, :] * table.reshape((1,) * (answer.ndim - 2) + table.shape)
        return jnp.einsum("...rc,nrc->...nc", answer, tables[-1])  # the rank is never there on all of the grid


def _product(factors: list[Array]) -> Array:
    whole = factors[0]
    for one in factors[1:]:
        whole = whole * one
    return whole


def jet_orders(count: int, bent: tuple[int, ...]) -> Orders:
    """What a jet has: the value, a slope per coordinate, bends."""
    unit = np.eye(count, dtype=int)
    return tuple(tuple(int(n) for n in row) for row in (np.zeros(count, int), *unit, *(2 * unit[axis] for axis in bent)))


def jet_of(partials: Float[Array, "orders outputs"], count: int, bent: tuple[int, ...]) -> Jet:
    """The jet of derivatives in the order of :func:`jet_orders`."""
    return Jet(partials[0], partials[1 : 1 + count], partials[1 + count :], bent)


def check_axes(axes: Sequence[Array], count: int) -> None:
    """One array of coordinates per axis."""
    if len(axes) != count:
        raise InputError(f"{len(axes)} axes of points", f"{count}, one per coordinate of the separable network", "give one array for each")
    for number, one in enumerate(axes):
        if one.ndim != 1 or not one.size:
            raise InputError(f"axis {number} of shape {one.shape}", "one coordinate per point, some points", "give an array of shape (n,)")


def grid_axes(points: ArrayLike) -> tuple[Array, ...]:
    """The axes of a tensor grid whose points are listed in any order, e.g. centres of voxels of a box.

    Raises:
        InputError: They are no grid: some combination of their coordinates is missing, or one is there twice.
    """
    listed = np.asarray(points, float)
    if listed.ndim != 2 or not listed.size:
        raise InputError(f"points of shape {listed.shape}", "(points, axes)", "give one row per point")
    axes = [np.unique(column) for column in listed.T]
    whole = int(np.prod([len(axis) for axis in axes]))
    if len(np.unique(listed, axis=0)) != whole or len(listed) != whole:
        raise InputError(
            f"{len(listed)} points", f"{whole}, all of a tensor grid, each once", "give a full grid, or use Rows for single points"
        )
    return tuple(jnp.asarray(axis) for axis in axes)
