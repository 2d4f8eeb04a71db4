"""Scalars with closed forms on the lattice; ``python -m tests.lattice_scalars`` prints errors and orders."""

import jax
import jax.numpy as jnp
import numpy as np

from solvers.lattice_boltzmann import D3Q7, Constant, ScalarInlet, ScalarTransport, face_patches, lattice_domain
from tests.problems import number, slope


@jax.jit
def marched(transport, state, steps):
    return jax.lax.fori_loop(0, steps, lambda n, s: transport.step(s, n.astype(float)), state)


def after(transport, start, steps):
    """Concentration after a number of steps, as a volume."""
    state = marched(transport, transport.initial_state(transport.domain.cells(jnp.asarray(start))), jnp.asarray(steps))
    return np.asarray(transport.domain.volume(transport.concentration(state)))


def same_everywhere(domain, vector):
    return jnp.asarray(np.outer(vector, np.asarray(domain.fluid, float)))


def gaussian(n, lattice=D3Q7, diffusivity=0.06, passage=0.35, magic=0.25):
    """Error (root mean square over the exact one's) of a Gaussian carried along a diagonal of a periodic box while its variance doubles."""
    domain = lattice_domain(lattice, face_patches(np.ones((n, n, 1), bool), {}), (True, True, True))
    width = 0.08 * n
    steps = round(width**2 / (2 * diffusivity))
    speed = np.array([passage * n, -0.6 * passage * n, 0.0]) / steps
    x, y = np.meshgrid(*[np.arange(n) + 0.5] * 2, indexing="ij")

    def exact(time):
        spread = width**2 + 2 * diffusivity * time
        off = [(place - n / 2 - s * time + n / 2) % n - n / 2 for place, s in zip((x, y), speed)]
        return (width**2 / spread * np.exp(-(off[0] ** 2 + off[1] ** 2) / (2 * spread)))[..., None]

    transport = ScalarTransport(domain, same_everywhere(domain, speed), number(diffusivity), magic)
    found, truth = after(transport, exact(0), steps), exact(steps)
    return float(np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2)))


def taylor_aris(height=12, diffusivity=0.1, speed=0.1, length=280):
    """Dispersion between plates over molecular diffusivity, found and exact: 1 + Pe²/210, Pe = U H/D (Aris 1956; Wooding 1960).

    The frame moves with the mean speed, so that the cloud stays.
    """
    domain = lattice_domain(D3Q7, face_patches(np.ones((length, height, 1), bool), {}), (True, False, True))
    place = (np.arange(height) + 0.5) / height
    profile = 6 * speed * place * (1 - place)
    profile -= profile.mean()
    field = np.zeros((3, length, height, 1))
    field[0] = profile[None, :, None]
    transport = ScalarTransport(domain, domain.cells(jnp.asarray(field)), number(diffusivity))
    x = np.arange(length) - (length - 1) / 2
    start = np.exp(-(x**2) / (2 * 8.0**2))[:, None, None] * np.ones((1, height, 1))
    variances = []
    for steps in (1500, 3000):
        mass = after(transport, start, steps).sum(axis=(1, 2))
        mean = (mass * x).sum() / mass.sum()
        variances.append((mass * (x - mean) ** 2).sum() / mass.sum())
    exact = 1 + (speed * height / diffusivity) ** 2 / 210
    return (variances[1] - variances[0]) / (2 * 1500 * diffusivity), exact


def between(n=24, diffusivity=0.1, speed=0.02):
    """Largest error of a steady scalar between an inlet with one and one with zero: (exp(Pe) - exp(Pe x/L))/(exp(Pe) - 1)."""
    domain = lattice_domain(D3Q7, face_patches(np.ones((n, 1, 1), bool), {1: (0, 0), 2: (0, 1)}), (False, True, True))
    inlets = ScalarInlet(1, Constant(number(1.0))), ScalarInlet(2, Constant(number(0.0)))
    transport = ScalarTransport(domain, same_everywhere(domain, [speed, 0, 0]), number(diffusivity), inlets=inlets)
    found = after(transport, np.zeros((n, 1, 1)), round(3 * n * n / diffusivity))[:, 0, 0]
    peclet, place = speed * n / diffusivity, (np.arange(n) + 0.5) / n
    return float(np.abs(found - (np.exp(peclet) - np.exp(peclet * place)) / (np.exp(peclet) - 1)).max())


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    sides = (16, 24, 32, 48)
    errors = [gaussian(n) for n in sides]
    print("Gaussian", sides, errors, slope([1 / n for n in sides], errors))
    print("Taylor-Aris", taylor_aris())
    steady = [between(n, speed=0.48 / n) for n in (8, 12, 16, 24)]
    print("between two inlets", steady, slope([1 / n for n in (8, 12, 16, 24)], steady))
