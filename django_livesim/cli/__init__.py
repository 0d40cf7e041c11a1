"""What `manage.py livesim` does: one small module for each concern.

Everything works through the database alone: rows are read, and commands are
rows that a worker finds by its doorbell or its poll.
"""
