"""Queries about a message or an error: `arq why`, the admin API's path, the console's page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin

from arqon.errors import ArqonError, error_of
from arqon.message import Message


class Published(int):
    """The result of `publish`: the offset, with the ids for `Connection.explain`.

    >>> sent = Published(7, room="hall")
    >>> sent == 7, sent.room
    (True, 'hall')
    """

    room: str
    message_id: str
    """The `message_id` given to `publish`, or empty."""
    trace_id: str
    """Its trace: the program's, or a new one."""
    _receipt: str | None

    def __new__(
        cls,
        offset: int = 0,
        *,
        room: str = "",
        message_id: str = "",
        trace_id: str = "",
        receipt: str | None = None,
    ) -> Published:
        """Use `Room.publish`."""
        made = super().__new__(cls, offset)
        made.room, made.message_id, made.trace_id = room, message_id, trace_id
        made._receipt = receipt
        return made

    @property
    def receipt(self) -> str | None:
        """The signed receipt, with the headers `WITH_RECEIPT` in a room with a log; else None.

        Raises `LogUnavailable` if the message is stored, and the bus could not make its receipt.
        """
        if self._receipt == "":
            raise error_of("log-unavailable", "the message is stored, and has no receipt")
        return self._receipt


@dataclass(frozen=True)
class Explanation:
    """The same query in three forms."""

    command: str
    """For a terminal: `arq why …`, quoted for a POSIX shell."""
    path: str
    """Path and query for the admin API: `/v1/why?…`."""
    url: str | None
    """The page in the console; None without `Options.console_url`."""


def _ids_of(what: Message | Published) -> dict[str, str]:
    """The shortest unambiguous ids: the bus's own id before one that messages may share."""
    room = {"room": what.room}
    if isinstance(what, Message) and what.id:
        return {"twist": what.id, **room}
    offset = what.offset if isinstance(what, Message) else int(what)
    if offset > 0:
        return {**room, "offset": str(offset)}
    if what.message_id:
        return {"message_id": what.message_id, **room}
    if what.trace_id:
        return {"trace": what.trace_id, **room}
    raise ValueError("a signal, or a message without any id: nothing to ask for")


def question_of(
    what: Message | Published | ArqonError,
    user: str | None,
    connection: str | None,
    tenant_id: str,
    user_id: str,
) -> dict[str, str]:
    """The options of `arq why`, by their names in the admin API. Raises ValueError."""
    if user is not None and connection is not None:
        raise ValueError("give one of user and connection")
    if not isinstance(what, ArqonError):
        ids = _ids_of(what)
    else:
        ids = {"trace": what.trace_id}
        if user is None and connection is None:
            # A refusal before the connection existed is recorded for the user.
            connection = what.connection_id
            user = None if connection else user_id
    asked = {"tenant": tenant_id, **ids, "user": user, "connection": connection}
    return {name: value for name, value in asked.items() if value}


def explanation_of(asked: dict[str, str], console_url: str | None) -> Explanation:
    """The query as a command, as a path and as a page.

    >>> asked = {"tenant": "acme", "message_id": "it's", "room": "hall"}
    >>> explained = explanation_of(asked, "https://a.example/console/")
    >>> explained.path
    '/v1/why?tenant=acme&message_id=it%27s&room=hall'
    >>> explained.url
    'https://a.example/console/#/why?tenant=acme&message_id=it%27s&room=hall'
    """
    query = urlencode(asked)
    words = [_option(name, value) for name, value in asked.items()]
    url = None if console_url is None else urljoin(console_url, f"#/why?{query}")
    return Explanation(f"arq why {' '.join(words)}", f"/v1/why?{query}", url)


def _option(name: str, value: str) -> str:
    # A value with a leading dash must not be parsed as an option.
    between = "=" if value.startswith("-") else " "
    return f"--{name.replace('_', '-')}{between}{shlex.quote(value)}"
