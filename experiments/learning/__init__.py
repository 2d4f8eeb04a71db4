"""Learned closures."""
