"""What points exchange by diffusion, from where they are: a graph network on clouds of points."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial import cKDTree

from physics.cloud_diffusion import CloudDiffusion
from twinsim.closures.graph_network import Graph, GraphNetwork, Layers, padded_graph
from twinsim.errors import InputError
from twinsim.option_checks import check_seed

NODE_FEATURES, PAIR_FEATURES = 4, 9
NEIGHBOURS = 8
LARGEST, LARGEST_VOLUME = 8.0, 4.0  # a conductance, a volume is at most so many times that of the kernel, and at least that part of it


class Cloud(NamedTuple):
    """Points with their pairs of neighbours, in arrays of fixed length.

    Attributes:
        graph: For messages: both directions of every pair.
        pairs: Features of the pairs.
        first: One point of each pair; padding joins the last point with itself.
        second: The other.
        pair_here: False for padding.
        diffusivity: At the points, one where there is none.
        area: Of all points together.
        spacing: Root of the area of a point, in the mean.
    """

    graph: Graph
    pairs: Float[Array, "pairs features"]
    first: Int[Array, " pairs"]
    second: Int[Array, " pairs"]
    pair_here: Bool[Array, " pairs"]
    diffusivity: Float[Array, " points"]
    area: Float[Array, ""]
    spacing: Float[Array, ""]


def cloud_of(
    points: Float[np.ndarray, "points axes"],
    diffusivity: Float[np.ndarray, " known"],
    area: float,
    room: tuple[int, int],
    open_pairs: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Cloud:
    """Neighbours and features of points in a plane; nothing but distances, so that turning or mirroring the points changes nothing.

    Args:
        points: Where they are, mm.
        diffusivity: There, mm² per unit of time.
        area: That they stand for, mm².
        room: Points and pairs of the arrays.
        open_pairs: ``open_pairs(starts, ends)``, which pairs no wall divides; all where left out.

    Raises:
        InputError: Fewer than ten points, places that are not finite or twice the same, a diffusivity or an area that is not positive, too
            little room, points much nearer or farther than the area says.
    """
    points, diffusivity = _numbers(points, "points"), _numbers(diffusivity, "diffusivities")
    area, count = float(_one(_numbers(area, "an area"))), len(points) if points.ndim else 0
    if not isinstance(room, tuple | list) or len(room) != 2 or not all(isinstance(n, int | np.integer) and n < 2**31 for n in room):
        raise InputError(f"room={room!r}", "two whole numbers, of points and of pairs", "give e.g. room=(30, 160)")
    if points.ndim != 2 or points.shape[1] != 2 or count <= NEIGHBOURS + 1:
        raise InputError(f"points of shape {points.shape}", f"more than {NEIGHBOURS + 1} points in a plane", "give (points, 2)")
    if np.shape(diffusivity) != (count,):
        raise InputError(f"diffusivities of shape {np.shape(diffusivity)}", "one diffusivity per point", f"give {count}")
    if not (np.isfinite(points).all() and np.isfinite(diffusivity).all() and np.min(diffusivity) > 0 and np.isfinite(area) and area > 0):
        raise InputError("places, diffusivities or an area that are no numbers above zero", "finite ones", "check the points")
    distances, near = cKDTree(points).query(points, NEIGHBOURS + 1)
    if distances[:, 1].min() <= 0:
        raise InputError("two points at one place", "points apart", "remove one of them")
    spacing = float(np.sqrt(area / count))
    usual = float(np.median(distances[:, 1 : NEIGHBOURS - 1]))
    # Three times is a line of points, and more than any cloud that fills its area; micrometres for millimetres are a thousand.
    if not 0.2 < usual / spacing < 5:
        got = f"neighbours {usual:.3g} mm apart where {count} points on {area:.3g} mm² would be {spacing:.3g}"
        raise InputError(got, "within a factor of five", "give points in mm and the area of the tissue in mm²")
    joined = np.stack([np.repeat(np.arange(count), NEIGHBOURS), near[:, 1:].ravel()], axis=1)
    joined = np.unique(np.sort(joined, axis=1), axis=0)
    if open_pairs is not None:
        kept = np.asarray(open_pairs(points[joined[:, 0]], points[joined[:, 1]]))
        if kept.shape != (len(joined),) or kept.dtype != bool:
            raise InputError(f"open_pairs of {kept.dtype}{kept.shape}", f"bool({len(joined)},)", "say of each pair whether it is open")
        joined = joined[kept]
    if len(joined) > room[1] or count > room[0]:
        raise InputError(f"{count} points with {len(joined)} pairs", f"at most {room[0]} and {room[1]}", "give more room")
    one, other = joined.T
    offset = points[other] - points[one]
    length = np.linalg.norm(offset, axis=1)
    # Neighbours all on one side are at a wall; a pair with a third point in the circle on it is no pair of Voronoi cells.
    degree = np.bincount(joined.ravel(), minlength=count)
    mean = np.zeros((count, 2))
    np.add.at(mean, one, offset)
    np.add.at(mean, other, -offset)
    mean /= np.maximum(degree, 1)[:, None]
    local = distances[:, 1 : NEIGHBOURS - 1].mean(axis=1) / spacing
    middle = (points[one] + points[other]) / 2
    third = np.sort(np.linalg.norm(points[None] - middle[:, None], axis=2), axis=1)[:, 2] / (length / 2)
    lean = [np.einsum("pk,pk->p", mean[k], sign * offset) / length / spacing for k, sign in ((one, 1), (other, -1))]
    nodes = np.stack([np.log(local), degree / NEIGHBOURS - 1, np.linalg.norm(mean, axis=1) / spacing, distances[:, 1] / spacing], axis=1)
    r = length / spacing
    left, right = _widest(points, joined, near[:, 1:])
    seen = [np.log(r), r, np.minimum(third, 3.0) - 1, lean[0] + lean[1], (lean[0] - lean[1]) ** 2, local[one] * local[other]]
    pairs = np.stack([*seen, left + right, (left - right) ** 2, 1.0 * ((left < 1) & (right < 1))], axis=1)
    graph = padded_graph(
        nodes, np.concatenate([pairs, pairs]), np.concatenate([one, other]), np.concatenate([other, one]), (room[0], 2 * room[1])
    )
    spare = room[1] - len(joined)
    last = room[0] - 1
    return Cloud(
        graph=graph,
        pairs=jnp.asarray(np.pad(pairs, [(0, spare), (0, 0)])),
        first=jnp.asarray(np.pad(one, (0, spare), constant_values=last)),
        second=jnp.asarray(np.pad(other, (0, spare), constant_values=last)),
        pair_here=jnp.arange(room[1]) < len(joined),
        diffusivity=jnp.asarray(np.pad(diffusivity, (0, room[0] - count), constant_values=1.0)),
        area=jnp.asarray(area),
        spacing=jnp.asarray(spacing),
    )


def _numbers(values: Any, what: str) -> np.ndarray:
    try:
        found = np.asarray(values)
    except ValueError:  # rows of different lengths
        found = np.asarray(None)
    if found.dtype.kind not in "iuf":
        raise InputError(f"{what} of {type(values).__name__} that are no real numbers", "an array of real numbers", "convert them")
    return found.astype(float)


def _one(area: np.ndarray) -> np.ndarray:
    if area.ndim:
        raise InputError(f"an area of shape {area.shape}", "one number", "give that of all points together")
    return area


def _widest(points: np.ndarray, pairs: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of the widest angle under which a neighbour sees each pair, from either side; one where there is none.

    Were the points joined by a Delaunay mesh, half the sum of both cotangents would be the conductance of the pair.
    """
    one, other = pairs.T
    watchers = np.concatenate([near[one], near[other]], axis=1)
    to_one, to_other = (points[k][:, None] - points[watchers] for k in (one, other))
    sizes = np.linalg.norm(to_one, axis=2) * np.linalg.norm(to_other, axis=2)
    itself = (watchers == one[:, None]) | (watchers == other[:, None])
    cosine = np.where(itself, 1.0, (to_one * to_other).sum(axis=2) / np.where(itself, 1.0, sizes))
    side = to_one[..., 0] * to_other[..., 1] - to_one[..., 1] * to_other[..., 0]
    return np.where(side > 0, cosine, 1.0).min(axis=1), np.where(side < 0, cosine, 1.0).min(axis=1)


class KernelConductances(eqx.Module):
    r"""$g_{ij}=c\,\bar D_{ij}e^{-(r_{ij}/\lambda h)^2/2}$ and $w_i\propto s_i^\nu$, $\sum w$ the area: what points exchange by a formula.

    $\bar D$ is the harmonic mean of both diffusivities, $h$ the spacing, $s_i$ the mean distance of the six nearest neighbours. Three
    numbers, which :func:`twinsim.closures.train` may fit (``trainable`` everything).

    Args:
        scale: Logarithm of $c$.
        width: Logarithm of $\lambda$.
        power: $\nu$; two where a point stands for the square of its distance from others.

    Good values: fitted ones; plain ones are a third of the field off. Source: weights of Belkin and Niyogi (2003), Neural Comput. 15,
    1373, on neighbours.
    """

    scale: Float[Array, ""]
    width: Float[Array, ""]
    power: Float[Array, ""]

    @classmethod
    def plain(cls) -> "KernelConductances":
        """One half, one, two: before any fit."""
        return cls(jnp.log(jnp.asarray(0.5)), jnp.zeros(()), jnp.asarray(2.0))

    def __call__(self, cloud: Cloud) -> CloudDiffusion:
        """Diffusion on the cloud."""
        if not isinstance(cloud, Cloud):
            raise InputError(f"a {type(cloud).__name__}", "a Cloud", "make one of points by cloud_of")
        return self.changed(cloud, jnp.zeros_like(cloud.pairs[:, 0]), jnp.zeros_like(cloud.diffusivity))

    def changed(self, cloud: Cloud, pairs: Float[Array, " pairs"], points: Float[Array, " points"]) -> CloudDiffusion:
        """With logarithms added to those of the conductances and of the volumes, bounded."""
        d = cloud.diffusivity
        mean = 2 * d[cloud.first] * d[cloud.second] / (d[cloud.first] + d[cloud.second])
        kernel = self.scale - 0.5 * (cloud.pairs[:, 1] * jnp.exp(-self.width)) ** 2
        conductances = jnp.where(cloud.pair_here, mean * jnp.exp(kernel + jnp.log(LARGEST) * jnp.tanh(pairs)), 0)
        size = self.power * cloud.graph.nodes[:, 0] + jnp.log(LARGEST_VOLUME) * jnp.tanh(points)
        share = jnp.where(cloud.graph.node_here, jnp.exp(size), 0)
        volumes = jnp.where(cloud.graph.node_here, cloud.area * share / jnp.sum(share), 1)
        return CloudDiffusion(conductances, volumes, cloud.first, cloud.second)


class CloudConductances(eqx.Module):
    r"""Conductances and volumes of points: those of a kernel times what a graph network says, within bounds.

    $g_{ij}\,e^{\ln8\tanh N_{ij}}$ and $w_i\propto s_i^\nu e^{\ln4\tanh n_i}$ (:class:`KernelConductances`). $N_{ij}=N_{ji}$ is made of sums
    and squared differences of what the network gives both points, and of the pair's own features: positive, symmetric and the same for
    points that are turned, mirrored or numbered otherwise, whatever the weights. With $N=n=0$ it is the kernel.

    Args:
        network: Messages between neighbours.
        pair: Of two points' numbers and the pair's features.
        kernel: What is changed.

    Good values: 16 units, two rounds. Fails for clouds of other kinds than those trained on, such as points much denser in one place.
    """

    network: GraphNetwork
    pair: Layers
    kernel: KernelConductances

    @classmethod
    def create(cls, seed: int, width: int = 16, rounds: int = 2, kernel: KernelConductances | None = None) -> "CloudConductances":
        """Untrained.

        Args:
            seed: Of the weights.
            width: Of nodes and messages.
            rounds: How far a point hears.
            kernel: What is changed; the plain one where left out.

        Raises:
            InputError: A seed, a width or rounds that are none, or a kernel that is none.
        """
        check_seed(seed)
        if not all(isinstance(n, int | np.integer) for n in (seed, width, rounds)) or not isinstance(kernel, KernelConductances | None):
            got = f"seed={seed!r}, width={width!r}, rounds={rounds!r}, kernel of type {type(kernel).__name__}"
            raise InputError(got, "whole numbers and KernelConductances", "give these")
        rngs, dtype = nnx.Rngs(seed), jnp.zeros(()).dtype
        network = GraphNetwork(NODE_FEATURES, PAIR_FEATURES, width + 1, width, rounds, rngs=rngs)
        pair = Layers((2 * width + PAIR_FEATURES, width, 1), dtype, 0.1, rngs=rngs)
        return cls(network, pair, KernelConductances.plain() if kernel is None else kernel)

    def __call__(self, cloud: Cloud) -> CloudDiffusion:
        """Diffusion on the cloud."""
        if not isinstance(cloud, Cloud):
            raise InputError(f"a {type(cloud).__name__}", "a Cloud", "make one of points by cloud_of")
        said = self.network(cloud.graph)
        code, own = said[:, 1:], said[:, 0]
        one, other = code[cloud.first], code[cloud.second]
        size = self.pair(jnp.concatenate([one + other, (one - other) ** 2, cloud.pairs], axis=1))[:, 0]
        return self.kernel.changed(cloud, size, 0.3 * own)
