"""Runs a connection: sessions one after another, reactions to their end, moves, requests.

A move from a stopping Shield to another one is in docs/protocol.md, When a node stops. Held locks
are renewed over the next session: the Brain releases the locks of a connection that ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import quote

from arqon._clock import ServerClock, backoff_delay_ms
from arqon._gen import Envelope, SystemSignal, Welcome
from arqon._session.close_reaction import Reaction, close_reaction, refusal_reaction
from arqon._session.requests import Outbox
from arqon._session.session import Session, open_session
from arqon._session.token import TokenKeeper, refresh_forever
from arqon._subscription.subscriptions import Subscriptions
from arqon._tasks import cancel, fail, first_of, resolve
from arqon.errors import ArqonError, error_of
from arqon.options import Options, Status, socket_url
from arqon.room_state import Lock

_T = TypeVar("_T")
_LOG: Final = logging.getLogger("arqon")
# A session that lasted this long resets the back-off.
_GOOD_SESSION_SECONDS: Final = 5.0
# The most consecutive refused new tokens before the connection ends.
_REFUSALS_MAX: Final = 5


def _lost(error: Exception) -> ArqonError:
    """The error for an exception that ended a session; an unexpected one is a lost connection."""
    if isinstance(error, ArqonError):
        return error
    _LOG.error("an unforeseen error ended a session", exc_info=error)
    lost = error_of("connection-lost", f"{type(error).__name__}: {error}")
    lost.__cause__ = error
    return lost


class Driver:
    """The implementation of one connection. Call `open` first; `close` leaves nothing behind."""

    def __init__(self, url: str, options: Options) -> None:
        """Does not connect yet. Raises ValueError, `TokenMalformed`."""
        self.url = socket_url(url)
        self.options = options
        self.clock = ServerClock(options.now)
        self.tokens = TokenKeeper(options, self.clock)
        self.outbox = Outbox(options)
        self.subscriptions = Subscriptions(self)
        self.held_locks: set[Lock] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sessions: set[Session] = set()
        self._session: Session | None = None
        self._moving: asyncio.Task[Session | None] | None = None
        self._welcome: Welcome | None = None
        self._request_id = 0
        self.status = Status("connecting")
        self._opened: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def open(self) -> None:
        """Returns after the first WELCOME; raises the error."""
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self.spawn(self._run())
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes it: loops finish, requests raise `ConnectionClosed`; no task or socket is left."""
        self._settle(None)
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._shut())
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Returns when the program has closed it; raises the error that ended it."""
        await self._ended.wait()
        if self.status.error is not None:
            raise self.status.error.again()

    async def _run(self) -> None:
        try:
            await self._sessions_forever()
        except Exception as error:
            self._settle(_lost(error))
        finally:
            # `asyncio.run` cancels all tasks at its end: what others send then has no answer.
            self._settle(None)

    async def _sessions_forever(self) -> None:
        """Runs sessions, one after another, until the connection ends."""
        failures = refusals = 0
        following: Session | None = None
        first = True
        while not self.over:
            try:
                if following is None:
                    self._report(Status("connecting"))
                session = following or await self.open_next()
            except Exception as cause:
                error = _lost(cause)
                reaction = refusal_reaction(error)
                failures += 1
                refusals += reaction.new_token
                renewing = refusals == 1 and self.tokens.renewable
                spent = failures >= self.options.initial_attempts and not renewing
                if (first and spent) or refusals > _REFUSALS_MAX:
                    self._settle(error)
                    return
            else:
                first, refusals = False, 0
                since = time.monotonic()
                try:
                    outcome = await self._live(session, following is not None)
                except Exception as cause:
                    outcome = await self._broken(session, _lost(cause))
                following = outcome if isinstance(outcome, Session) else None
                if isinstance(outcome, Session):
                    continue
                reaction = outcome
                good = time.monotonic() - since >= _GOOD_SESSION_SECONDS
                failures = 1 if good else failures + 1
            if not reaction.reconnect or (reaction.new_token and not self.tokens.renewable):
                self._settle(reaction.error)
                return
            if reaction.new_token and reaction.error is not None:
                self.tokens.refuse(reaction.error)
            # A refused token is replaced at once, but only once.
            await self._pause(reaction, 0 if refusals == 1 else failures)

    async def open_next(self) -> Session:
        """Tries once to open a session; raises the error."""
        token, url = await self.tokens.current(), self.url
        if self._welcome is not None:
            # When a Shield stops, the connection keeps its identity on the next one.
            url = f"{url}?resume={quote(self._welcome.connection_id, safe='')}"
        session = await open_session(self, url, token)
        self._sessions = {known for known in self._sessions if not known.over} | {session}
        self.clock.set(session.welcome.server_time_ms)
        return session

    async def _live(self, session: Session, moved: bool) -> Reaction | Session:
        """Runs a session from its WELCOME, or the move to it, until its end or the next move."""
        self._session, self._welcome = session, session.welcome
        self._report(Status("open"))
        if moved:
            self.spawn(settle(self, session))
        else:
            self.subscriptions.attach(session)
            self.outbox.connected(session)
        if self.tokens.renewable and session.welcome.token_expires_ms > 0:
            refreshing = self.spawn(refresh_forever(self, session, self.tokens))
            session.ended.add_done_callback(lambda _: refreshing.cancel())
        if self._opened is not None:
            resolve(self._opened, None)
        end = await asyncio.shield(session.ended)
        following = await self._moving if self._moving is not None else None
        await self._leave(session, end.lost)
        if following is not None:
            return following
        self.subscriptions.detach()
        reaction = close_reaction(end.code, end.reason, end.last_error)
        if reaction.error is not None:
            reaction.error.connection_id = session.connection_id
        return reaction

    async def _leave(self, session: Session, lost: ArqonError) -> None:
        self._moving = self._session = None
        await session.abort()
        self._sessions.discard(session)
        self.outbox.disconnected(session, lost)

    async def _broken(self, session: Session, error: ArqonError) -> Reaction:
        """Closes a session after an error on this side."""
        await self._leave(session, error)
        self.subscriptions.detach()
        return refusal_reaction(error)

    async def _pause(self, reaction: Reaction, failures: int) -> None:
        """Waits as the reaction requires, otherwise by the consecutive failures; 0: not at all."""
        options, wait_ms = self.options, float(reaction.floor_ms)
        if reaction.spread_ms > 0:
            wait_ms += options.random() * reaction.spread_ms
        elif failures > 0:
            wait_ms += backoff_delay_ms(failures - 1, options.backoff, options.random)
        self._report(Status("waiting", reaction.error, int(wait_ms)))
        await asyncio.sleep(wait_ms / 1_000)

    async def on_envelopes(self, envelopes: list[Envelope], session: Session) -> None:
        """For the session: messages have arrived."""
        for envelope in envelopes:
            if envelope.room_id:
                # Most have space: a coroutine for each would double the cost.
                if not self.subscriptions.deliver(envelope, session):
                    await self.subscriptions.space(envelope)
                    self.subscriptions.deliver(envelope, session, at_once=False)
            elif envelope.signal.kind == SystemSignal.KIND_DRAIN and envelope.sender_id == "":
                self._move_from(session, envelope.signal.until_ms)

    def on_err(self, error: ArqonError) -> None:
        """For the session: a refusal without a request."""
        if error.reason == "not-granted" and error.action in ("subscribe", "presence"):
            self.subscriptions.revoked(error.room, error, error.action == "presence")
        self.call(self.options.on_error, error)

    def _move_from(self, session: Session, until_ms: int) -> None:
        if session is not self._session or self._moving is not None:
            return
        window_ms = until_ms - self.clock.now_ms()
        self._moving = self.spawn(hand_over(self, session, window_ms))

    async def move_locks(self) -> None:
        """Renews held locks; returns when the Brain has answered. Each lock handles its answer."""
        moving = [self.spawn(lock.move()) for lock in self.held_locks]
        if moving:
            await asyncio.wait(moving)

    def next_id(self) -> int:
        """A request id that no pending request has."""
        self._request_id += 1
        return self._request_id

    def _settle(self, error: ArqonError | None) -> None:
        """Notifies all pending requests and loops of the end, once."""
        if self.over:
            return
        self._report(Status("closed", error))
        self._ended.set()
        self.outbox.close(error or error_of("connection-closed"))
        if self._opened is not None:
            fail(self._opened, error or error_of("connection-closed"))
        if error is not None:
            self.subscriptions.close(error)

    async def _shut(self) -> None:
        """Closes the session and waits until nothing is left."""
        self.subscriptions.close(None)
        await cancel(*self._tasks)
        closing = [session.close() for session in self._sessions]
        await asyncio.gather(*closing, return_exceptions=True)
        self._sessions.clear()

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Runs a task until the connection ends, which cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def over(self) -> bool:
        return self.status.state == "closed"

    @property
    def welcomed(self) -> Welcome:
        if self._welcome is None:
            raise RuntimeError("the connection was never open: use `async with` or `await`")
        return self._welcome

    @property
    def connection_id(self) -> str:
        """The connection id of the present or last session; empty before the first."""
        return "" if self._welcome is None else self._welcome.connection_id

    def closed_error(self) -> ArqonError:
        """The error of a request after the end."""
        error = self.status.error
        return error_of("connection-closed", "" if error is None else error.message)

    def _report(self, status: Status) -> None:
        if self.over:
            return
        self.status = status
        _LOG.debug("%s %s", status.state, status.error or "")
        self.call(self.options.on_status, status)

    def call(self, callback: Callable[[Any], None], value: object) -> None:
        """Calls a callback of the program, which must not break the connection."""
        try:
            callback(value)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of arqon.connect raised", "exception": error}
            )


_SETTLE_SECONDS: Final = 2.0
_BEGIN_SECONDS: Final = 5.0
_LINGER_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.005
_WINDOW_MS_MAX: Final = 600_000


async def hand_over(bus: Driver, old: Session, window_ms: float) -> Session | None:
    """Moves within `window_ms`: the next session with all subscriptions, or None."""
    # All clients were notified at once, so each waits a random time.
    options = bus.options
    wait_ms = options.random() * max(0.0, min(window_ms, _WINDOW_MS_MAX)) / 2
    attempt = 0
    while True:
        await first_of(old.ended, timeout_seconds=wait_ms / 1_000)
        if old.over:
            return None
        try:
            following = await bus.open_next()
        except ArqonError as error:
            reaction = refusal_reaction(error)
            if not reaction.reconnect:
                return None
            wait_ms = reaction.floor_ms + backoff_delay_ms(attempt, options.backoff, options.random)
        else:
            if await _move(bus, old, following):
                return following
            wait_ms = backoff_delay_ms(attempt, options.backoff, options.random)
        attempt += 1


async def _move(bus: Driver, old: Session, following: Session) -> bool:
    """False if the next session was lost or unusable before the move was complete."""
    outbox, subscriptions, moved = bus.outbox, bus.subscriptions, False
    try:
        outbox.pause()
        await _settled(bus, old)
        begun = subscriptions.begin(following)
        await first_of(begun, old.ended, following.ended, timeout_seconds=_BEGIN_SECONDS)
        if begun.done():
            await first_of(old.ended, following.ended, timeout_seconds=_LINGER_SECONDS)
        echo = asyncio.ensure_future(old.echo())
        try:
            await first_of(echo, following.ended)
            lossless = begun.done() and echo.done() and echo.result()
        finally:
            echo.cancel()
        if not old.over and (following.over or not begun.done()):
            subscriptions.abandon()
            outbox.connected(old)
            return False
        subscriptions.cross(lossless)
        outbox.connected(following)
        moved = True
    finally:
        if not moved:
            await following.close()
    # A lock granted just now on the old session moves, too: both are awaited together.
    locks = asyncio.ensure_future(bus.move_locks())
    settled = asyncio.ensure_future(_settled(bus, old))
    both = asyncio.gather(locks, settled)
    try:
        await first_of(both, old.ended, following.ended, timeout_seconds=_SETTLE_SECONDS)
    finally:
        both.cancel()
    await old.close()
    return True


async def _settled(bus: Driver, old: Session) -> None:
    """Returns when the old session has answered all requests, or after the timeout."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _SETTLE_SECONDS
    while bus.outbox.under_way(old) > 0 and not old.over and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


async def settle(bus: Driver, session: Session) -> None:
    """Ends the overlap once the next session has delivered everything that the old one did."""
    await asyncio.sleep(_LINGER_SECONDS)
    if await session.echo():
        bus.subscriptions.settle()
