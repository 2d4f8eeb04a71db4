"""A neuron in compartments: areas, and what resists current along them."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers import Tree, tree_of

PerCompartment = Float[Array, " compartments"]


class NeuronShape(eqx.Module):
    r"""Compartments on a tree, in um.

    Attributes:
        area: Of the membrane, um²; zero at a branching, where ends of branches meet in a point without membrane.
        to_parent: $\int dx/(\pi r^2)$ from the middle of a compartment to its end at the parent, 1/um.
        to_children: The same to its other end.
        position: Of the middle, um.
        along: Distance of the middle from the root along the neuron, um.
        tree: Which compartment hangs on which.
        section: Number of the section that each compartment is cut from; a branching counts to the section that ends in it.
    """

    area: PerCompartment
    to_parent: PerCompartment
    to_children: PerCompartment
    position: Float[Array, "compartments 3"]
    along: PerCompartment
    tree: Tree = eqx.field(static=True)
    section: tuple[int, ...] = eqx.field(static=True)

    @property
    def compartments(self) -> int:
        """How many, branchings included."""
        return self.tree.nodes

    def resistance(self, ohm_cm: ArrayLike) -> PerCompartment:
        """Megaohm between the middle of each compartment and of its parent, for a resistivity of all or of each; infinite at roots."""
        resistivity = jnp.broadcast_to(jnp.asarray(ohm_cm, self.area.dtype), (self.compartments,))
        parent = self.tree.parent()
        between = resistivity * self.to_parent + (resistivity * self.to_children)[parent]
        return jnp.where(self.tree.has_parent(), 1e-2 * between, jnp.inf)

    def scaled(self, width: ArrayLike = 1.0, length: ArrayLike = 1.0) -> "NeuronShape":
        """All diameters and all lengths times a number; gradients go through."""
        width, length = jnp.asarray(width, self.area.dtype), jnp.asarray(length, self.area.dtype)
        slimmer = length / width**2
        return NeuronShape(
            self.area * width * length, self.to_parent * slimmer, self.to_children * slimmer, self.position * length, self.along * length,
            self.tree, self.section,
        )  # fmt: skip

    def nearest(self, point: ArrayLike) -> int:
        """Place of the compartment with membrane whose middle is nearest to a point in um; on the host."""
        gaps = np.linalg.norm(np.asarray(self.position) - np.asarray(point, float), axis=1)
        return int(np.argmin(np.where(np.asarray(self.area) > 0, gaps, np.inf)))


def cable_shape(
    length_um: ArrayLike | Sequence[float], diameter_um: ArrayLike | Sequence[float], compartments: int | None = None
) -> NeuronShape:
    """An unbranched cable along x from the origin, sealed at both ends.

    Args:
        length_um: Of the whole, with ``compartments``; or of each compartment, ``(compartments,)``.
        diameter_um: Of all compartments or of each.
        compartments: How many of equal length.

    Raises:
        ValueError: No compartment, or a length or diameter that is not positive.
    """
    lengths = jnp.asarray(length_um, float)
    if compartments is not None:
        if lengths.ndim or compartments < 1:
            raise ValueError(
                f"got {compartments} compartments of lengths {lengths.shape}; expected at least one, of one length; do: give the whole"
            )
        lengths = jnp.full(compartments, 1.0) * (lengths / compartments)
    elif lengths.ndim != 1 or not lengths.size:
        raise ValueError(f"got lengths of shape {lengths.shape}; expected one per compartment; do: give compartments, or a list")
    diameters = jnp.broadcast_to(jnp.asarray(diameter_um, float), lengths.shape)
    for name, values in (("length", lengths), ("diameter", diameters)):
        if not isinstance(values, Tracer) and not bool((np.asarray(values) > 0).all()):
            raise ValueError(f"got a {name} of {float(np.min(values)):g} um; expected above 0; do: correct it")
    half = lengths / 2 / (jnp.pi * (diameters / 2) ** 2)
    along = jnp.cumsum(lengths) - lengths / 2
    position = jnp.stack([along, jnp.zeros_like(along), jnp.zeros_like(along)], axis=1)
    count = lengths.size
    return NeuronShape(jnp.pi * diameters * lengths, half, half, position, along, tree_of(range(-1, count - 1)), (0,) * count)
