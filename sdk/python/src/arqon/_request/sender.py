"""Sends a publish or command: checks it, signs it, posts it, awaits its ACK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from arqon._gen import Ack, Command, Envelope, Event
from arqon._request.outbox import Request
from arqon._request.outgoing import check_outgoing
from arqon._time.clock import within
from arqon._wire.frames import encode_pub, payload_field
from arqon.errors import ArqonError, error_of
from arqon.signing import Signer, signing_input

if TYPE_CHECKING:
    from arqon._connection.driver import Driver

_SIGNATURE_BYTES: Final = 64


class Sender:
    """Sends the requests of one connection."""

    def __init__(self, bus: Driver) -> None:
        """`bus` provides options, state and request ids."""
        self._bus = bus
        # The last request of each room that waits for its signature or for the previous request.
        self._tails: dict[str, asyncio.Future[None]] = {}

    async def send(
        self,
        envelope: Envelope,
        payload: Event | Command,
        *,
        ack: bool,
        keyed: bool,
        timeout_ms: int | None,
    ) -> Ack | None:
        """Returns the ACK, None without `ack`. `keyed`: it may be sent again.

        Raises the refusal, `ConnectionLost`, `AnswerTimeout`, `TooManyPending`, `MessageTooLarge`,
        `ConnectionClosed`, `SigningFailed`.
        """
        try:
            check_outgoing(envelope, payload)
            wait_ms = self._bus.options.request_timeout_ms if timeout_ms is None else timeout_ms
            deadline = time.monotonic() + wait_ms / 1_000
            self._check_open()
            field = payload_field(payload)

            def post() -> Request:
                return self._post(envelope, field, ack, keyed, deadline)

            signer = self._bus.options.signer
            try:
                if signer is None:
                    request = post()
                else:
                    request = await self._signed(signer, envelope, field, deadline, post)
            except asyncio.TimeoutError:
                raise error_of("answer-timeout", str(wait_ms)) from None
            return await self._answer(request, wait_ms)
        except ArqonError as error:
            # Each request has its own error object.
            error.trace_id = envelope.trace_id
            error.connection_id = error.connection_id or self._bus.connection_id
            raise

    def _check_open(self) -> None:
        bus = self._bus
        if bus.over:
            raise bus.closed_error()
        if bus.options.offline == "refuse" and bus.status.state != "open":
            raise error_of("connection-lost", "there is no connection, and offline is 'refuse'")

    async def _signed(
        self,
        signer: Signer,
        envelope: Envelope,
        field: bytes,
        deadline: float,
        post: Callable[[], Request],
    ) -> Request:
        """Signs and posts; requests of a room are posted in the order of the calls."""
        room = envelope.room_id
        signature = self._ask(signer, envelope, field)
        before = self._tails.get(room)
        if before is None and isinstance(signature, bytes):
            envelope.signature = _checked(signature)
            return post()
        own: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tails[room] = own
        try:
            if not isinstance(signature, bytes):
                signature = await _signature_of(signature, deadline)
            envelope.signature = _checked(signature)
            if before is not None:
                await within(max(0.0, deadline - time.monotonic()), asyncio.shield(before))
            self._check_open()
            return post()
        finally:
            # After a cancellation, later requests still wait for the earlier ones.
            if before is None or before.done():
                self._release(room, own)
            else:
                before.add_done_callback(lambda _: self._release(room, own))

    def _release(self, room: str, own: asyncio.Future[None]) -> None:
        if not own.done():
            own.set_result(None)
        if self._tails.get(room) is own:
            del self._tails[room]

    def _ask(self, signer: Signer, envelope: Envelope, field: bytes) -> bytes | Awaitable[bytes]:
        tenant = self._bus.welcomed.tenant_id
        signed = signing_input(tenant, envelope.room_id, envelope.message_id, field)
        try:
            return signer.sign(signed)
        except Exception as error:
            raise error_of("signing-failed", str(error)) from error

    def _post(
        self, envelope: Envelope, field: bytes, ack: bool, keyed: bool, deadline: float
    ) -> Request:
        """Queues the request; it is sent now or once there is a connection."""
        request_id = self._bus.next_id()
        if ack:
            envelope.ack_requested, envelope.request_id = True, request_id
        frame = encode_pub(envelope, field)
        max_bytes = self._bus.welcomed.max_frame_bytes
        if len(frame) > max_bytes:
            text = f"a frame of {len(frame)} bytes; the Shield takes {max_bytes}"
            raise error_of("message-too-large", text)
        answer: asyncio.Future[Ack | None] = asyncio.get_running_loop().create_future()
        request = Request(request_id, envelope.room_id, frame, ack, keyed, deadline, answer)
        self._bus.outbox.add(request)
        return request

    async def _answer(self, request: Request, wait_ms: int) -> Ack | None:
        # A timer instead of wait_for, which may lose a cancellation or the answer.
        timer = asyncio.get_running_loop().call_later(
            max(0.0, request.deadline - time.monotonic()),
            lambda: request.fail(error_of("answer-timeout", str(wait_ms))),
        )
        try:
            return await request.answer
        except BaseException:
            self._bus.outbox.forget(request)
            raise
        finally:
            timer.cancel()


async def _signature_of(signature: Awaitable[bytes], deadline: float) -> bytes:
    try:
        return await within(max(0.0, deadline - time.monotonic()), signature)
    except asyncio.TimeoutError:
        raise
    except Exception as error:
        raise error_of("signing-failed", str(error)) from error


def _checked(signature: object) -> bytes:
    if isinstance(signature, bytes) and len(signature) == _SIGNATURE_BYTES:
        return signature
    size = f"{len(signature)} bytes" if isinstance(signature, bytes) else type(signature).__name__
    raise error_of("signing-failed", f"the signer gave {size}; expected {_SIGNATURE_BYTES} bytes")
