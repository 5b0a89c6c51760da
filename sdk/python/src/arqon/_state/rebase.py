"""What a client shows of a room: what the room has confirmed, and on top what own calls will do.

Open calls are guessed anew after each change. A change that comes while calls wait for their
answers may be theirs, and nothing in it says so: it is kept back until those are answered, so that
no call counts twice. The bus answers a call before it tells what the call has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from arqon._state.values_view import Changes, Value

Guess: TypeAlias = Callable[[Mapping[str, Value]], Changes | None]
"""What a call does to values; None: it would be refused, or that is unknown."""

# Changes that are kept back; with more the oldest counts, whoever's it is.
_HELD_MAX: Final = 1_000


@dataclass
class _Pending:
    number: int
    guess: Guess
    entry: int | None = None
    """The entry whose changes are to come; None: there is no answer yet."""


@dataclass(frozen=True)
class _Held:
    number: int
    """The last call that had been made when it came."""
    version: int
    changes: Changes


class Rebase:
    """The values of a room and those that own calls make of them."""

    def __init__(self) -> None:
        """Without any."""
        self.version = 0
        """The entry whose values are below the guesses."""
        self.values: dict[str, Value] = {}
        self._confirmed: dict[str, Value] = {}
        self._pending: list[_Pending] = []
        self._held: list[_Held] = []
        self._last = 0

    @property
    def pending(self) -> int:
        """Calls that are not confirmed."""
        return len(self._pending)

    def call(self, guess: Guess) -> tuple[int, Changes]:
        """Takes a call; returns its number and what it changes here."""
        self._last += 1
        self._pending.append(_Pending(self._last, guess))
        return self._last, self._guess_anew()

    def answered(self, number: int, entry: int | None) -> Changes:
        """Takes what came of a call: the entry whose changes are to come; None: none are."""
        for one in self._pending:
            if one.number == number:
                one.entry = 0 if entry is None else entry
        self._release()
        return self._guess_anew()

    def confirmed(self, version: int, changes: Changes) -> Changes:
        """Takes changes that the room tells; returns what is another value now."""
        self._held.append(_Held(self._last, version, changes))
        self._release()
        return self._guess_anew()

    def _release(self) -> None:
        """Lets changes count that wait for no answer any longer."""
        opened = [one.number for one in self._pending if one.entry is None]
        while self._held:
            waits = bool(opened) and self._held[0].number >= opened[0]
            if waits and len(self._held) <= _HELD_MAX:
                break
            held = self._held.pop(0)
            put(self._confirmed, held.changes)
            if held.version < self.version:
                # Entries have begun anew: what was answered before is in none of them.
                self._pending = [one for one in self._pending if one.entry is None]
            self.version = held.version
        self._pending = [
            one for one in self._pending if one.entry is None or one.entry > self.version
        ]

    def _guess_anew(self) -> Changes:
        before, self.values = self.values, dict(self._confirmed)
        for one in self._pending:
            put(self.values, one.guess(self.values) or {})
        keys = before.keys() | self.values.keys()
        return {
            key: self.values.get(key) for key in keys if before.get(key) != self.values.get(key)
        }


def put(values: dict[str, Value], changes: Changes) -> None:
    """Writes changes into values."""
    for key, value in changes.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
