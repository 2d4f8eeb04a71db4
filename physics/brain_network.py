"""Neural masses of a whole brain, coupled over tracts with delays; Heun's method, with or without noise."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.mass_coupling import MassCoupling, TotalWeight
from physics.neural_mass import NeuralMass
from solvers import DelayedEdges, DelayedNode, DelayedSolution, Forcing, delayed_march, delayed_march_forward_mode
from solvers.shapes import Index

State = Float[Array, "variables regions *members"]


class WhiteNoise(Forcing):
    r"""Independent increments $\sqrt{2D\,\Delta t}\,\xi$ for each variable, region, member and step; $D$ per ms, one per variable.

    Attributes:
        key: Of all of them; the numbers of a step depend on the key and the step only.
        intensity: $D$, ``(variables,)``.
        shape: Of a state.
        dt_ms: Step.
    """

    key: Array
    intensity: Float[Array, " variables"]
    shape: tuple[int, ...] = eqx.field(static=True)
    dt_ms: float = eqx.field(static=True)

    def over(self, first: Index, count: int) -> Float[Array, "steps variables regions *members"]:
        """See :class:`solvers.Forcing`."""
        keys = jax.vmap(lambda step: jax.random.fold_in(self.key, step))(first + jnp.arange(count))
        numbers = jax.vmap(lambda key: jax.random.normal(key, self.shape, self.intensity.dtype))(keys)
        size = jnp.sqrt(2 * self.intensity * self.dt_ms)
        return numbers * size.reshape(1, -1, *(1,) * (len(self.shape) - 1))


class BrainNetwork(eqx.Module):
    r"""$\dot s_i = F(s_i, c_i) $, $c_i$ by a :class:`physics.MassCoupling` from $\sum_jw_{ij}f(x_j(t-\tau_{ij}))$.

    One step is Heun's, with the effect of others held over both stages (as TVB does: of order two without coupling, of order one in the
    coupling), and noise added in both: $\tilde s = s + hF(s,c) + \eta$, $s' = s + \tfrac h2(F(s,c)+F(\tilde s,c)) + \eta$, for
    additive noise
    the stochastic Heun method (Stratonovich and Ito agree). Delays are rounded to whole steps.

    Attributes:
        mass: Of a region.
        coupling: What others do.
        edges: From :meth:`physics.Connectome.edges`, for this step.
        dt_ms: Step, ms.
    """

    mass: NeuralMass
    coupling: MassCoupling
    edges: DelayedEdges
    dt_ms: float = eqx.field(static=True)

    def initial_state(self, members: int | None = None) -> State:
        """The mass's own in every region."""
        own = self.mass.initial_state()
        shape = (len(own), self.edges.nodes) if members is None else (len(own), self.edges.nodes, members)
        return jnp.broadcast_to(own.reshape(-1, *(1,) * (len(shape) - 1)), shape)

    def rates(self, state: State) -> State:
        """Change per ms where every region has been in this state for ever: its zeros are the fixed points, with delays or without."""
        own = self.mass.heard(state)
        weights = jnp.zeros((self.edges.nodes,) * 2, self.edges.weights.dtype).at[self.edges.to, self.edges.source].add(self.edges.weights)
        heard = jnp.einsum("ij,rj...->ri...", weights, self.coupling.sent(own))
        return self.mass.rates(state, self.coupling.effect(own, heard, _beside(self.edges.total_weight(), state)))

    def march(
        self,
        state: State,
        steps: int,
        *,
        noise: WhiteNoise | None = None,
        history: Float[Array, "reach rows regions *members"] | None = None,
        every: int = 1,
        mean: bool = False,
        derivatives: Literal["reverse", "forward"] = "reverse",
    ) -> DelayedSolution:
        """Steps of ``dt_ms``; arguments as of :func:`solvers.delayed_march`, which says what is kept for which derivatives."""
        node = _Regions(self.mass, self.coupling, _beside(self.edges.total_weight(), state), self.dt_ms)
        method = delayed_march if derivatives == "reverse" else delayed_march_forward_mode
        return method(node, self.edges, state, steps, history=history, forcing=noise, every=every, mean=mean)


def _beside(per_region: Float[Array, " regions"], state: State) -> TotalWeight:
    return per_region.reshape(1, -1, *(1,) * (state.ndim - 2)).astype(state.dtype)


class _Regions(DelayedNode):
    mass: NeuralMass
    coupling: MassCoupling
    total_weight: TotalWeight
    dt_ms: float = eqx.field(static=True)

    def sent(self, state: State) -> Float[Array, "rows regions *members"]:
        return self.coupling.sent(self.mass.heard(state))

    def advance(self, state: State, heard: Float[Array, "rows regions *members"], forced: State | None) -> State:
        effect = self.coupling.effect(self.mass.heard(state), heard, self.total_weight)
        first = self.mass.rates(state, effect)
        noise = 0.0 if forced is None else forced
        guess = self.mass.clipped(state + self.dt_ms * first + noise)
        return self.mass.clipped(state + 0.5 * self.dt_ms * (first + self.mass.rates(guess, effect)) + noise)
