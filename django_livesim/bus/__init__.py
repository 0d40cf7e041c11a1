"""The channel layer: a doorbell and a loudspeaker. No promise rests on it.

Whatever is said here may be lost, doubled or late; the rows are the truth, and
everyone who listens here reads them again from time to time.
"""
