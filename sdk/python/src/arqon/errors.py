"""`ArqonError`, the base of every refusal, and its creation from the bus's answers."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

_MESSAGE_CHARS_MAX: Final = 1_024
_CLASSES: Final[dict[str, type[ArqonError]]] = {}
Row: TypeAlias = tuple[int, int, str, str, int, str]


class ErrorEntry(NamedTuple):
    """One refusal; `close` is 0 unless `outcome` is "close"."""

    number: int
    code: int
    outcome: str
    client: str
    close: int
    message: str


class CloseEntry(NamedTuple):
    """One WebSocket close code."""

    name: str
    reconnect: bool
    client: str


ERRORS: Final[dict[str, ErrorEntry]] = {}
"""The table of reasons; `errors_gen.py` fills it, with the nearest one of each code first."""


class ArqonError(Exception):
    """A refusal, by the bus or by this client. Catch a subclass, or look at `reason`.

    >>> from arqon import ArqonError, VersionConflict
    >>> error = VersionConflict("7")
    >>> error.code, error.reason, error.message
    (409, 'version-conflict', 'The room is at version 7')
    >>> isinstance(error, ArqonError)
    True
    """

    reason: ClassVar[str] = "internal"
    """Stable, kebab-case: rely on this and not on the text."""

    code: int
    """HTTP status code; a policy may choose another one than its reason's default."""
    message: str
    """For people; may change from version to version."""
    retry_after_ms: int
    """Wait at least this long before a retry; 0: not specified."""
    room: str
    """The room that a refusal without a request is about; empty in all other errors."""
    action: str
    """The refused or ended action: publish, command, subscribe, unsubscribe, presence."""
    trace_id: str
    """The trace of the refused publish or command (`arq why --trace`); otherwise empty."""
    connection_id: str
    """The connection (`arq why --connection`); empty if it did not exist yet."""

    def __init_subclass__(cls, reason: str | None = None, entry: Row | None = None) -> None:
        """Registers the class for its reason, and the reason's row of the table."""
        super().__init_subclass__()
        if reason is not None:
            cls.reason = reason
        if entry is not None:
            ERRORS.setdefault(cls.reason, ErrorEntry(*entry))
            # The public module name, for tracebacks.
            cls.__module__ = "arqon"
        _CLASSES.setdefault(cls.reason, cls)

    def __init__(
        self,
        detail: str = "",
        *,
        message: str | None = None,
        code: int | None = None,
        retry_after_ms: int = 0,
        room: str = "",
        action: str = "",
        trace_id: str = "",
        connection_id: str = "",
    ) -> None:
        """`detail` fills the reason's default text; `message` replaces the whole text."""
        usual = self.entry.message if detail else self.entry.message.replace(": {detail}", "")
        text = usual.replace("{detail}", detail) if message is None else message
        super().__init__(text)
        self.message = text
        self.code = self.entry.code if code is None else code
        self.retry_after_ms = retry_after_ms
        self.room = room
        self.action = action
        self.trace_id = trace_id
        self.connection_id = connection_id

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles keep text, code, wait, room, action, trace and connection."""
        return partial(type(self), message=self.message), (), vars(self)

    def again(self) -> ArqonError:
        """A copy for another receiver: each raises its own exception."""
        copied = copy(self)
        copied.__cause__ = self.__cause__
        return copied

    @property
    def entry(self) -> ErrorEntry:
        """The row of the table of reasons."""
        return ERRORS[self.reason]

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later."""
        return self.entry.client != "never-retry"


def is_passing(error: ArqonError) -> bool:
    """Whether to retry a request: it was lost, or refused temporarily."""
    if not error.retryable:
        return False
    lost = error.reason in ("connection-lost", "answer-timeout")
    return lost or error.code in (408, 429, 503)


def error_of(reason: str, detail: str = "", *, retry_after_ms: int = 0) -> ArqonError:
    """The exception for a reason of the table. Raises KeyError for any other."""
    return _CLASSES[reason](detail, retry_after_ms=retry_after_ms)


def error_from_wire(
    code: int,
    reason: str = "",
    message: str = "",
    retry_after_ms: int = 0,
    *,
    room_id: str = "",
    action: str = "",
) -> ArqonError:
    """The exception for any refusal: an unknown reason becomes the nearest one of its code."""
    name = reason
    if reason not in ERRORS:
        name = next((known for known, entry in ERRORS.items() if entry.code == code), "internal")
    text = message[:_MESSAGE_CHARS_MAX]
    if reason and name != reason:
        text = f"{text} ({reason[:64]})"
    made = _CLASSES[name]
    # A policy may choose its own code; a code that is not of a refusal is ignored.
    status = code if 400 <= code <= 599 else None
    return made(
        message=text or None,
        code=status,
        retry_after_ms=retry_after_ms,
        room=room_id,
        action=action,
    )
