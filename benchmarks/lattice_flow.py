"""Lattice Boltzmann: million lattice updates per second and the part of the copy bandwidth, periodic and in a tube; beside XLB."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

SPEED, VISCOSITY = 0.02, 0.05


@dataclass(frozen=True)
class Config:
    """A decaying vortex in a periodic cube (the same task for XLB), and liquid pushed through a tube with interpolated walls."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the populations."""

    edge_voxels: int = 96
    """Edge of the cube; the tube has this diameter and a quarter of its length."""

    steps: int = 20
    """Steps of the lattice in a timed run."""

    copy_mib: int = 256
    """Size of the array whose copy gives the bandwidth of the memory."""

    repeats: int = 3
    """Timed runs of each program, after one that does not count."""

    peers: bool = True
    """Run XLB beside where it is installed."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; seconds are those of all steps. XLB runs with one relaxation time, D3Q19, JAX."""
    if min(config.repeats, config.steps, config.copy_mib) < 1 or config.edge_voxels < 8:
        raise InputError(got=str(asdict(config)), expected="counts of at least 1 and an edge of at least 8 voxels", do="raise them")
    with tempfile.TemporaryDirectory() as folder:
        numbers = measure_in_fresh_process("benchmarks.lattice_flow", config)
        return _beside_xlb(config, numbers, Path(folder)) if config.peers else numbers


def _vortex(n: int) -> Any:
    """Velocity ``(3, n, n, n)`` of a Taylor-Green vortex that is the same along z."""
    import numpy as np

    x, y = np.meshgrid(*[(np.arange(n) + 0.5) * 2 * np.pi / n] * 2, indexing="ij")
    flat = SPEED * np.stack([np.cos(x) * np.sin(y), -np.sin(x) * np.cos(y), 0 * x])
    return np.broadcast_to(flat[..., None], (3, n, n, n))


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns but for the peer, measured in this process; JAX's precision must be the configuration's."""
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, copy_bandwidth, peak_resident_mib, warm
    from solvers.lattice_boltzmann import (
        BGK,
        D3Q19,
        D3Q27,
        TRT,
        ConstantViscosity,
        Cumulant,
        LatticeBoltzmann,
        face_patches,
        lattice_domain,
        wall_fractions,
    )

    n, dtype = config.edge_voxels, jnp.dtype(config.precision)
    rates = copy_bandwidth(dtype, n**3, config.copy_mib)
    copy = max(rates["numpy"], rates["jax"])
    law = ConstantViscosity(jnp.asarray(VISCOSITY, dtype))
    numbers: dict[str, Any] = {"voxels": n**3, "steps": config.steps, "copy_gb_per_second": copy}

    def timed(name: str, flow: Any, state: Any) -> Any:
        advance = lambda flow, state: flow.advance(state, jnp.zeros((), dtype), jnp.asarray(config.steps, dtype))  # noqa: E731
        program, seconds = compiled(advance, flow, state)
        found = warm(program, flow, state, repeats=config.repeats)
        cells = int(np.asarray(flow.domain.fluid).sum())
        updates = cells * config.steps / found.minimum / 1e6
        bytes_each = 2 * flow.domain.lattice.size * dtype.itemsize
        numbers.update({
            f"{name}_compile_seconds": seconds,
            f"{name}_seconds": found.minimum,
            f"{name}_seconds_median": found.middle,
            f"{name}_million_updates_per_second": updates,
            f"{name}_fraction_of_copy_bandwidth": updates * bytes_each / 1e3 / copy,
        })  # fmt: skip
        return program(flow, state)

    kinds = (("bgk", D3Q19, BGK(law, compressible=True)), ("trt", D3Q19, TRT(law)), ("cumulant", D3Q27, Cumulant(law)))
    for name, lattice, collision in kinds:
        domain = lattice_domain(lattice, face_patches(np.ones((n, n, n), bool), {}), (True, True, True))
        flow = LatticeBoltzmann(domain, collision, fraction=jnp.zeros(0, dtype), substeps=config.steps)
        state = flow.initial_state(velocity=domain.cells(jnp.asarray(_vortex(n), dtype)))
        final = timed(name, flow, state)
        found = np.asarray(domain.volume(flow.moments(final, jnp.asarray(config.steps, dtype)).velocity), float)
        exact = _vortex(n) * np.exp(-2 * VISCOSITY * (2 * np.pi / n) ** 2 * (config.steps + 1))
        numbers[f"{name}_error_relative"] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    places = np.meshgrid(*[np.arange(-1, m + 1) - (m - 1) / 2 for m in (max(4, n // 4), n + 2, n + 2)], indexing="ij")
    distance = n / 2 - np.hypot(places[1] + 0.2, places[2] - 0.1)
    domain = lattice_domain(D3Q19, face_patches(distance[1:-1, 1:-1, 1:-1] > 0, {}), (True, False, False))
    fractions = wall_fractions(domain, jnp.asarray(distance, dtype))
    flow = LatticeBoltzmann(domain, TRT(law), fractions, force=jnp.asarray([1e-6, 0, 0], dtype), substeps=config.steps)
    numbers["tube_voxels"] = int(np.asarray(domain.fluid).sum())
    timed("tube", flow, flow.initial_state())
    return numbers | {"peak_memory_mib": peak_resident_mib()}


def _beside_xlb(config: Config, numbers: dict[str, Any], folder: Path) -> dict[str, Any]:
    """XLB's time for the same steps from the same velocity, and its error against the same closed form."""
    import numpy as np

    start, end, n = folder / "start.npy", folder / "end.npy", config.edge_voxels
    np.save(start, _vortex(n).astype(config.precision))
    options = {
        "start": str(start), "end": str(end), "viscosity": VISCOSITY, "steps": config.steps, "precision": config.precision,
        "repeats": config.repeats,
    }  # fmt: skip
    theirs = peer_numbers("xlb_vortex", options)
    if theirs is None or not end.is_file():
        return numbers
    exact = _vortex(n) * np.exp(-2 * VISCOSITY * (2 * np.pi / n) ** 2 * (config.steps + 1))
    error = float(np.linalg.norm(np.load(end) - exact) / np.linalg.norm(exact))
    updates = n**3 * config.steps / theirs["bgk_seconds"] / 1e6
    return beside(numbers, "xlb", {**theirs, "error_relative": error, "million_updates_per_second": updates})
