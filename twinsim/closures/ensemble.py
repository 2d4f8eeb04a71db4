"""Several closures of one kind, trained from several seeds: their mean, and how far they disagree."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from physics import Closure, Variable
from solvers import Status
from twinsim.closures.learned import LearnedClosure
from twinsim.errors import InputError


class EnsembleClosure(Closure):
    """The mean of members that differ in their arrays only; ``spread`` is their standard deviation, a second sign of extrapolation.

    Attributes:
        members: One closure whose arrays have the members along the first axis.
        inputs: As the members'.
        outputs: As the members'.
        trusted_spread: The largest spread of each output among the inputs that the members were trained on; None where unknown.
    """

    members: LearnedClosure
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)
    trusted_spread: Float[Array, " outputs"] | None = None

    @classmethod
    def of(cls, closures: Sequence[LearnedClosure], seen: Float[Array, "inputs *places"] | None = None) -> "EnsembleClosure":
        """Members of equal structure, e.g. trained from several seeds.

        Args:
            closures: The members.
            seen: Inputs that they were trained on: a larger disagreement than anywhere among them is then a sign of extrapolation.

        Raises:
            InputError: Fewer than two, or they differ in more than their arrays.
        """
        parts = [eqx.partition(closure, eqx.is_array) for closure in closures]
        if len(parts) < 2 or any(not eqx.tree_equal(static, parts[0][1]) for _, static in parts):
            raise InputError(f"{len(parts)} closures", "two or more of one architecture", "train them with the same sizes and variables")
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(arrays for arrays, _ in parts))
        made = cls(members=eqx.combine(stacked, parts[0][1]), inputs=closures[0].inputs, outputs=closures[0].outputs)
        if seen is None:
            return made
        trusted = made.spread(seen).reshape(len(made.outputs), -1).max(axis=1)
        return cls(members=made.members, inputs=made.inputs, outputs=made.outputs, trusted_spread=trusted)

    def each(self, values: Float[Array, "inputs *places"]) -> Float[Array, "members outputs *places"]:
        """What every member says."""
        return eqx.filter_vmap(lambda member: member(values))(self.members)

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        return jnp.mean(self.each(values), axis=0)

    def spread(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """The standard deviation among members."""
        return jnp.std(self.each(values), axis=0)

    def examine(self, values: Float[Array, "inputs *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """``Status.EXTRAPOLATED`` where members disagree by more than ``margin`` times the trusted spread, or are out of their range.

        Raises:
            ValueError: Neither a trusted spread nor a training range.
        """
        codes = []
        if self.trusted_spread is not None:
            limit = margin * self.trusted_spread.reshape(-1, *[1] * (values.ndim - 1))
            codes.append(jnp.where((self.spread(values) <= limit).all(axis=0), int(Status.SUCCESS), int(Status.EXTRAPOLATED)))
        if self.members.seen_inputs() is not None or not codes:
            codes.append(eqx.filter_vmap(lambda member: member.examine(values, margin))(self.members).max(axis=0))
        return jnp.max(jnp.stack(codes), axis=0)
