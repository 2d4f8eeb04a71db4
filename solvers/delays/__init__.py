"""Networks whose nodes hear each other late."""
