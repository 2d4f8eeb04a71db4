"""The version, in the one place that the wheel, the command line and result files read."""

__version__ = "0.1.0"
