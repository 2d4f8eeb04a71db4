"""Residuals of a separable network on a tensor grid: normal equations without the Jacobian of any row."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from twinsim.errors import InputError
from twinsim.informed.jet import Jet
from twinsim.informed.rows import Function, Parameters, RowBlock, split
from twinsim.informed.separable import Orders, SeparableNetwork, check_axes, jet_of, jet_orders

LETTERS = "ABCDEFGH"  # axes of a slab


class TensorRows(RowBlock):
    r"""$w\,r(\theta,x)$ for all $x$ of a tensor grid, of a model that holds one :class:`SeparableNetwork`.

    The residual is that of single points: whatever the model makes of the network's ``jet`` or ``partials`` at the point itself (lifts that
    meet start and walls, the rate of an equation) is done point by point, and differentiated there by the few derivatives
    $\partial^ku$ that it asked for, $c_k=\partial r/\partial(\partial^ku)$. All else has the structure of the grid: with the outputs
    $o=(m,r)$ of the perceptron of axis $i$, its $m$-th derivatives,

    $$\frac{\partial r}{\partial\theta_i}=\sum_oS_{io}(x)\,\frac{\partial f_{io}}{\partial\theta_i}(x_i),\qquad
      S_{i,(m,r)}=\sum_{k:\,k_i=m}c_k\prod_{j\ne i}\partial^{k_j}f_j^r(x_j),$$

    so that a block of $J^TJ$ needs $\sum S_iS_j^T$ over all axes but $i$ and $j$: some tens squared per point instead of parameters
    squared. Slabs of the first axis come one after the other. Further parameters of the model, such as a coefficient, are fitted along.

    Args:
        function: $r$ of the model and of one point; a number, or a few.
        axes: Coordinates along every axis.
        weight: Of the root of the mean square.

    Memory: points of a slab times the outputs of all perceptrons, and per pair of axes points along both times outputs squared. Fails:
    residuals that ask for the network anywhere but at the point (refused); more than a few dozen further parameters.

    Raises:
        InputError: Axes that are not arrays of shape (n,) with points; when it is evaluated: another number of axes than the network has
            coordinates, not one separable network in the model.
    """

    function: Function = eqx.field(static=True)
    axes: tuple[Array, ...]  # shapes are checked by check_axes: of a tuple one entry at random is looked at by types
    weight: Float[Array, ""]

    def __init__(self, function: Function, axes: Sequence[Array], weight: float = 1.0) -> None:
        check_axes(axes, len(axes))
        count = 1
        for one in axes:
            count *= one.size
        self.function, self.axes, self.weight = function, tuple(axes), jnp.asarray(weight / count**0.5)

    def residuals(self, model: PyTree) -> Float[Array, " rows"]:
        """All of them, weighted, the last axis of the grid fastest."""
        parts, tables = self._parts(model)
        found = jax.lax.map(lambda given: self._slab(parts, given[0], given[1], tables[1:])[0], (self.axes[0], tables[0]))
        return found.reshape(-1)

    def half_square(self, model: PyTree) -> Float[Array, ""]:
        """See :class:`RowBlock`."""
        parts, tables = self._parts(model)

        def add(total: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
            found = self._slab(parts, given[0], given[1], tables[1:])[0]
            return total + 0.5 * jnp.sum(found**2), None

        # Checkpointed: in reverse mode no slab but the one at hand is kept.
        return jax.lax.scan(jax.checkpoint(add), jnp.zeros((), self.weight.dtype), (self.axes[0], tables[0]))[0]

    def normal(
        self, vector: Parameters, restore: Callable[[Parameters], PyTree]
    ) -> tuple[Float[Array, ""], Parameters, Float[Array, "parameters parameters"]]:
        """See :class:`RowBlock`."""
        model = restore(vector)
        parts, tables = self._parts(model)
        slopes = parts.network.slopes(self.axes, _highest(parts))
        sums = self._sums(parts, tables)
        dims, more = range(len(self.axes)), parts.others.size
        gradient = [jnp.einsum("ao,aou->u", sums.gradient[i], slopes[i]) for i in dims]
        blocks: dict[tuple[int, int], Array] = {}
        for i in dims:
            blocks[i, i] = jnp.einsum("apv,apu->uv", jnp.einsum("apq,aqv->apv", sums.pairs[i, i], slopes[i]), slopes[i])
            for j in dims[i + 1 :]:
                half = jnp.einsum("abpq,apu->buq", sums.pairs[i, j], slopes[i])
                blocks[i, j] = jnp.einsum("buq,bqv->uv", half, slopes[j])
                blocks[j, i] = blocks[i, j].T
        last = len(self.axes)
        if more:
            gradient.append(sums.others_gradient)
            for i in dims:
                blocks[i, last] = jnp.einsum("aqo,aou->uq", sums.crossed[i], slopes[i])
                blocks[last, i] = blocks[i, last].T
            blocks[last, last] = sums.others
        count = last + bool(more)
        curvature = jnp.block([[blocks[i, j] for j in range(count)] for i in range(count)])
        place = _places(vector, restore)
        return (
            sums.value,
            jnp.zeros_like(vector).at[place].set(jnp.concatenate(gradient)),
            jnp.zeros((vector.size, vector.size), vector.dtype).at[place[:, None], place[None]].set(curvature),
        )

    def _parts(self, model: PyTree) -> tuple["_Parts", list[Float[Array, "points orders rank outputs"]]]:
        """The network, what is beside it, which derivatives the residual asks for, and the perceptrons at the axes' points."""
        network = _network(model)
        check_axes(self.axes, len(network.axes))
        others, rebuild = split(_swapped(model, _HERE))
        asked: set[tuple[int, ...]] = set()
        point = jax.ShapeDtypeStruct((len(self.axes),), self.weight.dtype)

        def trial(at: Array) -> Array:
            return jnp.asarray(self.function(_filled(rebuild(others), _Asked(at, asked, network.outputs)), at))

        jax.eval_shape(trial, point)
        parts = _Parts(network, others, rebuild, tuple(sorted(asked)))
        return parts, network.tables(self.axes, _highest(parts))

    def _slab(
        self, parts: "_Parts", first: Float[Array, ""], table: Array, tables: list[Array], slopes: bool = False
    ) -> tuple[Float[Array, "points rows"], list[Array], Array]:
        """Residuals of the points that share the first coordinate; with ``slopes`` their $S_i$, and slopes in what is beside the network.

        $S_i$ has the axes (rows, the slab's, outputs of the perceptron).
        """
        shape = tuple(one.size for one in self.axes[1:])
        letters, kinds = LETTERS[: len(shape)], np.array(parts.orders, int).reshape(-1, len(self.axes))
        # Every table once per derivative that is asked for: products then are single operations, however many derivatives.
        wide = [table[kinds[:, 0]], *(one[:, kinds[:, j + 1]] for j, one in enumerate(tables))]

        def product(without: int) -> tuple[Array, str]:
            """Of all tables but one, and its axes."""
            taken = [j for j in range(len(wide)) if j != without]
            left = [letters[j - 1] for j in taken if j]
            whole = jnp.ones((*(1,) * len(left), *wide[0].shape))
            for j in taken:
                if j:
                    position = left.index(letters[j - 1])
                    shaped = (1,) * position + wide[j].shape[:1] + (1,) * (len(left) - position - 1) + wide[j].shape[1:]
                    whole = whole * wide[j].reshape(shaped)
                else:
                    whole = whole * wide[0].reshape((1,) * len(left) + wide[0].shape)
            return whole, "".join(left)

        last = len(wide) - 1
        most, kept = product(last)
        # The rank is summed with the last axis, so that it is never there on all of the slab.
        values = jnp.einsum(f"{kept}krc,{letters[last - 1]}krc->{letters}kc", most, wide[last]) if last else jnp.sum(wide[0], axis=1)
        values = values.reshape(-1, *values.shape[len(shape) :])
        grid = jnp.meshgrid(*self.axes[1:], indexing="ij")
        rest = [one.reshape(-1) for one in grid]
        points = jnp.stack([jnp.broadcast_to(first, (values.shape[0],)), *rest], axis=1)

        def at(given: Array, others: Array, point: Array) -> Array:
            view = _Known(point, given, parts.orders)
            return self.weight * jnp.asarray(self.function(_filled(parts.rebuild(others), view), point)).reshape(-1)

        if not slopes:
            return jax.vmap(at, in_axes=(0, None, 0))(values, parts.others, points), [], jnp.zeros(0)

        def both(given: Array, others: Array, point: Array) -> tuple[Array, Array]:
            found = at(given, others, point)
            return found, found

        (change, beside), found = jax.vmap(jax.jacrev(both, (0, 1), has_aux=True), in_axes=(0, None, 0))(values, parts.others, points)
        change = jnp.moveaxis(change, 1, 0)  # (rows, points, orders, outputs)
        change = change.reshape(change.shape[0], *shape, *change.shape[2:])
        features = []
        for i in range(len(wide)):
            most, kept = product(i)
            of_order = jnp.asarray(kinds[:, i] == np.arange(kinds[:, i].max() + 1)[:, None], change.dtype)
            by_order = jnp.einsum("y...kc,mk->y...mkc", change, of_order)
            one = jnp.einsum(f"y{letters}mkc,{kept}krc->y{letters}mrc", by_order, most)
            features.append(one.reshape(change.shape[0], *shape, -1))
        return found, features, jnp.moveaxis(beside, 1, 0).reshape(change.shape[0], *shape, -1)

    def _sums(self, parts: "_Parts", tables: list[Array]) -> "_Sums":
        """All sums over rows, slab by slab; what belongs to the first axis is stacked, all else added."""
        dims = range(len(self.axes))
        letters = LETTERS[: len(self.axes) - 1]
        keep = ["", *letters]

        def slab(total: dict[Any, Array] | None, given: tuple[Array, Array]) -> tuple[dict[Any, Array], dict[Any, Array]]:
            found, features, beside = self._slab(parts, given[0], given[1], tables[1:], slopes=True)
            rows = found.T.reshape(features[0].shape[:-1])
            every: dict[Any, Array] = {("value",): 0.5 * jnp.sum(rows**2)}
            for i in dims:
                every["gradient", i] = jnp.einsum(f"y{letters},y{letters}p->{keep[i]}p", rows, features[i])
                for j in dims[i:]:
                    left = keep[i] if i == j else keep[i] + keep[j]
                    every["pairs", i, j] = jnp.einsum(f"y{letters}p,y{letters}q->{left}pq", features[i], features[j])
                if parts.others.size:
                    every["crossed", i] = jnp.einsum(f"y{letters}q,y{letters}p->{keep[i]}qp", beside, features[i])
            if parts.others.size:
                every["others_gradient",] = jnp.einsum(f"y{letters},y{letters}q->q", rows, beside)
                every["others",] = jnp.einsum(f"y{letters}p,y{letters}q->pq", beside, beside)
            stacked = {str(name): one for name, one in every.items() if 0 in name[1:]}
            added = {str(name): one for name, one in every.items() if 0 not in name[1:]}
            return added if total is None else jax.tree.map(jnp.add, total, added), stacked

        shapes = jax.eval_shape(lambda: slab(None, (self.axes[0][0], tables[0][0]))[0])
        nothing = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), shapes)
        added, stacked = jax.lax.scan(slab, nothing, (self.axes[0], tables[0]))
        every = added | stacked
        return _Sums(
            every[str(("value",))],
            [every[str(("gradient", i))] for i in dims],
            {(i, j): every[str(("pairs", i, j))] for i in dims for j in dims[i:]},
            every.get(str(("others_gradient",)), jnp.zeros(0)),
            every.get(str(("others",)), jnp.zeros((0, 0))),
            [every[str(("crossed", i))] for i in dims] if parts.others.size else [],
        )


class _Parts(NamedTuple):
    network: SeparableNetwork
    others: Array
    rebuild: Callable[[Array], PyTree]
    orders: Orders


def _highest(parts: _Parts) -> tuple[int, ...]:
    return tuple(max((k[axis] for k in parts.orders), default=0) for axis in range(len(parts.network.axes)))


class _Sums(NamedTuple):
    value: Array
    gradient: list[Array]
    pairs: dict[tuple[int, int], Array]
    others_gradient: Array
    others: Array
    crossed: list[Array]


class _Here:
    """Where the network was."""


_HERE = _Here()


class _Known(eqx.Module):
    """Stands in for the network at one point, whose derivatives are known."""

    point: Array
    values: Float[Array, "orders outputs"]
    orders: Orders = eqx.field(static=True)

    def partials(self, point: Array, orders: Orders) -> Array:
        """See :class:`SeparableNetwork`."""
        _check_same(point, self.point)
        return jnp.stack([self.values[self.orders.index(k)] for k in orders])

    def jet(self, point: Array, bent: tuple[int, ...]) -> Jet:
        """See :class:`SeparableNetwork`."""
        return jet_of(self.partials(point, jet_orders(point.shape[0], bent)), point.shape[0], bent)

    def __call__(self, point: Array) -> Array:
        """See :class:`SeparableNetwork`."""
        return self.partials(point, ((0,) * point.shape[0],))[0]


class _Asked:
    """Stands in for the network and notes which derivatives it is asked for."""

    def __init__(self, point: Array, asked: set[tuple[int, ...]], outputs: int) -> None:
        self.point, self.asked, self.outputs = point, asked, outputs

    def partials(self, point: Array, orders: Orders) -> Array:
        """Noughts."""
        _check_same(point, self.point)
        self.asked.update(orders)
        return jnp.zeros((len(orders), self.outputs), point.dtype)

    def jet(self, point: Array, bent: tuple[int, ...]) -> Jet:
        """Noughts."""
        return jet_of(self.partials(point, jet_orders(point.shape[0], bent)), point.shape[0], bent)

    def __call__(self, point: Array) -> Array:
        """Noughts."""
        return self.partials(point, ((0,) * point.shape[0],))[0]


def _check_same(asked: Array, point: Array) -> None:
    """Known values are those at the row's point; under a trace it is the very same object, whatever its numbers."""
    if asked is not point:
        raise InputError("a residual that asks for the network elsewhere", "the point of the row as it was given", "use Rows for it")


def _is_network(leaf: Any) -> bool:
    return isinstance(leaf, SeparableNetwork)


def _network(model: PyTree) -> SeparableNetwork:
    found = [leaf for leaf in jax.tree.leaves(model, is_leaf=_is_network) if _is_network(leaf)]
    if len(found) != 1:
        raise InputError(f"{len(found)} separable networks in the model", "one", "use Rows, or give one network with several outputs")
    return found[0]


def _swapped(model: PyTree, new: Any) -> PyTree:
    return jax.tree.map(lambda leaf: new if _is_network(leaf) else leaf, model, is_leaf=_is_network)


def _filled(model: PyTree, view: Any) -> PyTree:
    return jax.tree.map(lambda leaf: view if leaf is _HERE else leaf, model)


def _places(vector: Parameters, restore: Callable[[Parameters], PyTree]) -> Array:
    """Where the parameters of every perceptron, and then all others, stand in the model's vector."""
    numbered = restore(jnp.arange(vector.size, dtype=vector.dtype))
    parts = [*_network(numbered).axes, _swapped(numbered, _HERE)]
    return jnp.concatenate([ravel_pytree(eqx.filter(part, eqx.is_inexact_array))[0] for part in parts]).astype(int)
