"""Structured meshes of curved nine-node quadrilaterals, open or closed to a ring: places, integrals, and assembly into blocks."""

from collections.abc import Callable
from functools import cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.linear.block_ring import BlockRing

Nodal = Float[Array, "lines across 2"]
GAUSS = np.sqrt(0.6) * np.array([-1.0, 0.0, 1.0])
GAUSS_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 9


@cache
def shape_functions(along: tuple[float, ...], across: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Values ``(points, 9)`` and slopes ``(points, 9, 2)`` of the nine functions at all pairs of local places from -1 to 1.

    Nodes and points count across fastest.
    """

    def values(x: np.ndarray) -> np.ndarray:
        return np.stack([x * (x - 1) / 2, 1 - x**2, x * (x + 1) / 2], axis=-1)

    def slopes(x: np.ndarray) -> np.ndarray:
        return np.stack([x - 0.5, -2 * x, x + 0.5], axis=-1)

    first, second = np.array(along), np.array(across)

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("pi,qj->pqij", a, b).reshape(len(first) * len(second), 9)

    both = np.stack([product(slopes(first), values(second)), product(values(first), slopes(second))], axis=-1)
    return product(values(first), values(second)), both


class QuadraticMesh(eqx.Module):
    """Nodes in lines; every two lines and every two nodes across are the sides of elements.

    Args:
        nodes: Places ``(lines, across, 2)``. Closed: an even number of lines, counter-clockwise, and the first follows the last. Open: an
            odd number. Across is odd, and counts outward.
        closed: Whether the lines make a ring.

    Raises:
        ValueError: Counts that do not make elements, or fewer than three elements along a ring.
    """

    nodes: Nodal
    closed: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        lines, across = self.nodes.shape[:2]
        if lines % 2 == self.closed or across % 2 == 0 or across < 3 or self.columns < 2 + self.closed:
            got, kind = f"{lines} lines of {across} nodes", "closed" if self.closed else "open"
            raise ValueError(f"got {got} for a mesh that is {kind}; expected an {'even' if self.closed else 'odd'} number of lines, six or "
                             "more (open: five), of an odd number of nodes; do: give corners and middles of the sides")  # fmt: skip

    @property
    def columns(self) -> int:
        """Elements along the lines' direction."""
        return self.nodes.shape[0] // 2

    @property
    def rows(self) -> int:
        """Elements across."""
        return self.nodes.shape[1] // 2

    def of_elements(self, nodal: Nodal) -> Float[Array, "columns rows 9 2"]:
        """Values at the nodes of every element."""
        if self.closed:
            nodal = jnp.concatenate([nodal, nodal[:1]])
        first = 2 * np.arange(self.columns)[:, None, None] + np.repeat(np.arange(3), 3)
        second = 2 * np.arange(self.rows)[None, :, None] + np.tile(np.arange(3), 3)
        return nodal[first, second]

    def slopes(self, along: tuple[float, ...], across: tuple[float, ...]) -> tuple[Array, Array]:
        """Slopes in space of the functions ``(columns, rows, points, 9, 2)`` at local places, and area over local area.

        The area is negative in elements that are turned inside out beside the others.
        """
        local = jnp.asarray(shape_functions(along, across)[1], self.nodes.dtype)
        jacobian = jnp.einsum("pak,ijax->ijpxk", local, self.of_elements(self.nodes))
        (a, b), (c, d) = (jacobian[..., 0, 0], jacobian[..., 0, 1]), (jacobian[..., 1, 0], jacobian[..., 1, 1])
        size = a * d - b * c
        inverse = jnp.stack([jnp.stack([d, -b], axis=-1), jnp.stack([-c, a], axis=-1)], axis=-2) / size[..., None, None]
        return jnp.einsum("pak,ijpkx->ijpax", local, inverse), size * jnp.sign(jnp.sum(size))

    def places(self, along: tuple[float, ...], across: tuple[float, ...]) -> Float[Array, "columns rows points 2"]:
        """Where local places lie."""
        local = jnp.asarray(shape_functions(along, across)[0], self.nodes.dtype)
        return jnp.einsum("pa,ijax->ijpx", local, self.of_elements(self.nodes))

    def load(self, force: Callable[[Float[Array, "columns rows points 2"]], Float[Array, "columns rows points 2"]]) -> Nodal:
        """Forces at the nodes of a force per area, given as a function of the place."""
        weight, size = jnp.asarray(_weights(), self.nodes.dtype), self.slopes(tuple(GAUSS), tuple(GAUSS))[1]
        local = jnp.asarray(shape_functions(tuple(GAUSS), tuple(GAUSS))[0], self.nodes.dtype)
        push = force(self.places(tuple(GAUSS), tuple(GAUSS)))
        return self.gathered(jnp.einsum("p,ijp,pa,ijpx->ijax", weight, size, local, push))

    def pressure_load(self, pressure: Float[Array, ""]) -> Nodal:
        """Forces at the nodes of a pressure on the first nodes across (the lumen), which pushes into the body."""
        ends = (-1.0,)
        local = jnp.asarray(shape_functions(tuple(GAUSS), ends)[0], self.nodes.dtype)
        tangent = jnp.einsum("pa,iax->ipx", jnp.asarray(shape_functions(tuple(GAUSS), ends)[1][..., 0], self.nodes.dtype),
                             self.of_elements(self.nodes)[:, 0])  # fmt: skip
        across = self.of_elements(self.nodes)[:, 0, 5] - self.of_elements(self.nodes)[:, 0, 3]
        side = jnp.sign(jnp.sum(tangent[:, 1, 1] * across[:, 0] - tangent[:, 1, 0] * across[:, 1]))
        outward = side * jnp.stack([tangent[..., 1], -tangent[..., 0]], axis=-1)
        edge = pressure * jnp.einsum("p,pa,ipx->iax", jnp.asarray(GAUSS_WEIGHTS, self.nodes.dtype), local, outward)
        return self.gathered(jnp.zeros((self.columns, self.rows, 9, 2), edge.dtype).at[:, 0].set(edge))

    def edge_mass(self) -> Float[Array, "columns 9 9"]:
        """Integrals of products of two functions over the last nodes across (the outer edge)."""
        ends = (1.0,)
        local, slope = (jnp.asarray(part, self.nodes.dtype) for part in shape_functions(tuple(GAUSS), ends))
        tangent = jnp.einsum("pa,iax->ipx", slope[..., 0], self.of_elements(self.nodes)[:, -1])
        return jnp.einsum("p,ip,pa,pb->iab", jnp.asarray(GAUSS_WEIGHTS, self.nodes.dtype), jnp.linalg.norm(tangent, axis=-1), local, local)

    def gathered(self, parts: Float[Array, "columns rows 9 2"]) -> Nodal:
        """The sum at every node over its elements: the transpose of :meth:`of_elements`."""
        lines, across = self.nodes.shape[:2]
        first = 2 * np.arange(self.columns)[:, None, None] + np.repeat(np.arange(3), 3)
        second = 2 * np.arange(self.rows)[None, :, None] + np.tile(np.arange(3), 3)
        return jnp.zeros((lines, across, 2), parts.dtype).at[first % lines, second].add(parts)

    def blocks(self, matrices: Float[Array, "columns rows 18 18"]) -> BlockRing:
        """The matrices of all elements summed into blocks of two lines; an open mesh ends in a half empty block."""
        across = self.nodes.shape[1]
        place = np.arange(9) // 3 * across + np.arange(9) % 3
        index = (2 * place[:, None] + np.arange(2)).reshape(18)[None] + 4 * np.arange(self.rows)[:, None]
        whole = jnp.zeros((self.columns, 6 * across, 6 * across), matrices.dtype)
        whole = whole.at[:, index[:, :, None], index[:, None, :]].add(matrices)
        if not self.closed:
            whole = jnp.concatenate([whole, jnp.zeros_like(whole[:1])])
        wide = 4 * across
        edge = jnp.pad(jnp.roll(whole[:, wide:, wide:], 1, axis=0), ((0, 0), (0, 2 * across), (0, 2 * across)))
        return BlockRing(whole[:, :wide, :wide] + edge, jnp.pad(whole[:, :wide, wide:], ((0, 0), (0, 0), (0, 2 * across))))

    def to_blocks(self, nodal: Nodal) -> Float[Array, "blocks size"]:
        """Values at nodes in the order of the blocks."""
        if not self.closed:
            nodal = jnp.concatenate([nodal, jnp.zeros_like(nodal[:1])])
        return nodal.reshape(nodal.shape[0] // 2, -1)

    def from_blocks(self, vectors: Float[Array, "blocks size"]) -> Nodal:
        """The way back."""
        lines, across = self.nodes.shape[:2]
        return vectors.reshape(-1, across, 2)[:lines]


def _weights() -> np.ndarray:
    return np.outer(GAUSS_WEIGHTS, GAUSS_WEIGHTS).reshape(9)
