"""Scalars on the lattice: order two, Taylor-Aris dispersion, walls and openings with closed forms, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.lattice_boltzmann import D3Q7, D3Q19, Bolus, Constant, ScalarInlet, ScalarTransport, Waveform, face_patches, lattice_domain
from solvers.loop.time_mesh import time_mesh
from solvers.simulate import simulate
from tests.lattice_scalars import after, between, gaussian, same_everywhere, taylor_aris
from tests.problems import number, slope


@pytest.mark.slow
def test_a_carried_gaussian_is_of_order_two():
    sides = (16, 24, 32, 48)
    errors = [gaussian(n) for n in sides]
    assert slope([1 / n for n in sides], errors) == pytest.approx(2, abs=0.2), errors
    assert gaussian(24, D3Q19) < 1.5 * errors[1]


@pytest.mark.slow
def test_dispersion_of_taylor_and_aris():
    found, exact = taylor_aris()
    assert found == pytest.approx(exact, rel=2e-3)


@pytest.mark.slow
def test_between_two_concentrations():
    sides = (8, 12, 16, 24)
    errors = [between(n, speed=0.48 / n) for n in sides]
    assert slope([1 / n for n in sides], errors) > 1.6, errors
    assert errors[-1] < 5e-3


def plates(n=6, periodic=(False, True, True)):
    return lattice_domain(D3Q7, face_patches(np.ones((n, 1, 1), bool), {}), periodic)


@pytest.mark.slow
def test_walls_with_a_flux_and_walls_with_a_concentration():
    """A flux in on one side and out on the other leaves a straight profile; so do two concentrations."""
    domain = plates()
    side = np.where(np.asarray(domain.direction) % 2 == 1, 1.0, -1.0)
    flux = ScalarTransport(domain, same_everywhere(domain, [0, 0, 0]), number(0.1), wall_value=jnp.asarray(1e-3 * side))
    profile = after(flux, np.ones((6, 1, 1)), 3000)[:, 0, 0]
    np.testing.assert_allclose(np.abs(np.diff(profile)), 0.01, rtol=1e-9)
    assert profile.sum() == pytest.approx(6, rel=1e-12)
    held = ScalarTransport(domain, flux.velocity, number(0.1), wall="concentration", wall_value=jnp.asarray(side))
    profile = after(held, np.zeros((6, 1, 1)), 3000)[:, 0, 0]
    np.testing.assert_allclose(np.abs(profile), np.abs((np.arange(6) + 0.5) / 3 - 1), atol=1e-9)


@pytest.mark.slow
def test_a_bolus_comes_in_and_leaves_by_the_one_loop_and_nothing_is_lost():
    """A plug of scalar in plug flow: all of it goes out, at the right time."""
    n, speed, length = 40, 0.1, 100.0
    domain = lattice_domain(D3Q7, face_patches(np.ones((n, 1, 1), bool), {1: (0, 0), 2: (0, 1)}), (False, True, True))
    wave = ScalarInlet(1, Puff(number(length)))
    transport = ScalarTransport(domain, same_everywhere(domain, [speed, 0, 0]), number(0.02), inlets=(wave,), substeps=10)
    mesh = time_mesh(0.0, [1200.0], 10.0)
    run = simulate(transport, transport.initial_state(), mesh, observe=lambda now, state: transport.flow_out(state, 2))
    run.raise_for_status()
    out = np.asarray(run.observations)
    times = 10 * (np.arange(len(out)) + 1)
    entered = speed * np.sum([float(wave.waveform.at(number(t + 0.5))) for t in range(100)])
    assert 10 * out.sum() == pytest.approx(entered, rel=0.02)
    # The mean time: half of the pulse, the passage, and what diffusion adds, D/u² = 2 steps.
    assert (out * times).sum() / out.sum() == pytest.approx(length / 2 + n / speed, rel=0.03)


def through(speed, steps=1000, duration=60.0):
    """Between plates with a parabola: what passes each opening in each step, and what the box holds before it."""
    n, height = 10, 4
    domain = lattice_domain(D3Q7, face_patches(np.ones((n, height, 1), bool), {1: (0, 0), 2: (0, 1)}), (False, False, True))
    place = (np.arange(height) + 0.5) / height
    field = np.zeros((3, n, height, 1))
    field[0] = (6 * place * (1 - place))[None, :, None]
    transport = ScalarTransport(
        domain, speed * domain.cells(jnp.asarray(field)), number(0.05), inlets=(ScalarInlet(1, Bolus(number(duration))),)
    )

    def step(state, count):
        seen = transport.passed(state, count), transport.concentration(state).sum()
        return transport.step(state, count), seen

    return jax.lax.scan(step, transport.initial_state(), jnp.arange(float(steps)))[1], n * height / float(field[0, 0].sum())


def transit(speed):
    """Mean time out less mean time in, by what passes."""
    (passed, _), _ = through(speed)
    times = jnp.arange(len(passed))
    return (passed[:, 1] @ times) / passed[:, 1].sum() - (passed[:, 0] @ times) / passed[:, 0].sum()


@pytest.mark.slow
def test_the_balance_of_a_bolus_is_exact():
    """What passes openings is what the box loses; the mean transit time is volume over flow, and so is its slope to the speed."""
    speed = number(0.1)
    (passed, content), space = jax.jit(through)(speed)
    speed, space = float(speed), float(space)
    np.testing.assert_allclose(-np.diff(content), passed[:-1].sum(axis=1), atol=1e-14)
    assert float(-passed[:, 0].sum()) == pytest.approx(30 * 40 * speed / space, rel=1e-9)
    found, slope_to_speed = jax.jit(jax.value_and_grad(transit))(number(speed))
    assert float(found) == pytest.approx(space / speed, rel=1e-9)
    assert float(slope_to_speed) == pytest.approx(-space / speed**2, rel=1e-6)


class Puff(Waveform):
    """Half of a sine, once."""

    length: jax.Array

    def at(self, time):
        """See :class:`Waveform`."""
        return jnp.where(time < self.length, jnp.sin(jnp.pi * time / self.length), 0.0)


def test_refusals():
    domain = plates()
    still = same_everywhere(domain, [0, 0, 0])
    with pytest.raises(ValueError, match="expected \\(3, "):
        ScalarTransport(domain, still[:, :-1], number(0.1))
    with pytest.raises(ValueError, match="one per wall link"):
        ScalarTransport(domain, still, number(0.1), wall_value=jnp.zeros(3))
    with pytest.raises(ValueError, match="name openings"):
        ScalarTransport(domain, still, number(0.1), inlets=(ScalarInlet(4, Constant(number(1.0))),))
    other = lattice_domain(D3Q19, face_patches(np.ones((4, 3, 3), bool), {}))
    with pytest.raises(ValueError, match="use D3Q7"):
        ScalarTransport(other, same_everywhere(other, [0, 0, 0]), number(0.1), wall_value=jnp.zeros(other.ends[0]))
