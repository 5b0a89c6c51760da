"""The connection as programs see it: `connect` and `Connection`. `driver.py` drives it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, cast

from arqon._connection.driver import Driver
from arqon._subscription.buffer import Overflow
from arqon._subscription.position import Position
from arqon._subscription.room_entry import SubscribeOptions
from arqon._time.clock import Duration
from arqon.errors import ArqonError
from arqon.explanation import Explanation, Published, explanation_of, question_of
from arqon.message import Message
from arqon.options import Options, OptionsDict, Status
from arqon.room import Room

if TYPE_CHECKING:
    from typing_extensions import Unpack


def connect(url: str, **options: Unpack[OptionsDict]) -> Connection:
    """A connection to the bus at `url` (`ws://host:4000`, `wss://…`, `http(s)://…`, `host:port`).

    The options are the fields of `Options`; `token` or `get_token` is needed. Use it as
    `async with connect(…) as bus:` or `bus = await connect(…)`: either opens it and raises the
    refusal (`TokenExpired`, `TooManyConnections`, …) or `Unreachable`. Raises ValueError and
    TypeError for options that cannot work, and `TokenMalformed`.
    """
    # `Options` makes a Backoff of a dict, which types of fields cannot say.
    return Connection(url, Options(**cast("dict[str, Any]", options)))


class Connection:
    """What `connect` gives: rooms and loops stay good over reconnects, until it ends for good."""

    def __init__(self, url: str, options: Options) -> None:
        """Use `connect`."""
        self._driver = Driver(url, options)

    @property
    def status(self) -> Status:
        """Where it stands."""
        return self._driver.status

    @property
    def connection_id(self) -> str:
        """Of the present or last session; changes with every reconnect."""
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
        """When the token of the present session's start ends, in Unix ms by the Shield's clock."""
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
    ) -> Room:
        """A room; the options are for `async with`, which subscribes (see `Room`).

        A durable room can begin with what it has stored, then goes on with what comes, without a
        hole and without a repeat: with one of `from_="start"` (the oldest message that is kept) or
        an offset (right after that message; 0 is the start), `last` (the newest so many) or `since`
        (those behind the newest one that is older: seconds, a timedelta, or `"30s"`, `"10m"`,
        `"2h"`, `"7d"`). For the first loop on a room only. Another room is refused (`NotDurable`).

        `filter` is CEL over `type`, `sender`, `headers` and `data`: only messages for which it is
        true come, stored ones, too.

        With `delta` messages come as diffs where the room's class has them, in fewer bytes; the
        loop gets the same. One that cannot be made is a gap with the reason `delta`. A Shield that
        knows no deltas refuses the subscription (`UnknownField`).

        With `positions` a pattern, such as `orders-*`, keeps the position of its durable rooms,
        1,000 at most, and after a reconnect each of them goes on there: nothing is missing, and
        nothing comes twice. Where that cannot be, the loop finds a gap of that room, with the
        reason. A gap of the pattern itself is about the rest: rooms that are not durable, and those
        that came to exist meanwhile. A Shield that knows no positions refuses the subscription.

        `buffer` messages, with `buffer_bytes` of data, may wait for the loop; `on_overflow` says
        what becomes of more: `"error"`, `"drop-oldest"` or `"drop-newest"`.
        Raises `InvalidRoom` for an id that no room can have, ValueError for options that
        contradict each other.
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
        """How to ask for the outcome of a message, or why there was an error. Asks nobody itself.

        `what` is a message that came, what `publish` returned, or an error; `user` or `connection`
        says whose side is asked about. Whoever follows it needs the role admin. Raises ValueError
        for a signal, which has no id, and for `user` and `connection` at once.
        """
        driver = self._driver
        welcome = driver.welcomed
        asked = question_of(what, user, connection, welcome.tenant_id, welcome.user_id)
        return explanation_of(asked, driver.options.console_url)

    async def close(self) -> None:
        """Ends it: loops finish, waiting requests raise `ConnectionClosed`. Twice is harmless.

        When it returns no task and no socket of the connection is left.
        """
        await self._driver.close()

    async def wait_closed(self) -> None:
        """Returns when the program has closed it; raises the error that ended it."""
        await self._driver.wait_closed()

    def __await__(self) -> Generator[Any, None, Connection]:
        """Opens it."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Connection:
        """Opens it."""
        await self._driver.open()
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Closes it."""
        await self.close()
