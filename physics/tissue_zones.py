"""A voxel of tissue as a few zones round its capillaries, one behind the other: a drug between blood, zones and cells."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from physics.drug_transport import BOUND, DELIVERED, FREE, LOST, STAGE, Binding, second_stage
from solvers import Diffusion, Rate, Stepper, VoxelGrid
from solvers.shapes import Scalar

ZoneState = Float[Array, "4 zones voxels"]
WRITTEN_OUT = 4  # zones whose elimination is no loop
STEPS = 40  # of Newton's method, at most
TOLERANCES = {"float64": 1e-12, "float32": 1e-5}


class TissueZones(Stepper):
    r"""Zones of $v_1,\dots,v_Z$ of a voxel; the first exchanges with the blood, each with the next:

    $$v_i\varepsilon\,\dot C_i=\delta_{i1}w\,(C_p-C_1)+g_i(C_{i+1}-C_i)-g_{i-1}(C_i-C_{i-1})-v_i(\dot B_i+k_lB_i).$$

    One zone is well mixed tissue; rings of a Krogh cylinder are :func:`krogh_zones`; a learned law has few zones of its own sizes. The
    state is ``(4, zones, voxels)`` as that of :class:`physics.DrugTransport` (what is delivered stands in the first zone, per volume of
    voxel), with the same two methods in time and the same properties: conserved, positive, monotone in the plasma, at rest where all
    concentrations are the plasma's. A step of all voxels is Newton's method on tridiagonal systems.

    Args:
        volume: $v_i$, shares of the voxel; they add up to its share of tissue.
        wall: $w$, 1/s, at most density over resistance.
        between: $g_i$, 1/s.
        binding: Leaves are scalars or one per voxel.
        plasma: ``plasma(time)``, a number or one per voxel.
        second_order: As there.
    """

    volume: Float[Array, "zones voxels"]
    wall: Float[Array, " voxels"]
    between: Float[Array, "gaps voxels"]
    binding: Binding
    plasma: Callable[[Scalar], Array]
    second_order: bool = eqx.field(static=True, default=True)

    @property
    def order(self) -> int:
        """Two, or one."""
        return 2 if self.second_order else 1

    def start(self) -> ZoneState:
        """No drug."""
        return jnp.zeros((4, *self.volume.shape), self.volume.dtype)

    def advance(self, state: ZoneState, time: Scalar, length: Scalar) -> ZoneState:
        """See :class:`solvers.Stepper`."""
        active = length > 0
        safe = jnp.where(active, length, 1)
        if not self.second_order:
            return jnp.where(active, self._stage(state, state[FREE], time + length, safe), state)
        middle = self._stage(state, state[FREE], time + STAGE * length, STAGE * safe)
        begun, part = second_stage(state, middle, self._cells().sites, (0, 1))
        return jnp.where(active, self._stage(begun, middle[FREE], time + length, part * safe), state)

    def amount(self, state: Float[Array, "*saved 4 zones voxels"]) -> Float[Array, "*saved voxels"]:
        """What is in each voxel, per volume of it."""
        volume = self.volume[(None,) * (state.ndim - 3)]
        per = self._cells().space[(None,) * (state.ndim - 3)] * state[..., FREE, :, :] + state[..., BOUND, :, :] + state[..., LOST, :, :]
        return jnp.sum(volume * per, axis=-2)

    def means(self, state: Float[Array, "*saved 4 zones voxels"]) -> Float[Array, "*saved 2 voxels"]:
        """Mean free concentration, and mean taken up (bound and lost), over the tissue of each voxel."""
        weight = (self.volume / jnp.sum(self.volume, axis=0, keepdims=True))[(None,) * (state.ndim - 3)]
        return jnp.stack(
            [
                jnp.sum(weight * state[..., FREE, :, :], axis=-2),
                jnp.sum(weight * (state[..., BOUND, :, :] + state[..., LOST, :, :]), axis=-2),
            ],
            axis=-2,
        )

    def _cells(self) -> Binding:
        """One row per zone, or one for all."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, self.wall.shape)[None], self.binding)

    def _stage(self, begun: Array, guess: Array, time: Scalar, length: Array) -> Array:
        of, volume, length = self._cells(), self.volume, jnp.broadcast_to(length, self.wall.shape)[None]
        demand, half, release = of.implicit(begun[BOUND], length)
        plasma = jnp.broadcast_to(self.plasma(time), self.wall.shape)
        stored = volume * of.space / length
        source = stored * begun[FREE] + volume * release
        source = source.at[0].add(self.wall * plasma)
        closed = jnp.zeros((1, *self.wall.shape), volume.dtype)
        above = jnp.concatenate([self.between, closed])
        local = stored.at[0].add(self.wall)
        linear = local + above + jnp.concatenate([closed, self.between])

        def step(free: Array, *, held: bool) -> Array:
            """The next iterate; with its Jacobian held it is a map whose derivative is that of the implicit function."""
            keep = lax.stop_gradient if held else lambda part: part
            chain = self.between * jnp.diff(free, axis=0)
            out = jnp.concatenate([chain, closed]) - jnp.concatenate([closed, chain])
            left = source - local * free + out - volume * demand * free / (free + half)
            slope = linear + volume * demand * half / (free + half) ** 2
            return free + _tridiagonal(keep(slope), keep(self.between), left)

        def goes_on(carry: tuple[Array, Array, Array]) -> Array:
            _, moved, count = carry
            return moved.any() & (count < STEPS)

        def newton(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            free, _, count = carry
            after = jnp.maximum(step(free, held=False), 0)
            moved = jnp.abs(after - free) > TOLERANCES[free.dtype.name] * (jnp.max(after, axis=0, keepdims=True) + 1e-30)
            return after, moved.any(axis=0, keepdims=True), count + 1

        begin = jnp.maximum(lax.stop_gradient(guess), 0), jnp.ones_like(length, bool), jnp.zeros((), int)
        free, moved, _ = lax.while_loop(goes_on, lambda carry: lax.stop_gradient(newton(carry)), begin)
        free = jnp.where(moved, jnp.nan, step(lax.stop_gradient(free), held=True))
        bound = of.bound(free, begun[BOUND], length)
        delivered = begun[DELIVERED].at[0].add(length[0] * self.wall * (plasma - free[0]))
        return jnp.stack([free, bound, begun[LOST] + length * of.loss * bound, delivered])


class LateralDiffusion(Rate):
    r"""Free drug between the same zones of neighbours, conserved: $v_i\varepsilon\,\dot C_i=\nabla\cdot v_i\varepsilon D\nabla C_i$.

    Args:
        operator: On the voxels and, as third axis, the zones. :func:`lateral_diffusion` makes it.
        capacity: $v_i\varepsilon$.
    """

    operator: Diffusion
    capacity: Float[Array, "zones voxels"]

    def evaluate(self, state: ZoneState, time: Scalar) -> ZoneState:
        """See :class:`solvers.Rate`."""
        del time
        change = self.operator.apply(state[FREE].T.reshape(-1)).reshape(self.capacity.shape[::-1]).T / self.capacity
        return jnp.zeros_like(state).at[FREE].set(change)

    def spectral_bound(self) -> Scalar:
        """Gershgorin's, each zone with its own capacity."""
        diagonal = self.operator.diagonal().reshape(self.capacity.shape[::-1]).T
        return jnp.max(-2 * diagonal / self.capacity)


def lateral_diffusion(grid: VoxelGrid, zones: TissueZones, diffusivity: Scalar | float) -> LateralDiffusion:
    r"""Between voxels of a section.

    Args:
        grid: ``(nx, ny, 1)``, mm.
        zones: Of its voxels, in the order of the flat grid.
        diffusivity: $\varepsilon D$, mm²/s.

    Raises:
        ValueError: Another number of voxels than of the grid, or a grid that is no section.
    """
    if grid.shape[2] != 1 or zones.volume.shape[1] != grid.size:
        raise ValueError(f"got {zones.volume.shape[1]} voxels on a grid of {grid.shape}; expected a section; do: give each voxel its zones")
    count = zones.volume.shape[0]
    stack = VoxelGrid(jnp.repeat(jnp.asarray(grid.mask), count, axis=2), grid.spacing)
    along = (zones.volume.T * diffusivity).reshape(stack.shape)
    space = jnp.broadcast_to(zones.binding.space, zones.wall.shape)
    return LateralDiffusion(Diffusion(stack, (along, along, 0 * along)), zones.volume * space[None])


def krogh_rings(
    share: Float[Array, "zones _"],
    density: Float[Array, " voxels"],
    capillary_mm: float,
    diffusivity: Float[Array, " voxels"],
    resistance: Float[Array, " voxels"],
) -> tuple[Array, Array]:
    r"""$w$ and $g_i$ of rings round capillaries that have $1/n$ of a section each; of order two once rings are thinner than their radius.

    Args:
        share: Of the tissue in each ring, from the capillary outward, ``(zones, 1)`` or for each voxel; they add up to one.
        density: $n>0$, 1/mm².
        capillary_mm: $a$.
        diffusivity: $\varepsilon D$, mm²/s.
        resistance: $K$, s/mm².
    """
    inner = capillary_mm**2
    ring = jnp.maximum(1 / (jnp.pi * density) - inner, 1e-3 * inner)
    middle = jnp.cumsum(share, axis=0) - share / 2
    square = inner + middle * ring[None]
    conductance = 4 * jnp.pi * density * diffusivity
    wall = density / (resistance + jnp.log(square[0] / inner) / (4 * jnp.pi * diffusivity))
    return wall, conductance[None] / jnp.log(square[1:] / square[:-1])


def _tridiagonal(diagonal: Array, off: Array, right: Array) -> Array:
    """Symmetric systems along the first axis with ``-off`` beside the diagonal, by elimination; of few zones it is written out."""
    count = diagonal.shape[0]
    unroll = count if count <= WRITTEN_OUT else 1

    def eliminate(carry: tuple[Array, Array], row: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        beside, own, known = row
        factor = beside / carry[0]
        found = own - factor * beside, known + factor * carry[1]
        return found, found

    first = diagonal[0], right[0]
    _, rest = lax.scan(eliminate, first, (off, diagonal[1:], right[1:]), unroll=unroll)
    pivots, rights = (jnp.concatenate([one[None], many]) for one, many in zip(first, rest, strict=True))

    def substitute(after: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        beside, pivot, known = row
        found = (known + beside * after) / pivot
        return found, found

    last = rights[-1] / pivots[-1]
    _, found = lax.scan(substitute, last, (off, pivots[:-1], rights[:-1]), reverse=True, unroll=unroll)
    return jnp.concatenate([found, last[None]])
