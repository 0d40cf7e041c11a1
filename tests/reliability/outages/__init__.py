"""What a deployment lives through: harmful runs, Redis and the database gone, clocks set, bad networks.

python -m tests.reliability.outages [--short] [--database sqlite|postgres|both] [LEG ...]
"""
