"""The models of a brain region by name, each with the coupling that it is used with."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import ArrayLike

from physics.mass_coupling import DifferenceCoupling, LinearCoupling, MassCoupling, PhaseCoupling
from physics.mass_epileptor import Epileptor, EpileptorPlane
from physics.mass_generic_oscillator import GenericOscillator
from physics.mass_hopf import Hopf, Kuramoto
from physics.mass_jansen_rit import JansenRit
from physics.mass_montbrio_pazo_roxin import MontbrioPazoRoxin
from physics.mass_reduced_wong_wang import ReducedWongWang
from physics.mass_wilson_cowan import WilsonCowan
from physics.neural_mass import NeuralMass

NEURAL_MASSES: dict[str, Callable[[], NeuralMass]] = {
    "epileptor": Epileptor.published,
    "epileptor_plane": EpileptorPlane.published,
    "generic_oscillator": GenericOscillator.published,
    "hopf": Hopf.published,
    "jansen_rit": JansenRit.published,
    "kuramoto": Kuramoto.published,
    "montbrio_pazo_roxin": MontbrioPazoRoxin.published,
    "reduced_wong_wang": ReducedWongWang.published,
    "wilson_cowan": WilsonCowan.published,
}
"""Each makes the mass with its published parameters, in JAX's default precision."""

_COUPLINGS: dict[str, Callable[..., MassCoupling]] = {
    "epileptor": DifferenceCoupling,
    "epileptor_plane": DifferenceCoupling,
    "hopf": DifferenceCoupling,
    "kuramoto": PhaseCoupling,
}


def usual_coupling(name: str, strength: ArrayLike) -> MassCoupling:
    """The coupling that a mass is used with: differences for the Epileptor and Hopf's form, sines for phases, else linear."""
    return _COUPLINGS.get(name, LinearCoupling)(jnp.asarray(strength, dtype=float))
