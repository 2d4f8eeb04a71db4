"""Throughput, accuracy, gradient cost and memory, one script each; `twinsim bench` runs them."""
