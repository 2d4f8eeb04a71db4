"""A neural field in tissue of any shape on voxels: connections that reach along the tissue and not across its walls."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from physics.neural_field import ExponentialKernel
from solvers import Diffusion, Preconditioner, VoxelGrid, multigrid, solve_elliptic
from solvers.status import raise_for_status

Fields = Float[Array, "2 cells"]
Scalar = Float[Array, ""]
MOST = 200  # iterations of a solve, of which it takes about a dozen


class VoxelFieldRun(NamedTuple):
    """What a march leaves.

    Attributes:
        final: Activity and recovery.
        saved: Of every ``every``-th step.
        status: The largest code of all solves (:class:`solvers.Status`).
    """

    final: Fields
    saved: Float[Array, "saves 2 cells"]
    status: Int[Array, ""]

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.SimulationError` when any solve failed."""
        raise_for_status(self.status)


class VoxelNeuralField(eqx.Module):
    r"""Activity $u$ and its recovery $q$ on the active voxels of a mask, walls without flux:

    $$\tau\dot u = -u + \sum_m \psi_m - \beta q + I,\qquad (1-\sigma_m^2\nabla^2)\,\psi_m = W_m f(u),\quad \partial_n\psi_m = 0,
    \qquad \tau\dot q = \epsilon(u-q),$$

    $f$ as in :class:`physics.NeuralField`. On a line or in free space $\psi_m$ is the convolution with :class:`physics.ExponentialKernel`;
    in a mask it is that with Green's function of the tissue, so that activity reaches round a slit and not through it. At a wall it is
    mirrored: a neuron there hears as much in all as one inside, $\int w = W_m$, from one side.

    Args:
        grid: The voxels, mm.
        kernels: $W_m$, $\sigma_m$; a negative weight inhibits.
        threshold: $\theta$ of $f$.
        width: $s$ of $f$, above 0.
        time_ms: $\tau$.
        recovery: $\beta$.
        recovery_rate: $\epsilon$.

    States are ``(2, cells)``, zero outside of the mask (``grid.cells`` and ``grid.volume`` go to and fro). One elliptic solve per kernel
    and stage, started from the last one; order two in voxels and in time. Good values: four voxels or more per $\sigma$, steps of
    $\tau/10$. Fails: the kernel belongs to the volume, so that a folded ribbon of cortex one voxel thick is a staircase, and its area is
    the volume's; no delays; all connections are local.

    Sources: Amari 1977, Biol Cybern 27, 77; Jirsa and Haken 1996, Phys Rev Lett 77, 960 (the integral as a differential equation);
    Coombes 2005, Biol Cybern 93, 91.
    """

    grid: VoxelGrid
    kernels: tuple[ExponentialKernel, ...]
    threshold: Scalar
    width: Scalar
    time_ms: Scalar
    recovery: Scalar
    recovery_rate: Scalar

    def __check_init__(self) -> None:
        if not self.kernels:
            raise ValueError("got no kernels; expected one at least; do: give an ExponentialKernel")

    def rate(self, activity: Float[Array, " cells"]) -> Float[Array, " cells"]:
        """$f$, zero outside of the mask."""
        active = self.grid.cells(jnp.asarray(self.grid.mask, activity.dtype))
        return active * jax.nn.sigmoid((activity - self.threshold) / self.width)

    def preconditioners(self) -> tuple[Preconditioner, ...]:
        """Of each kernel's solve, made once; with the diagonal alone a reach beyond some ten voxels does not converge."""
        return tuple(multigrid(operator, 1.0, dtype=jnp.float32) for operator in self._operators())

    def heard(
        self, activity: Float[Array, " cells"], preconditioners: tuple[Preconditioner, ...], start: Float[Array, "kernels cells"]
    ) -> tuple[Float[Array, "kernels cells"], Int[Array, ""]]:
        r"""$\psi_m$ of each kernel, and the status of their solves."""
        rate, found, status = self.rate(activity), [], jnp.zeros((), int)
        shift, active = jnp.ones((), activity.dtype), self.grid.cells(jnp.asarray(self.grid.mask, activity.dtype))
        for kernel, operator, one, begun in zip(self.kernels, self._operators(), preconditioners, start, strict=True):
            solution = solve_elliptic(operator, kernel.weight * rate, shift, preconditioner=one, start=begun, max_iterations=MOST)
            found.append(active * solution.field)
            status = jnp.maximum(status, solution.status)
        return jnp.stack(found), status

    def march(
        self, state: Fields, steps: int, dt_ms: float, *, stimulus: Float[Array, " cells"] | None = None, every: int = 1
    ) -> VoxelFieldRun:
        """The last state, and every ``every``-th, by the midpoint rule; a failed solve is in the status.

        Raises:
            ValueError: A state that is not two fields of the grid, a step that is not above 0, or steps that are no multiple of ``every``.
        """
        size = self.grid.size
        if state.shape != (2, size) or steps < 1 or every < 1 or steps % every or not dt_ms > 0:
            raise ValueError(
                f"got a state of shape {state.shape}, {steps} steps of {dt_ms:g} ms, every {every}; expected (2, {size}), a step above 0 "
                "and whole multiples; do: stack activity and recovery and correct the steps"
            )
        given = jnp.zeros(size, state.dtype) if stimulus is None else stimulus
        preconditioners = jax.lax.stop_gradient(self.preconditioners())
        active = self.grid.cells(jnp.asarray(self.grid.mask, state.dtype))[None]

        def rates(state: Fields, start: Array) -> tuple[Fields, Array, Array]:
            u, q = state
            psi, status = self.heard(u, preconditioners, start)
            fast = (-u + psi.sum(axis=0) - self.recovery * q + given) * active[0]
            return jnp.stack([fast, self.recovery_rate * (u - q)]) / self.time_ms, psi, status

        def step(carry: tuple[Fields, Array, Array], _: None) -> tuple[tuple[Fields, Array, Array], None]:
            state, psi, worst = carry
            slope, psi, one = rates(state, psi)
            slope, psi, two = rates(state + 0.5 * dt_ms * slope, psi)
            return (state + dt_ms * slope, jax.lax.stop_gradient(psi), jnp.maximum(worst, jnp.maximum(one, two))), None

        def save(carry: tuple[Fields, Array, Array], _: None) -> tuple[tuple[Fields, Array, Array], Fields]:
            carry, _ = jax.lax.scan(step, carry, None, every)
            return carry, carry[0]

        begun = (state * active, jnp.zeros((len(self.kernels), size), state.dtype), jnp.zeros((), int))
        (final, _, status), saved = jax.lax.scan(save, begun, None, steps // every)
        return VoxelFieldRun(final, saved, status)

    def _operators(self) -> tuple[Diffusion, ...]:
        dtype = self.threshold.dtype
        plain = Diffusion(self.grid, jnp.ones(self.grid.shape, dtype))
        return tuple(eqx.tree_at(lambda o: o.scale, plain, jnp.asarray(kernel.reach_mm, dtype) ** 2) for kernel in self.kernels)
