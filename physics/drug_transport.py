"""A drug between capillaries and cells in time: across the wall, through the interstitium, onto saturable sites."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.capillary_bed import CapillaryBed
from physics.capillary_exchange import CapillaryExchange, drug_exchange
from physics.number_checks import check_numbers
from solvers import Stepper, VoxelGrid
from solvers.shapes import Cells, Scalar

STAGE = 1 - 0.5**0.5  # of the two-stage method of second order that is L-stable
ITERATIONS = 4000  # of conjugate gradients at most: long steps of tissue whose sites are full are nearly steady diffusion
FREE, BOUND, LOST, DELIVERED = range(4)
Values = Float[Array, "..."]


class Binding(eqx.Module):
    r"""What cells do with a drug: $\dot B = k_{on}C\,(S-B)-k_{off}B-k_lB$, $B$ per tissue, $C$ per interstitial fluid.

    Args:
        space: $\varepsilon$, share of tissue that the free drug has, 0 to 1; 0.1 (antibodies) to 0.4.
        on: $k_{on}>0$, per concentration and time.
        off: $k_{off}\ge0$, per time.
        loss: $k_l\ge0$: internalised and degraded with its site, which is replaced, per time.
        sites: $S\ge0$ per tissue.

    First order of uptake and release is the limit of many sites with $k_{on}S$ held. Leaves are scalars, or arrays of one shape.

    Raises:
        ValueError: On construction, of numbers outside of these bounds. Traced values pass.

    Source: Thurber, Schmidt, Wittrup 2008, Trends Pharmacol Sci 29, 57 (sites that are replaced as they are internalised).
    """

    space: Values
    on: Values
    off: Values
    loss: Values
    sites: Values

    def __check_init__(self) -> None:
        for name, zero in (("space", False), ("on", False), ("off", True), ("loss", True), ("sites", True)):
            check_numbers(name, getattr(self, name), zero, 1.0 if name == "space" else np.inf)

    def bound(self, free: Array, before: Array, length: Array) -> Array:
        """$B$ at the end of an implicit Euler step in which $C$ is ``free``; above none and below the sites."""
        return (before + length * self.on * self.sites * free) / (1 + length * (self.on * free + self.off + self.loss))

    def implicit(self, before: Array, length: Array) -> tuple[Array, Array, Array]:
        r"""Of that step's uptake $(B-B^*)/h+k_lB = dC/(C+p)-r$, as a function of $C$: $d$, $p$, and the release $r\ge0$."""
        rest = 1 + length * (self.off + self.loss)
        return (1 / length + self.loss) * (self.sites - before / rest), rest / (length * self.on), before * self.off / rest


class DrugTransport(Stepper):
    r"""A drug round capillaries, per volume of a voxel of which $\tau$ is tissue:

    $$\tau\varepsilon\,\dot C=\nabla\cdot\varepsilon D\nabla C+\sum_ckf_c\,(C_p-C)-\tau\,(\dot B+k_lB),\qquad \dot B\text{ of }
      \texttt{Binding}.$$

    The state is ``(4, cells)``: $C$ per interstitial fluid, $B$ per tissue, what was lost per tissue, and what the blood delivered per
    volume of voxel, so that $\sum\tau(\varepsilon C+B+\text{lost})-\sum\text{delivered}$ never changes (to the tolerance of the solves).

    **Each implicit stage is** :class:`CapillaryExchange`: $B$ at its end is a Moebius function of $C$, so uptake is $dC/(C+p)-r$ with a
    release $r\ge0$, as oxygen's consumption is. Newton's method converges monotonically, the derivative is the implicit one.

    Args:
        problem: Exchange, and supply per unit of concentration in plasma; its demand and uptake are not read. Its diffusivity is
            $\varepsilon D$. :func:`drug_transport` makes it.
        tissue: $\tau$ per cell.
        binding: With scalar leaves.
        plasma: ``plasma(time)``, concentration of free drug in plasma.
        second_order: The two-stage L-stable method of Alexander, order 2; else implicit Euler, order 1.

    **Positive** for every step; **monotone** in the plasma's concentration for every step with implicit Euler. The second stage of the
    second order starts from an extrapolation, $y_n+2.41\,(y_1-y_n)$; where that is negative or beyond the sites, since a step does not
    resolve what falls, the step is two of implicit Euler. A solve that fails leaves NaN, which ``simulate`` reports with its time.

    Good values: voxels of 10 um; $\sqrt{\varepsilon D/(k_{on}S)}$ is the thinnest layer (15 um doxorubicin, 7 um an antibody). First
    steps after an injection of a hundredth of $\varepsilon/(\sum kf)$, growing. Fails: no convection (small fragments and antibodies
    under high pressure), no difference along a capillary, blood that loses what tissue gains.

    Sources: El-Kareh, Secomb 2000, Neoplasia 2, 325; Thurber et al. 2008; Alexander 1977, SIAM J Numer Anal 14, 1006, theorem 5.
    """

    problem: CapillaryExchange
    tissue: Cells
    binding: Binding
    plasma: Callable[[Scalar], Scalar]
    second_order: bool = eqx.field(static=True, default=True)

    @property
    def order(self) -> int:
        """Two, or one."""
        return 2 if self.second_order else 1

    def start(self) -> Float[Array, "4 cells"]:
        """No drug."""
        return jnp.zeros((4, self.problem.grid.size), self.tissue.dtype)

    def advance(self, state: Float[Array, "4 cells"], time: Scalar, length: Scalar) -> Float[Array, "4 cells"]:
        """See :class:`solvers.Stepper`."""
        active = length > 0
        safe = jnp.where(active, length, 1)
        if not self.second_order:
            return jnp.where(active, self._stage(state, state[FREE], time + length, safe), state)
        middle = self._stage(state, state[FREE], time + STAGE * length, STAGE * safe)
        begun, part = second_stage(state, middle, self.binding.sites[None], (0, 1))
        return jnp.where(active, self._stage(begun, middle[FREE], time + length, part * safe), state)

    def amount(self, state: Float[Array, "*saved 4 cells"]) -> Float[Array, "*saved cells"]:
        r"""$\tau(\varepsilon C+B+\text{lost})$ per cell: what is in it, per volume."""
        return self.tissue * (self.binding.space * state[..., FREE, :] + state[..., BOUND, :] + state[..., LOST, :])

    def _stage(self, begun: Array, guess: Cells, time: Scalar, length: Scalar) -> Array:
        of, tissue, problem = self.binding, self.tissue, self.problem
        demand, half, release = of.implicit(begun[BOUND], length)
        plasma = self.plasma(time)
        stored = tissue * of.space / length
        implicit = CapillaryExchange(
            problem.grid,
            problem.diffusivity,
            problem.exchange,
            problem.supply * plasma + stored * begun[FREE] + tissue * release,
            tissue * demand,
            half,
            stored,
            problem.periodic,
        )
        solution = implicit.solve(max_iterations=ITERATIONS, start=jnp.maximum(guess, 0), diagonal=True)
        free = jnp.where(solution.status == 0, solution.field, jnp.nan)
        bound = of.bound(free, begun[BOUND], length)
        delivered = begun[DELIVERED] + length * (problem.supply * plasma - problem.exchange * free)
        return jnp.stack([free, bound, begun[LOST] + length * of.loss * bound, delivered])


def second_stage(before: Array, middle: Array, sites: Array, over: tuple[int, ...]) -> tuple[Array, Array]:
    """Where the second stage begins and how long it is of the step: the method of order two, or implicit Euler where that has no sense.

    Args:
        before: State before the step, components first.
        middle: After the first stage.
        sites: Of the cells.
        over: Axes of the state within which the choice is the same, components among them, so that what is exchanged within is conserved.
    """
    begun = before + (1 - STAGE) / STAGE * (middle - before)
    slack = 1e-9 * jnp.max(jnp.abs(middle[FREE]))
    # A component that is a field of its own for each zone or cell: what must hold does so in all that belong together.
    fine = (begun[:DELIVERED] >= -slack).all(axis=over) & (begun[BOUND : BOUND + 1] <= sites[None]).all(axis=over)
    spread = fine[(None,) * (begun.ndim - fine.ndim)]
    return jnp.where(spread, begun, middle), jnp.where(fine, STAGE, 1 - STAGE)


def drug_transport(
    grid: VoxelGrid,
    bed: CapillaryBed,
    coefficient: Scalar | float,
    diffusivity: Scalar | float,
    binding: Binding,
    plasma: Callable[[Scalar], Scalar],
    lumen: float = 0.0,
    periodic: tuple[bool, bool, bool] = (False, False, False),
    share: Float[Array, "*pieces"] | None = None,
) -> DrugTransport:
    r"""A drug round capillaries.

    Args:
        grid: In mm.
        bed: From :func:`physics.capillary_bed`.
        coefficient: From :func:`physics.exchange_coefficient` with $\varepsilon D$ and the resistance $1/(2\pi ap)$ of a permeability $p$.
        diffusivity: $\varepsilon D$, mm²/s.
        binding: With scalar leaves.
        plasma: Concentration of free drug in plasma at a time.
        lumen: $(a/b)^2$, as for :func:`physics.oxygen_exchange`.
        periodic: As the bed's.
        share: Of the plasma's concentration that each piece carries; all of it where left out.

    Raises:
        ValueError: From :func:`physics.drug_exchange`, and a binding with leaves that are no scalars.
    """
    for name in ("space", "on", "off", "loss", "sites"):
        if jnp.shape(getattr(binding, name)) != ():
            raise ValueError(f"got {name} of shape {jnp.shape(getattr(binding, name))}; expected one number; do: take one for all voxels")
    carried = jnp.ones(()) if share is None else share
    problem = drug_exchange(grid, bed, carried, coefficient, diffusivity, 1.0, lumen, periodic)
    return DrugTransport(problem, problem.uptake, binding, plasma)
