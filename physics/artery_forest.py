"""Many trees of arteries as one network of the 1-D solver, started near their periodic state."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.artery_cycles import beat_mesh
from physics.artery_harmonics import STATIONS, periodic_tree
from physics.artery_network import ArteryNetwork
from physics.artery_stepper import ArteryState
from physics.artery_tree import ArteryTree
from physics.artery_viscosity import wall_viscosity
from physics.wave_speed import modulus_of_speed
from solvers import Status, simulate

THICKNESS = 0.1
"""Of the walls, part of the radius; only its product with Young's modulus counts."""
NEIGHBOURS = 3
"""Cells that a station's value is taken from, and the fewest of a vessel."""

Program = Callable[[ArteryNetwork, ArteryState], tuple[ArteryState, Array, Array, Array]]


class Forest(NamedTuple):
    """Trees side by side in one network.

    Attributes:
        network: All vessels of all trees.
        rows: Tree and row of each vessel of the network, ``(vessels, 2)``.
        shape: Trees, and rows in each.
    """

    network: ArteryNetwork
    rows: np.ndarray
    shape: tuple[int, int]


class ForestBeats(NamedTuple):
    """The last of some beats of a forest.

    Attributes:
        pressure: At five equally spaced stations of every vessel, Pa, ``(trees, rows, stations, times)``; zero where no vessel is.
        flow: m³/s, likewise.
        change: Root mean square difference of each tree's pressure to the beat before over its pressure, infinite for the first beat.
        status: UNSTABLE_STEP, OUT_OF_RANGE where a vessel collapsed, or SUCCESS.
    """

    pressure: Float[np.ndarray, "trees rows stations times"]
    flow: Float[np.ndarray, "trees rows stations times"]
    change: Float[np.ndarray, "beats trees"]
    status: Status


def plant(trees: ArteryTree, transit: float = 9e-4, viscous: bool = False) -> Forest:
    """One network that holds a batch of trees of equal period and blood.

    Args:
        trees: With one batch axis.
        transit: Time that a wave at rest takes through a cell, s; at least three cells per vessel.
        viscous: Whether walls are viscous as those of human arteries (:func:`physics.wall_viscosity`), or elastic.

    Raises:
        ValueError: Periods or blood that differ.
    """
    first = {}
    for name in ("period", "density", "viscosity", "profile"):
        values = np.unique(np.asarray(getattr(trees, name)))
        if values.size > 1:
            raise ValueError(f"got trees of different {name}; expected one; do: make a forest of each")
        first[name] = float(values[0])
    parent, present = np.asarray(trees.parent), np.asarray(trees.present)
    count, rows = parent.shape
    tree, row = np.nonzero(present)
    node = np.cumsum(np.ones_like(tree)) + count  # the end of each vessel; the trees' inlets are nodes 1 to count
    ends = np.zeros((count, rows), int)
    ends[tree, row] = node
    above = parent[tree, row]
    source = np.where(above < 0, tree + 1, ends[tree, np.maximum(above, 0)])

    def of(name: str) -> Array:
        return jnp.asarray(np.asarray(getattr(trees, name))[tree, row])

    length, radius, speed = of("length"), of("radius"), of("speed")
    terminal, ones = np.asarray(trees.terminal)[tree, row], jnp.ones(len(tree))
    external = trees.external_pressure[tree]
    network = ArteryNetwork(
        labels=tuple(f"{t}.{v}" for t, v in zip(tree, row)),
        cells=tuple(int(max(NEIGHBOURS, n)) for n in np.round(np.asarray(length / speed) / transit)),
        source=tuple(int(n) for n in source),
        target=tuple(int(n) for n in node),
        length=length,
        youngs_modulus=modulus_of_speed(speed, first["density"], radius, THICKNESS * radius),
        radius_start=radius,
        radius_end=radius,
        thickness=THICKNESS * radius,
        external_pressure=external,
        profile=first["profile"] * ones,
        correction=None,
        proximal=of("proximal"),
        distal=of("distal"),
        compliance=of("compliance"),
        downstream=0 * ones,
        reflection=0 * ones,
        outlet=tuple("windkessel" if end else "" for end in terminal),
        inlet_times=jnp.linspace(0.0, first["period"], trees.inlet.shape[-1] + 1),
        inlet_flow=jnp.concatenate([trees.inlet, trees.inlet[:, :1]], axis=1),
        inlet_nodes=tuple(range(1, count + 1)),
        density=jnp.asarray(first["density"]),
        viscosity=jnp.asarray(first["viscosity"]),
        initial_velocity=0 * ones,
        initial_pressure=external,
        thickness_given=(True,) * len(tree),
        continuous="total",
        wall_viscosity=wall_viscosity(radius) if viscous else None,
    )
    return Forest(network, np.stack([tree, row], 1), (count, rows))


def near_periodic(forest: Forest, trees: ArteryTree, harmonics: int = 20, times: int = 64) -> ArteryState:
    """State at the start of a beat by the harmonics, with one round of sources: a few beats from periodic where rest is many."""

    def one(tree: ArteryTree) -> tuple[Array, Array, Array]:
        pressure, flow = (part[..., 0] for part in periodic_tree(tree, times, 1, harmonics))
        return tree.area(pressure), flow, pressure[:, -1] - tree.proximal * flow[:, -1]

    area, flow, stored = (np.asarray(part) for part in eqx.filter_jit(jax.vmap(one))(trees))
    network, layout = forest.network, forest.network.layout
    tree, row = forest.rows.T
    places = np.linspace(0, 1, STATIONS)
    cells_area, cells_flow = np.array(network.initial_state().flow[0]), np.zeros(layout.real.size)
    for vessel, (t, v) in enumerate(zip(tree, row)):
        here = (layout.cell_vessel == vessel) & layout.real
        cells_area[here] = np.interp(layout.cell_place[here], places, area[t, v])
        cells_flow[here] = np.interp(layout.cell_place[here], places, flow[t, v])
    outlets = np.asarray(network.flow().outlets.windkessel)
    vessel = layout.branch_vessel[:, 0]
    pressure = np.where(outlets, stored[tree[vessel], row[vessel]], 0)
    return ArteryState((jnp.asarray(cells_area), jnp.asarray(cells_flow / cells_area), jnp.asarray(pressure)), jnp.full(2, -1.0))


def station_stencil(network: ArteryNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Cells and weights that give values at five equally spaced stations by the parabola through three cells, ``(vessels, 5, 3)``."""
    layout = network.layout
    offsets = layout.stations[:, 0]
    cells, weights = np.zeros((len(network.cells), STATIONS, NEIGHBOURS), int), np.zeros((len(network.cells), STATIONS, NEIGHBOURS))
    for vessel, count in enumerate(network.cells):
        for station, place in enumerate(np.linspace(0, 1, STATIONS)):
            at = place * count - 0.5
            first = int(np.clip(round(at) - 1, 0, count - NEIGHBOURS))
            x = at - first
            cells[vessel, station] = offsets[vessel] + first + np.arange(NEIGHBOURS)
            weights[vessel, station] = (x - 1) * (x - 2) / 2, x * (2 - x), x * (x - 1) / 2
    return cells, weights


def forest_beats(forest: Forest, start: ArteryState, program: Program, limit: int = 20, tolerance: float = 2e-4) -> ForestBeats:
    """Beats one after another from ``start``, by :class:`physics.artery_stepper.ArteryStepper`, until every tree repeats.

    Args:
        forest: Of :func:`plant`.
        start: State at the start of a beat.
        program: Of :func:`forest_program`.
        limit: Most beats.
        tolerance: Change below which a tree repeats.
    """
    network, state, before = forest.network, start, None
    count, rows = forest.shape
    tree, row = forest.rows.T
    change: list[np.ndarray] = []
    status: list[int] = []
    pressure = flow = np.zeros(0)
    while len(change) < limit:
        state, *waves, code = program(network, state)
        pressure, flow = (np.asarray(part) for part in waves)
        moved = np.full(pressure.shape[0], np.inf) if before is None else ((pressure - before) ** 2).sum(axis=(1, 2))
        part = np.bincount(tree, moved, count) / np.bincount(tree, (pressure**2).sum(axis=(1, 2)), count)
        change.append(np.sqrt(part))
        status.append(int(code))
        before = pressure
        if status[-1] or (change[-1] < tolerance).all():
            break
    full = np.zeros((2, count, rows, *pressure.shape[1:]))
    full[0][tree, row], full[1][tree, row] = pressure, flow
    return ForestBeats(full[0], full[1], np.stack(change), Status(status[-1]))


def forest_program(forest: Forest, samples: int, substeps: int) -> Program:
    """A compiled beat: from network and state to the next state, pressure and flow at the stations, and a status."""
    cells, weights = station_stencil(forest.network)
    mesh = beat_mesh(float(forest.network.period), samples + 1)

    @eqx.filter_jit
    def program(network: ArteryNetwork, state: ArteryState) -> tuple[ArteryState, Array, Array, Array]:
        solution = simulate(network.stepper(substeps), state, mesh)
        areas, velocities, _ = solution.states.flow
        layout = network.layout
        walls = network.walls(layout.cell_vessel, layout.cell_place)
        pressures = jax.vmap(walls.pressure)(areas)
        viscous = network.viscous_wall()
        if viscous is not None:
            pressures = pressures + jax.vmap(viscous.pressure)(areas, velocities)
        courant = jnp.max(jax.vmap(network.flow().fastest)(areas, velocities)) * jnp.max(mesh.length) / substeps

        def at_stations(values: Array) -> Array:
            return jnp.moveaxis((values[:-1][:, cells] * weights[None]).sum(-1), 0, -1)

        status = jnp.where(solution.final.collapse[0] >= 0, int(Status.OUT_OF_RANGE), solution.status)
        status = jnp.where(courant > 1, int(Status.UNSTABLE_STEP), status)
        return solution.final, at_stations(pressures), at_stations(areas * velocities), status

    return program
