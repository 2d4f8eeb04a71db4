"""The Allen-Cahn equation on a periodic line: a network that meets start and period exactly, and a spectral solver."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._informed_case import Case, Level, relative_error, timed
from twinsim.informed import InformedProblem, Jet, Sampling, SmoothPerceptron, Stage, coordinate, cosine, exponential, sine, stacked

DIFFUSIVITY, GROWTH = 1e-4, 5.0
WAVES = 3  # cosines and sines of the period that the network sees
BENT = (0,)


class AllenCahnField(eqx.Module):
    r"""$u=x^2\cos\pi x+(1-e^{-10t})(x^2-1)+e^{-10t}c(x,t)+t\,N(\cos k\pi x,\sin k\pi x,t)$: start and period hold whatever $N$ is.

    The start has a kink where the period closes, $u_x(\pm1)=\mp2$, that of $-x^2$, which no smooth $N$ could round off.
    $c=2\sqrt{4\varepsilon t}\,\mathrm{ierfc}(|y|/\sqrt{4\varepsilon t})$, with $y$ the distance to the seam, is what diffusion makes of it,
    and $-10$ the slope of $5(u-u^3)$ at the value $-1$ there: the lift has all of the singularity.

    Args:
        network: $N$.
    """

    network: SmoothPerceptron

    def jet(self, point: Float[Array, " 2"]) -> Jet:
        """$u$ with $u_x$, $u_t$ and $u_{xx}$; not at the seam itself at $t=0$."""
        x, t = (coordinate(point, axis, BENT) for axis in (0, 1))
        waves = [wave(x * (k * np.pi)) for k in range(1, WAVES + 1) for wave in (cosine, sine)]
        inner = self.network.of(stacked([*waves, t]))
        inner = Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], BENT)
        settled = 1 - exponential(t * (-2 * GROWTH))
        return x * x * cosine(x * np.pi) + (x * x - 1) * settled + rounding(point) + t * inner

    def __call__(self, point: Float[Array, " 2"]) -> Float[Array, ""]:
        """$u$ alone."""
        x, t = point
        waves = [wave(k * np.pi * x) for k in range(1, WAVES + 1) for wave in (jnp.cos, jnp.sin)]
        settled = -jnp.expm1(-2 * GROWTH * t)
        return start(x) + (x * x - 1) * settled + rounding(point).value + t * self.network(jnp.stack([*waves, t]))[0]


def start(x: Array) -> Array:
    r"""$x^2\cos\pi x$."""
    return x * x * jnp.cos(np.pi * x)


def rounding(point: Float[Array, " 2"]) -> Jet:
    r"""$e^{-10t}c(y,t)$, $c_y=-2\,\mathrm{erfc}$, $c_{yy}=4e^{-y^2/4\varepsilon t}/\sqrt{4\pi\varepsilon t}$, $c_t=\varepsilon c_{yy}$."""
    x, t = point
    y, side = 1 - jnp.abs(x), -jnp.sign(x)
    width = jnp.sqrt(4 * DIFFUSIVITY * jnp.maximum(t, 1e-12))
    s = y / width
    bell, tail, decay = jnp.exp(-s * s), jax.scipy.special.erfc(s), jnp.exp(-2 * GROWTH * t)
    value = 2 * (width * bell / np.sqrt(np.pi) - y * tail) * decay
    bend = 4 * bell / (width * np.sqrt(np.pi)) * decay
    return Jet(value, jnp.stack([-2 * tail * side * decay, DIFFUSIVITY * bend - 2 * GROWTH * value]), bend[None], BENT)


def field(seed: int, widths: tuple[int, ...], steepness: float = 2.0) -> AllenCahnField:
    """A network as drawn."""
    ends = (1.0,) * (2 * WAVES)
    low, steep = (*(-end for end in ends), 0.0), (*(steepness,) * (2 * WAVES), 1.0)
    network = SmoothPerceptron(low, (*ends, 1.0), widths, key=jax.random.key(seed), steepness=steep)
    return AllenCahnField(network)


def residual(model: AllenCahnField, point: Float[Array, " 2"]) -> Float[Array, ""]:
    r"""$u_t-\varepsilon u_{xx}-5(u-u^3)$."""
    u = model.jet(point)
    return u.slope(1) - DIFFUSIVITY * u.bend(0) - GROWTH * (u.value - u.value**3)


def draw(key: Array, count: int) -> Float[Array, "points 2"]:
    """Uniform points of [-1, 1] x [0, 1]."""
    return jax.random.uniform(key, (count, 2), minval=jnp.array([-1.0, 0.0]), maxval=jnp.array([1.0, 1.0]))


PROBLEM = InformedProblem(residual, draw)


def spectral(modes: int, steps: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""The classical solution ``(times, places)`` at ``modes`` places of [-1, 1): Fourier in space, exponential Runge-Kutta in time.

    The method of order four of Cox and Matthews (2002), with coefficients by contour integrals of Kassam and Trefethen (2005), SIAM J.
    Sci. Comput. 26:1214, section 2; that of Burgers' equation there. ``times`` have to be multiples of a step.
    """
    x = -1 + 2 * np.arange(modes) / modes
    waves = np.pi * np.arange(modes // 2 + 1)
    dt = 1 / steps
    linear = GROWTH - DIFFUSIVITY * waves**2
    circle = np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)
    z = dt * linear[:, None] + circle[None]
    e, half = np.exp(dt * linear), np.exp(dt * linear / 2)
    q = dt * ((np.exp(z / 2) - 1) / z).mean(axis=1).real
    f1 = dt * ((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3).mean(axis=1).real
    f2 = dt * ((2 + z + np.exp(z) * (z - 2)) / z**3).mean(axis=1).real
    f3 = dt * ((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3).mean(axis=1).real

    def cubic(v: np.ndarray) -> np.ndarray:
        return -GROWTH * np.fft.rfft(np.fft.irfft(v, modes) ** 3)

    v = np.fft.rfft(x**2 * np.cos(np.pi * x))
    wanted = np.rint(np.asarray(times) * steps).astype(int)
    kept = {0: v}
    for step in range(1, wanted.max() + 1):
        n = cubic(v)
        a = half * v + q * n
        na = cubic(a)
        b = half * v + q * na
        nb = cubic(b)
        c = half * a + q * (2 * nb - n)
        v = e * v + f1 * n + 2 * f2 * (na + nb) + f3 * cubic(c)
        if step in wanted:
            kept[step] = v
    return x, np.stack([np.fft.irfft(kept[step], modes) for step in wanted])


@lru_cache
def exact() -> tuple[np.ndarray, np.ndarray]:
    """Points ``(n, 2)`` over which errors are taken, and the solution there to about 1e-6: the start has a kink, so that errors fall by
    four per doubling of modes, from 1.1e-5 with 512."""
    times = np.linspace(0, 1, 101)
    x, found = spectral(2048, 1000, times)
    x, found = x[::8], found[:, ::8]
    points = np.stack(np.meshgrid(x, times, indexing="ij"), axis=-1).reshape(-1, 2)
    return points, found.T.ravel()


def case(seed: int, width: int = 20, layers: int = 3, scale: float = 1.0) -> Case:
    """A network for the whole course; ``scale`` multiplies the iterations."""
    points, truth = exact()
    where = jnp.asarray(points)
    answer = jax.jit(lambda model: jax.vmap(model)(where))
    stages = (Stage(800, max(1, round(20 * scale)), 5), Stage(2500, max(1, round(25 * scale)), 10))
    return Case(PROBLEM, field(seed, (width,) * layers), stages, Sampling(), answer, truth)


def levels(seeds: Sequence[int] = (0,)) -> tuple[Level, ...]:
    """The spectral solver on ever more modes."""
    del seeds  # the problem has no data
    times = np.linspace(0, 1, 101)

    def run(modes: int) -> tuple[float, float]:
        (_, found), seconds = timed(lambda: spectral(modes, 100, times))
        return relative_error(found[:, :: modes // 64], exact()[1].reshape(256, 101)[::4].T), seconds

    return tuple(Level(f"Fourier and exponential Runge-Kutta, {modes} modes", lambda n=modes: run(n)) for modes in (64, 128, 256, 512))


def paint(axes: Any, values: np.ndarray, truth: np.ndarray) -> None:
    """The field over time, and in black where it is wrong by more than a thousandth."""
    drawn = values.reshape(256, 101)
    axes.imshow(drawn, origin="lower", aspect="auto", extent=(0, 1, -1, 1), cmap="RdBu_r", vmin=-1, vmax=1)
    axes.contour(np.abs(values - truth).reshape(256, 101), levels=[1e-3], extent=(0, 1, -1, 1), colors="black", linewidths=0.6)
    axes.set_xlabel("t")
    axes.set_ylabel("x")
