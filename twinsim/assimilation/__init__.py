"""Live assimilation: a stream of readings updates a twin, and nothing acknowledged is lost."""

from twinsim.assimilation.analysis import Analysis as Analysis
from twinsim.assimilation.assimilator import Assimilator as Assimilator
from twinsim.assimilation.ensemble_kalman import EnsembleKalmanFilter as EnsembleKalmanFilter
from twinsim.assimilation.ensemble_smoother import EnsembleKalmanSmoother as EnsembleKalmanSmoother
from twinsim.assimilation.extended_kalman import ExtendedKalmanFilter as ExtendedKalmanFilter
from twinsim.assimilation.extended_kalman import NormalBelief as NormalBelief
from twinsim.assimilation.fixed_lag import FixedLagSmoother as FixedLagSmoother
from twinsim.assimilation.gate import Gate as Gate
from twinsim.assimilation.journal import Journal as Journal
from twinsim.assimilation.linearised_step import NormalState as NormalState
from twinsim.assimilation.live_twin import LiveTwin as LiveTwin
from twinsim.assimilation.live_twin import Receipt as Receipt
from twinsim.assimilation.live_twin import Rules as Rules
from twinsim.assimilation.localised_ensemble import LocalisedEnsembleFilter as LocalisedEnsembleFilter
from twinsim.assimilation.particle_filter import ParticleFilter as ParticleFilter
from twinsim.assimilation.perturbed_observations import PerturbedObservations as PerturbedObservations
from twinsim.assimilation.reading import Channel as Channel
from twinsim.assimilation.reading import Outcome as Outcome
from twinsim.assimilation.reading import Reading as Reading
from twinsim.assimilation.square_root import SquareRoot as SquareRoot
from twinsim.assimilation.stream_model import Ensemble as Ensemble
from twinsim.assimilation.stream_model import Innovation as Innovation
from twinsim.assimilation.stream_model import StreamModel as StreamModel
from twinsim.assimilation.stream_model import equal_ensemble as equal_ensemble
from twinsim.assimilation.taper import gaspari_cohn as gaspari_cohn
