"""An app whose simulations come in the version that the environment names."""
