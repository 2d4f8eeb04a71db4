"""Learned closures: networks and fits that stand where an equation leaves a term open."""

from twinsim.closures.checkpoint import load_closure as load_closure
from twinsim.closures.checkpoint import read_about as read_about
from twinsim.closures.checkpoint import save_closure as save_closure
from twinsim.closures.cosine_operator import CosineConvolution as CosineConvolution
from twinsim.closures.cosine_operator import CosineOperator as CosineOperator
from twinsim.closures.deep_operator import DeepOperator as DeepOperator
from twinsim.closures.ensemble import EnsembleClosure as EnsembleClosure
from twinsim.closures.graph_flow import GraphFlow as GraphFlow
from twinsim.closures.graph_network import GraphNetwork as GraphNetwork
from twinsim.closures.ionic import ionic_closure as ionic_closure
from twinsim.closures.ionic import save_ionic_closure as save_ionic_closure
from twinsim.closures.learned import LearnedClosure as LearnedClosure
from twinsim.closures.learned import network_parameters as network_parameters
from twinsim.closures.operator_closure import OperatorClosure as OperatorClosure
from twinsim.closures.pattern_conductivity import PatternConductivity as PatternConductivity
from twinsim.closures.perceptron import Perceptron as Perceptron
from twinsim.closures.perceptron import PerceptronClosure as PerceptronClosure
from twinsim.closures.scaling import Standardisation as Standardisation
from twinsim.closures.scaling import TrainingRange as TrainingRange
from twinsim.closures.training import Training as Training
from twinsim.closures.training import decaying_adam as decaying_adam
from twinsim.closures.training import train as train
from twinsim.closures.unrolled import Horizon as Horizon
from twinsim.closures.unrolled import train_unrolled as train_unrolled
from twinsim.closures.unrolled import unroll as unroll
from twinsim.closures.written_out import written_out as written_out
