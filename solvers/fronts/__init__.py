"""Arrival times of fronts (the eikonal equation)."""
