"""Commands, checkpoints and workers in the admin: to be read, not changed."""
