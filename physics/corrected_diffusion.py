"""Diffusion on voxels too coarse for a front, whose conductances a closure corrects."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from physics.closure import Closure, Variable, check_closure
from physics.face_features import FACE_INPUTS, GRID, face_features
from solvers import Diffusion, RungeKuttaChebyshev2, Stepper
from solvers.shapes import Cells, Flag, Scalar

FACE_OUTPUTS = (Variable("log_multiplier", "1"),)


class CorrectedDiffusion(Stepper):
    r"""A step of $u' = \nabla\cdot(m\,D\nabla u)$ with a multiplier $m$ per face that a closure makes of the field around it.

    $$m_f = \exp\bigl(\ln M\; g_f \tanh N(x_f)\bigr),\qquad g_f = \frac{s^2}{1+s^2},\quad s^2 = \frac{h^2}{\bar D_f\,t_r},$$

    with the features $x_f$ of :func:`physics.face_features`, frozen at the beginning of the step; the step itself is Chebyshev's, linear.
    Whatever the closure $N$ is, trained or not:

    * what leaves one cell enters its neighbour, so the sum is kept to round-off, on any mask;
    * $1/M < m < M$: the operator of a step is symmetric and dissipative, a flat field stays flat, and no flux runs uphill;
    * turned, mirrored and exchanged axes commute with it;
    * $m = 1 + O(h^2)$ where the grid resolves the reaction: the order of the scheme in $h$ is that without a correction.

    Args:
        diffusion: Of order two, without periodic walls: what is corrected.
        coefficient: $D$ per cell as given to it, flat.
        closure: $N$, from ``FACE_INPUTS`` to ``FACE_OUTPUTS``.
        reaction_time: $t_r$: $1/\rho$ of a tumour, a tenth of ``front_time`` of a cell model.
        stages: Of the step; from ``stages_for`` with $M$ times the spectral bound.
        largest: $M$.

    Good values: $M = 4$; voxels two to four front widths $\sqrt{D t_r}$ across. Below one there is nothing to correct, far above
    one number per voxel says too little about a front inside of it. The step is not monotone (Chebyshev's polynomials are not), the
    operator is. The closure knows only what it was trained on: ask its range.

    Raises:
        ValueError: Another operator, a closure for something else, or numbers that are not positive.

    Source: after Kochkov et al. (2021), PNAS 118, e2101784118 (a network inside of the fluxes of a coarse solver); multiplier and
    constraints are ours.
    """

    diffusion: Diffusion
    coefficient: Cells
    closure: Closure
    reaction_time: Scalar
    stages: int = eqx.field(static=True, default=2)
    largest: float = eqx.field(static=True, default=4.0)

    def __check_init__(self) -> None:
        check_corrected(self.diffusion, self.reaction_time, self.largest)
        check_closure(self.closure, FACE_INPUTS, FACE_OUTPUTS)

    @property
    def order(self) -> int:
        """One in time, for the multipliers are those of the beginning; they differ from one by what the grid does not resolve only."""
        return 1

    def features(self, field: Cells, length: Scalar) -> Float[Array, "features axes cells"]:
        """What the closure gets."""
        return face_features(self.diffusion, self.coefficient, field, self.reaction_time, length)

    def multipliers(self, field: Cells, length: Scalar) -> Float[Array, "axes cells"]:
        """$m$ at the face above every cell, along every axis of more than one voxel."""
        features = self.features(field, length)
        return jnp.exp(jnp.log(self.largest) * features[GRID] * jnp.tanh(self.closure(features)[0]))

    def corrected(self, field: Cells, length: Scalar) -> Diffusion:
        """The operator of the step that begins with this field."""
        multipliers = iter(self.multipliers(field, length))
        faces = []
        for stride, face, voxels in zip(self.diffusion.strides, self.diffusion.faces, self.diffusion.shape, strict=True):
            faces.append(jnp.concatenate([face[:stride], face[stride:] * next(multipliers)]) if voxels > 1 else face)
        return eqx.tree_at(lambda d: d.faces, self.diffusion, tuple(faces))

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.Stepper`; leading axes are fields of their own."""
        if state.ndim > 1:
            return jax.vmap(self.advance, in_axes=(0, None, None))(state, time, length)
        return RungeKuttaChebyshev2(self.corrected(state, length), self.stages).advance(state, time, length)

    def stable(self, length: Scalar) -> Flag:
        """For every multiplier that there can be."""
        return RungeKuttaChebyshev2(self.diffusion, self.stages).stable(length * self.largest)


def check_corrected(diffusion: Diffusion, reaction_time: Scalar, largest: float) -> None:
    """Refuses what multipliers do not fit.

    Raises:
        ValueError: An operator of order four or with periodic walls, a time or a largest multiplier that is not positive.
    """
    if diffusion.correction is not None or diffusion.wraps is not None:
        kind = "periodic walls" if diffusion.correction is None else "interior order 4"
        raise ValueError(f"got a diffusion with {kind}; expected order 2 and walls; do: build Diffusion(..., interior_order=2)")
    if not 1 < largest < np.inf:
        raise ValueError(f"got a largest multiplier of {largest}; expected a number above 1; do: leave the default")
    if isinstance(reaction_time, Tracer):
        return
    if not (np.ndim(reaction_time) == 0 and 0 < float(reaction_time) < np.inf):
        raise ValueError(f"got a reaction time of {reaction_time}; expected one positive number; do: give 1/rate in the unit of the steps")
