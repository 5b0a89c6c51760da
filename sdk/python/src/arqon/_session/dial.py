"""Opens a session: the upgrade, within a timeout, and the WELCOME after it.

It uses WebSocket, or HTTP where a proxy breaks that; this is remembered by host for a while.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from arqon._clock import within
from arqon._session.close_reaction import upgrade_error
from arqon._session.http_socket import HttpSocket
from arqon._session.session import Session, SessionEnd, Socket
from arqon.errors import ArqonError, error_of

if TYPE_CHECKING:
    from arqon._driver import Driver

# At DEBUG the library would log the request's headers, and with them the token.
_WIRE_LOG: Final = logging.getLogger("arqon.websocket")
_WIRE_LOG.setLevel(logging.INFO)
# Larger than any message that a Shield sends.
_FRAME_BYTES_MAX: Final = 33_554_432
_CLOSE_SECONDS: Final = 2
Transport: TypeAlias = Literal["auto", "websocket", "http"]
_REMEMBERED_SECONDS: Final = 600.0
# A WebSocket that breaks sooner may be cut by a proxy; this many in a row are.
_SHORT_SECONDS: Final = 10.0
_SHORT_LIVES: Final = 2
_BROKEN: Final = 1006
# The reasons that show that a proxy has removed the upgrade.
_IN_BETWEEN: Final = frozenset({"unreachable", "not-a-websocket", "connection-lost"})
_http_until: Final[dict[str, float]] = {}
_short_lives: Final[dict[str, int]] = {}


async def open_session(bus: Driver, url: str, token: str) -> Session:
    """Opens a session; returns after WELCOME, raises the reason why there is none."""
    transport = bus.options.transport
    if transport != "auto":
        return await _open(bus, url, token, transport == "http")
    host = urlsplit(url).netloc
    if time.monotonic() < _http_until.get(host, 0.0):
        try:
            return await _open(bus, url, token, True)
        except ArqonError:
            # The next attempt tries WebSocket again.
            del _http_until[host]
            raise
    try:
        session = await _open(bus, url, token, False)
    except ArqonError as error:
        if error.reason not in _IN_BETWEEN:
            raise
        try:
            session = await _open(bus, url, token, True)
        except ArqonError as other:
            raise (error if other.reason == "unreachable" else other) from None
        _remember(host)
    else:
        began = time.monotonic()
        session.ended.add_done_callback(
            lambda ended: _lived(host, time.monotonic() - began, ended.result())
        )
    return session


def _lived(host: str, seconds: float, end: SessionEnd) -> None:
    if end.code != _BROKEN or seconds >= _SHORT_SECONDS:
        _short_lives.pop(host, None)
        return
    _short_lives[host] = _short_lives.get(host, 0) + 1
    if _short_lives[host] >= _SHORT_LIVES:
        _remember(host)


def _remember(host: str) -> None:
    _short_lives.pop(host, None)
    _http_until[host] = time.monotonic() + _REMEMBERED_SECONDS


async def _open(bus: Driver, url: str, token: str, over_http: bool) -> Session:
    headers, tls = bus.options.headers, bus.options.tls
    timeout_ms = bus.options.handshake_timeout_ms
    timeout_seconds = timeout_ms / 1_000
    http = HttpSocket(url, token, headers, tls) if over_http else None
    try:
        # The token goes to one host only, so a redirect is a refusal.
        dialling: Awaitable[Socket] = (
            _dial(url, token, tls, headers) if http is None else http.open()
        )
        socket = await within(timeout_seconds, dialling, lambda late: late.transport.abort())
    except InvalidStatus as error:
        answer = error.response
        raise upgrade_error(answer.status_code, answer.headers, bytes(answer.body)) from None
    except asyncio.TimeoutError:
        raise _late("upgrade", timeout_ms, http) from None
    except (OSError, WebSocketException, EOFError, ValueError) as error:
        raise error_of("unreachable", f"{type(error).__name__}: {error}") from None
    session = Session(socket, bus)
    try:
        if not (await asyncio.wait({session.opened}, timeout=timeout_seconds))[0]:
            raise _late("WELCOME", timeout_ms, http)
        session.opened.result()
    except BaseException:
        await session.abort()
        raise
    return session


def _late(what: str, timeout_ms: int, http: HttpSocket | None) -> ArqonError:
    progress = "" if http is None else f"; over HTTP: {http.progress}"
    what = what if http is None else "WELCOME"
    return error_of("unreachable", f"no {what} within {timeout_ms} ms{progress}")


class _NoRedirect(connect):
    """The library's connector without redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _dial(
    url: str, token: str, tls: ssl.SSLContext | None, headers: dict[str, str]
) -> Socket:
    kwargs: Any = {} if tls is None else {"ssl": tls}
    return await _NoRedirect(
        url,
        subprotocols=[Subprotocol("arqon.v1")],
        additional_headers={**headers, "Authorization": f"Bearer {token}"},
        compression=None,
        open_timeout=None,
        ping_interval=None,
        close_timeout=_CLOSE_SECONDS,
        max_size=_FRAME_BYTES_MAX,
        logger=_WIRE_LOG,
        **kwargs,
    )
