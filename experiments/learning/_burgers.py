"""Burgers' equation between two walls: a network that meets start and walls exactly, the closed form, and a classical solver."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.informed import InformedProblem, Jet, Rows, SmoothPerceptron, coordinate, sine

VISCOSITY = 0.01 / np.pi
NODES = 120  # of the quadrature: sixteen digits of the solution up to t = 1


class BurgersField(eqx.Module):
    r"""$u=-\sin\pi x+t\,(1-x^2)\,N(x,t)$: start and walls hold whatever $N$ is; $\log\nu$ is sought or given.

    Args:
        network: $N$.
        log_viscosity: Logarithm of $\nu$.
    """

    network: SmoothPerceptron
    log_viscosity: Float[Array, ""]

    def jet(self, point: Float[Array, " 2"]) -> Jet:
        """$u$ with $u_x$, $u_t$ and $u_{xx}$."""
        x, t = (coordinate(point, axis, (0,)) for axis in (0, 1))
        inner = self.network.jet(point, (0,))
        inner = Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], inner.bent)
        return -sine(x * np.pi) + t * (1 - x * x) * inner

    def __call__(self, point: Float[Array, " 2"]) -> Float[Array, ""]:
        """$u$ alone."""
        x, t = point
        return -jnp.sin(np.pi * x) + t * (1 - x * x) * self.network(point)[0]


def field(seed: int, widths: tuple[int, ...], viscosity: float = VISCOSITY) -> BurgersField:
    """A network as drawn; steeper along x, where the front will stand."""
    network = SmoothPerceptron((-1.0, 0.0), (1.0, 1.0), widths, key=jax.random.key(seed), steepness=(3.0, 1.0))
    return BurgersField(network, jnp.log(jnp.asarray(viscosity, float)))


def residual(model: BurgersField, point: Float[Array, " 2"]) -> Float[Array, ""]:
    r"""$u_t+u\,u_x-\nu u_{xx}$; a viscosity that is given is not fitted."""
    u = model.jet(point)
    return u.slope(1) + u.value * u.slope(0) - jnp.exp(jax.lax.stop_gradient(model.log_viscosity)) * u.bend(0)


def residual_with_viscosity(model: BurgersField, point: Float[Array, " 2"]) -> Float[Array, ""]:
    """The same, where the viscosity is sought."""
    u = model.jet(point)
    return u.slope(1) + u.value * u.slope(0) - jnp.exp(model.log_viscosity) * u.bend(0)


def draw(key: Array, count: int) -> Float[Array, "points 2"]:
    """Uniform points of [-1, 1] x [0, 1]."""
    return jax.random.uniform(key, (count, 2), minval=jnp.array([-1.0, 0.0]), maxval=jnp.array([1.0, 1.0]))


def forward_problem() -> InformedProblem:
    """The viscosity is known."""
    return InformedProblem(residual, draw)


def sparse_values(seed: int, count: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Points ``(n, 2)`` and values: every second within a tenth of the front, which tells of the viscosity; others anywhere."""
    random = np.random.default_rng(seed)
    reach = np.where(np.arange(count) % 2, 1.0, 0.1)
    points = np.stack([reach * random.uniform(-1, 1, count), random.uniform(0, 1, count)], axis=1)
    return points, exact(points[:, 0], points[:, 1]) + noise * random.normal(size=count)


def inverse_problem(points: np.ndarray, data: np.ndarray, sigma: float) -> InformedProblem:
    """The viscosity is sought from values at points ``(n, 2)`` with errors of ``sigma``."""
    weights = jnp.full(len(data), 1 / (sigma * len(data) ** 0.5))
    known = Rows(_datum, (jnp.asarray(points), jnp.asarray(data)), weights)
    return InformedProblem(residual_with_viscosity, draw, (known,))


def _datum(model: BurgersField, point: tuple[Array, Array]) -> Float[Array, ""]:
    place, value = point
    return model(place) - value


def exact(x: np.ndarray, t: np.ndarray, viscosity: float = VISCOSITY) -> np.ndarray:
    r"""The closed form at places and times of one shape.

    By Cole's and Hopf's transformation $u=-\int\sin\pi(x-\eta)\,w\,d\eta\big/\int w\,d\eta$, $w=f(x-\eta)\,e^{-\eta^2/4\nu t}$ and
    $f(y)=e^{-\cos(\pi y)/2\pi\nu}$; integrals by Gauss and Hermite, exponents relative to their largest.
    Source: Basdevant and others (1986), Comput. Fluids 14:23.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(NODES)
    y = np.asarray(x, float)[..., None] - np.sqrt(4 * viscosity * np.asarray(t, float))[..., None] * nodes
    power = -np.cos(np.pi * y) / (2 * np.pi * viscosity)
    mass = weights * np.exp(power - power.max(axis=-1, keepdims=True))
    return -(np.sin(np.pi * y) * mass).sum(axis=-1) / mass.sum(axis=-1)


def lattice(count: int = 101) -> tuple[np.ndarray, np.ndarray]:
    """Points ``(n, 2)`` over which errors are taken, and the exact values there."""
    x, t = np.meshgrid(np.linspace(-1, 1, 2 * count - 1), np.linspace(0, 1, count), indexing="ij")
    points = np.stack([x.ravel(), t.ravel()], axis=1)
    return points, exact(points[:, 0], points[:, 1])


@jax.jit
def values(model: BurgersField, points: Array) -> Array:
    """$u$ at points."""
    return jax.vmap(model)(points)


def relative_error(found: Any, truth: np.ndarray) -> float:
    """Of the root mean square."""
    return float(np.linalg.norm(np.asarray(found) - truth) / np.linalg.norm(truth))


def finite_differences(cells: int, steps: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""The classical solution ``(times, nodes)`` at nodes of [-1, 1]: order two in space and time.

    Centred differences of $u^2/2$ with Adams and Bashforth's second step, Crank and Nicolson's for the viscosity, a first step by Heun.
    The implicit part is a banded system with constant coefficients, inverted once. ``times`` have to be multiples of a step.
    """
    from scipy.linalg import solve_banded

    x = np.linspace(-1, 1, cells + 1)
    h, dt = 2 / cells, 1 / steps
    u = -np.sin(np.pi * x)
    ratio = VISCOSITY * dt / (2 * h * h)
    band = np.zeros((3, cells - 1))
    band[0, 1:], band[1], band[2, :-1] = -ratio, 1 + 2 * ratio, -ratio

    def transport(v: np.ndarray) -> np.ndarray:
        return -(v[2:] ** 2 - v[:-2] ** 2) / (4 * h)

    wanted = np.rint(np.asarray(times) * steps).astype(int)
    kept = {0: u.copy()}
    before = transport(u)
    for step in range(1, steps + 1):
        now = transport(u)
        bend = u[2:] - 2 * u[1:-1] + u[:-2]
        if step == 1:
            guess = u.copy()
            guess[1:-1] += dt * (now + VISCOSITY * bend / (h * h))
            push = (now + transport(guess)) / 2
        else:
            push = 1.5 * now - 0.5 * before
        u[1:-1] = solve_banded((1, 1), band, u[1:-1] + ratio * bend + dt * push)
        before = now
        if step in wanted:
            kept[step] = u.copy()
    return x, np.stack([kept[step] for step in wanted])
