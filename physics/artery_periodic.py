"""The beat of a network that repeats itself, found faster than by waiting, with gradients of the periodic state."""

import equinox as eqx

from physics.artery_cycles import Beat, beat
from physics.artery_flow import FlowState
from physics.artery_network import ArteryNetwork
from physics.artery_stepper import ArteryState
from solvers import FixedPoint, TimeMesh, fixed_point, simulate


def periodic_beat(
    network: ArteryNetwork, mesh: TimeMesh, substeps: int, tolerance: float = 1e-6, limit: int = 40, start: ArteryState | None = None
) -> tuple[Beat, FixedPoint]:
    """One beat from the state that it ends in, and how that state was found (:func:`solvers.fixed_point`).

    The gradient with respect to the network's parameters is that of the periodic state: beats before it are neither kept nor
    differentiated.

    Args:
        network: The vessels.
        mesh: From :func:`physics.beat_mesh`.
        substeps: Short steps between two recorded times.
        tolerance: Change over a beat, each of area, velocity and windkessel pressure over its own size, at which the search ends.
        limit: Most beats.
        start: Where the search begins; None for one beat from rest.
    """
    arrays, static = eqx.partition(network, eqx.is_inexact_array)
    begin = network.initial_state() if start is None else start

    def over_a_beat(arrays: ArteryNetwork, flow: FlowState) -> FlowState:
        whole: ArteryNetwork = eqx.combine(arrays, static)
        return simulate(whole.stepper(substeps), ArteryState(flow, begin.collapse), mesh).final.flow

    first = over_a_beat(arrays, begin.flow) if start is None else begin.flow
    found = fixed_point(over_a_beat, arrays, first, tolerance, limit)
    return beat(network, ArteryState(found.state, begin.collapse), mesh, substeps), found
