"""Opens a session: the upgrade, within a bound, and the WELCOME after it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, Final
from urllib.parse import quote

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from arqon._session.close_reaction import upgrade_error
from arqon._session.http_socket import HttpSocket
from arqon._session.session import Session, SessionListener, Socket
from arqon._time.within import within
from arqon.errors import ArqonError, error_of

# At DEBUG the library would log the request's headers, and with them the token.
_WIRE_LOG: Final = logging.getLogger("arqon.websocket")
_WIRE_LOG.setLevel(logging.INFO)
# Larger than any message that a Shield sends.
_FRAME_BYTES_MAX: Final = 33_554_432
_CLOSE_SECONDS: Final = 2


async def open_session(
    url: str,
    token: str,
    listener: SessionListener,
    *,
    handshake_timeout_ms: int,
    request_timeout_ms: int,
    tls: ssl.SSLContext | None,
    headers: dict[str, str],
    resume: str | None = None,
    over_http: bool = False,
) -> Session:
    """Opens a session; returns after WELCOME, raises the reason why there is none."""
    timeout_seconds = handshake_timeout_ms / 1_000
    if resume is not None:
        url = f"{url}?resume={quote(resume, safe='')}"
    http = HttpSocket(url, token, headers, tls) if over_http else None
    try:
        # What it sends goes to one host only: an answer that redirects is a refusal.
        dialling = _dial(url, token, tls, headers) if http is None else _dial_http(http)
        socket = await within(timeout_seconds, dialling, lambda late: late.transport.abort())
    except InvalidStatus as error:
        answer = error.response
        raise upgrade_error(answer.status_code, answer.headers, bytes(answer.body)) from None
    except asyncio.TimeoutError:
        raise _late("upgrade", handshake_timeout_ms, http) from None
    except (OSError, WebSocketException, EOFError, ValueError) as error:
        raise error_of("unreachable", f"{type(error).__name__}: {error}") from None
    session = Session(socket, listener, request_timeout_ms)
    opened = False
    try:
        opened = bool((await asyncio.wait({session.opened}, timeout=timeout_seconds))[0])
        if not opened:
            raise _late("WELCOME", handshake_timeout_ms, http)
        opened = session.opened.exception() is None
        session.opened.result()
    finally:
        if not opened:
            await session.abort()
    return session


def _late(what: str, timeout_ms: int, http: HttpSocket | None) -> ArqonError:
    if http is None:
        return error_of("unreachable", f"no {what} within {timeout_ms} ms")
    detail = f"no WELCOME within {timeout_ms} ms; over HTTP: {http.progress}"
    return error_of("unreachable", detail)


async def _dial_http(socket: HttpSocket) -> Socket:
    try:
        await socket.open()
    except BaseException:
        socket.abort()
        raise
    return socket


class _NoRedirect(connect):
    """The library's connector, which here goes to no other address than the one given."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """A redirect is a refusal like any other."""
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
