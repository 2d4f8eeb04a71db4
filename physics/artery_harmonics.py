"""Waves in a tree of arteries, harmonic by harmonic: the linear solution, and the same solve with sources inside the vessels."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float

from physics.artery_tree import ArteryTree

STATIONS = 5
WEIGHTS = (0.125, 0.25, 0.25, 0.25, 0.125)
"""Of the trapezoidal rule on the stations of a vessel, parts of its length."""
ROUNDS_TO_STATIC = 4
"""Each gains a factor of about the Mach number squared."""

PerVessel = Float[Array, " vessels"]
Harmonics = Complex[Array, "vessels stations harmonics"]
Waves = Float[Array, "vessels stations times"]


class Lines(NamedTuple):
    """Vessels as linear transmission lines about a mean pressure.

    Attributes:
        mean_pressure: About which they are linear, Pa.
        area: There, m².
        speed: Of waves there, m/s.
        omega: 2 pi times the frequencies from zero up, 1/s.
        quarter: Transfer from the end of a quarter of the vessel to its start: same to same, flow to pressure, pressure to flow.
        whole: Of the vessel.
        load: Admittance of its windkessel, m³/(s Pa); zero where there is none.
    """

    mean_pressure: PerVessel
    area: PerVessel
    speed: PerVessel
    omega: Float[Array, " harmonics"]
    quarter: tuple[Complex[Array, "vessels harmonics"], ...]
    whole: tuple[Complex[Array, "vessels harmonics"], ...]
    load: Complex[Array, "vessels harmonics"]


class Sources(NamedTuple):
    """What is not linear, by harmonics.

    Attributes:
        series: Pressure lost at each station, Pa.
        shunt: Flow lost there, m³/s.
        outlet: Pressure lost between the end of a vessel and its windkessel, Pa.
    """

    series: Harmonics
    shunt: Harmonics
    outlet: Complex[Array, "vessels harmonics"]


def inlet_harmonics(tree: ArteryTree, harmonics: int) -> Complex[Array, " harmonics"]:
    r"""Fourier coefficients of the inlet's flow, that of straight lines between its samples: $\mathrm{sinc}^2$ of those of the samples."""
    samples = tree.inlet.shape[-1]
    smooth = jnp.sinc(jnp.arange(harmonics + 1) / samples) ** 2
    return jnp.fft.rfft(tree.inlet)[: harmonics + 1] / samples * smooth


def to_times(waves: Complex[Array, "*axes harmonics"], times: int) -> Float[Array, "*axes times"]:
    """Values at equally spaced times over a period from Fourier coefficients (:func:`to_harmonics`)."""
    missing = times // 2 + 1 - waves.shape[-1]
    padded = jnp.pad(waves, [(0, 0)] * (waves.ndim - 1) + [(0, missing)])
    return jnp.fft.irfft(padded * times, times)


def to_harmonics(waves: Float[Array, "*axes times"], harmonics: int) -> Complex[Array, "*axes harmonics"]:
    """Fourier coefficients 0 to ``harmonics`` of values at equally spaced times."""
    return jnp.fft.rfft(waves)[..., : harmonics + 1] / waves.shape[-1]


def linear_lines(tree: ArteryTree, mean_pressure: PerVessel, harmonics: int, lumped: bool = False) -> Lines:
    r"""Telegraph lines about a mean pressure: $R = 2(\gamma+2)\pi\mu/\bar A^2$, $L = \rho/\bar A$, $C = \bar A/(\rho\bar c^2)$ per length,
    transfer $\cosh\theta$, $(R+i\omega L)\,l\sinh\theta/\theta$, $i\omega C\,l\sinh\theta/\theta$ with
    $\theta^2 = (R+i\omega L)\,i\omega C\,l^2$.

    Args:
        tree: One tree.
        mean_pressure: Of each vessel, Pa.
        harmonics: The highest.
        lumped: Half the compliance at each end of resistance and inertance: the 0-D model of a vessel. Stations inside are those of a chain
            of four.

    Good values: 16 to 24 harmonics. Exact for uniform vessels and small waves. Source: Formaggia, Quarteroni, Veneziani (2009),
    *Cardiovascular Mathematics*, chapter 10; Alastruey et al. (2012), J. Eng. Math. 77, 19.
    """
    omega = 2 * jnp.pi * jnp.arange(harmonics + 1) / tree.period
    area, speed = tree.area(mean_pressure), tree.speed * jnp.sqrt(tree.root(mean_pressure))
    resistance = 2 * (tree.profile + 2) * jnp.pi * tree.viscosity / area**2
    series = resistance[:, None] + 1j * omega[None] * (tree.density / area)[:, None]
    shunt = 1j * omega[None] * (area / (tree.density * speed**2))[:, None]

    def transfer(length: PerVessel) -> tuple[Complex[Array, "vessels harmonics"], ...]:
        z, y = series * length[:, None], shunt * length[:, None]
        if lumped:
            return 1 + z * y / 2, z, y * (1 + z * y / 4)
        still = z * y == 0
        angle = jnp.sqrt(jnp.where(still, 1, z * y))
        ratio = jnp.where(still, 1, jnp.sinh(angle) / angle)
        return jnp.where(still, 1, jnp.cosh(angle)), z * ratio, y * ratio

    distal = jnp.where(tree.terminal, tree.distal, 1)[:, None]
    impedance = tree.proximal[:, None] + distal / (1 + 1j * omega[None] * distal * tree.compliance[:, None])
    load = jnp.where(tree.terminal[:, None], 1 / impedance, 0)
    return Lines(mean_pressure, area, speed, omega, transfer(tree.length / 4), transfer(tree.length), load)


def solve_lines(
    tree: ArteryTree, lines: Lines, inlet: Complex[Array, " harmonics"], sources: Sources | None = None
) -> tuple[Harmonics, Harmonics]:
    r"""Pressure and flow at the stations of every vessel, with one pressure and no loss of flow at every junction.

    Each vessel, seen from its start, is an admittance and a current, $q = Yp + J$: from the ends to the root they add at junctions, then
    pressures follow from the root down. Any sources keep flow at junctions and the inlet's flow to rounding.

    Args:
        tree: One tree.
        lines: Of :func:`linear_lines`.
        inlet: Flow into the root, m³/s.
        sources: None for none.
    """
    same, gain, leak = lines.whole
    shape = (*same.shape[:1], STATIONS, *same.shape[1:])
    if sources is None:
        sources = Sources(jnp.zeros(shape, same.dtype), jnp.zeros(shape, same.dtype), jnp.zeros_like(same))
    q11, q12, q21 = lines.quarter
    lost_p, lost_q = sources.series[:, -1], sources.shunt[:, -1]
    for place in reversed(range(STATIONS - 1)):
        lost_p, lost_q = q11 * lost_p + q12 * lost_q, q21 * lost_p + q11 * lost_q
        lost_p, lost_q = lost_p + sources.series[:, place], lost_q + sources.shunt[:, place]
    daughters, count = tree.daughters, same.shape[0]
    behind = -lines.load * sources.outlet

    def towards_root(found: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        admittance, current = found
        below = daughters[row][:, None]
        load, extra = lines.load[row] + jnp.sum(below * admittance, 0), behind[row] + jnp.sum(below * current, 0)
        share = 1 / (same[row] + gain[row] * load)
        here = (leak[row] + same[row] * load) * share
        drive = lost_p[row] + gain[row] * extra
        admittance = admittance.at[row].set(here)
        current = current.at[row].set(lost_q[row] + same[row] * extra - here * drive)
        return (admittance, current), (share, drive)

    zero = jnp.zeros_like(same)
    (admittance, current), (share, drive) = lax.scan(towards_root, (zero, zero), jnp.arange(count), reverse=True)
    root_pressure = (inlet - current[0]) / admittance[0]

    def from_root(ends: Array, row: Array) -> tuple[Array, Array]:
        above = jnp.sum(daughters[:, row][:, None] * ends, 0)
        start = jnp.where(row == 0, root_pressure, above)
        return ends.at[row].set((start - drive[row]) * share[row]), start

    _, start = lax.scan(from_root, zero, jnp.arange(count))
    pressure, flow = start, (admittance * start + current).at[0].set(inlet)
    pressures, flows = [pressure], [flow]
    for place in range(STATIONS):
        half = 1 if place in (0, STATIONS - 1) else 0.5
        if place:
            pressure, flow = q11 * pressure - q12 * flow, q11 * flow - q21 * pressure
            pressures.append(pressure - half * sources.series[:, place])
            flows.append(flow - half * sources.shunt[:, place])
        pressure, flow = pressure - sources.series[:, place], flow - sources.shunt[:, place]
    return jnp.stack(pressures, 1), jnp.stack(flows, 1)


def periodic_tree(tree: ArteryTree, times: int, rounds: int = 2, harmonics: int = 20) -> tuple[Waves, Waves]:
    """Pressure (Pa) and flow (m³/s) of the periodic state at five stations of every vessel, at equally spaced times over a period.

    The linear solution, then rounds of :func:`nonlinear_sources` of the solution before and :func:`solve_lines` with them: harmonic balance
    by Picard's iteration.

    Args:
        tree: One tree; map it over a batch.
        times: Above twice the harmonics.
        rounds: 0 for the linear solution, its pressure read as static; 2 reach the 1-D solver's discretisation error in systemic arteries.
        harmonics: The highest.

    It fails where a round does not contract: flow near the speed of the waves. Source: Nayfeh, Mook (1979), *Nonlinear Oscillations*,
    section 2.3.4, for the balance of harmonics.
    """
    inlet = inlet_harmonics(tree, harmonics)
    lines = linear_lines(tree, mean_state(tree, inlet), harmonics)
    total, flow = (to_times(part, times) for part in solve_lines(tree, lines, inlet))
    if not rounds:
        return total, flow

    def another(waves: tuple[Waves, Waves], _: None) -> tuple[tuple[Waves, Waves], None]:
        found = solve_lines(tree, lines, inlet, nonlinear_sources(tree, lines, *waves))
        return (to_times(found[0], times), to_times(found[1], times)), None

    (total, flow), _ = lax.scan(another, (total, flow), length=rounds)
    return static_pressure(tree, total, flow)[0], flow


def mean_state(tree: ArteryTree, inlet: Complex[Array, " harmonics"]) -> PerVessel:
    """Mean pressure of each vessel by resistances alone, those at rest and then those of the pressure found, Pa."""
    pressure = jnp.full_like(tree.length, 1.0) * tree.external_pressure
    for _ in range(2):
        found, _ = solve_lines(tree, linear_lines(tree, pressure, 0), inlet[:1])
        pressure = jnp.where(tree.present, found[..., 0].real.mean(axis=1), tree.external_pressure)
    return pressure


def static_pressure(tree: ArteryTree, total: Waves, flow: Waves) -> tuple[Waves, Waves]:
    r"""Pressure and area (m²) where the total pressure $p+\tfrac12\rho(Q/A)^2$ and the flow are given, by a contraction."""
    stiffness = 2 * tree.density * tree.speed[:, None, None] ** 2
    resting = tree.reference_area[:, None, None]
    pressure, area = total, resting
    for _ in range(ROUNDS_TO_STATIC):
        area = resting * (1 + (pressure - tree.external_pressure) / stiffness) ** 2
        pressure = total - 0.5 * tree.density * (flow / area) ** 2
    return pressure, area


def nonlinear_sources(tree: ArteryTree, lines: Lines, total: Waves, flow: Waves) -> Sources:
    r"""What the linear lines leave out, of a state of total pressure $\Pi$ and flow.

    With $\Pi$ as pressure the equations of :class:`physics.artery_flow.ArteryFlow` (flat profile) are
    $$\partial_x\Pi + L\,\partial_tQ + RQ = -\partial_t m - f,\qquad \partial_xQ + C\,\partial_t\Pi = \partial_t g,$$
    $m = \rho Q(1/A - 1/\bar A)$, $f = R\bar A^2Q(1/A^2 - 1/\bar A^2)$, $g = C(\Pi-\bar p) - (A-\bar A)$, without approximation;
    windkessels hold $\Pi - \tfrac12\rho u^2$.
    """
    _, area = static_pressure(tree, total, flow)
    mean_area, speed = (part[:, None, None] for part in (lines.area, lines.speed))
    friction = 2 * (tree.profile + 2) * jnp.pi * tree.viscosity
    momentum = tree.density * flow * (1 / area - 1 / mean_area)
    drag = friction * flow * (1 / area**2 - 1 / mean_area**2)
    stored = mean_area / (tree.density * speed**2) * (total - lines.mean_pressure[:, None, None]) - (area - mean_area)
    outlet = jnp.where(tree.terminal[:, None], 0.5 * tree.density * (flow / area)[:, -1] ** 2, 0)
    return lumped_sources(tree, lines, momentum, drag, stored, outlet)


def lumped_sources(
    tree: ArteryTree, lines: Lines, momentum: Waves, drag: Waves, stored: Waves, outlet: Float[Array, "vessels times"]
) -> Sources:
    r"""Sources at the stations by the trapezoidal rule from $m$ (Pa s/m), $f$ (Pa/m), $g$ (m²) and, at outlets, $\tfrac12\rho u^2$ (Pa)."""
    harmonics = lines.omega.shape[0] - 1
    weight = jnp.array(WEIGHTS)[None, :, None] * tree.length[:, None, None]
    rate = 1j * lines.omega[None, None]
    series = weight * (rate * to_harmonics(momentum, harmonics) + to_harmonics(drag, harmonics))
    return Sources(series, -weight * rate * to_harmonics(stored, harmonics), to_harmonics(outlet, harmonics))
