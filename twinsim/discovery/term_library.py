"""Candidate terms of an unknown law: monomials, and products that saturate."""

from collections.abc import Sequence
from itertools import product

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.errors import InputError


class TermLibrary(eqx.Module):
    r"""Terms $\prod_ix_i^{e_i}$, then $x_ix_j/(h_{ij}+x_j)$ for chosen pairs.

    Attributes:
        half: $h$ of each saturating term; the one number inside of a term, so that a fit in the solver can move it.
        variables: Names of $x$.
        exponents: $e$, a row per monomial.
        pairs: $(i, j)$ of each saturating term; $i=-1$ leaves the first factor out.
    """

    half: Float[Array, " saturating"]
    variables: tuple[str, ...] = eqx.field(static=True)
    exponents: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    pairs: tuple[tuple[int, int], ...] = eqx.field(static=True)

    @classmethod
    def polynomial(
        cls, variables: Sequence[str], degree: int, pairs: Sequence[tuple[int, int]] = (), half: Sequence[float] | float = 1.0
    ) -> "TermLibrary":
        """All monomials up to a degree (the constant first), and saturating products.

        Args:
            variables: Names.
            degree: Highest; 2 for interactions, 3 for relaxation oscillators. More than enough terms cost certainty.
            pairs: $(i, j)$ of saturating terms.
            half: $h$ of each, above zero; one number for all.

        Raises:
            InputError: No variable, a degree below zero, a pair that names no variable, a half-saturation not above zero.
        """
        n = len(variables)
        halves = np.broadcast_to(np.asarray(half, dtype=float), (len(pairs),))
        wrong = [pair for pair in pairs if not (-1 <= pair[0] < n and 0 <= pair[1] < n)]
        if not n or degree < 0 or wrong or not (halves > 0).all():
            got = f"{n} variables, degree {degree}, pairs {list(pairs)}, half-saturations {halves.tolist()}"
            raise InputError(got, "one variable or more, a degree of 0 or more, pairs of their numbers, positive densities", "correct them")
        rows = sorted((e for e in product(range(degree + 1), repeat=n) if sum(e) <= degree), key=lambda e: (sum(e), [-k for k in e]))
        return cls(jnp.asarray(halves), tuple(variables), tuple(rows), tuple((int(i), int(j)) for i, j in pairs))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the terms, as they are read."""
        monomials = [
            " ".join(v if power == 1 else f"{v}^{power}" for v, power in zip(self.variables, row, strict=True) if power) or "1"
            for row in self.exponents
        ]
        saturating = [
            f"{'' if i < 0 else self.variables[i] + ' '}{self.variables[j]}/({float(h):.3g} + {self.variables[j]})"
            for (i, j), h in zip(self.pairs, np.asarray(self.half), strict=True)
        ]
        return (*monomials, *saturating)

    def __len__(self) -> int:
        return len(self.exponents) + len(self.pairs)

    def __call__(self, values: Float[Array, "variables *places"]) -> Float[Array, "terms *places"]:
        """All terms at all places."""
        terms = []
        for row in self.exponents:
            term = jnp.ones_like(values[0])
            for power, value in zip(row, values, strict=True):
                for _ in range(power):
                    term = term * value
            terms.append(term)
        for k, (i, j) in enumerate(self.pairs):
            share = values[j] / (self.half[k] + values[j])
            terms.append(share if i < 0 else values[i] * share)
        return jnp.stack(terms)

    def column(self, name: str) -> int:
        """Number of the monomial of that name.

        Raises:
            InputError: There is none.
        """
        if name not in self.names:
            raise InputError(f"term {name!r}", f"one of {', '.join(self.names)}", "correct the name, or raise the degree")
        return self.names.index(name)
