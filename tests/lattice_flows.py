"""Flows with closed forms or published numbers, on the lattice; ``python -m tests.lattice_flows`` prints all errors and orders."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import jv

from physics.wall_shear import wall_probe
from solvers.lattice_boltzmann import (
    D3Q19,
    TRT,
    Constant,
    ConstantViscosity,
    Inlet,
    LatticeBoltzmann,
    Outlets,
    Waveform,
    face_patches,
    lattice_domain,
    wall_fractions,
)
from tests.problems import number, quick_jit, slope

ZICK_HOMSY = {0.027: 2.008, 0.064: 2.810, 0.125: 4.292}
"""Zick, Homsy 1982 (J Fluid Mech 115:13), table 2: drag of a simple cubic array of spheres over Stokes', by volume fraction."""

SPHERE_ARRAYS = {0.008: (16, 20, 24, 32), 0.027: (12, 16, 20, 24), 0.064: (10, 12, 16, 20), 0.125: (8, 10, 12, 16)}
"""Voxels along the cell by volume fraction."""


@quick_jit
def marched(flow, state, steps):
    """Many steps of the lattice from time zero, and the moments one step later; the number is no part of the program."""
    state = jax.lax.fori_loop(0, steps - 1, lambda n, s: flow.step(s, n.astype(float)), state)
    return state, flow.moments(state, (steps - 1).astype(float))


marched_far = jax.jit(marched.__wrapped__)
"""With all optimisations, for more than some million updates."""


def moments_at(flow, state, steps):
    """Moments after ``steps`` steps: the populations of a state have collided already, and ``moments`` streams once more."""
    return (marched if flow.domain.size * steps < 2e6 else marched_far)(flow, state, jnp.asarray(steps))[1]


def root_mean_square(found, exact):
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


def taylor_green(n, viscosity=0.1, speed=0.02, magic=3 / 16, consistent=True):
    """Errors of velocity, pressure and strain rate of decaying vortices when half of the velocity is left.

    The lattice loses mass by the divergence of the velocity, so pressure that decays wants a divergence: with the solenoidal
    velocity alone (``consistent`` False) the start rings: a standing sound wave whose size beside the
    pressure's is of the first order in the voxel.
    """
    k, peak = 2 * np.pi / n, speed / n
    steps = round(np.log(2) / (2 * viscosity * k * k))
    x, y = np.meshgrid(*[(np.arange(n) + 0.5) * k] * 2, indexing="ij")
    domain = lattice_domain(D3Q19, face_patches(np.ones((n, n, 1), bool), {}), (True, True, True))

    def exact(time):
        size, none = peak * np.exp(-2 * viscosity * k * k * time), 0 * x
        velocity = size * np.stack([np.cos(x) * np.sin(y), -np.sin(x) * np.cos(y), none])
        pressure = -(size**2) / 4 * (np.cos(2 * x) + np.cos(2 * y))
        stretch = -size * k * np.sin(x) * np.sin(y)
        return velocity, pressure, np.stack([stretch, -stretch, none, none, none, none])

    velocity, pressure, strain = exact(0)
    if consistent:  # div u = -3 dp/dt with dp/dt = -4 nu k^2 p: the velocity of the potential -3 nu p
        slopes = peak**2 / 2 * k * np.stack([np.sin(2 * x), np.sin(2 * y), 0 * x])
        velocity = velocity - 3 * viscosity * slopes
    flow = LatticeBoltzmann(domain, TRT(ConstantViscosity(number(viscosity)), magic))
    padded = [domain.cells(jnp.asarray(field)[..., None]) for field in (pressure, velocity, strain)]
    found = moments_at(flow, flow.initial_state(*padded), steps)
    fields = [np.asarray(domain.volume(field))[..., 0] for field in (found.velocity, found.pressure, found.strain_rate)]
    fields[1] = fields[1] - fields[1].mean()
    return [root_mean_square(field, truth) for field, truth in zip(fields, exact(steps))]


class Oscillation(Waveform):
    """The cosine of an angular frequency per step."""

    frequency: jax.Array

    def at(self, time):
        """See :class:`Waveform`."""
        return jnp.cos(self.frequency * time)


def womersley(n, alpha, section="tube", viscosity=0.1, force=1e-6):
    """Errors after a period from the exact start: velocity and strain rate at most, between plates; root mean square of the velocity and
    mean error of the wall shear stress in a tube, whose voxels beside the wall lie at any distance from it.

    Womersley 1955 (J Physiol 127:553): u = Re[(F/iw)(1 - J0(sqrt(-i) a r/R)/J0(sqrt(-i) a)) exp(iwt)]; cosh instead between plates.
    """
    radius = n / 2
    frequency = alpha**2 * viscosity / radius**2
    steps = round(2 * np.pi / frequency)
    root = np.sqrt(1j) * alpha
    if section == "channel":
        mask, periodic = np.ones((n, 1, 1), bool), (False, True, True)
        place = np.abs(np.arange(n) + 0.5 - radius)[:, None, None]
        profile, steep = 1 - np.cosh(root * place / radius) / np.cosh(root), -root / radius * np.sinh(root * place / radius) / np.cosh(root)
        domain, fraction = lattice_domain(D3Q19, face_patches(mask, {}), periodic), None
        outward = (np.sign(np.arange(n) + 0.5 - radius)[:, None, None], 0 * place)
    else:
        side, root = n + 4, np.sqrt(-1j) * alpha
        x, y = np.meshgrid(*[np.arange(-1, side + 1) - (side - 1) / 2 + shift for shift in (0.13, -0.21)], indexing="ij")
        far = np.hypot(x, y)[..., None]
        distance = np.repeat(radius - far, 3, axis=2)
        place = far[1:-1, 1:-1]
        mask = place < radius
        inner = np.minimum(place, radius)
        profile, steep = 1 - jv(0, root * inner / radius) / jv(0, root), root / radius * jv(1, root * inner / radius) / jv(0, root)
        domain = lattice_domain(D3Q19, face_patches(mask, {}), (False, False, True))
        fraction = wall_fractions(domain, jnp.asarray(distance))
        outward = (x[1:-1, 1:-1, None] / np.maximum(place, 1e-9), y[1:-1, 1:-1, None] / np.maximum(place, 1e-9))

    def exact(time):
        whole = force / (1j * frequency) * np.exp(1j * frequency * time)
        slope_out = np.real(whole * steep) / 2
        none = 0 * place
        strain = np.stack([none, none, none, none, slope_out * outward[0], slope_out * outward[1]])
        return np.where(mask, np.real(whole * profile), 0), np.where(mask, strain, 0)

    velocity, strain = exact(0)
    none = np.zeros_like(velocity)
    flow = LatticeBoltzmann(
        domain, TRT(ConstantViscosity(number(viscosity))), fraction, force=jnp.array([0, 0, force]),
        force_over_time=Oscillation(number(frequency)),
    )  # fmt: skip
    cells = [domain.cells(jnp.asarray(field)) for field in (np.stack([none, none, velocity]), strain)]
    found = moments_at(flow, flow.initial_state(None, *cells), steps)
    velocity, strain = exact(steps)
    size = np.abs(force / frequency * profile[mask]).max()
    steepest = np.abs(force / frequency * steep[mask]).max() / 2
    errors = [np.asarray(domain.volume(a)) - b for a, b in zip((found.velocity[2], found.strain_rate), (velocity, strain))]
    if section == "channel":
        return [float(np.abs(errors[0][mask]).max() / size), float(np.abs(errors[1][:, mask]).max() / steepest)]
    drag = np.asarray(wall_probe(domain, distance).shear(found))[:, 2]
    truth = -viscosity * np.real(force / (1j * frequency) * np.exp(1j * frequency * steps) * root / radius * jv(1, root) / jv(0, root))
    largest = viscosity * np.abs(force / frequency * root / radius * jv(1, root) / jv(0, root))
    return [float(np.sqrt(np.mean(errors[0][mask] ** 2)) / size), float(np.abs(drag - truth).mean() / largest)]


def hasimoto(share):
    """Drag of a dilute simple cubic array of spheres over Stokes', Hasimoto 1959 (J Fluid Mech 5:317); Zick's within 0.1 % up to 2.7 %."""
    return 1 / (1 - 1.7601 * share ** (1 / 3) + share - 1.5593 * share**2)


def sphere_array(n, share=0.125, viscosity=0.2, force=1e-6):
    """Error of the drag on a simple cubic array of spheres in creeping flow: the force on the liquid and sphere over the mean velocity.

    Hasimoto's closed form where Zick and Homsy have no number. Marches for ten times in which the mean flow follows the force.
    """
    exact = ZICK_HOMSY.get(share) or hasimoto(share)
    radius = n * (3 * share / (4 * np.pi)) ** (1 / 3)
    axes = np.meshgrid(*[np.arange(-1, n + 1) - (n - 1) / 2 + shift for shift in (0.11, -0.17, 0.23)], indexing="ij")
    distance = np.sqrt(sum(axis**2 for axis in axes)) - radius
    domain = lattice_domain(D3Q19, face_patches(distance[1:-1, 1:-1, 1:-1] > 0, {}), (True, True, True))
    fractions = wall_fractions(domain, jnp.asarray(distance))
    flow = LatticeBoltzmann(domain, TRT(ConstantViscosity(number(viscosity))), fractions, force=jnp.array([0, 0, force]))
    found = moments_at(flow, flow.initial_state(), round(10 * n**3 / (6 * np.pi * viscosity * radius * exact)))
    mean = float(np.asarray(domain.volume(found.velocity))[2].sum()) / n**3
    return abs(force * n**3 / (6 * np.pi * viscosity * radius * mean) / exact - 1)


def schiller_naumann(reynolds):
    """Drag coefficient of a sphere, Schiller and Naumann 1933: a fit, some 5 % below measurements at Re 20."""
    return 24 / reynolds * (1 + 0.15 * reynolds**0.687)


def clift(reynolds):
    """Drag coefficient of a sphere at Reynolds numbers of 20 to 260, Clift, Grace, Weber 1978 (Bubbles, Drops, and Particles)."""
    return 24 / reynolds * (1 + 0.1935 * reynolds**0.6305)


def sphere_drag(diameter=6, reynolds=20.0, speed=0.08, width=5.0, passes=3.0):
    """Drag coefficient of a sphere in a stream, whose box is ``width`` diameters wide and half as much more long.

    The box moves with the stream on all sides but the outlet.
    """
    side, ahead, behind = round(width * diameter), round(0.6 * width * diameter), round(0.9 * width * diameter)
    shape = (ahead + behind, side, side)
    axes = np.meshgrid(*[np.arange(-1, n + 1.0) for n in shape], indexing="ij")
    centre = (ahead - 0.37, (side - 1) / 2 + 0.11, (side - 1) / 2 - 0.21)
    distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, centre))) - diameter / 2
    faces = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (2, 0), 5: (2, 1), 6: (0, 1)}
    labels = face_patches(distance[1:-1, 1:-1, 1:-1] > 0, faces)
    # Edges and corners of the box stay walls unless they belong to an opening: they move with the stream as well.
    outside = (labels == 0) & (distance > 0)
    labels[outside] = 2
    domain = lattice_domain(D3Q19, labels)
    stream = np.array([speed, 0.0, 0.0])
    inlets = tuple(
        Inlet(patch, jnp.asarray(np.tile(stream, (links.stop - links.start, 1))), Constant(number(1.0)))
        for patch in (1, 2, 3, 4, 5)
        for links in [domain.links_of(patch)]
    )
    none = jnp.zeros(1)
    outlets = Outlets((6,), (Constant(number(0.0)),), none, none, none)
    viscosity, steps = speed * diameter / reynolds, round(passes * shape[0] / speed)
    flow = LatticeBoltzmann(
        domain, TRT(ConstantViscosity(number(viscosity))), wall_fractions(domain, jnp.asarray(distance)), inlets=inlets, outlets=outlets,
        substeps=steps,
    )  # fmt: skip
    start = flow.initial_state(velocity=jnp.asarray(stream)[:, None] * domain.fluid)
    state = jax.jit(lambda flow, state: flow.advance(state, number(0), number(steps)))(flow, start)
    drag = float(flow.wall_force(state, number(steps))[0])
    return drag / (0.5 * speed**2 * np.pi * diameter**2 / 4)


def tilted_tube(diameter=20, degrees=30.0, viscosity=0.15, length=36, speed=0.02):
    """Errors of the wall shear stress (mean and largest, as parts of the exact one) in a tube at an angle to the grid.

    The exact velocity is given at both ends, and a force along the axis balances the wall: pressure is the same everywhere.
    """
    radius, angle = diameter / 2, np.radians(degrees)
    axis = np.array([np.cos(angle), np.sin(angle), 0.0])
    high = int(np.ceil(length * np.tan(angle) + diameter / np.cos(angle))) + 3
    shape = (length, high, diameter + 3)
    places = np.stack(np.meshgrid(*[np.arange(-1, n + 1.0) for n in shape], indexing="ij"))
    centre = np.array([(length - 1) / 2, (high - 1) / 2 + 0.17, (shape[2] - 1) / 2 - 0.23])
    offset = places - centre[:, None, None, None]
    along = np.tensordot(axis, offset, 1)
    outward = offset - axis[:, None, None, None] * along
    far = np.sqrt((outward**2).sum(axis=0))
    distance = radius - far
    domain = lattice_domain(D3Q19, face_patches(distance[1:-1, 1:-1, 1:-1] > 0, {1: (0, 0), 2: (0, 1)}))

    def parabola(patch):
        links = domain.links_of(patch)
        cell = np.stack(np.unravel_index(np.asarray(domain.cell[links]), domain.shape), axis=1) - 1
        middle = cell + np.asarray(D3Q19.steps)[np.asarray(domain.direction[links])] / 2 - centre
        beside = middle - np.outer(middle @ axis, axis)
        values = speed * np.maximum(1 - (beside**2).sum(axis=1) / radius**2, 0)[:, None] * axis
        return Inlet(patch, jnp.asarray(values), Constant(number(1.0)))

    flow = LatticeBoltzmann(
        domain, TRT(ConstantViscosity(number(viscosity))), wall_fractions(domain, jnp.asarray(distance)),
        inlets=(parabola(1), parabola(2)), force=jnp.asarray(4 * viscosity * speed / radius**2 * axis),
    )  # fmt: skip
    velocity = speed * np.maximum(1 - far**2 / radius**2, 0) * axis[:, None, None, None]
    grad = -2 * speed / radius**2 * outward
    strain = np.stack([(axis[a] * grad[b] + axis[b] * grad[a]) / 2 for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))])
    start = flow.initial_state(None, *(jnp.asarray(field.reshape(len(field), -1)) for field in (velocity, strain)))
    found = moments_at(flow, start, round(0.5 * radius**2 / viscosity))
    probe = wall_probe(domain, distance, spare=4.0)
    shear = np.linalg.norm(np.asarray(probe.shear(found)), axis=1) / (2 * viscosity * speed / radius)
    return float(np.abs(shear.mean() - 1)), float(np.abs(shear - 1).max())


def table():
    """Lines of errors and orders."""

    def row(name, sides, errors):
        errors = np.atleast_2d(np.asarray(errors).T)
        for kind, values in zip(name, errors):
            print(f"| {kind} | {', '.join(f'{n}' for n in sides)} | {', '.join(f'{e:.2e}' for e in values)} "
                  f"| {slope([1 / n for n in sides], values):.2f} |", flush=True)  # fmt: skip

    sides, parts = (12, 16, 24, 32), ("velocity", "pressure", "strain rate")
    print("| flow | voxels | error | order |\n|---|---|---|---|")
    row([f"Taylor-Green, Λ = 1/4, {part}" for part in parts], sides, [taylor_green(n, magic=0.25) for n in sides])
    row([f"Taylor-Green, {part}" for part in parts], sides, [taylor_green(n) for n in sides])
    row([f"Taylor-Green, solenoidal start, {part}" for part in parts], sides, [taylor_green(n, consistent=False) for n in sides])
    for alpha, wide in ((2, sides), (8, sides), (20, (32, 48, 64, 96))):
        names = [f"Womersley α = {alpha}, channel, {part}" for part in ("velocity", "strain rate")]
        row(names, wide, [womersley(n, alpha, "channel") for n in wide])
    row([f"Womersley α = 4, tube, {part}" for part in ("velocity", "wall shear")], sides, [womersley(n, 4) for n in sides])
    for share, wide in SPHERE_ARRAYS.items():
        row([f"Drag of a cubic array of spheres, {100 * share:g} %"], wide, [[sphere_array(n, share)] for n in wide])
    mean, largest = tilted_tube()
    print(f"| Wall shear of a tube at 30°, mean and largest | 20 | {mean:.2e}, {largest:.2e} | |")
    expected = f"Schiller and Naumann {schiller_naumann(20.0):.3f}, Clift {clift(20.0):.3f}"
    for diameter, width in ((6, 5), (6, 8), (6, 12), (9, 8)):
        found = sphere_drag(diameter, width=width)
        print(f"Sphere in a stream, Re 20, {diameter} voxels across, box of {width} diameters: {found:.3f}; {expected}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    table()
