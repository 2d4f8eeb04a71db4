r"""Velocity on voxels half as wide from images of phase contrast: smooth as viscous flow, without divergence, with its uncertainty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sparse
from scipy import ndimage

from physics.phase_contrast import PhaseContrast, image_noise
from solvers import VoxelGrid
from solvers.space.face_velocity import FaceField, FaceGrid
from solvers.status import raise_for_status
from twinsim.errors import InputError
from twinsim.flow_images import FlowImages
from twinsim.flow_lattice import FlowLattice

TOLERANCE = 1e-4
ITERATIONS = 120
LEAST_SIGNAL = 4.0
RIDGE = 1e-6
Message = Callable[[str], None]


@dataclass(frozen=True)
class Vessel:
    """What the magnitude says on the fine voxels.

    Attributes:
        magnitude: Filled with zeros in k-space, mean of the images, zero away from the vessel.
        fluid: Its ratio to the median inside, at most 1: the share of a voxel that is blood.
        lumen: Share above one half, the largest piece.
        noise: Standard deviation of the real part of the coarse images.
    """

    magnitude: np.ndarray
    fluid: np.ndarray
    lumen: np.ndarray
    noise: float


class Fit(NamedTuple):
    """Coefficients of a fit and what it leaves.

    Attributes:
        coefficients: Of the splines, by direction, m/s.
        misfit: Root mean square of what was fitted, over the noise's.
        held_out: The same of the coarse voxels that were left out; NaN where none was.
        iterations: Of conjugate gradients.
    """

    coefficients: np.ndarray
    misfit: float
    held_out: float
    iterations: int


def find_vessel(images: FlowImages) -> Vessel:
    """Fluid share and lumen from the magnitude alone.

    Raises:
        InputError: Nothing in the images stands out of the noise.
    """
    signal = images.signal()
    fine = images.fine_shape()
    filled = np.asarray(PhaseContrast(images.encoding, fine, images.shape).filled(jnp.asarray(signal)))
    magnitude = np.abs(filled).mean(0)
    noise = image_noise(signal)
    core = ndimage.binary_erosion(magnitude > magnitude.max() / 2)
    level = float(np.median(magnitude[core])) if core.any() else 0.0
    if level < LEAST_SIGNAL * noise:
        raise InputError("images without a vessel", f"a magnitude above {LEAST_SIGNAL:g} times the noise", "look at mag_u, mag_v and mag_w")
    near = ndimage.binary_dilation(_largest(magnitude > 0.15 * level))
    share = np.where(near, np.minimum(magnitude / level, 1), 0)
    return Vessel(np.where(near, magnitude, 0), share, _largest(share > 0.5), noise)


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return mask if count < 2 else labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


class FlowProblem:
    r"""Least squares for the coefficients of a velocity $w$, the blood's own, on a :class:`FlowLattice`.

    $$J(w) = \tfrac12\sum_{c,i}\frac{|y_{ci}|^2}{\sigma^2}\,\arg^2\!\big(y_{ci}\,\overline{T(a e^{i\pi f w_c/V_c})_i}\big)
      + \tfrac{\lambda}{2}\Big(\frac\pi V\Big)^2\Big(\int|\nabla\nabla w|^2 + \kappa\int(\nabla\cdot w)^2\Big)$$

    The first term is the difference of phases in units of its noise. $f = \min(1, \alpha/\alpha_w)$ is the layer at the wall in which the
    velocity falls to that of the tissue, zero, over the share $\alpha$ of blood in a voxel: no slip, softened by what a voxel resolves;
    with $\alpha_w=0$ the wall slips. The second is the viscous force and how far $w$ is from divergence-free where voxels are full of
    blood; what is left of the divergence :meth:`faces` takes away. $\lambda$ and $\alpha_w$ are found by :func:`choose` (cross-validation).
    The momentum balance is not in it: of one frame the acceleration is not known.

    Minimised by Gauss-Newton steps in which the Jacobian is that of the mean weighted by the magnitude (constant, sparse) and the
    residual is exact. Source: regularisation by smoothness and its choice, Wahba (1990), *Spline Models for Observational Data*, chapter 4.

    Args:
        images: Coarse images.
        vessel: From :func:`find_vessel`.
        layer: $\alpha_w$, 0 to 1.
        stiffness: $\kappa$ over the square of a fine voxel pair.
    """

    def __init__(self, images: FlowImages, vessel: Vessel, layer: float, stiffness: float = 10.0) -> None:
        self.images, self.vessel, self.layer, self.stiffness = images, vessel, layer, stiffness
        fluid = vessel.fluid
        self.wall = np.minimum(1, fluid / layer) if layer > 0 else np.ones_like(fluid)
        self.lattice = FlowLattice.over(fluid > 0)
        self.scanner = PhaseContrast(images.encoding, images.fine_shape(), images.shape)
        signal = images.signal()
        size = np.abs(signal)
        clear = (size > LEAST_SIGNAL * vessel.noise).all(0)
        for axis in range(3):  # a vessel that is cut there rings round to the other side
            clear[(slice(None),) * axis + ([0, -1],)] = False
        self.clear = clear
        self.signal = signal[:, clear]
        self.weight = size.mean(0)[clear] / vessel.noise
        rows = np.full(clear.shape, -1)
        rows[clear] = np.arange(clear.sum())
        self.angle = np.pi / images.encoding
        self.scale = float(np.mean(self.angle)) ** 2
        seen = np.asarray(self.scanner.truncated(jnp.asarray(vessel.magnitude + 0j)).real)[clear]
        jacobian = self.lattice.seen(vessel.magnitude * self.wall, rows)
        self.jacobian = (sparse.diags(1 / np.maximum(seen, vessel.noise)) @ jacobian).tocsr()
        self.transposed = self.jacobian.T.tocsr()
        self.squares = self.transposed.multiply(self.transposed).tocsr()
        self.differences = self.lattice.differences()
        self.roughness = (self.differences.T @ self.differences).tocsr()
        full = np.zeros(self.lattice.number.shape, bool)
        full[tuple(slice(1, 1 + n) for n in images.shape)] = fluid[::2, ::2, ::2] > 0.95
        self.divergences = self.lattice.divergence(full)
        self.spreads = np.stack([np.asarray(d.multiply(d).sum(0)).ravel() for d in self.divergences], axis=1)

    def phases(self, coefficients: np.ndarray) -> np.ndarray:
        """Predicted complex signal at the coarse voxels that are used, by direction."""
        velocity = np.stack([self.wall * self.lattice.values(c) for c in coefficients.T])
        return np.asarray(self.scanner.images(jnp.asarray(self.vessel.magnitude), jnp.asarray(velocity)))[:, self.clear]

    def residual(self, coefficients: np.ndarray) -> np.ndarray:
        """Difference of phases over their noise, ``(coarse voxels, 3)``."""
        return np.angle(self.signal * self.phases(coefficients).conj()).T * self.weight[:, None]

    def linear_residual(self, coefficients: np.ndarray) -> np.ndarray:
        """The same with the weighted mean of velocities that are taken as not wrapped."""
        return (np.angle(self.signal).T - self.angle * (self.jacobian @ coefficients)) * self.weight[:, None]

    def fit(self, penalty: float, *, held: np.ndarray | None = None, start: np.ndarray | None = None, exact: int = 2) -> Fit:
        r"""Minimises $J$.

        Args:
            penalty: $\lambda$.
            held: Coarse voxels used that are left out, boolean.
            start: Coefficients to start from.
            exact: Gauss-Newton steps with exact residuals, after a first with the weighted mean of unwrapped phases; 0 for the first only.
        """
        used = np.ones(len(self.weight)) if held is None else 1.0 - held
        found = np.zeros((self.lattice.size, 3)) if start is None else start
        iterations = 0
        for step in range(exact + 1):
            left = self.residual(found) if step else self.linear_residual(found)
            right = self.transposed @ ((used * self.weight)[:, None] * left) * self.angle - penalty * self.scale * self.penalised(found)
            change, count = self._solved(right, used, penalty)
            found, iterations = found + change, iterations + count
        left = self.residual(found) if exact else self.linear_residual(found)
        missed = float(np.sqrt(np.mean(left[used == 0] ** 2))) if held is not None else float("nan")
        return Fit(found, float(np.sqrt(np.mean(left[used > 0] ** 2))), missed, iterations)

    def penalised(self, coefficients: np.ndarray) -> np.ndarray:
        r"""Slope of half the two penalties at $\lambda = 1$, without the factor of the phase."""
        spread = sum(d @ coefficients[:, axis] for axis, d in enumerate(self.divergences))
        back = np.stack([d.T @ spread for d in self.divergences], axis=1)
        return self.roughness @ coefficients + self.stiffness * back

    def _solved(self, right: np.ndarray, used: np.ndarray, penalty: float) -> tuple[np.ndarray, int]:
        """The normal equations by conjugate gradients with the diagonal as preconditioner."""
        angle, weight = self.angle**2, (used * self.weight**2)[:, None]

        def normal(x: np.ndarray) -> np.ndarray:
            return angle * (self.transposed @ (weight * (self.jacobian @ x))) + penalty * self.scale * self.penalised(x) + RIDGE * x

        seen = self.squares @ weight
        rough = self.roughness.diagonal()[:, None] + self.stiffness * self.spreads
        return _conjugate_gradients(normal, right, angle * seen + penalty * self.scale * rough + RIDGE)

    def velocity(self, coefficients: np.ndarray) -> np.ndarray:
        """$w$ on the fine voxels, m/s."""
        return np.stack([self.lattice.values(c) for c in coefficients.T])

    def faces(self, coefficients: np.ndarray) -> FaceField:
        """$w$ on the faces of the fine voxels, m/s."""
        x, y, z = (jnp.asarray(self.lattice.values(c, shifted=axis)) for axis, c in enumerate(coefficients.T))
        return x, y, z

    def drawn(self, coefficients: np.ndarray, penalty: float, generator: np.random.Generator) -> np.ndarray:
        """Coefficients of one draw of the posterior: the linear problem is solved for noise of the data and of the penalty.

        For a linear model with normal noise these are draws of the posterior itself; here the model is linearised. Hyperparameters, fluid
        share and the layer's law are held. Source: Bardsley et al. (2014), SIAM J. Sci. Comput. 36, A1895 (randomise, then optimise).
        """
        noise = generator.normal(size=(len(self.weight), 3))
        rough = np.stack([self.differences.T @ generator.normal(size=self.differences.shape[0]) for _ in range(3)], axis=1)
        spread = generator.normal(size=self.divergences[0].shape[0])
        back = np.stack([d.T @ spread for d in self.divergences], axis=1)
        pull = np.sqrt(penalty * self.scale) * (rough + np.sqrt(self.stiffness) * back)
        right = self.angle * (self.transposed @ (self.weight[:, None] * noise)) + pull
        return coefficients + self._solved(right, np.ones(len(self.weight)), penalty)[0]


def _conjugate_gradients(normal: Callable[[np.ndarray], np.ndarray], right: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, int]:
    found = np.zeros_like(right)
    left = right.copy()
    corrected = left / scale
    direction = corrected
    energy, goal = float(np.vdot(left, corrected)), TOLERANCE**2 * float(np.vdot(right, right / scale))
    for count in range(ITERATIONS):
        if energy <= goal:
            return found, count
        image = normal(direction)
        length = energy / float(np.vdot(direction, image))
        found, left = found + length * direction, left - length * image
        corrected = left / scale
        following = float(np.vdot(left, corrected))
        direction, energy = corrected + following / energy * direction, following
    return found, ITERATIONS


class Choice(NamedTuple):
    """What cross-validation chose.

    Attributes:
        problem: With the layer chosen.
        penalty: Chosen.
        tried: Rows of layer, penalty and misfit of the coarse voxels left out, over their noise.
        start: Coefficients of the best of the fits.
    """

    problem: FlowProblem
    penalty: float
    tried: list[tuple[float, float, float]]
    start: np.ndarray


def choose(
    images: FlowImages, vessel: Vessel, layers: Sequence[float], penalties: Sequence[float], share: float, seed: int, message: Message
) -> Choice:
    """The layer at the middle penalty, then the penalty, by what is left out of the fit; the truth is not looked at.

    Args:
        images: Coarse images.
        vessel: From :func:`find_vessel`.
        layers: Candidates of the layer, 0 to 1.
        penalties: Candidates, from stiff to loose or the other way round.
        share: Of the coarse voxels left out, the same in every trial.
        seed: Of their choice.
        message: Told about every trial.
    """
    middle = penalties[len(penalties) // 2]
    tried: list[tuple[float, float, float]] = []
    best: tuple[float, FlowProblem, float, np.ndarray] | None = None

    def attempt(problem: FlowProblem, penalty: float, start: np.ndarray | None) -> None:
        nonlocal best
        held = np.random.default_rng(seed).random(len(problem.weight)) < share
        if held.all() or not held.any():
            raise InputError(
                f"{len(held)} coarse voxels with a share of {share:g} left out", "some on either side", "choose another --held-out"
            )
        fit = problem.fit(penalty, held=held, start=start, exact=0)
        tried.append((problem.layer, penalty, fit.held_out))
        message(f"layer {problem.layer:g}, penalty {penalty:g}: {fit.held_out:.4f} of the noise where left out")
        if best is None or fit.held_out < best[0]:
            best = (fit.held_out, problem, penalty, fit.coefficients)

    for layer in layers:
        attempt(FlowProblem(images, vessel, layer), middle, None)
    if best is None:
        raise InputError("no layer to try", "at least one", "give --layers")
    problem, start = best[1], best[3]
    for penalty in penalties:
        if penalty != middle:
            attempt(problem, penalty, start)
    return Choice(problem, best[2], tried, best[3])


class Projected(NamedTuple):
    """A field without divergence in the lumen.

    Attributes:
        faces: m/s, projected.
        mask: The lumen.
        centred: m/s at the voxels: in the lumen the mean of their faces, elsewhere as it was given.
        divergence: Root mean square over the lumen, 1/s.
        moved: Root mean square of what the projection changed in the lumen, m/s.
    """

    faces: FaceField
    mask: np.ndarray
    centred: np.ndarray
    divergence: float
    moved: float


def project(space: FaceGrid, faces: FaceField, given: np.ndarray) -> Projected:
    """The closest field on the faces of the lumen without divergence.

    Args:
        space: Faces of the lumen, edges in m.
        faces: m/s.
        given: m/s at the voxel centres, kept outside of the lumen.

    Raises:
        SimulationError: The elliptic solve did not converge.
    """
    found, solution = space.projected(faces)
    raise_for_status(solution.status)
    mask = np.asarray(space.grid.mask)
    before, after = np.asarray(space.centred(faces)), np.asarray(space.centred(found))
    moved = float(np.sqrt(np.mean(np.sum((before - after) ** 2, axis=0)[mask])))
    left = float(np.sqrt(np.mean(np.asarray(space.divergence(found))[mask] ** 2)))
    return Projected(found, mask, np.where(mask, after, given), left, moved)


def lumen_faces(vessel: Vessel, spacing_mm: float) -> FaceGrid:
    """Faces of the lumen with edges in m."""
    return FaceGrid(VoxelGrid(vessel.lumen, spacing_mm / 1000))
