"""Members of an ensemble divided over devices, each device taking its share one after another or all at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PyTree

from solvers.devices.sharding import AXIS, device_mesh


def map_members(function: Callable[[Any], Any], members: PyTree[Array], mesh: Mesh | None = None) -> PyTree[Array]:
    """``function`` of every member, stacked along a new leading axis: ``jax.lax.map`` that uses every device.

    Members of an ensemble need nothing from each other, so $n$ devices take about $1/n$ of the time. On each device members run one
    after another, in the memory of one; :func:`vmap_members` takes them together where a device is larger than a member.
    Differentiable in both modes; what ``function`` closes over is copied to every device.

    Args:
        function: From one member to arrays.
        members: Arrays whose leading axis counts members, any number of them: the last is repeated until the devices divide it.
        mesh: From :func:`device_mesh`; None takes every device of this process and, with one device, is ``jax.lax.map`` itself.

    Returns:
        The results, spread over the devices of the mesh. Eager code that mixes them with other arrays goes on in the same layout; take
        them to the host (``numpy.asarray``) where the next program is not divided by members.

    Raises:
        ValueError: The leading axes differ or are empty.
    """
    return _divided(lambda share: lax.map(function, share), members, mesh)


def vmap_members(function: Callable[[Any], Any], members: PyTree[Array], mesh: Mesh | None = None) -> PyTree[Array]:
    """:func:`map_members`, but each device takes its share by ``jax.vmap``, in the memory of all of them: for members that are small.

    What does not depend on the member, as the value beside tangents of one point, is computed once per device.
    """
    return _divided(jax.vmap(function), members, mesh)


def _divided(whole: Callable[[Any], Any], members: PyTree[Array], mesh: Mesh | None) -> PyTree[Array]:
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(members)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"got leading axes {sorted(counts)}; expected the same number of members, at least one, in all; do: stack them")
    (count,) = counts
    mesh = device_mesh(jax.local_devices()) if mesh is None else mesh
    if mesh.size == 1:
        return whole(members)

    def padded(leaf: Array) -> Array:
        missing = -count % mesh.size
        return jnp.concatenate([leaf, jnp.broadcast_to(leaf[-1:], (missing, *leaf.shape[1:]))])

    along = PartitionSpec(AXIS)
    divided = jax.shard_map(whole, mesh=mesh, in_specs=along, out_specs=along, check_vma=False)
    found = divided(jax.tree.map(padded, members))
    return jax.tree.map(lambda leaf: leaf[:count], found)
