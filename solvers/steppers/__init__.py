"""Time-stepping methods for fields: one method per file."""
