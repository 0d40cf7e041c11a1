"""What somebody asks of an own loop, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_livesim.protocol import plain
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import Outcome
from django_livesim.protocol.records import Entry


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A message that the loop has moved past."""

    entry: Entry
    outcome: Outcome
    code: str = ""
    message: str = ""
    result: bytes = b"null"
    params_set: dict[str, Any] | None = None


class Message:
    """What somebody asked of an own loop.

    `name`, `args` (a dict), `user` (primary key of the sender as text, None
    where no user sent it), `id` (the sender's own id for it). It counts as
    applied when the loop moves on past it.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.name = entry.name
        self.args = entry.args
        self.id = entry.client_id
        self.user = entry.sender[2:] if entry.sender.startswith("u:") else None
        self.params_set: dict[str, Any] | None = None
        self._result = b"null"
        self._refused: tuple[str, str] | None = None

    def reply(self, data: Any) -> None:
        """Answer the sender alone with plain JSON `data`; the last reply counts."""
        self._result = plain.encode_answer(data)

    def refuse(self, why: str, code: Code = Code.REFUSED) -> None:
        """Decline the message; the sender is told why."""
        self._refused = (str(code), str(why))

    def settled(self) -> Settled:
        if self._refused is None:
            said: dict[str, Any] = {"result": self._result, "params_set": self.params_set}
            return Settled(entry=self.entry, outcome=Outcome.APPLIED, **said)
        code, why = self._refused
        return Settled(entry=self.entry, outcome=Outcome.REFUSED, code=code, message=why)
