"""Drugs: what the body does to them, and what they do to it."""
