"""Two reacting and diffusing species in a plane: periodic, between walls, and in a masked region with holes; beside Exponax."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """The Gray-Scott equations with Exponax's default coefficients, in a square of 2.5 units, from smooth blobs of the second species."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the fields."""

    edge_voxels: int = 256
    """Edge of the square."""

    duration: float = 100.0
    """Simulated time."""

    periodic_steps: int = 60
    """Steps of the splitting with exact diffusion (periodic)."""

    voxel_steps: int = 30
    """Steps of the stabilised Runge-Kutta method (walls and mask)."""

    stages: int = 4
    """Of the stabilised method."""

    peer_steps: int = 100
    """Steps of Exponax's ETDRK2."""

    reference_steps: int = 400
    """Steps of the references: order four in time, and exact in space or refined three times."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""


SIDE = 2.5
DIFFUSIVITIES = (2e-5, 1e-5)
FEED, KILL = 0.04, 0.06
BLOBS = ((0.6, 0.7), (1.6, 1.2), (1.1, 1.9))


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name: seconds of the whole duration, and the error in the root mean square at its end."""
    if (
        min(config.repeats, config.periodic_steps, config.voxel_steps, config.peer_steps, config.reference_steps) < 1
        or config.edge_voxels < 8
    ):
        raise InputError(got=str(asdict(config)), expected="counts of at least 1 and an edge of at least 8 voxels", do="raise them")
    numbers = measure_in_fresh_process("benchmarks.gray_scott", config)
    with tempfile.TemporaryDirectory() as folder:
        theirs = _exponax(config, Path(folder))
    return beside(numbers, "exponax", theirs)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from solvers import Diffusion, RungeKuttaChebyshev2, Strang, simulate, time_mesh
    from solvers.linear.spectral_diffusion import SpectralDiffusion
    from solvers.rate import Sum, as_rate
    from solvers.space.stacked import PerComponent
    from solvers.steppers.explicit_runge_kutta import HEUN, ExplicitRungeKutta
    from solvers.steppers.exponential import ExactDiffusion, ExponentialRungeKutta

    n, dtype = config.edge_voxels, jnp.dtype(config.precision)
    reaction = _reaction(dtype)
    coefficients = jnp.asarray(DIFFUSIVITIES, dtype)

    def march(stepper: Any, state: Any, steps: int) -> Any:
        mesh = time_mesh(0.0, [config.duration], config.duration / steps)
        return simulate(stepper, state, mesh)

    def voxel_stepper(grid: Any) -> RungeKuttaChebyshev2:
        """Diffusion of order four in the interior, and the reaction with it in one right-hand side."""
        diffusion = PerComponent(Diffusion(grid, jnp.ones(grid.shape, dtype), interior_order=4), coefficients)
        return RungeKuttaChebyshev2(Sum((as_rate(diffusion), reaction)), config.stages)

    def spectral(grid: Any, periodic: bool) -> SpectralDiffusion:
        return SpectralDiffusion(grid, coefficients, 0.0, periodic, "exact")

    numbers: dict[str, Any] = {}
    for name in ("periodic", "walls", "mask"):
        grid = _grid(n, masked=name == "mask")
        start = jax.vmap(grid.cells)(jnp.asarray(_start(n, name == "periodic"), dtype))
        if name == "periodic":
            operator = spectral(grid, True)
            stepper, steps = Strang(ExplicitRungeKutta(reaction, HEUN), ExactDiffusion(operator)), config.periodic_steps
        else:
            stepper, steps = voxel_stepper(grid), config.voxel_steps
        program, seconds = compiled(lambda stepper, state, steps=steps: march(stepper, state, steps), stepper, start)
        timed = warm(program, stepper, start, repeats=config.repeats)
        solution = program(stepper, start)
        solution.raise_for_status()
        found = np.asarray(solution.final, float)
        if name == "mask":
            exact = _refined(config, voxel_stepper, march, dtype)
        else:
            truth = ExponentialRungeKutta(spectral(grid, name == "periodic"), reaction, 4)
            exact = np.asarray(march(truth, start, config.reference_steps).final, float)
        numbers |= {
            f"{name}_compile_seconds": seconds,
            f"{name}_seconds": timed.minimum,
            f"{name}_seconds_median": timed.middle,
            f"{name}_steps": steps,
            f"{name}_error_relative": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
            f"{name}_active_voxels": int(np.asarray(grid.mask).sum()),
        }
    return numbers


def _reaction(dtype: Any) -> Any:
    """u' = -u v² + F(1 - u), v' = u v² - (F + k) v."""
    import jax.numpy as jnp

    from solvers.rate import Rate

    class GrayScott(Rate):
        feed: Any
        kill: Any

        def evaluate(self, state: Any, time: Any) -> Any:
            u, v = state
            made = u * v * v
            return jnp.stack([self.feed * (1 - u) - made, made - (self.feed + self.kill) * v])

        def spectral_bound(self) -> Any:
            return self.feed + self.kill + 0.1  # of u and v between 0 and 1 as they occur here

    return GrayScott(jnp.asarray(FEED, dtype), jnp.asarray(KILL, dtype))


def _grid(n: int, masked: bool, refined: int = 1) -> Any:
    """The square, or a disc with two holes of it, whose voxels are cut into ``refined`` per axis."""
    import numpy as np

    from solvers import VoxelGrid

    mask = np.ones((n, n, 1), bool)
    if masked:
        x = (np.arange(n) + 0.5) * SIDE / n
        far = lambda cx, cy: np.hypot(x[:, None] - cx, x[None, :] - cy)  # noqa: E731
        mask[..., 0] = (far(1.25, 1.25) < 1.15) & (far(1.15, 1.3) > 0.15) & (far(1.8, 1.8) > 0.2)
        mask = mask.repeat(refined, axis=0).repeat(refined, axis=1)
    h = SIDE / (n * refined)
    return VoxelGrid(mask, (h, h, 1.0))


def _start(n: int, periodic: bool) -> Any:
    """Blobs a twelfth of the square wide, as ``(2, n, n, 1)``."""
    import numpy as np

    x = (np.arange(n) + 0.5) * SIDE / n

    def square(centre: float) -> Any:
        gap = np.abs(x - centre)
        return (np.minimum(gap, SIDE - gap) if periodic else gap) ** 2

    v = sum(0.5 * np.exp(-(square(a)[:, None] + square(b)[None, :]) / (2 * 0.1**2)) for a, b in BLOBS)
    return np.stack([1 - v, v])[..., None]


def _refined(config: Config, voxel_stepper: Any, march: Any, dtype: Any) -> Any:
    """The masked problem on voxels cut in three, whose middle ones have the centres of the coarse voxels."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from solvers import stages_for

    fine = _grid(config.edge_voxels, True, 3)
    start = jax.vmap(fine.cells)(jnp.asarray(_start(3 * config.edge_voxels, False), dtype))
    stepper = voxel_stepper(fine)
    steps = config.reference_steps // 2
    stages = stages_for(1.1 * config.duration / steps * float(stepper.operator.spectral_bound()))
    final = jax.jit(lambda s, u: march(s, u, steps))(type(stepper)(stepper.operator, stages), start).final
    return np.asarray(fine.volume(final)[:, 1::3, 1::3], float).reshape(2, -1)


def _exponax(config: Config, folder: Path) -> dict[str, Any] | None:
    """Exponax's time, and its error against our reference, which is exact in space and of order four in time."""
    import numpy as np

    start, end = folder / "start.npy", folder / "end.npy"
    np.save(start, _start(config.edge_voxels, True)[..., 0].astype(config.precision))
    options = {
        "start": str(start),
        "end": str(end),
        "side": SIDE,
        "step": config.duration / config.peer_steps,
        "steps": config.peer_steps,
        "diffusivities": DIFFUSIVITIES,
        "feed": FEED,
        "kill": KILL,
        "precision": config.precision,
        "repeats": config.repeats,
    }
    theirs = peer_numbers("exponax_gray_scott", options)
    if theirs is None or not end.is_file():
        return theirs
    exact = _reference(config)
    found = np.load(end).reshape(2, -1).astype(float)
    error = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    # Exponax has periodic boundaries only: its time stands beside our three.
    times = {f"{name}_seconds": theirs["seconds"] for name in ("periodic", "walls", "mask")}
    return {**theirs, **times, "error_relative": error}


def _reference(config: Config) -> Any:
    """The periodic solution, computed by NumPy alone: Fourier in space, order four in time."""
    import numpy as np

    n = config.edge_voxels
    state = _start(n, True)[..., 0]
    wave = 2 * np.pi * np.fft.fftfreq(n, SIDE / n)
    half = 2 * np.pi * np.fft.rfftfreq(n, SIDE / n)
    laplacian = -(wave[:, None] ** 2 + half[None, :] ** 2)
    linear = np.asarray(DIFFUSIVITIES)[:, None, None] * laplacian
    step = config.duration / config.reference_steps
    whole, middle = np.exp(step * linear), np.exp(step / 2 * linear)

    def rate(modes: Any) -> Any:
        u, v = np.fft.irfft2(modes, s=(n, n))
        made = u * v * v
        return np.fft.rfft2(np.stack([FEED * (1 - u) - made, made - (FEED + KILL) * v]))

    modes = np.fft.rfft2(state)
    for _ in range(config.reference_steps):  # Runge-Kutta of order four with an integrating factor
        a = rate(modes)
        b = rate(middle * (modes + step / 2 * a))
        c = rate(middle * modes + step / 2 * b)
        d = rate(whole * modes + step * middle * c)
        modes = whole * modes + step / 6 * (whole * a + 2 * middle * (b + c) + d)
    return np.fft.irfft2(modes, s=(n, n)).reshape(2, -1)
