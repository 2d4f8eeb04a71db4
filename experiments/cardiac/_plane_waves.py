"""Plane waves and fibres at many angles, and what each discretisation does to them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from physics import CellModel, fibre_tensor, front_fit, lattice_symbol, plane_wave_speeds
from physics.plane_wave import Symbol
from solvers import LatticeDiffusion, Operator, TensorDiffusion, VoxelGrid

Vector = tuple[float, float, float]

FIBRES_DEG = (0.0, 5.0, 10.0, 18.435, 26.565, 31.0, 37.0, 45.0)  # in a sheet; the rest follows by symmetry
WAVES_DEG = (0.0, 30.0, 60.0, 75.0, 90.0, 105.0, 120.0, 150.0)
TURNED = ((0, 0), (0, 20), (0, 45), (10, 10), (18, 30), (26.565, 48), (37, 20), (45, 35.264))  # azimuth, elevation of fibres
AROUND_DEG = (0.0, 22.5, 45.0, 67.5)  # round the fibre
TOGETHER = 48  # cables in one program: all batches of a table share it
REACH = 8  # voxels from the middle of the box that answers for the lattice, to its walls


@dataclass(frozen=True)
class Wave:
    """Unit vectors of the fibres and of the wave's direction, in the axes of the voxels."""

    fibre: Vector
    direction: Vector

    @property
    def in_sheet(self) -> bool:
        """Both lie in the plane of the first two axes."""
        return self.fibre[2] == 0 and self.direction[2] == 0

    @property
    def angle_deg(self) -> float:
        """Between wave and fibres, 0 to 90."""
        return math.degrees(math.acos(min(abs(float(np.dot(self.fibre, self.direction))), 1.0)))

    def diffusivity(self, along: float, across: float) -> float:
        """$n^T D n$, mm²/ms."""
        return across + (along - across) * float(np.dot(self.fibre, self.direction)) ** 2


def in_sheets(seed: int = 0) -> Iterator[Wave]:
    """Eight orientations of the fibres with eight waves each; with a seed above 0 as many orientations and waves by chance."""
    generator = np.random.default_rng([seed, 2])
    fibres = generator.uniform(0, 180, seed) if seed else FIBRES_DEG
    for fibre in fibres:
        for wave in generator.uniform(0, 180, len(WAVES_DEG)) if seed else WAVES_DEG:
            yield Wave(_in_plane(fibre), _in_plane(fibre + wave))


def in_volumes(seed: int = 0) -> Iterator[Wave]:
    """Orientations with waves along, across and oblique to them, in several planes; with a seed above 0 orientations by chance."""
    generator = np.random.default_rng([seed, 3])
    fibres = [_unit(fibre) for fibre in generator.normal(size=(seed, 3))] if seed else [_turned(*angles) for angles in TURNED]
    for fibre in fibres:
        first = _unit(np.cross(fibre, np.eye(3)[int(np.argmin(np.abs(fibre)))]))
        second = np.cross(fibre, first)
        offset = generator.uniform(0, 90) if seed else 0.0
        yield Wave(_vector(fibre), _vector(fibre))
        for around in AROUND_DEG:
            turn = math.radians(around + offset)
            side = math.cos(turn) * first + math.sin(turn) * second
            for wave in (90.0, 70.0, 40.0):
                yield Wave(_vector(fibre), _vector(math.cos(math.radians(wave)) * fibre + math.sin(math.radians(wave)) * side))


def symbols_of(scheme: str, waves: Sequence[Wave], spacing: float, cell: CellModel, diffusivities: tuple[float, float]) -> list[Symbol]:
    """What a discretisation of uniform tissue does to each wave, 1/ms at wave numbers in 1/mm."""
    if scheme == "finite_element":
        return [_elements(np.asarray(wave.fibre), np.asarray(wave.direction), spacing, diffusivities) for wave in waves]
    operators: dict[tuple[Vector, bool], tuple[Operator, VoxelGrid]] = {}
    symbols = []
    for wave in waves:
        key = (wave.fibre, wave.in_sheet)
        if key not in operators:
            operators[key] = _operator(scheme, wave, spacing, cell, diffusivities)
        symbols.append(lattice_symbol(*operators[key], np.asarray(wave.direction)))
    return symbols


def speeds(cell: CellModel, symbols: Sequence[Symbol], diffusivities: Sequence[float], dt_ms: float) -> np.ndarray:
    """m/s on lattices, NaN where no wave travels; in batches that are all alike."""
    found = []
    for first in range(0, len(symbols), TOGETHER):
        chosen = [min(index, len(symbols) - 1) for index in range(first, first + TOGETHER)]
        batch = plane_wave_speeds(cell, [symbols[i] for i in chosen], [diffusivities[i] for i in chosen], dt_ms, float(cell.front_time()))
        found.append(batch[: len(symbols) - first])
    return np.concatenate(found)


def _operator(scheme: str, wave: Wave, spacing: float, cell: CellModel, diffusivities: tuple[float, float]) -> tuple[Operator, VoxelGrid]:
    size = 2 * REACH + 1 if scheme in ("default", "order_four") else 7
    grid = VoxelGrid(np.ones((size, size, 1 if wave.in_sheet else size), bool), spacing)
    tensor = fibre_tensor(grid, *diffusivities, wave.fibre)
    if scheme in ("default", "order_four"):
        return LatticeDiffusion(grid, tensor, front_fit(cell) if scheme == "default" else None), grid
    return TensorDiffusion(grid, tensor), grid


def _elements(fibre: np.ndarray, direction: np.ndarray, spacing: float, diffusivities: tuple[float, float]) -> Symbol:
    r"""Linear elements, lumped mass: six tetrahedra a voxel, one for each order in which a path goes round its edges.

    In each the gradient is the three steps of the path, so that $\lambda h^2 = \sum_a D_{aa}(2-2\cos k_a) + \sum_{a<b}\tfrac23 D_{ab}
    (2C(0) + C(k_c))$ with $C(q) = \cos(k_a+q)+\cos(k_b+q)-\cos q-\cos(k_a+k_b+q)$: $a$ and $b$ follow each other in four of six
    paths, the third axis $c$ comes between in two. In a sheet these are triangles.
    """
    along, across = diffusivities
    tensor = across * np.eye(3) + (along - across) * np.outer(fibre, fibre)

    def symbol(waves: np.ndarray) -> np.ndarray:
        k = np.multiply.outer(direction * spacing, waves)
        total = sum(tensor[a, a] * (2 - 2 * np.cos(k[a])) for a in range(3))
        for a, b, c in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
            near, far = (np.cos(k[a] + q) + np.cos(k[b] + q) - np.cos(q) - np.cos(k[a] + k[b] + q) for q in (0 * k[c], k[c]))
            total = total + 2 / 3 * tensor[a, b] * (2 * near + far)
        return total / spacing**2

    return symbol


def _in_plane(angle_deg: float) -> Vector:
    return math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg)), 0.0


def _turned(azimuth: float, elevation: float) -> np.ndarray:
    x, y, _ = _in_plane(azimuth)
    rise = math.radians(elevation)
    return np.array([x * math.cos(rise), y * math.cos(rise), math.sin(rise)])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _vector(vector: np.ndarray) -> Vector:
    x, y, z = (float(part) for part in vector)
    return x, y, z
