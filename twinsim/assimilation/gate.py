"""What is done with a reading that nobody expected."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp

from twinsim.assimilation.stream_model import Present, Values


class Gate(eqx.Module):
    r"""Judges a reading by its innovation: an outlier is farther than ``limit`` expected deviations from the prediction.

    Args:
        limit: In standard deviations; 4 flags one good reading in 16,000. Infinity flags none.
        action: ``flag`` uses the reading all the same; ``weigh`` widens its error by $\sqrt{|z|/\text{limit}}$, Huber's weight;
            ``skip`` leaves it out. After a true jump of the patient, ``skip`` ignores readings until the spread of the belief has grown
            enough to reach them: prefer ``weigh`` where the model has no disturbance that could explain a jump.

    Source: Huber (1964), Ann. Math. Stat. 35:73; Bar-Shalom, Li and Kirubarajan (2001), *Estimation with Applications to Tracking*, 5.4.
    """

    limit: float = eqx.field(static=True, default=4.0)
    action: Literal["flag", "weigh", "skip"] = eqx.field(static=True, default="weigh")

    def __check_init__(self) -> None:
        if not self.limit > 0 or self.action not in ("flag", "weigh", "skip"):
            raise ValueError(
                f"got limit {self.limit}, action {self.action!r}; expected limit > 0 and flag, weigh or skip; do: choose those"
            )

    def judge(self, standardised: Values, mask: Present) -> tuple[Present, Present, Values]:
        """Which channels are outliers, which are used, and the factor on each one's error."""
        size = jnp.abs(standardised)
        outlier = mask & (size > self.limit)
        used = mask & ~outlier if self.action == "skip" else mask
        factor = jnp.sqrt(jnp.maximum(size / self.limit, 1.0)) if self.action == "weigh" else jnp.ones_like(size)
        return outlier, used, jnp.where(outlier, factor, 1.0)
