"""Real workers, web servers and senders, killed and stopped while people send and watch.

python -m tests.reliability.chaos [--short] [--database sqlite|postgres|both] [--kills N] [--seed S]
"""
