"""What a first belief must be, so that a reading can be used at all: said when a twin is opened, not at every reading."""

import jax
import numpy as np

from twinsim.assimilation.assimilator import Assimilator, Belief
from twinsim.assimilation.particle_filter import ParticleFilter
from twinsim.assimilation.reading import Channel
from twinsim.assimilation.stream_model import StreamModel
from twinsim.errors import InputError


def check_belief(model: StreamModel, method: Assimilator, belief: Belief, channels: tuple[Channel, ...]) -> None:
    """Refuses a belief from which every update would fail.

    Raises:
        InputError: A belief of another method's kind, fewer than two members, a state that is not finite, predictions that do not fit the
            channels, or errors of readings that are not above zero.
    """
    kind, name = method.belief_kind, type(method).__name__
    if not isinstance(belief, kind):
        made = f"make it with {name}.begin" if hasattr(method, "begin") else f"give a {kind.__name__}, or another method"
        raise InputError(f"a first belief of the kind {type(belief).__name__}", f"{kind.__name__}, which {name} moves", made)
    members = method.ensemble(belief, jax.random.key(0), 2).members
    if members.shape[0] < 2:
        raise InputError(
            f"an ensemble of {members.shape[0]} members", "at least 2, for a spread; tens for a correlation", "draw more members"
        )
    if not np.isfinite(np.asarray(members)).all():
        raise InputError("a first belief with a NaN or an infinity", "finite states", "check the prior that it was drawn from")
    predicted = model.predict(members[0])
    wanted = sum(channel.size for channel in channels)
    if predicted.shape != (wanted,):
        raise InputError(
            f"{wanted} values of {len(channels)} channels for a model that predicts {predicted.shape[0]}",
            "one value per prediction, in the same order",
            "correct the channels or their sizes",
        )
    error = np.asarray(model.error(predicted))
    own_scatter = isinstance(method, ParticleFilter) and method.likelihood is not None
    if not own_scatter and not (error > 0).all():
        raise InputError(
            f"an error of readings of {float(error[~(error > 0)][0]):g}", "standard deviations above 0", "correct the model's sigma"
        )
