"""Beats of arteries that are coupled to a circuit."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.artery_cycles import Beat, recorded
from physics.circuit_cycle import SOLVED
from physics.coupled_arteries import CoupledArteries, CoupledState
from solvers import Status, TimeMesh, simulate
from solvers.shapes import Index, Scalar


class CoupledBeat(eqx.Module):
    """One period.

    Attributes:
        arteries: Waveforms of the vessels, Pa and m³/s.
        circuit: Unknowns of the circuit at the same times, mmHg and mL/s, ``(unknowns, times)``.
        final: State at the end.
        status: A :class:`solvers.Status` code: that of the arteries, or NOT_CONVERGED where the circuit's equations were not solved.
        residue: The largest last Newton step of the circuit so far, over the scales of its unknowns.
    """

    arteries: Beat
    circuit: Float[Array, "unknowns times"]
    final: CoupledState
    status: Index
    residue: Scalar


def coupled_beat(model: CoupledArteries, state: CoupledState, mesh: TimeMesh, substeps: int | None = None) -> CoupledBeat:
    """One period from ``state``; differentiable, one program under jit.

    Args:
        model: From :func:`physics.coupled_arteries.couple`; its leaves are parameters.
        state: At the start.
        mesh: From :func:`physics.beat_mesh`; its step lengths may be scaled by a traced period.
        substeps: See :func:`physics.beat`.
    """
    solution = simulate(model.stepper(substeps), state, mesh)
    longest = None if substeps is None else jnp.max(mesh.length) / substeps
    arteries = recorded(model.network, solution.states.arteries.flow, solution.final.arteries, solution.status, longest)
    residue = solution.final.circuit[-1]
    status = jnp.where((arteries.status == Status.SUCCESS) & ~(residue <= SOLVED), Status.NOT_CONVERGED, arteries.status).astype(int)
    unknowns = jnp.transpose(solution.states.circuit[:, : len(model.circuit.names)])
    return CoupledBeat(arteries, unknowns, solution.final, status, residue)
