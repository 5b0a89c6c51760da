"""Growing messages, such as the answer of a model (docs/growing.md).

Pieces are sent one at a time, each with the text written meanwhile, and retried until stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from arqon._clock import Backoff, backoff_delay_ms
from arqon._subscription.room_entry import SubscribeOptions
from arqon._tasks import cancel, fail, first_of
from arqon.errors import ArqonError, error_of, is_passing
from arqon.message import Message, require_in
from arqon.room import Room

State = Literal["growing", "finished", "stopped", "aborted"]

_PATIENCE_SECONDS: Final = 60.0
_BACKOFF: Final = Backoff(base_ms=100, max_ms=2_000)
_GONE: Final = ("growing-ended", "growing-unknown")
_PIECE_CHARS: Final = 8_192
_WAITING_CHARS: Final = 65_536
_MISSED_PAGES: Final = 41
"""As far back as the bus knows ends."""
_ENDED_MAX: Final = 256


@dataclass(frozen=True)
class StreamEnd:
    """How a message ended."""

    id: str
    outcome: State
    offset: int | None = None
    """Its offset in the room's log; None: it is not stored, or the offset is unknown."""


@dataclass(frozen=True)
class Growing:
    """A growing message, each time that it has grown or ended."""

    id: str
    type: str
    sender: str
    started_ms: int
    text: str
    """The whole text so far; at the end, the text in the room's log."""
    piece: str
    """The new text since the last item."""
    state: State = "growing"
    reason: str = ""
    """Why it ended, if a reason was given."""
    offset: int | None = None


async def _ask(room: Room, verb: str, **data: Any) -> dict[str, Any]:
    """Sends a command of growing messages; retries after temporary refusals."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_SECONDS
    attempt = 0
    while True:
        try:
            answer: dict[str, Any] = await room.command(f"growing.{verb}", data)
            return answer
        except ArqonError as error:
            if not is_passing(error) or loop.time() > until:
                raise
            wait_ms = backoff_delay_ms(attempt, _BACKOFF, room.bus.options.random)
            await asyncio.sleep(max(error.retry_after_ms, wait_ms) / 1_000)
            attempt += 1


def _beside(room: Room) -> Room:
    """The companion room with the reports about growing messages."""
    return Room(f"{room.id}~growing", room.bus, SubscribeOptions())


def _event(message: Message) -> dict[str, Any] | None:
    if message.type != "growing" or message.is_gap:
        return None
    event: dict[str, Any] = message.data
    return event


def _ended(outcome: str, reason: str) -> ArqonError:
    return error_of("growing-ended", f"{outcome}: {reason}" if reason else outcome)


class TextStream:
    """A message that this program writes piece by piece; `open_stream` creates it.

    `async with` finishes it at the end of the block, and aborts it when the block raises.
    """

    def __init__(self, room: Room, id: str, seq: int, idle_ms: int, started_ms: int) -> None:
        self.id = id
        self.end: StreamEnd | None = None
        """How it ended; None while it grows."""
        self._room = room
        self._seq = seq
        self._started_ms = started_ms
        self._ending: dict[str, Any] | None = None
        self._waiting = ""
        self._closed = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending = asyncio.ensure_future(self._send())
        self._keeping = asyncio.ensure_future(self._keep(idle_ms / 3_000))
        self._hearing = asyncio.ensure_future(self._hear())

    async def __aenter__(self) -> TextStream:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, *raised: object) -> None:
        """Finishes it, or aborts it with the exception as the reason."""
        if self.end is not None:
            return
        if error is None:
            await self.finish()
        elif self._over.done():
            await self._close()
        else:
            await self.abort(str(error) or type(error).__name__)

    async def write(self, text: str) -> None:
        """Adds text; waits only while the bus is slow. Raises `GrowingEnded` after a stop."""
        self._require_open()
        self._waiting += text
        if self._sending.done():
            self._sending = asyncio.ensure_future(self._send())
        while len(self._waiting) > _WAITING_CHARS and not self._over.done():
            await first_of(self._sending, self._over)
        self._require_open()

    async def wait_ended(self) -> None:
        """Waits until another client or the bus ends it; then raises `GrowingEnded`."""
        await asyncio.shield(self._over)

    async def finish(self) -> StreamEnd:
        """Sends the buffered text, and stores the message in the room's log."""
        return await self._end("finish")

    async def abort(self, reason: str = "", *, keep: bool = True) -> StreamEnd:
        """Ends the message with its present text; without `keep` it is not stored."""
        plain = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", reason)[:200]
        return await self._end("abort", reason=plain, keep=keep)

    async def _end(self, verb: str, **data: Any) -> StreamEnd:
        self._require_open()
        self._closed = True
        if verb == "abort":
            self._waiting = ""
        # Half of a character may have waited for its other one.
        if self._sending.done():
            self._sending = asyncio.ensure_future(self._send())
        try:
            await self._sending
            if verb == "finish":
                if self._over.done():
                    self._over.result()
                data = {"seq": self._seq}
            ending = await _ask(self._room, verb, id=self.id, **data)
            self.end = StreamEnd(self.id, ending["outcome"], ending.get("offset"))
            return self.end
        finally:
            await self._close()

    async def outcome(self) -> StreamEnd:
        """How another client or the bus ended it, from a report or a query.

        Raises `GrowingConflict` while it grows, and `GrowingUnknown` if the bus no longer knows it.
        """
        event = self._ending or await _ask(self._room, "outcome", id=self.id)
        if event["started_ms"] != self._started_ms:
            raise error_of("growing-unknown", f"{self.id} is another message")
        return StreamEnd(self.id, event["outcome"], event.get("offset"))

    def _require_open(self) -> None:
        if self._over.done():
            self._over.result()
        if self._closed:
            raise _ended("it is being ended", "")

    async def _send(self) -> None:
        try:
            while text := self._take():
                await _ask(self._room, "append", id=self.id, seq=self._seq + 1, text=text)
                self._seq += 1
        except Exception as error:
            fail(self._over, error)

    def _take(self) -> str:
        """The next piece, "" without one; the first half of a surrogate pair waits for the other.

        A half without its other one becomes U+FFFD, since no UTF-8 has it.
        """
        size = min(len(self._waiting), _PIECE_CHARS)
        is_all = self._closed and size == len(self._waiting)
        if not is_all and "\ud800" <= self._waiting[size - 1 : size] <= "\udbff":
            size -= 1
        text, self._waiting = self._waiting[:size], self._waiting[size:]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    async def _keep(self, every_seconds: float) -> None:
        """Sends a keep-alive of the producer."""
        try:
            while True:
                await asyncio.sleep(every_seconds)
                await _ask(self._room, "append", id=self.id)
        except Exception as error:
            fail(self._over, error)

    async def _hear(self) -> None:
        """Subscribes to the end by others; without the grant, the next piece is refused."""
        try:
            async with _beside(self._room) as subscription:
                async for message in subscription:
                    event = _event(message)
                    if event is None or event["op"] != "end" or event["id"] != self.id:
                        continue
                    # Ids may be reused.
                    if event["started_ms"] == self._started_ms:
                        self._ending = event
                        if not self._closed:
                            fail(self._over, _ended(event["outcome"], event["reason"]))
                        return
        except ArqonError:
            return

    async def _close(self) -> None:
        self._closed = True
        await cancel(self._sending, self._keeping, self._hearing)
        self._over.cancel()


async def open_stream(
    room: Room, *, id: str | None = None, type: str = "", content_type: str = "text/plain"
) -> TextStream:
    """Begins a growing message in a durable room. Raises the refusal."""
    name = uuid.uuid4().hex if id is None else id
    begun = await _ask(room, "start", id=name, type=type, content_type=content_type)
    return TextStream(room, name, begun["seq"], begun["idle_ms"], begun["started_ms"])


async def stream(
    room: Room,
    source: AsyncIterable[str] | Iterable[str],
    *,
    id: str | None = None,
    type: str = "",
    content_type: str = "text/plain",
) -> StreamEnd:
    """Writes the text of a source into one message, and finishes it.

    If another client stops the message, an asynchronous source is cancelled (a synchronous one ends
    at its next item), and this returns with the outcome `stopped`. An exception of the source
    aborts the message and is raised.
    """
    out = await open_stream(room, id=id, type=type, content_type=content_type)
    writing = asyncio.ensure_future(_write(out, source))
    try:
        await first_of(writing, out._over)
        (writing if writing.done() else out._over).result()
        return await out.finish()
    except BaseException as error:
        if isinstance(error, ArqonError) and error.reason == "growing-ended":
            # Without the outcome the first error is raised.
            with contextlib.suppress(ArqonError):
                end = await out.outcome()
                if end.outcome == "stopped":
                    return end
        await out.__aexit__(None, error)
        raise
    finally:
        await cancel(writing)
        if out.end is None:
            await out._close()


async def _write(out: TextStream, source: AsyncIterable[str] | Iterable[str]) -> None:
    if isinstance(source, AsyncIterable):
        async for text in source:
            await out.write(text)
        return
    for text in source:
        await out.write(text)
        # Yields, because a source that never waits would block other tasks.
        await asyncio.sleep(0)


async def stop_stream(room: Room, id: str, reason: str = "") -> StreamEnd:
    """Stops a growing message: its text so far is stored, and its producer is notified."""
    ending = await _ask(room, "stop", id=id, reason=reason)
    return StreamEnd(id, ending["outcome"], ending.get("offset"))


async def growing(room: Room) -> AsyncIterator[Growing]:
    """The growing messages of a durable room: first their text so far, then every piece once.

    Reconnects cause no gap and no duplicate; after a kick or a ban it raises `Disconnected` or
    `RoomBanned`. Finished messages are normal messages of the room:
    receive them with a subscription.
    """
    readings = _Readings(room)
    async with _beside(room) as subscription:
        for one in await readings.compare():
            yield one
        async for message in subscription:
            require_in(room.id, message)
            event = _event(message)
            if message.is_gap:
                changes = await readings.compare()
            else:
                changes = [] if event is None else await readings.hear(event)
            for one in changes:
                yield one


class _Readings:
    """The growing messages of a room, and recently ended ones."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._known: dict[str, tuple[Growing, int]] = {}
        """By id, with the number of the last piece."""
        self._ended: dict[tuple[str, int], None] = {}

    async def compare(self) -> list[Growing]:
        """Requests all growing messages, and the ends that were missed."""
        listed = [one["id"] for one in (await _ask(self._room, "list"))["messages"]]
        known = list(self._known.values())
        missed = [await self._missed(one) for one, _ in known if one.id not in listed]
        return missed + [one for id in listed for one in await self._get(id)]

    async def hear(self, event: dict[str, Any]) -> list[Growing]:
        """Applies a report; returns the change, if any."""
        id, seq = event["id"], event["seq"]
        before = self._known.get(id)
        if event["op"] == "start":
            begun = None if before is None else before[0].started_ms
            if begun == event["started_ms"] or self._is_over(event):
                return []
            if begun is not None or seq > 0:
                return await self._get(id)
            return [self._grow(event, "", seq, "")]
        if event["op"] == "append":
            if before is None or seq > before[1] + 1:
                return await self._get(id)
            one, last = before
            if seq <= last:
                return []
            grown = replace(one, text=one.text + event["text"], piece=event["text"])
            self._known[id] = (grown, seq)
            return [grown]
        # An end may be reported again after its id was reused.
        if before is None or event["started_ms"] != before[0].started_ms:
            return []
        return [await self._end(event)]

    def _is_over(self, view: dict[str, Any]) -> bool:
        """Whether the message has ended: late or repeated reports are ignored."""
        return (view["id"], view["started_ms"]) in self._ended

    def _grow(self, view: dict[str, Any], text: str, seq: int, piece: str) -> Growing:
        one = Growing(view["id"], view["type"], view["sender"], view["started_ms"], text, piece)
        self._known[one.id] = (one, seq)
        return one

    async def _get(self, id: str) -> list[Growing]:
        """The present state of the message, behind the end of an earlier one with its id.

        Empty: it has ended, which is reported or detected.
        """
        before = self._known.get(id)
        now: dict[str, Any] | None = None
        try:
            now = await _ask(self._room, "get", id=id)
        except ArqonError as error:
            if error.reason not in _GONE:
                raise
        if now is not None and before is not None and now["started_ms"] == before[0].started_ms:
            if before[1] >= now["seq"]:
                return []
            piece = now["text"][len(before[0].text) :]
            return [self._grow(now, now["text"], now["seq"], piece)]
        ended = [] if before is None else [await self._missed(before[0])]
        if now is None or self._is_over(now):
            return ended
        return [*ended, self._grow(now, now["text"], now["seq"], now["text"])]

    async def _end(self, event: dict[str, Any]) -> Growing:
        one, last = self._known[event["id"]]
        offset: int | None = event.get("offset")
        text = one.text
        if offset and (event.get("changed", False) or last != event["seq"]):
            page = await self._room.history(after=offset - 1, limit=1)
            if page.messages and page.messages[0].offset == offset:
                text = page.messages[0].raw.decode()
        return self._over(one, text, event["outcome"], event["reason"], offset)

    async def _missed(self, one: Growing) -> Growing:
        """The missed end of a message, from the room's log."""
        before = 0
        for _ in range(_MISSED_PAGES):
            page = await self._room.history(before=before, reverse=True)
            for message in page.messages:
                state: Any = message.headers.get("x-arqon-growing")
                # Anybody may send a message with that id; only the bus sets the header.
                if state is None or message.sender != one.sender:
                    continue
                if message.message_id == f"growing:{one.id}:{one.started_ms}":
                    reason = message.headers.get("x-arqon-growing-reason", "")
                    return self._over(one, message.raw.decode(), state, reason, message.offset)
            if not page.more or not page.messages:
                break
            before = page.messages[-1].offset
        return self._over(one, one.text, "aborted", "", None)

    def _over(
        self, one: Growing, text: str, state: State, reason: str, offset: int | None
    ) -> Growing:
        del self._known[one.id]
        self._ended[one.id, one.started_ms] = None
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        piece = text[len(one.text) :] if text.startswith(one.text) else ""
        return replace(one, text=text, piece=piece, state=state, reason=reason, offset=offset)
