"""Refuses, before a simulation, a step that an explicit method cannot take."""

import jax
import jax.numpy as jnp
import numpy as np

from solvers.status import refuse_traced
from solvers.stepper import Stepper


def longest_stable_step(stepper: Stepper, longest: float) -> float:
    """The longest step up to ``longest`` that the stepper calls stable, to a thousandth; found by bisection, for any composition.

    Args:
        stepper: With concrete values inside; this runs on the host, outside of any transformation.
        longest: Steps above are of no interest.
    """

    def stable(length: float) -> bool:
        return bool(stepper.stable(jnp.asarray(length, dtype=float)))

    if stable(longest):
        return longest
    low, high = 0.0, longest
    while high - low > 1e-3 * high and high > np.finfo(float).tiny:
        middle = (low + high) / 2 if low > 0 else high / 4
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low


def check_step(stepper: Stepper, length: float) -> None:
    """Raises ValueError with the limit and the remedy if a step of this length is not stable; :func:`simulate` says it as a status.

    Args:
        stepper: The method with the physics inside.
        length: The longest step that is to be taken.

    Raises:
        ValueError: A step above the limit, one that is no length, or traced values (in jit, vmap or grad).
    """
    for leaf in jax.tree.leaves((stepper, length)):
        refuse_traced(leaf, "check_step")
    if not np.isfinite(length) or length < 0:
        raise ValueError(f"got a step of {length}; expected a finite length >= 0; do: check max_step")
    limit = longest_stable_step(stepper, length)
    if limit < length:
        raise ValueError(
            f"got a step of {length:.6g}; expected at most {limit:.6g}, the explicit limit of {type(stepper).__name__}; "
            "do: shorten the step, or take more stages (RungeKuttaChebyshev2), or an implicit method (LocallyOneDimensional, CrankNicolson)"
        )
