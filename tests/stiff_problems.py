"""Stiff problems with known solutions that several kinds of proof share."""

import jax.numpy as jnp
import numpy as np


def smooth(time, state, args):
    """Nonlinear and non-autonomous; the solution is :func:`smooth_solution`."""
    first, second = state
    return args * jnp.stack([first * second * (1 + time**2) * jnp.cos(time), -2 * time * second**2 * first * jnp.exp(-jnp.sin(time))])


def smooth_solution(time):
    return np.stack([np.exp(np.sin(time)), 1 / (1 + time**2)])


ROBERTSON_START = np.array([1.0, 0.0, 0.0])
ROBERTSON_RATES = np.array([0.04, 3e7, 1e4])
# RODAS4 and RODAS5P at 1e-12 agree in the digits given, and so does SciPy's Radau at 1e-11 to one unit of the last.
ROBERTSON_4E4 = np.array([3.89833770e-02, 1.62176831e-07, 9.61016461e-01])
# Mazzia, Magherini (2008), Test Set for Initial Value Problem Solvers 2.4: Robertson at 1e11, van der Pol and HIRES, from RADAU5 or
# RADAU in higher precision at a tolerance of 1.1e-18.
ROBERTSON_1E11 = np.array([0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050])
VAN_DER_POL_2 = np.array([0.1706167732170483e1, -0.8928097010247975])
HIRES_START = np.array([1.0, 0, 0, 0, 0, 0, 0, 0.0057])
HIRES_STOP = 321.8122
HIRES_END = np.array(
    [
        0.7371312573325668e-3,
        0.1442485726316185e-3,
        0.5888729740967575e-4,
        0.1175651343283149e-2,
        0.2386356198831331e-2,
        0.6238968252742796e-2,
        0.2849998395185769e-2,
        0.2850001604814231e-2,
    ]
)


def robertson(time, state, rates):
    """Robertson (1966): three species, rates from 1e-2 to 1e7."""
    del time
    first, second, third = state
    slow, fast, back = rates
    exchange = -slow * first + back * second * third
    burn = fast * second**2
    return jnp.stack([exchange, -exchange - burn, burn])


def van_der_pol(time, state, stiffness):
    """The oscillator in slow time, where stiffness 1e6 is the customary mu = 1000."""
    del time
    return jnp.stack([state[1], stiffness * ((1 - state[0] ** 2) * state[1] - state[0])])


def hires(time, state, args):
    """Schaefer (1975): eight species of a plant's response to high irradiance."""
    del time, args
    a, b, c, d, e, f, g, h = state
    bound = 280 * f * h
    return jnp.stack(
        [
            -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
            1.71 * a - 8.75 * b,
            -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d,
            -1.745 * e + 0.43 * f + 0.43 * g,
            -bound + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
            bound - 1.81 * g,
            -bound + 1.81 * g,
        ]
    )


def excitable_chain(cells):
    """FitzHugh-Nagumo cells on a line with strong diffusion: field, start and parameters."""
    place = (np.arange(cells) + 0.5) / cells
    start = jnp.stack([jnp.asarray(-1.2 + 2.5 * np.exp(-(((place - 0.2) / 0.1) ** 2))), jnp.full(cells, -0.6)])
    parameters = {"diffusion": jnp.asarray(50.0), "drive": jnp.asarray(0.5), "threshold": jnp.full(cells, 0.7)}

    def field(time, state, p):
        del time
        voltage, recovery = state
        padded = jnp.pad(voltage, 1, mode="edge")
        spread = p["diffusion"] * (padded[2:] - 2 * voltage + padded[:-2])
        return jnp.stack([voltage - voltage**3 / 3 - recovery + p["drive"] + spread, 0.08 * (voltage + p["threshold"] - 0.8 * recovery)])

    return field, start, parameters


def linear_network(species, reach=4, seed=0):
    """Exchange among species near to each other in an order that the numbering hides; a generator matrix, columns summing to zero."""
    random = np.random.default_rng(seed)
    hidden = random.permutation(species)
    matrix = np.zeros((species, species))
    for i in range(species):
        for distance in random.choice(np.arange(1, reach + 1), 2, replace=False):
            if i + distance < species:
                a, b = hidden[i], hidden[i + distance]
                for source, target in ((a, b), (b, a)):
                    rate = 10 ** random.uniform(-2, 3)
                    matrix[target, source] += rate
                    matrix[source, source] -= rate
    start = np.zeros(species)
    start[hidden[: species // 10]] = random.uniform(0, 1, species // 10)
    return matrix, start
