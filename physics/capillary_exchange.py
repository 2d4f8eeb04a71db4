"""Oxygen, or a drug, between capillaries and the tissue round them: the steady field on voxels."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from physics.capillary_bed import CapillaryBed
from physics.number_checks import check_numbers
from solvers import Components, Diffusion, Jacobi, Periodic, Status, VoxelGrid, Walls, multigrid, solve_elliptic
from solvers.shapes import Cells, Scalar
from solvers.status import raise_for_status

TOLERANCES = {"float64": 1e-11, "float32": 3e-6}
INNER = 1e-2  # of a Newton step's linear solve: less work in all than exact steps
POLISH = {"float64": 1e-8, "float32": 1e-5}
AXES = ("x", "y", "z")


class ExchangeSolution(NamedTuple):
    """What a solve leaves.

    Attributes:
        field: Partial pressure, mmHg, or concentration, per cell; zero outside of the mask.
        status: A :class:`solvers.Status` code.
        steps: Newton steps.
        residual: Norm of what is not balanced, over that of the supply.
    """

    field: Cells
    status: Int[Array, ""]
    steps: Int[Array, ""]
    residual: Scalar

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.SimulationError` when the solve failed."""
        raise_for_status(self.status)


class CapillaryExchange(eqx.Module):
    r"""The steady field $P$ that diffusion, exchange with the blood and consumption leave, no flux or period at the walls:

    $$\nabla\cdot\mathcal D\nabla P + \sum_c k f_c\,(P_c-P) = M_0\,\frac{P}{P+P_{50}} + uP.$$

    Oxygen has $M_0$ and $P_{50}$ and no $u$; a drug that cells take up in first order has $u$ alone, and the problem is linear. The same
    equation with other numbers is the effective law of voxels of 1 mm (:mod:`twinsim.closures.oxygen_exchange`).

    Args:
        grid: The voxels, mm.
        diffusivity: $\mathcal D$: Krogh's $D\alpha$, mm²/s/mmHg, for oxygen; mm²/s for a drug.
        exchange: $\sum_ckf_c$ per cell, 1/s/mmHg or 1/s.
        supply: $\sum_ckf_cP_c$ per cell.
        demand: $M_0$ per cell, 1/s (mL O2/mL/s); the share of the voxel that is tissue is in it.
        half_pressure: $P_{50}>0$ per cell or one, mmHg.
        uptake: $u$ per cell, 1/s.
        periodic: Axes that close on themselves.

    **Positive and monotone.** The operator is an M-matrix and consumption is concave, so Newton's method from $P=0$ rises monotonically to
    the one solution, from below: no damping, no negative pressure, $0\le P\le\max P_c$, and more pressure in any capillary is nowhere less
    in the tissue. Linear steps are conjugate gradients with multigrid, loosely, then one to full accuracy.

    **Derivatives** of first order in both modes are those of the implicit function, one linear solve; to $\mathcal D$, exchange, supply,
    demand, $P_{50}$ and uptake. Not of second order. **Conservation**: what is delivered is consumed to the tolerance.

    Good values: voxels of 5 to 10 um round single capillaries, $\sqrt{\mathcal DP_{50}/M_0}$ (10 um in a tumour) is the thinnest layer.
    Fails: it is steady (a fluctuating vessel is not), pressure along a capillary does not fall by itself, no myoglobin.

    Sources: Goldman 2008, Microcirculation 15, 795 (review of the equations); Secomb et al. 2004, Ann Biomed Eng 32, 1519; convergence
    of Newton's method: Ortega, Rheinboldt 1970, *Iterative Solution of Nonlinear Equations*, section 13.3.
    """

    grid: VoxelGrid
    diffusivity: Scalar
    exchange: Cells
    supply: Cells
    demand: Cells
    half_pressure: Float[Array, "*cells_or_none"]
    uptake: Cells
    periodic: tuple[bool, bool, bool] = eqx.field(static=True)

    def consumption(self, field: Cells) -> Cells:
        """$M_0P/(P+P_{50})+uP$ per cell, 1/s."""
        return self.demand * field / (field + self.half_pressure) + self.uptake * field

    def delivery(self, field: Cells) -> Cells:
        """$kf(P_c-P)$ per cell, 1/s; negative where blood takes up from tissue."""
        return self.supply - self.exchange * field

    def solve(self, max_steps: int = 60, max_iterations: int = 100, start: Cells | None = None, diagonal: bool = False) -> ExchangeSolution:
        """The field; a solve that does not converge is a status.

        Args:
            max_steps: Of Newton's method. Some 10 to 25 with the loose linear steps.
            max_iterations: Of conjugate gradients, per step.
            start: A guess, not below zero; zero where left out. From any guess the first step leads below the solution, and iterates rise
                from there. No derivative goes through it.
            diagonal: Precondition by the diagonal instead of multigrid: faster, to compile as well, where exchange, uptake and demand hold
                the field within a few voxels, as in steps of time.

        Raises:
            ValueError: Numbers that are negative, not finite or of another size than the grid; no supply at all. Traced values pass.
        """
        self._check()
        return _solve(self, max_steps, max_iterations, start, diagonal)

    def operator(self, loss: Cells) -> Diffusion:
        r"""$\nabla\cdot\mathcal D\nabla - \ell$."""
        named = {name: Periodic() for name, around in zip(AXES, self.periodic, strict=True) if around}
        walls = Walls(self.grid, named) if named else None
        plain = Diffusion(self.grid, jnp.broadcast_to(self.diffusivity, self.grid.shape), walls=walls)
        return eqx.tree_at(lambda o: o.loss, plain, loss, is_leaf=lambda leaf: leaf is None)

    def _check(self) -> None:
        parts = {name: getattr(self, name) for name in ("exchange", "supply", "demand", "uptake", "half_pressure")}
        for name, values in parts.items():
            shape, dtype = jnp.shape(values), jnp.result_type(values)
            if shape != (self.grid.size,) and not (name == "half_pressure" and shape == ()):
                raise ValueError(f"got {name} of shape {shape}; expected {(self.grid.size,)}; do: flatten it with grid.cells")
            if (own := jnp.result_type(self.supply)).name not in TOLERANCES or jnp.result_type(values, self.supply) != own:
                raise ValueError(
                    f"got {name} of {dtype.name} with supply of {own.name}; expected float32 or float64 for all; do: convert with astype"
                )
            check_numbers(name, values, zero=name != "half_pressure")
            if name in ("exchange", "supply") and not isinstance(values, Tracer) and not np.asarray(values).any():
                raise ValueError(f"got no {name} anywhere; expected a capillary with oxygen or drug in it; do: give the tissue capillaries")
        if jnp.shape(self.diffusivity) != ():
            raise ValueError(f"got a diffusivity of shape {jnp.shape(self.diffusivity)}; expected one number; do: take one for all voxels")
        check_numbers("diffusivity", self.diffusivity)


def oxygen_exchange(
    grid: VoxelGrid,
    bed: CapillaryBed,
    blood_pressure: Float[Array, "*pieces"],
    coefficient: Scalar | float,
    diffusivity: Scalar | float,
    demand: Scalar | float,
    half_pressure: Scalar | float,
    lumen: float = 0.0,
    periodic: tuple[bool, bool, bool] = (False, False, False),
) -> CapillaryExchange:
    """Oxygen round capillaries.

    Args:
        grid: In mm.
        bed: From :func:`physics.capillary_bed`.
        blood_pressure: Of each piece or of all, mmHg.
        coefficient: From :func:`physics.exchange_coefficient`.
        diffusivity: Krogh's, mm²/s/mmHg.
        demand: $M_0$ of tissue, 1/s.
        half_pressure: $P_{50}$, mmHg.
        lumen: $(a/b)^2$: what of the disc of exchange is blood and consumes nothing.
        periodic: As the bed's.

    Raises:
        ValueError: A bed of another grid, pressures that are not one per piece or negative, or a lumen outside of 0 to 1.
    """
    tissue, exchange, supply = _placed(grid, bed, blood_pressure, coefficient, lumen)
    return CapillaryExchange(
        grid, jnp.asarray(diffusivity, float), exchange, supply, demand * tissue, jnp.asarray(half_pressure, float), 0 * tissue, periodic
    )


def drug_exchange(
    grid: VoxelGrid,
    bed: CapillaryBed,
    concentration: Float[Array, "*pieces"],
    coefficient: Scalar | float,
    diffusivity: Scalar | float,
    uptake: Scalar | float,
    lumen: float = 0.0,
    periodic: tuple[bool, bool, bool] = (False, False, False),
) -> CapillaryExchange:
    """A drug or tracer of constant concentration in the blood that cells take up at a rate of first order; arguments as for oxygen."""
    tissue, exchange, supply = _placed(grid, bed, concentration, coefficient, lumen)
    return CapillaryExchange(grid, jnp.asarray(diffusivity, float), exchange, supply, 0 * tissue, jnp.ones(()), uptake * tissue, periodic)


def _placed(grid: VoxelGrid, bed: CapillaryBed, blood: Array, coefficient: Scalar | float, lumen: float) -> tuple[Cells, Cells, Cells]:
    """The share of tissue, the exchange and the supply of every voxel."""
    if bed.cells != grid.size:
        raise ValueError(f"got capillaries on {bed.cells} voxels; expected {grid.size}; do: make the bed on the same grid")
    if jnp.shape(coefficient) != ():
        raise ValueError(f"got a coefficient of shape {jnp.shape(coefficient)}; expected one number; do: solve each on its own or use vmap")
    if not isinstance(lumen, Tracer) and not 0 <= lumen <= 1:
        raise ValueError(f"got a lumen of {lumen:g}; expected (a/b)^2, 0 to 1; do: divide the capillary's radius by that of exchange")
    check_numbers("concentration in the blood", blood, zero=True)  # one that is negative may hide beside a positive one in its voxel
    within = bed.gathered(jnp.ones(()))
    tissue = jnp.maximum(1 - lumen * within, 0) * grid.cells(jnp.ones(grid.shape))
    return tissue, coefficient * within, coefficient * bed.gathered(blood)


@eqx.filter_jit
def _solve(problem: CapillaryExchange, max_steps: int, max_iterations: int, guess: Cells | None, diagonal: bool) -> ExchangeSolution:
    held = lax.stop_gradient(problem)
    dtype = problem.supply.dtype
    scale = jnp.linalg.norm(held.supply)
    scale = jnp.where(scale > 0, scale, 1)
    # One piece for all: every piece of tissue with a capillary or a demand has a loss, so none is singular, and no host has to look.
    whole = Components(jnp.zeros(problem.grid.size, jnp.int32), jnp.asarray([problem.grid.size], jnp.int32))
    laplacian = held.operator(jnp.zeros_like(held.supply))

    def unbalanced(field: Cells) -> Cells:
        return laplacian.apply(field) + held.delivery(field) - held.consumption(field)

    def step(field: Cells, right: Cells, tolerance: Scalar | float) -> Cells:
        """What Newton's method adds. What conjugate gradients say of it is not asked: the balance decides, below."""
        slope = held.demand * held.half_pressure / (field + held.half_pressure) ** 2
        operator = held.operator(held.exchange + slope + held.uptake)
        solved = solve_elliptic(
            operator,
            right,
            preconditioner=Jacobi(-operator.diagonal(), patience=500) if diagonal else multigrid(operator, dtype=jnp.float32),
            components=whole,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )
        return solved.field

    def goes_on(carry: tuple[Cells, Cells, Scalar, Int[Array, ""]]) -> Array:
        _, _, residual, count = carry
        return (count < max_steps) & (residual > TOLERANCES[dtype.name])

    def newton(carry: tuple[Cells, Cells, Scalar, Int[Array, ""]]) -> tuple[Cells, Cells, Scalar, Int[Array, ""]]:
        field, right, residual, count = carry
        # Errors by the diagonal are rough: less accurate steps cost more of them than they save.
        loose = jnp.clip(INNER * residual, POLISH[dtype.name], 0.1 * INNER) if diagonal else INNER
        field = jnp.maximum(field + step(field, right, loose), 0)  # zero is below the solution, so the larger of both is below it as well
        right = unbalanced(field)
        return field, right, jnp.linalg.norm(right) / scale, count + 1

    begin = jnp.zeros_like(held.supply) if guess is None else lax.stop_gradient(guess)
    start = begin, unbalanced(begin), jnp.ones((), dtype), jnp.zeros((), jnp.int32)
    field, _, _, count = lax.while_loop(goes_on, newton, start)
    field = lax.stop_gradient(field)
    # The last step carries the derivative: the Jacobian held, the balance with all its parameters.
    left = problem.operator(jnp.zeros_like(field)).apply(field) + problem.delivery(field) - problem.consumption(field)
    final = field + step(field, left, POLISH[dtype.name])
    residual = jnp.linalg.norm(unbalanced(lax.stop_gradient(final))) / scale
    missed = jnp.where(jnp.isfinite(residual), Status.NOT_CONVERGED, Status.NOT_FINITE)
    return ExchangeSolution(final, jnp.where(residual <= 10 * TOLERANCES[dtype.name], 0, missed).astype(int), count, residual)
