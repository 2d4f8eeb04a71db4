"""One flat, typed, runnable script per scientific question: example, test and benchmark at once."""
