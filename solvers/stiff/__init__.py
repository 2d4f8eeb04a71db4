"""Stiff systems of ordinary differential equations: Rosenbrock methods, structured Jacobians, the adaptive loop with its adjoint."""
