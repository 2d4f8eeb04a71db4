"""One simulation on several devices and hosts."""
