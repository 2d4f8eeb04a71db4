"""Myelinated axons whose myelin insulates perfectly: nodes joined by resistors."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.membrane_sweeney import NODE_OHM_CM, NODE_UM, Sweeney1987
from physics.neuron import Neuron
from physics.neuron_shape import NeuronShape
from physics.neuron_stimulus import NeuronStimulus
from solvers import tree_of

AXON_PER_FIBRE, SPACING_PER_FIBRE = 0.6, 100.0  # diameter inside the myelin, and from node to node, over the diameter outside of it


def ranvier_axon(fibre_um: ArrayLike, nodes: int, stimuli: tuple[NeuronStimulus, ...] = ()) -> Neuron:
    r"""Nodes of :class:`physics.Sweeney1987` along x, from zero on; a compartment is a node.

    Args:
        fibre_um: Diameter with the myelin, um, 2 to 20. Axons are 0.6 times as thick, nodes 100 times as far apart.
        nodes: How many.
        stimuli: Of the neuron.

    Resistance between nodes falls as their capacity grows, so that velocity is exactly proportional to the diameter. It fails for
    what myelin's own capacity and leak do, which slow spikes, and below 2 um. Source: McNeal (1976), IEEE Trans. Biomed.
    Eng. 23, 329, with the membrane of Sweeney et al. (1987).
    """
    return Neuron(ranvier_shape(fibre_um, nodes), Sweeney1987.published(), jnp.asarray(NODE_OHM_CM.value, float), stimuli)


def ranvier_shape(fibre_um: ArrayLike, nodes: int) -> NeuronShape:
    """The shape of :func:`ranvier_axon`.

    Raises:
        ValueError: No node.
    """
    if nodes < 1:
        raise ValueError(f"got {nodes} nodes; expected at least one; do: take 41")
    fibre = jnp.asarray(fibre_um, float)
    diameter, spacing = AXON_PER_FIBRE * fibre, SPACING_PER_FIBRE * fibre
    half = jnp.full(nodes, 1.0) * (spacing / 2 / (jnp.pi * (diameter / 2) ** 2))
    along: Float[Array, " nodes"] = jnp.arange(nodes) * spacing
    position = jnp.stack([along, jnp.zeros_like(along), jnp.zeros_like(along)], axis=1)
    area = jnp.full(nodes, 1.0) * (jnp.pi * diameter * NODE_UM.value)
    return NeuronShape(area, half, half, position, along, tree_of(range(-1, nodes - 1)), (0,) * nodes)
