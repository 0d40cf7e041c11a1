"""The layers of a picture: points, cells and networks.

    Points("entities", x="position.0", y="position.1", color="kind", bounds=(0, 0, 100, 100))

A *path* names something in the view and a *member* something in an entry of it, both dotted, with an index
for what is in a list: `"fleet.ships"`, `"position.0"`; `"."` is the view, or the entry, itself. An entry for
which a member is missing, or of another type, is not drawn, or drawn without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, ClassVar

from django_livesim.portrayal import values


def _check(declared: Any) -> None:
    """Raise ValueError, saying what was expected, unless each value can be what its name says."""
    kind = type(declared).__name__
    for each in fields(declared):
        value = getattr(declared, each.name)
        fits, expected = (_is_click, _A_CLICK) if each.name == "click" else values.expected(kind, each.name)
        if not fits(value):
            raise ValueError(f"{kind}({each.name}={value!r}): expected {expected}.")


def _is_click(value: Any) -> bool:
    return value is None or isinstance(value, Click)


_A_CLICK = 'Click("command"), or None'


@dataclass(frozen=True)
class Click:
    """A click, or Enter at the crosshair, sends a command, with the place or with what is there.

    `Click("toggle")` gives the command `x` and `y`: of cells the column and the row, else the place.
    `Click("remove", id="name")` gives it the id of what was hit, and sends nothing where that is nothing.
    `x="column", y="row"` are what the command calls them, also beside `id`. `args` are sent with each.
    """

    command: str
    _: KW_ONLY
    x: str | None = None
    y: str | None = None
    id: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)
        if self.x is self.y is self.id is None:
            object.__setattr__(self, "x", "x")
            object.__setattr__(self, "y", "y")

    def names(self) -> list[str]:
        """The arguments that are sent."""
        return [*(name for name in (self.x, self.y, self.id) if name is not None), *self.args]

    def tell(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "x": self.x,
            "y": self.y,
            "id": self.id,
            "args": dict(self.args),
        }


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What all layers have.

    `colors` says which colour a value has: `{"#": "#2a9d5c"}`. Other numbers have one of the scale from the
    lowest to the highest, which are `range` or else those that were seen; other texts, and True and False,
    one of the categories, where there are no `colors`. `palette` is what these two are made of, in place of
    ours, which the colour-blind can tell apart. `legend` is a title under which the page lists what the
    colours mean. `bounds` are `(x0, y0, x1, y1)`, or the path of such a list in the view; with None the
    picture is as large as what was seen so far.
    """

    kind: ClassVar[str] = ""

    colors: Mapping[Any, str] | None = None
    range: tuple[float, float] | None = None
    palette: Sequence[str] | None = None
    legend: str | None = None
    bounds: Sequence[float] | str | None = None
    click: Click | None = None

    def __post_init__(self) -> None:
        _check(self)

    def tell(self) -> dict[str, Any]:
        """As the page tells the script."""
        return {
            "kind": self.kind,
            "colors": values.named(self.colors) if self.colors is not None else None,
            "range": list(self.range) if self.range is not None else None,
            "palette": list(self.palette) if self.palette is not None else None,
            "legend": self.legend,
            "bounds": values.split(self.bounds) if isinstance(self.bounds, str) else _listed(self.bounds),
            "click": self.click.tell() if self.click is not None else None,
        }


@dataclass(frozen=True, kw_only=True)
class Marks(Layer):
    """What is drawn as marks at places.

    `id` is the member that names an entry, in place of its key or its index. `color` is a colour, or the
    member whose values have one. `size`, a number or a member, is how wide a mark is, in the units of x and
    y; without it marks stay as small as they can be seen well. `label` is the member that is written beside
    it; True writes the id. `heading` is the member that says where it points: radians, or `[dx, dy]`.
    `upward` has y grow upward, as in a graph. `smooth` moves marks evenly from frame to frame: they are
    shown one frame late.
    """

    x: str | None = "x"
    y: str | None = "y"
    id: str | None = None
    color: str | None = None
    size: float | str | None = None
    label: str | bool | None = None
    shape: str = "circle"
    heading: str | None = None
    upward: bool = False
    smooth: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.x is None) is not (self.y is None):
            raise ValueError(f"{type(self).__name__}(x={self.x!r}, y={self.y!r}): expected both or neither.")

    def tell(self) -> dict[str, Any]:
        members = ("x", "y", "id", "heading")
        return super().tell() | {
            **{name: _path(getattr(self, name)) for name in members},
            "color": {"css": self.color} if values.is_color(self.color) else _path(self.color),
            "size": _path(self.size),
            "label": _path(self.label),
            "shape": self.shape,
            "upward": self.upward,
            "smooth": self.smooth,
        }


@dataclass(frozen=True)
class Points(Marks):
    """The entries of a list or dict, each a mark at its place."""

    kind: ClassVar[str] = "points"

    path: str
    _: KW_ONLY
    x: str = "x"
    y: str = "y"

    def tell(self) -> dict[str, Any]:
        return super().tell() | {"path": values.split(self.path)}


@dataclass(frozen=True)
class Network(Marks):
    """Nodes, and the links between them, by the ids of their two nodes.

    With `x` and `y` the nodes are at their places; without, the browser finds places where linked ones are
    near each other, about 10 units apart. That is for some hundreds of nodes.
    """

    kind: ClassVar[str] = "network"

    nodes: str
    links: str
    _: KW_ONLY
    source: str = "source"
    target: str = "target"
    x: str | None = None
    y: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.x is None and self.click is not None and self.click.x is not None:
            raise ValueError(
                f"Network(click={self.click!r}): the places are found in the browser and mean nothing to a "
                f"command. Expected Click(..., id=...) without x and y."
            )

    def tell(self) -> dict[str, Any]:
        members = ("nodes", "links", "source", "target")
        return super().tell() | {name: values.split(getattr(self, name)) for name in members}


@dataclass(frozen=True)
class Grid(Layer):
    """Cells in rows: a list of rows, each a text with a character a cell, or a list of numbers or texts.

    With `width`, a number or the path of one, it is one list, or text, of so many cells a row. A cell is
    1 by 1, the first row's at `y = 0`; with `bounds` all of them together are as large as those.
    `names` are what people call the values: `{".": "dead", "#": "alive"}`.
    """

    kind: ClassVar[str] = "grid"

    path: str
    _: KW_ONLY
    width: int | str | None = None
    names: Mapping[Any, str] | None = None

    def tell(self) -> dict[str, Any]:
        names = values.named(self.names) if self.names is not None else None
        return super().tell() | {
            "path": values.split(self.path),
            "width": _path(self.width),
            "names": names,
        }


def _path(value: Any) -> Any:
    """A member or path as its parts; what is none as it is."""
    return values.split(value) if isinstance(value, str) else value


def _listed(bounds: Sequence[float] | None) -> dict[str, Any] | None:
    return None if bounds is None else {"fixed": [float(each) for each in bounds]}
