"""Learned laws inside of solvers, beside the classical remedies."""
