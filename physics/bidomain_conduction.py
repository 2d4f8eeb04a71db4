"""One step of conduction in two conductors at once: the linear part of the bidomain equations."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.extracellular_stimulus import ExtracellularStimulus
from solvers import Components, EllipticSolution, Operator, Preconditioner, Status, Stepper, TensorDiffusion, solve_elliptic
from solvers.shapes import Cells, Scalar

Both = Float[Array, "*batch both_cells"]


class CoupledConductors(eqx.Module):
    r"""$L_i = \nabla\cdot D_i\nabla$ in the tissue and $L_e = \nabla\cdot D_e\nabla$ in the conductor, and how to solve with them.

    Attributes:
        inside: $L_i$.
        outside: $L_e$.
        cycle: A multigrid cycle for $-(L_i + L_e)$.
        pieces: Connected pieces of the conductor.
        coupled_pieces: The same of both fields one behind the other, in which every potential across a membrane is on its own.
    """

    inside: TensorDiffusion
    outside: TensorDiffusion
    cycle: Preconditioner
    pieces: Components
    coupled_pieces: Components


class _Sum(Operator):
    r"""$(L_i + L_e)\,\varphi$ on fields of the conductor."""

    of: CoupledConductors

    def apply(self, field: Cells) -> Cells:
        return self.of.inside.apply(field) + self.of.outside.apply(field)

    def spectral_bound(self) -> Scalar:
        return self.of.inside.spectral_bound() + self.of.outside.spectral_bound()


class _Coupled(Operator):
    r"""$(V, \varphi)\mapsto(L_i(V+\varphi) - \sigma V,\ L_i(V+\varphi) + L_e\varphi)$ on one field of twice as many cells."""

    of: CoupledConductors
    shift: Scalar

    @property
    def loss(self) -> Float[Array, " both_cells"]:
        """Says which of the cells are determined by themselves: the potentials across membranes."""
        cells = self.of.pieces.labels.shape[0]
        return jnp.repeat(jnp.stack([self.shift, jnp.zeros_like(self.shift)]), cells)

    def apply(self, field: Both) -> Both:
        across, outside = jnp.split(field, 2, axis=-1)
        current = self.of.inside.apply(across + outside)
        return jnp.concatenate([current - self.shift * across, current + self.of.outside.apply(outside)], axis=-1)

    def spectral_bound(self) -> Scalar:
        return self.shift + 2 * self.of.inside.spectral_bound() + self.of.outside.spectral_bound()


class _BlockCycle(Preconditioner):
    """Its diagonal for the potential across membranes, which the step makes dominant, and multigrid for that outside."""

    cycle: Preconditioner
    diagonal: Float[Array, " cells"]

    def apply(self, residual: Both) -> Both:
        across, outside = jnp.split(residual, 2, axis=-1)
        return jnp.concatenate([across / jnp.broadcast_to(self.diagonal, across.shape), self.cycle.apply(outside)], axis=-1)


class BidomainConduction(Stepper):
    r"""$\dot V = L_i(V+\varphi)$ with $L_i(V+\varphi) + L_e\varphi = -I_e$ by the implicit midpoint rule. Order two, energy falls.

    With $\sigma = 2/h$ and $\bar V$, $\bar\varphi$ in the middle of the step, their differences $\delta$ to $V$ and to the last
    $\varphi$ solve one symmetric system,

    $$\begin{pmatrix}\sigma - L_i & -L_i\\ -L_i & -(L_i+L_e)\end{pmatrix}\begin{pmatrix}\delta_V\\ \delta_\varphi\end{pmatrix}
    = \begin{pmatrix}L_i(V+\varphi)\\ L_i(V+\varphi)+L_e\varphi+I_e\end{pmatrix},$$

    and $V^+ = V + 2\delta_V$. The right-hand side is what the last step's $\varphi$ leaves, so that errors of solves do not add up.
    State: the first row is $V$, the last is $\varphi$; rows between are left alone.

    Args:
        conductors: The operators.
        electrodes: $I_e$, taken in the middle of the step.
        unit: What one unit of $V$ and $\varphi$ is in mV; not one for cells whose potential goes from zero to one.
        tolerance: Largest residual over that of the change; None for $10^{-8}$ (float64) or $10^{-5}$ (float32).
    """

    conductors: CoupledConductors
    electrodes: tuple[ExtracellularStimulus, ...]
    unit: Scalar
    tolerance: float | None = eqx.field(static=True, default=None)

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def injected(self, time: Scalar, like: Cells) -> Cells:
        """$I_e$ at a time, units of the potential per ms."""
        total = jnp.zeros_like(like)
        for electrode in self.electrodes:
            total = total + electrode.current(time).astype(like.dtype)
        return total / self.unit.astype(like.dtype)

    def advance(self, state: Float[Array, "components cells"], time: Scalar, length: Scalar) -> Float[Array, "components cells"]:
        """See :class:`solvers.Stepper`."""
        of, across, outside = self.conductors, state[0], state[-1]
        moves = length > 0
        shift = (2 / jnp.where(moves, length, 1)).astype(state.dtype)
        current = of.inside.apply(across + outside)
        right = jnp.concatenate([current, current + of.outside.apply(outside) + self.injected(time + length / 2, across)])
        block = _BlockCycle(of.cycle, shift - of.inside.diagonal())
        solution = solve_elliptic(
            _Coupled(of, shift),
            right,
            0.0,
            preconditioner=block,
            components=of.coupled_pieces,
            tolerance=self.tolerance,
            max_iterations=400,
        )
        met = (solution.status == Status.SUCCESS) | (solution.residual <= 100 * jnp.finfo(state.dtype).eps)
        change = jnp.where(met & moves, solution.field, jnp.where(moves, jnp.nan, 0.0))
        step_across, step_outside = jnp.split(change, 2)
        return state.at[0].add(2 * step_across).at[-1].add(step_outside)

    def extracellular_potential(self, across: Cells, guess: Cells, time: Scalar) -> EllipticSolution:
        r"""$\varphi$ with $(L_i+L_e)\varphi = -L_iV - I_e$ from a guess."""
        of = self.conductors
        right = of.inside.apply(across) + self.injected(time, across)
        return solve_elliptic(
            _Sum(of), right, 0.0, preconditioner=of.cycle, components=of.pieces, start=guess, tolerance=self.tolerance, max_iterations=400
        )
