"""What crosses a process boundary: names, errors, commands, frames.

Pure: the standard library and orjson, nothing else.
"""
