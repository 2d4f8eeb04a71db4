"""Calcium buffers in equilibrium with what is free."""

from jaxtyping import Array, Float

from physics.cell_model import Cells


def buffered(calcium: Cells, buffer: Float[Array, ""], constant: Float[Array, ""]) -> Cells:
    """$BK/(Ca+K)^2$: bound calcium per free calcium, of small changes; 1/(1 + the sum over the buffers) of a change stays free."""
    return buffer * constant / (calcium + constant) ** 2
