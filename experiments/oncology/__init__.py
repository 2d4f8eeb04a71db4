"""Tumours: growth, treatment, forecast."""
