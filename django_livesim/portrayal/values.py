"""What the values of a layer may be, and how they are written for the browser."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django_livesim.protocol import plain

Check = Callable[[Any], bool]
Expected = tuple[Check, str]
"""What a value has to pass, and how that is said."""

PATH = re.compile(r"(\.|[^.\s]+(\.[^.\s]+)*)\Z")
HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")
WRITTEN = re.compile(
    r"#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\Z"
    r"|(rgba?|hsla?|hwb|lab|lch|oklab|oklch)\([\w\s.,%/+-]+\)\Z"
)
SHAPES = ("circle", "square", "triangle", "arrow")
MOST_CELLS = 4096  # in a row

OF_CSS = """
aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue blueviolet brown
burlywood cadetblue chartreuse chocolate coral cornflowerblue cornsilk crimson cyan darkblue darkcyan
darkgoldenrod darkgray darkgreen darkgrey darkkhaki darkmagenta darkolivegreen darkorange darkorchid
darkred darksalmon darkseagreen darkslateblue darkslategray darkslategrey darkturquoise darkviolet
deeppink deepskyblue dimgray dimgrey dodgerblue firebrick floralwhite forestgreen fuchsia gainsboro
ghostwhite gold goldenrod gray green greenyellow grey honeydew hotpink indianred indigo ivory khaki
lavender lavenderblush lawngreen lemonchiffon lightblue lightcoral lightcyan lightgoldenrodyellow
lightgray lightgreen lightgrey lightpink lightsalmon lightseagreen lightskyblue lightslategray
lightslategrey lightsteelblue lightyellow lime limegreen linen magenta maroon mediumaquamarine
mediumblue mediumorchid mediumpurple mediumseagreen mediumslateblue mediumspringgreen mediumturquoise
mediumvioletred midnightblue mintcream mistyrose moccasin navajowhite navy oldlace olive olivedrab
orange orangered orchid palegoldenrod palegreen paleturquoise palevioletred papayawhip peachpuff peru
pink plum powderblue purple rebeccapurple red rosybrown royalblue saddlebrown salmon sandybrown seagreen
seashell sienna silver skyblue slateblue slategray slategrey snow springgreen steelblue tan teal thistle
tomato transparent turquoise violet wheat white whitesmoke yellow yellowgreen
"""
NAMES = frozenset(OF_CSS.split())
"""The colours that CSS has names for."""


def split(path: str) -> list[str]:
    """A path as its parts."""
    return [] if path == "." else path.split(".")


def named(told: Mapping[Any, str]) -> dict[str, str]:
    """Colours or names by value, written as JavaScript writes the value."""
    return {_written(value): text for value, text in told.items()}


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_color(value: Any) -> bool:
    """Whether that is a colour as CSS writes it."""
    return isinstance(value, str) and (value.lower() in NAMES or bool(WRITTEN.match(value)))


def _path(value: Any) -> bool:
    return isinstance(value, str) and bool(PATH.match(value))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(value: Any, count: int) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and len(value) == count and all(map(_number, value))


def _bounds(value: Any) -> bool:
    if isinstance(value, str):
        return _path(value)
    return _numbers(value, 4) and value[0] < value[2] and value[1] < value[3]


def _by_value(check: Check) -> Check:
    def fits(value: Any) -> bool:
        keys = (str, int, float, bool, type(None))
        if not isinstance(value, Mapping):
            return False
        return all(isinstance(key, keys) and check(each) for key, each in value.items())

    return fits


def _palette(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and len(value) >= 2 and all(isinstance(each, str) and HEX.match(each) for each in value)


def _args(value: Any) -> bool:
    return isinstance(value, Mapping) and plain.first_difference(dict(value)) is None


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


A_PATH: Expected = (_path, 'a path in the view, as "entities" or "fleet.ships"')
A_MEMBER: Expected = (_path, 'a member of an entry, as "x" or "position.0"')
MAYBE_MEMBER: Expected = (_or_none(_path), f"{A_MEMBER[1]}, or None")
AN_ARGUMENT: Expected = (_or_none(_name), "the name of an argument of the command, or None")

COMMON: dict[str, Expected] = {
    "path": A_PATH,
    "nodes": A_PATH,
    "links": A_PATH,
    "source": A_MEMBER,
    "target": A_MEMBER,
    "x": MAYBE_MEMBER,
    "y": MAYBE_MEMBER,
    "id": MAYBE_MEMBER,
    "heading": MAYBE_MEMBER,
    "color": (
        lambda value: value is None or is_color(value) or (_path(value) and value[0] != "#"),
        'a colour, as "teal" or "#2a9d5c", or a member of an entry, or None',
    ),
    "size": (
        lambda value: value is None or _path(value) or (_number(value) and value > 0),
        "a number above 0, a member of an entry, or None",
    ),
    "label": (
        lambda value: value is None or _truth(value) or _path(value),
        "a member of an entry, True for its id, or None",
    ),
    "shape": (lambda value: value in SHAPES, "one of: " + ", ".join(map(repr, SHAPES))),
    "upward": (_truth, "True or False"),
    "smooth": (_truth, "True or False"),
    "colors": (_or_none(_by_value(is_color)), 'a dict of colours by value, as {"sick": "#d55e00"}, or None'),
    "range": (
        _or_none(lambda value: _numbers(value, 2) and value[0] < value[1]),
        "the lowest and the highest number, as (0, 1), or None",
    ),
    "palette": (_or_none(_palette), 'two colours or more, as ["#440154", "#fde725"], or None'),
    "names": (_or_none(_by_value(_name)), 'a dict of texts by value, as {"#": "alive"}, or None'),
    "legend": (_or_none(_name), "a title for what the colours mean, or None"),
    "bounds": (
        _or_none(_bounds),
        "(x0, y0, x1, y1) with x0 < x1 and y0 < y1, the path of such a list in the view, or None",
    ),
    "width": (
        lambda value: (
            value is None
            or _path(value)
            or (isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_CELLS)
        ),
        f"cells in a row, an integer from 1 to {MOST_CELLS}, the path of one in the view, or None",
    ),
    "command": (_name, "the name of a command"),
    "args": (_args, "a dict of plain JSON data"),
}
OF_CLICK = {"x": AN_ARGUMENT, "y": AN_ARGUMENT, "id": AN_ARGUMENT}
OF_POINTS = {"x": A_MEMBER, "y": A_MEMBER}
OWN: dict[str, dict[str, Expected]] = {"Click": OF_CLICK, "Points": OF_POINTS}


def expected(kind: str, name: str) -> Expected:
    """What a value of that name may be, in a class of that name."""
    return OWN.get(kind, {}).get(name) or COMMON[name]
