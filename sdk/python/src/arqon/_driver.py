"""What drives a connection: sessions one after another, reactions, moves, token refresh.

 Programs see it as `connection.Connection`; frames are
`_session.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from arqon._backoff import backoff_delay_ms
from arqon._close_reaction import Reaction, close_reaction, refusal_reaction
from arqon._frames import encode_refresh
from arqon._gen.control_pb2 import Ack, Welcome
from arqon._gen.envelope_pb2 import Envelope, SystemSignal
from arqon._hand_over import hand_over, settle
from arqon._outbox import Outbox, Request
from arqon._session import Session, open_session
from arqon._subscriptions import Subscriptions
from arqon._token import TokenKeeper, refresh_delay_ms, token_expiry_ms
from arqon.errors import ArqonError, error_of
from arqon.options import Options, Status, socket_url

_LOG: Final = logging.getLogger("arqon")
# A session that lived this long was a good one: the backoff starts anew after it.
_GOOD_SESSION_SECONDS: Final = 5.0
# New tokens that may be refused in a row before the connection gives up.
_REFUSALS_MAX: Final = 5


class Driver:
    """One connection's inside. `open` before anything else; after `close` nothing of it is left."""

    def __init__(self, url: str, options: Options) -> None:
        """Starts nothing yet. Raises ValueError, `TokenMalformed`."""
        self._url = socket_url(url)
        self.options = options
        renewable = options.get_token is not None
        timeout_ms = options.handshake_timeout_ms
        self._tokens = TokenKeeper(options.token, options.get_token, timeout_ms)
        self._outbox = Outbox(
            window=options.window,
            queue_max=options.queue,
            queue_bytes_max=options.queue_bytes,
            renewable=renewable,
            random=options.random,
        )
        self.subscriptions = Subscriptions(self.next_id, options.backoff, options.random)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sessions: set[Session] = set()
        self._session: Session | None = None
        self._moving: asyncio.Task[Session | None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._welcome: Welcome | None = None
        self._clock_ahead_ms = 0.0
        self._request_id = 0
        self.status = Status("connecting")
        self._opened: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def open(self) -> None:
        """Returns after the first WELCOME; raises why there is none."""
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._spawn(self._run())
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends it: loops finish, waiting requests raise `ConnectionClosed`. Twice is harmless.

        When it returns no task and no socket of the connection is left.
        """
        self._settle(None)
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._shut())
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Returns when the program has closed it; raises the error that ended it."""
        await self._ended.wait()
        if self.status.error is not None:
            raise self.status.error

    async def _run(self) -> None:
        try:
            await self._sessions_forever()
        except Exception as error:
            told = error if isinstance(error, ArqonError) else error_of("internal")
            if told is not error:
                _LOG.exception("the connection ended by a bug of the SDK")
            self._settle(told)

    async def _sessions_forever(self) -> None:
        """Sessions, one after another, until something ends the connection."""
        failures = refusals = 0
        refused: ArqonError | None = None
        following: Session | None = None
        first = True
        while not self.over:
            try:
                if following is None:
                    self._report(Status("connecting"))
                session = following or await self._open(refused)
            except ArqonError as error:
                reaction = refusal_reaction(error)
                failures += 1
                refusals += reaction.new_token
                renewing = refusals == 1 and self._tokens.renewable
                spent = failures >= self.options.initial_attempts and not renewing
                if (first and spent) or refusals > _REFUSALS_MAX:
                    self._settle(error)
                    return
            else:
                first, refusals = False, 0
                since = time.monotonic()
                outcome = await self._live(session, following is not None)
                following = outcome if isinstance(outcome, Session) else None
                if isinstance(outcome, Session):
                    continue
                reaction = outcome
                good = time.monotonic() - since >= _GOOD_SESSION_SECONDS
                failures = 1 if good else failures + 1
            if not reaction.reconnect or (reaction.new_token and not self._tokens.renewable):
                self._settle(reaction.error)
                return
            refused = reaction.error if reaction.new_token else None
            # A refused token is replaced at once, but only once.
            await self._pause(reaction, 0 if refusals == 1 else failures)

    async def _open(self, refused: ArqonError | None) -> Session:
        """One attempt: a session, or why there is none is raised."""
        options = self.options
        token = await self._tokens.current(refused, self._clock_ahead_ms)
        session = await open_session(
            self._url,
            token,
            self,
            handshake_timeout_ms=options.handshake_timeout_ms,
            request_timeout_ms=options.request_timeout_ms,
            tls=options.tls,
            headers=options.headers,
        )
        self._sessions.add(session)
        self._clock_ahead_ms = session.welcome.server_time_ms - time.time() * 1_000
        return session

    async def _live(self, session: Session, moved: bool) -> Reaction | Session:
        """A session from its WELCOME, or the move to it, to its end or the move to the next."""
        self._session, self._welcome = session, session.welcome
        self._report(Status("open"))
        if moved:
            self._spawn(settle(session, self.subscriptions))
        else:
            self.subscriptions.attach(session)
            self._outbox.connected(session)
        if self._tokens.renewable and session.welcome.token_expires_ms > 0:
            self._refreshing = self._spawn(self._refresh(session))
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        end = await asyncio.shield(session.ended)
        if self._refreshing is not None:
            self._refreshing.cancel()
        following = await self._moving if self._moving is not None else None
        self._moving = self._session = None
        await session.abort()
        self._sessions.discard(session)
        text = f"closed with {end.code}" + (end.reason and f": {end.reason}")
        self._outbox.disconnected(session, error_of("connection-lost", text))
        if following is not None:
            return following
        self.subscriptions.detach()
        return close_reaction(end.code, end.reason, end.last_error)

    async def _pause(self, reaction: Reaction, failures: int) -> None:
        """Waits as the reaction says, else by the number of failures in a row; 0 goes at once."""
        options, wait_ms = self.options, float(reaction.floor_ms)
        if reaction.spread_ms > 0:
            wait_ms += options.random() * reaction.spread_ms
        elif failures > 0:
            wait_ms += backoff_delay_ms(failures - 1, options.backoff, options.random)
        self._report(Status("waiting", reaction.error, int(wait_ms)))
        await asyncio.sleep(wait_ms / 1_000)

    async def _refresh(self, session: Session) -> None:
        """New tokens before the present one ends, for as long as the session lives."""
        expires_ms = session.welcome.token_expires_ms
        while True:
            remaining_ms = expires_ms - self._clock_ahead_ms - time.time() * 1_000
            await asyncio.sleep(refresh_delay_ms(remaining_ms, self.options.random) / 1_000)
            try:
                token = await self._tokens.renew()
                request_id = self.next_id()
                await session.request(request_id, encode_refresh(token, request_id))
                expires_ms = token_expiry_ms(token) or expires_ms
            except ArqonError as error:
                # Tried again in what is left; at the end 4401 and the reconnect ask anyway.
                self.on_err(error)

    async def on_envelopes(self, envelopes: list[Envelope], session: Session) -> None:
        """For the session: messages have come."""
        for envelope in envelopes:
            if envelope.room_id:
                await self.subscriptions.deliver(envelope, session)
            elif envelope.signal.kind == SystemSignal.KIND_DRAIN and envelope.sender_id == "":
                self._move_from(session, envelope.signal.until_ms)

    def on_ack(self, ack: Ack) -> None:
        """For the session: an ACK of a publish or command."""
        self._outbox.answer(ack)

    def on_err(self, error: ArqonError) -> None:
        """For the session: a refusal that answers no request."""
        ended = re.search(r"(subscribe|presence) in (\S+)$", error.message)
        if error.reason == "not-granted" and ended is not None:
            self.subscriptions.revoked(ended[2], error, ended[1] == "presence")
        self._call(self.options.on_error, error)

    def on_writable(self) -> None:
        """For the session: the outbox may go on."""
        self._outbox.pump()

    def _move_from(self, session: Session, until_ms: int) -> None:
        if session is not self._session or self._moving is not None:
            return
        window_ms = until_ms - self._clock_ahead_ms - time.time() * 1_000
        self._moving = self._spawn(
            hand_over(
                session,
                window_ms,
                self._outbox,
                self.subscriptions,
                lambda: self._open(None),
                self.options.backoff,
                self.options.random,
            )
        )

    async def request(
        self,
        room: str,
        frame_of: Callable[[int], bytes],
        *,
        answered: bool,
        repeatable: bool,
        timeout_ms: int | None,
    ) -> Ack | None:
        """For rooms: sends a request, now or when there is a connection, and awaits its answer."""
        if self.over:
            raise self.closed_error()
        request_id = self.next_id()
        frame = frame_of(request_id)
        max_bytes = self.welcomed.max_frame_bytes
        if len(frame) > max_bytes:
            text = f"a frame of {len(frame)} bytes; the Shield takes {max_bytes}"
            raise error_of("message-too-large", text)
        wait_ms = self.options.request_timeout_ms if timeout_ms is None else timeout_ms
        deadline = time.monotonic() + wait_ms / 1_000
        answer: asyncio.Future[Ack | None] = asyncio.get_running_loop().create_future()
        request = Request(request_id, room, frame, answered, repeatable, deadline, answer)
        self._outbox.add(request)
        try:
            return await asyncio.wait_for(answer, wait_ms / 1_000)
        except asyncio.TimeoutError:
            raise error_of("answer-timeout", str(wait_ms)) from None
        finally:
            self._outbox.forget(request)

    def next_id(self) -> int:
        """A request id that no open request has."""
        self._request_id += 1
        return self._request_id

    def _settle(self, error: ArqonError | None) -> None:
        """Everything that waits hears of the end, once."""
        if self.over:
            return
        self._report(Status("closed", error))
        self._ended.set()
        self._outbox.close(error or error_of("connection-closed"))
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(error or error_of("connection-closed"))
            self._opened.exception()
        if error is not None:
            self.subscriptions.close(error)

    async def _shut(self) -> None:
        """Says goodbye to the peer and waits until nothing is left."""
        self.subscriptions.close(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closing = [session.close() for session in self._sessions]
        await asyncio.gather(*closing, return_exceptions=True)
        self._sessions.clear()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def over(self) -> bool:
        """It has ended."""
        return self.status.state == "closed"

    @property
    def welcomed(self) -> Welcome:
        """What the Shield said at the start of the present or last session."""
        if self._welcome is None:
            raise RuntimeError("the connection was never open: use `async with` or `await`")
        return self._welcome

    def closed_error(self) -> ArqonError:
        """What a request hears after the end."""
        error = self.status.error
        return error_of("connection-closed", "" if error is None else f": {error.message}")

    def _report(self, status: Status) -> None:
        if self.over:
            return
        self.status = status
        _LOG.debug("%s %s", status.state, status.error or "")
        self._call(self.options.on_status, status)

    def _call(self, callback: Callable[[Any], None], value: object) -> None:
        """A callback of the program must not break the connection."""
        try:
            callback(value)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of arqon.connect raised", "exception": error}
            )
