"""How smoothly a live page draws, and how soon: `python -m benchmarks.page`."""
