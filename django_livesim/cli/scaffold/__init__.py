"""`livesim scaffold`: simulations to begin from, in a new app or in one that is there."""

from __future__ import annotations

from argparse import Namespace
from itertools import groupby

from django_livesim.cli.errors import NotDone
from django_livesim.cli.output import Output
from django_livesim.cli.scaffold import wiring
from django_livesim.cli.scaffold.naming import Place, find_place, shown
from django_livesim.cli.scaffold.wiring import Piece
from django_livesim.cli.scaffold.writing import Changes, new_app, rendered
from django_livesim.protocol.errors import Code


def scaffold(options: Namespace, out: Output) -> None:
    """Write the files, with --wire what the project lacks too; where something is wrong, neither.

    Raises BadArgs or Refused, and NotDone where the project does not stand the wiring.
    """
    place = find_place(options.app)
    texts = rendered(place)
    with Changes() as changes:
        if place.is_new:
            changes.add_folder(place.folder, new_app(place, texts))
        else:
            for path, text in texts.items():
                changes.add_file(path, text)
        missing = wiring.missing(place)
        wired = wiring.wire(missing, changes) if options.wire else []
        left = [piece for piece in missing if piece not in wired]
        if wired:
            _check(place, wired, left)
        changes.keep()
    _tell(place, changes, wired, left, out)


def _check(place: Place, wired: list[Piece], left: list[Piece]) -> None:
    """Look at the project once more, in a new process."""
    said = wiring.complaint()
    if said and not (left and wiring.is_of_what_is_left(said)):
        raise NotDone(
            str(Code.REFUSED),
            f"with {place.app} wired into {', '.join(_files(wired))}, `manage.py check` says: {said}."
            " Nothing is changed. Put that right first, or leave out --wire and add what is then told",
        )


def _files(pieces: list[Piece]) -> list[str]:
    return sorted({piece.place for piece in pieces})


def _tell(place: Place, changes: Changes, wired: list[Piece], left: list[Piece], out: Output) -> None:
    created = [shown(path) for path in changes.created]
    if out.as_json:
        missing = [{"file": piece.place, "lines": piece.lines} for piece in left]
        files = {"created": created, "wired": _files(wired), "missing": missing}
        out.json({"app": place.app, "simulations": [place.stock, place.tasks]} | files)
        return
    for verb, paths in (("created", created), ("wired", _files(wired))):
        for path in paths:
            out.line(f"{verb} {path}")
    for says, pieces in groupby(left, lambda piece: f"{piece.says} {piece.place}"):
        lines = "\n\n".join(piece.lines for piece in pieces)
        out.hint(f"\n{says}:\n\n{lines}")
    out.hint(
        f"\n{'Then' if left else 'Next'}: python manage.py migrate; python manage.py test {place.app};"
        f" python manage.py runserver. Start {place.stock} or {place.tasks} on the pages, or in a terminal:"
        f" python manage.py livesim start {place.stock}"
    )
