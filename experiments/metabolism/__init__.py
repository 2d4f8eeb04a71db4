"""Metabolism: glucose."""
