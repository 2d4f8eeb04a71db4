"""A sheet of cortex as a field: activity that excites and inhibits its surroundings over smooth distances (Amari 1977)."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Field = Float[Array, "variables *voxels"]
Scalar = Float[Array, ""]


class FieldKernel(eqx.Module):
    """Connection strength by distance, given by its Fourier transform."""

    @abstractmethod
    def transform(self, square: Float[Array, "*voxels"], dimensions: int) -> Float[Array, "*voxels"]:
        r"""$\hat w$ at the square of a wavenumber, 1/mm^2."""


class ExponentialKernel(FieldKernel):
    r"""$w(x)=\frac{W}{2\sigma}e^{-|x|/\sigma}$ on a line, $\hat w = W/(1+\sigma^2k^2)$; the same transform on sheets and in volumes.

    There it is a Bessel kernel, $\frac{W}{2\pi\sigma^2}K_0(r/\sigma)$ on a sheet: the inverse of $1-\sigma^2\nabla^2$.
    """

    weight: Scalar
    reach_mm: Scalar

    def transform(self, square: Float[Array, "*voxels"], dimensions: int) -> Float[Array, "*voxels"]:
        """See :class:`FieldKernel`."""
        del dimensions
        return self.weight / (1 + self.reach_mm**2 * square)


class DifferenceKernel(FieldKernel):
    """Excitation over one distance less inhibition over another: Mexican hats."""

    excitation: FieldKernel
    inhibition: FieldKernel

    def transform(self, square: Float[Array, "*voxels"], dimensions: int) -> Float[Array, "*voxels"]:
        """See :class:`FieldKernel`."""
        return self.excitation.transform(square, dimensions) - self.inhibition.transform(square, dimensions)


class NeuralField(eqx.Module):
    r"""Activity $u$ and its recovery $q$ on a periodic grid of one, two or three dimensions:

    $$\tau\dot u = -u + \int w(|x-y|)\,f(u(y))\,dy - \beta q + I,\qquad \tau\dot q = \epsilon(u - q),$$

    $f$ a step at $\theta$ smoothed over ``width``: $f(u)=\left(1+e^{-(u-\theta)/s}\right)^{-1}$. The integral is a product of fast Fourier
    transforms, exact for what the grid resolves.

    Attributes:
        kernel: $w$.
        threshold: $\theta$.
        width: $s$, above 0; closed forms hold for a step, as $s\to0$ with the grid fine enough to see the slope.
        time_ms: $\tau$.
        recovery: $\beta$; 0 gives fronts and bumps, above it pulses.
        recovery_rate: $\epsilon$.
        spacing_mm: Of the grid.

    Closed forms for a step, $w$ exponential with $W=1$, $\beta=0$ (units of $\sigma$, $\tau$): a front runs at $c=(1-2\theta)/2\theta$
    (:func:`front_speed`); for a Mexican hat, a bump of width $a$ stands where $\int_0^aw=\theta$, stable where $w(a)<0$
    (:func:`bump_widths`). Good values: ten voxels or more per $\sigma$, steps of $\tau/10$ or less, a grid of 20 $\sigma$ at least, since
    it is periodic. Fails: folds of the cortex, delays of conduction and edges are not there.

    Sources: Amari 1977, Biol Cybern 27, 77; Pinto and Ermentrout 2001, SIAM J Appl Math 62, 206; Coombes 2005, Biol Cybern 93, 91.
    """

    kernel: FieldKernel
    threshold: Scalar
    width: Scalar
    time_ms: Scalar
    recovery: Scalar
    recovery_rate: Scalar
    spacing_mm: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not self.spacing_mm > 0:
            raise ValueError(f"got a spacing of {self.spacing_mm} mm; expected above 0; do: give the edge of a voxel")

    def rate(self, activity: Float[Array, "*voxels"]) -> Float[Array, "*voxels"]:
        """$f$."""
        return jax.nn.sigmoid((activity - self.threshold) / self.width)

    def multiplier(self, shape: tuple[int, ...]) -> Float[Array, "*waves"]:
        r"""$\hat w$ at the wavenumbers of a real transform of this shape."""
        waves = [2 * jnp.pi * jnp.fft.fftfreq(size, self.spacing_mm) for size in shape[:-1]]
        waves.append(2 * jnp.pi * jnp.fft.rfftfreq(shape[-1], self.spacing_mm))
        square = sum(jnp.expand_dims(one**2, tuple(k for k in range(len(shape)) if k != axis)) for axis, one in enumerate(waves))
        return self.kernel.transform(jnp.asarray(square, self.threshold.dtype), len(shape))

    def heard(self, activity: Float[Array, "*voxels"]) -> Float[Array, "*voxels"]:
        """The integral."""
        shape = activity.shape
        return jnp.fft.irfftn(self.multiplier(shape) * jnp.fft.rfftn(self.rate(activity)), s=shape)

    def rates(self, state: Field, stimulus: Float[Array, "*voxels"] | Scalar) -> Field:
        """Change per ms."""
        u, q = state
        fast = -u + self.heard(u) - self.recovery * q + stimulus
        return jnp.stack([fast, self.recovery_rate * (u - q)]) / self.time_ms

    def march(
        self, state: Field, steps: int, dt_ms: float, *, stimulus: Float[Array, "*voxels"] | None = None, every: int = 1
    ) -> tuple[Field, Float[Array, "saves variables *voxels"]]:
        """The last state, and every ``every``-th, by the midpoint rule (order two).

        Raises:
            ValueError: A state that is not two fields, or steps that are no multiple of ``every``.
        """
        if state.shape[0] != 2 or state.ndim < 2 or steps < 1 or every < 1 or steps % every:
            raise ValueError(
                f"got a state of shape {state.shape}, {steps} steps, every {every}; expected activity and recovery on a grid, "
                "and steps in whole multiples; do: stack the two fields and correct the steps"
            )
        given = jnp.zeros((), state.dtype) if stimulus is None else stimulus

        def step(state: Field, _: None) -> tuple[Field, None]:
            middle = state + 0.5 * dt_ms * self.rates(state, given)
            return state + dt_ms * self.rates(middle, given), None

        def save(state: Field, _: None) -> tuple[Field, Field]:
            state, _ = jax.lax.scan(step, state, None, every)
            return state, state

        return jax.lax.scan(save, state, None, steps // every)


def front_speed(threshold: float, reach_mm: float = 1.0, time_ms: float = 1.0) -> float:
    r"""Of a front of a step rate with an exponential kernel of weight 1, mm/ms: $\frac\sigma\tau\,\frac{1-2\theta}{2\theta}$; mirrored for
    $\theta>1/2$, where activity withdraws.

    From $\theta = \int_0^\infty e^{-s}\int_{cs}^\infty w\,dx\,ds = \frac{1}{2(1+c\tau/\sigma)}$ for $c\ge0$.

    Raises:
        ValueError: No threshold between 0 and 1.

    Source: Pinto and Ermentrout 2001; Coombes 2005, section 3.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"got a threshold of {threshold:g}; expected between 0 and 1; do: choose one that a front can cross")
    mirrored = min(threshold, 1 - threshold)
    speed = reach_mm / time_ms * (1 - 2 * mirrored) / (2 * mirrored)
    return speed if threshold <= 0.5 else -speed


def bump_widths(kernel: DifferenceKernel, threshold: float) -> tuple[float, ...]:
    r"""Widths $a$, mm, at which $\int_0^aw=\theta$ for a difference of exponentials on a line; the narrow one is unstable, the wide stable.

    Source: Amari 1977, theorem 2.
    """
    import numpy as np
    from scipy.optimize import brentq

    parts = [(float(one.weight), float(one.reach_mm)) for one in (kernel.excitation, kernel.inhibition)]  # type: ignore[attr-defined]

    def excess(width: float) -> float:
        (excite, near), (inhibit, far) = parts
        return excite / 2 * (1 - np.exp(-width / near)) - inhibit / 2 * (1 - np.exp(-width / far)) - threshold

    widths = max(near for _, near in parts) * np.linspace(1e-6, 40, 20_001)
    signs = np.sign([excess(width) for width in widths])
    return tuple(float(brentq(excess, widths[k], widths[k + 1])) for k in np.flatnonzero(signs[1:] != signs[:-1]))
