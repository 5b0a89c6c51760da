"""The public API of a connection: `connect` and `Connection`. `_driver.py` implements it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, cast

from arqon._clock import Duration
from arqon._driver import Driver
from arqon._subscription.buffer import Overflow
from arqon._subscription.position import Position
from arqon._subscription.room_entry import SubscribeOptions
from arqon.errors import ArqonError
from arqon.explanation import Explanation, Published, explanation_of, question_of
from arqon.message import Message
from arqon.options import Options, OptionsDict, Status
from arqon.room import Room

if TYPE_CHECKING:
    from typing_extensions import Unpack


def connect(url: str, **options: Unpack[OptionsDict]) -> Connection:
    """A connection to the bus at `url` (`ws://host:4000`, `wss://…`, `http(s)://…`, `host:port`).

    The options are the fields of `Options`; `token` or `get_token` is required. Use it as `async
    with connect(…) as bus:` or `bus = await connect(…)`: either opens it and raises the refusal
    (`TokenExpired`, `TooManyConnections`, …) or `Unreachable`. Raises ValueError and TypeError for
    invalid options, and `TokenMalformed`.
    """
    # `Options` converts a dict to a Backoff, which its field types cannot express.
    return Connection(url, Options(**cast("dict[str, Any]", options)))


class Connection:
    """A connection: rooms and loops stay valid over reconnects, until it is closed or fails."""

    def __init__(self, url: str, options: Options) -> None:
        """Use `connect`."""
        self._driver = Driver(url, options)

    @property
    def status(self) -> Status:
        """The present status."""
        return self._driver.status

    @property
    def connection_id(self) -> str:
        """The id of the present or last session; changes with every reconnect."""
        return self._driver.welcomed.connection_id

    @property
    def user_id(self) -> str:
        """The token's subject."""
        return self._driver.welcomed.user_id

    @property
    def tenant_id(self) -> str:
        """The token's tenant."""
        return self._driver.welcomed.tenant_id

    @property
    def node_id(self) -> str:
        """The Shield of the present or last session."""
        return self._driver.welcomed.node_id

    @property
    def token_expires_ms(self) -> int:
        """Expiry of the token at the present session's start, in Unix ms by the Shield's clock."""
        return self._driver.welcomed.token_expires_ms

    def room(
        self,
        room_id: str,
        *,
        presence: bool = False,
        observer: bool = False,
        member_meta: Any = None,
        no_echo: bool = False,
        position: Position | None = None,
        from_: Literal["start"] | int | None = None,
        last: int | None = None,
        since: Duration | None = None,
        buffer: int = 1_024,
        buffer_bytes: int = 33_554_432,
        on_overflow: Overflow = "error",
        filter: str = "",
        delta: bool = False,
        positions: bool = False,
        verify: bool | str = False,
    ) -> Room:
        """A room; the options are for `async with`, which subscribes (see `Room`).

        A durable room can begin with stored messages and continues with new ones, without a gap and
        without duplicates. Give one of `from_`: `"start"` (the oldest stored message) or an offset
        (directly after that message; 0 is the start); `last`: this many of the newest messages; or
        `since`: the messages after the newest one that is older than this (seconds, a timedelta, or
        `"30s"`, `"10m"`, `"2h"`, `"7d"`). Only for the first loop on a room. Other rooms are
        refused (`NotDurable`).

        `filter` is a CEL expression over `type`, `sender`, `headers` and `data`: only matching
        messages are delivered, including stored ones.

        With `delta` the Shield sends diffs, in fewer bytes, if the room's class has them; the loop
        gets whole messages. A message that cannot be restored is a gap with the reason `delta`.

        With `positions` a pattern, such as `orders-*`, keeps the positions of its durable rooms,
        1,000 at most, and after a reconnect each room continues from there: no message is lost or
        delivered twice. If that is not possible, the loop receives a gap of that room with the
        reason. A gap of the pattern itself is about the other rooms: those that are not durable,
        and new ones.

        With `verify` each message is checked against the newest checkpoint of the room's
        transparency log before the loop gets it, which takes about a second; it needs the option
        `proof` of `connect`. A violation raises `ProofError`; a room without a log, or with one
        that is not signed as required, raises `LogError`. With an earlier `Room.checkpoint` instead
        of True, the log must also extend that one. Messages wait in the buffer meanwhile.

        The loop's buffer has room for `buffer` messages and `buffer_bytes` of data; when it is
        full, `on_overflow` applies: `"error"`, `"drop-oldest"` or `"drop-newest"`. Raises
        `InvalidRoom` for an invalid id, ValueError for conflicting options.
        """
        # Each option is a field of that name.
        options = {name: each for name, each in locals().items() if name not in ("self", "room_id")}
        return Room(room_id, self._driver, SubscribeOptions(**options))

    def explain(
        self,
        what: Message | Published | ArqonError,
        *,
        user: str | None = None,
        connection: str | None = None,
    ) -> Explanation:
        """The query for the outcome of a message, or for the cause of an error. It sends nothing.

        `what` is a received message, the result of `publish`, or an error; `user` or `connection`
        selects the receiver. Running the query needs the role admin. Raises ValueError for a
        signal, which has no id, and for `user` and `connection` together.
        """
        driver = self._driver
        welcome = driver.welcomed
        asked = question_of(what, user, connection, welcome.tenant_id, welcome.user_id)
        return explanation_of(asked, driver.options.console_url)

    async def close(self) -> None:
        """Closes it: loops finish, pending requests raise `ConnectionClosed`. Idempotent.

        When it returns no task and no socket of the connection is left.
        """
        await self._driver.close()

    async def wait_closed(self) -> None:
        """Returns when the program has closed it; raises the error that ended it."""
        await self._driver.wait_closed()

    def __await__(self) -> Generator[Any, None, Connection]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Connection:
        await self._driver.open()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()
