"""Conductances that spikes of others open."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Kernel = Literal["exponential", "alpha"]


class Synapses(eqx.Module):
    r"""$I = \sum_ew_e\,k(t - t_e)\,(V - E)$ where each event $e$ arrives: $k(s) = e^{-s/\tau}$, or alpha's $(s/\tau)\,e^{1-s/\tau}$.

    Args:
        sites: Compartment of each event.
        onset: $t_e$, ms.
        weight: $w_e$, uS at the peak; 0.0005 to 0.01.
        reversal: $E$, mV: 0 excites, -75 inhibits; one for all or one each.
        time_constant: $\tau$, ms; 1 to 5 for AMPA, 5 to 10 for GABA; one for all or one each.
        kernel: exponential jumps at the onset, alpha grows from zero: only that keeps second order wherever onsets fall between steps.

    Events are data, with derivatives with respect to onset, weight and time constant; an event does nothing to the next.

    Raises:
        ValueError: Numbers that differ, a time constant that is not positive, or a negative weight or site.
    """

    onset: Float[Array, " events"]
    weight: Float[Array, " events"]
    reversal: Float[Array, " events"]
    time_constant: Float[Array, " events"]
    sites: tuple[int, ...] = eqx.field(static=True)
    kernel: Kernel = eqx.field(static=True)

    def __init__(
        self, sites: Sequence[int], onset: ArrayLike, weight: ArrayLike, reversal: ArrayLike = 0.0, time_constant: ArrayLike = 2.0,
        kernel: Kernel = "alpha",
    ) -> None:  # fmt: skip
        given = [jnp.asarray(values, float) for values in (onset, weight, reversal, time_constant)]
        self.sites, self.kernel = tuple(int(site) for site in sites), kernel
        if kernel not in ("exponential", "alpha"):
            raise ValueError(f"got kernel {kernel!r}; expected exponential or alpha; do: choose one of them")
        if any(values.shape not in ((), (len(self.sites),)) for values in given):
            shapes = [values.shape for values in given]
            raise ValueError(f"got shapes {shapes} for {len(self.sites)} sites; expected one number per event; do: correct them")
        self.onset, self.weight, self.reversal, self.time_constant = (jnp.broadcast_to(v, (len(self.sites),)) for v in given)
        if min(self.sites, default=0) < 0:
            raise ValueError(f"got site {min(self.sites)}; expected 0 or more; do: count compartments from 0")
        if any(isinstance(values, Tracer) for values in given):
            return
        if not (np.asarray(self.time_constant) > 0).all() or (np.asarray(self.weight) < 0).any():
            raise ValueError("got a time constant that is not positive or a negative weight; expected above 0; do: inhibit by reversal=-75")

    def conductance(self, time: Scalar) -> Float[Array, " events"]:
        """uS of each event at a time."""
        since = time - self.onset.astype(time.dtype)
        past = since > 0
        scaled = jnp.where(past, since, 0.0) / self.time_constant.astype(time.dtype)
        shape = jnp.exp(-scaled) if self.kernel == "exponential" else scaled * jnp.exp(1 - scaled)
        return jnp.where(past, self.weight.astype(time.dtype) * shape, 0.0)

    def places(self, compartments: int) -> np.ndarray:
        """``(compartments, events)``: one where an event arrives."""
        if max(self.sites, default=0) >= compartments:
            raise ValueError(f"got site {max(self.sites)}; expected 0 to {compartments - 1}; do: choose a compartment")
        return (np.arange(compartments)[:, None] == np.array(self.sites, int)[None, :]).astype(float)
