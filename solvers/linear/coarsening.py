"""How a box of cells is made coarser: which axes at which level, sums over pairs of cells, and copies back."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from solvers.operator import FaceOperator
from solvers.shapes import Cells

Shape3 = tuple[int, int, int]
Axes = tuple[int, ...]
Plan = tuple[Axes, ...]
Aggregates = Float[Array, "*batch aggregates"]
SEMI = 0.4


def coarsening_plan(shape: Shape3, strengths: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Plan:
    r"""The axes halved at each level, down to one cell.

    An axis is halved while its coupling is at least 0.4 of the strongest one, so that errors which the smoother leaves, those smooth
    along strong couplings, are the ones that the coarse level can represent (semi-coarsening). Halving an axis halves its coupling
    $c \propto 1/h$ and doubles that of the others, so the couplings even out on the way down.

    Args:
        shape: Cells per axis.
        strengths: Typical coupling per axis, such as $D_a/h_a^2$; only ratios count.

    Source: Trottenberg, Oosterlee, Schueller (2001), *Multigrid*, section 5.1.
    """
    sizes, coupling, plan = list(shape), [float(value) for value in strengths], []
    while max(sizes) > 1:
        possible = [axis for axis in range(3) if sizes[axis] > 1]
        strongest = max(coupling[axis] for axis in possible)
        chosen = tuple(axis for axis in possible if coupling[axis] >= SEMI * strongest)
        for axis in chosen:
            sizes[axis] = (sizes[axis] + 1) // 2
            coupling = [value / 2 if a == axis else 2 * value for a, value in enumerate(coupling)]
        plan.append(chosen)
    return tuple(plan)


def mean_couplings(operator: FaceOperator) -> tuple[float, float, float]:
    """Mean of the open faces per axis, for :func:`coarsening_plan`; all alike where the faces are traced and can't be looked at."""
    means = []
    for face in operator.faces:
        if isinstance(face, Tracer):
            return 1.0, 1.0, 1.0
        values = np.asarray(face)
        means.append(float(values.sum() / max(np.count_nonzero(values), 1)))
    return means[0], means[1], means[2]


def pairs(values: Array, axis: int) -> tuple[Array, Array]:
    """Even and odd entries along an axis; a zero is appended where the number is odd."""
    if values.shape[axis] % 2:
        values = jnp.pad(values, [(0, 1) if a == axis % values.ndim else (0, 0) for a in range(values.ndim)])
    before = (slice(None),) * (axis % values.ndim)
    return values[(*before, slice(0, None, 2))], values[(*before, slice(1, None, 2))]


def restrict(field: Cells, shape: Shape3, axes: Axes) -> Aggregates:
    """Sum over the cells of each aggregate; batch axes first. From the first axis to the last, whose entries lie apart least often."""
    batch = field.shape[:-1]
    volume = field.reshape(*batch, *shape)
    for axis in axes:
        even, odd = pairs(volume, axis - 3)
        volume = even + odd
    return volume.reshape(*batch, -1)


def prolong(field: Aggregates, shape: Shape3, axes: Axes) -> Cells:
    """The value of its aggregate in every cell of the finer ``shape``; the transpose of :func:`restrict`."""
    batch = field.shape[:-1]
    sizes = [(n + 1) // 2 if axis in axes else n for axis, n in enumerate(shape)]
    volume = field.reshape(*batch, *sizes)
    for axis in reversed(axes):
        place = len(batch) + axis
        doubled = jnp.stack([volume, volume], place + 1)
        volume = doubled.reshape(*volume.shape[:place], -1, *volume.shape[place + 1 :])
        volume = volume[(*(slice(None),) * place, slice(0, shape[axis]))]
    return volume.reshape(*batch, -1)
