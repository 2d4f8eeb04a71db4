"""Elastic sections with closed forms: a curved patch, a bent strip, and Lamé's ring; and a plaque of few elements."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from physics.plaque_section import PlaqueShape, PlaqueTissues, SectionCounts
from solvers.space.plane_elasticity import PlaneElasticity
from solvers.space.quadratic_mesh import QuadraticMesh
from tests.problems import number, quick_jit

FEW = SectionCounts(3, 2, 3, 1, 2, 1)


def square(columns, rows, bent=0.0, length=1.0, height=1.0):
    """A rectangle; ``bent`` moves nodes by a smooth field inside of it."""
    x, y = np.meshgrid(np.linspace(0, 1, 2 * columns + 1), np.linspace(0, 1, 2 * rows + 1), indexing="ij")
    moved = bent * np.sin(np.pi * x) * np.sin(np.pi * y)
    places = np.stack([length * (x + moved), height * (y - 0.7 * moved)], axis=-1)
    return QuadraticMesh(jnp.asarray(places), closed=False)


def ring(columns, rows, inner=1.0, outer=1.5):
    angle, radius = np.arange(2 * columns) * np.pi / columns, np.linspace(inner, outer, 2 * rows + 1)
    return QuadraticMesh(jnp.asarray(np.stack([np.outer(np.cos(angle), radius), np.outer(np.sin(angle), radius)], axis=-1)))


def body(mesh, shear=1.0, bulk=1e4, support=0.0, free=None):
    ones = np.ones((mesh.columns, mesh.rows, 9))
    return PlaneElasticity(
        mesh, jnp.asarray(shear * ones), jnp.asarray(bulk * ones), number(support), None if free is None else jnp.asarray(free)
    )


def border(mesh):
    """Which displacements are free when the whole border is held."""
    free = np.zeros(mesh.nodes.shape, bool)
    free[1:-1, 1:-1] = True
    return free


def held(section, load, given):
    """Displacements that are those ``given`` where they are not free."""
    fixed = jnp.where(section.free, 0, given)
    return fixed + section.solve(load - section.forces(fixed)).displacement


@partial(quick_jit, static_argnums=0)
def manufactured(columns, bulk):
    """Errors of displacement and stress (root mean square over the exact one's) on a curved patch with its border held."""

    def exact(place):
        x, y = place
        curl = jnp.stack([jnp.sin(np.pi * x) * jnp.cos(np.pi * y), -jnp.cos(np.pi * x) * jnp.sin(np.pi * y)])
        return curl + jnp.stack([jnp.exp(x) * jnp.sin(2 * y), x * y**2]) / bulk

    def stress(place):
        gradient = jax.jacfwd(exact)(place)
        strain, trace = (gradient + gradient.T) / 2, jnp.trace(gradient)
        return 2 * (strain - trace / 3 * jnp.eye(2)) + bulk * trace * jnp.eye(2)

    def force(place):
        return -jnp.einsum("xyy->x", jax.jacfwd(stress)(place))

    mesh = square(columns, columns, 0.15)
    section = body(mesh, 1.0, bulk, free=border(mesh))
    everywhere = jax.vmap(jax.vmap(jax.vmap(force)))
    found = held(section, mesh.load(everywhere), jax.vmap(jax.vmap(exact))(mesh.nodes))
    there = section.stress(found)[..., jnp.array([0, 3, 1])]
    places = mesh.places(*2 * (tuple(np.sqrt(0.6) * np.array([-1.0, 0.0, 1.0])),))
    truth = jax.vmap(jax.vmap(jax.vmap(stress)))(places).reshape(*places.shape[:3], 4)[..., jnp.array([0, 1, 3])]
    middle = mesh.of_elements(found)[:, :, 4], jax.vmap(jax.vmap(exact))(mesh.of_elements(mesh.nodes)[:, :, 4])
    return [jnp.sqrt(jnp.mean((a - b) ** 2) / jnp.mean(b**2)) for a, b in (middle, (there, truth))]


@partial(quick_jit, static_argnums=(0, 1))
def lame(columns, rows, bulk=1e4, outer=1.5):
    """Largest errors of the hoop stress on the inner wall, and of the radial displacement of its nodes, over the exact ones.

    Lamé 1852: hoop stress A + B/r², A = p/(outer² - 1), B = outer² A for an inner radius of one.
    """
    mesh = ring(columns, rows, 1.0, outer)
    section = body(mesh, bulk=bulk, support=1e-5)
    found = section.solve(mesh.pressure_load(number(1.0)))
    stress, place = (part[:, 0, 0] for part in (section.stress(found.displacement, (0.0,), (-1.0,)), mesh.places((0.0,), (-1.0,))))
    s, c = (place / jnp.linalg.norm(place, axis=1)[:, None])[:, ::-1].T
    hoop = stress[:, 0] * s**2 + stress[:, 1] * c**2 - 2 * stress[:, 3] * s * c
    a = 1 / (outer**2 - 1)
    moved = a / (2 * (bulk + 1 / 3)) + outer**2 * a / 2
    radial = jnp.sum(found.displacement[:, 0] * mesh.nodes[:, 0], axis=1)
    return [jnp.abs(hoop / (a + outer**2 * a) - 1).max(), jnp.abs(radial / moved - 1).max()]


def plaque(cap=0.1, arc_degrees=50.0, depth=0.6, lumen=1.0, outer=2.0, wall=0.4):
    return PlaqueShape(*(number(value) for value in (lumen, outer, wall, cap, np.radians(arc_degrees), depth)))


def tissues(fibrous=600.0, pool=1.0, bulk=2e4, support=0.1):
    return PlaqueTissues(*(number(value) for value in (fibrous, pool, bulk, support)))
