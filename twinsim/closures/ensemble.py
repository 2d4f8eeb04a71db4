"""Several closures of one kind, trained from several seeds: their mean, and how far they disagree."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics import Closure, Variable
from twinsim.closures.learned import LearnedClosure
from twinsim.errors import InputError


class EnsembleClosure(Closure):
    """The mean of members that differ in their arrays only; ``spread`` is their standard deviation, a second sign of extrapolation.

    Attributes:
        members: One closure whose arrays have the members along the first axis.
        inputs: As the members'.
        outputs: As the members'.
    """

    members: LearnedClosure
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, closures: Sequence[LearnedClosure]) -> "EnsembleClosure":
        """Members of equal structure, e.g. trained from several seeds.

        Raises:
            InputError: Fewer than two, or they differ in more than their arrays.
        """
        parts = [eqx.partition(closure, eqx.is_array) for closure in closures]
        if len(parts) < 2 or any(not eqx.tree_equal(static, parts[0][1]) for _, static in parts):
            raise InputError(f"{len(parts)} closures", "two or more of one architecture", "train them with the same sizes and variables")
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(arrays for arrays, _ in parts))
        return cls(members=eqx.combine(stacked, parts[0][1]), inputs=closures[0].inputs, outputs=closures[0].outputs)

    def each(self, values: Float[Array, "inputs *places"]) -> Float[Array, "members outputs *places"]:
        """What every member says."""
        return eqx.filter_vmap(lambda member: member(values))(self.members)

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        return jnp.mean(self.each(values), axis=0)

    def spread(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """The standard deviation among members."""
        return jnp.std(self.each(values), axis=0)
