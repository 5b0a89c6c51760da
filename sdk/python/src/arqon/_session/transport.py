"""Which way a session goes: by WebSocket, or by HTTP where something in between breaks that.

What was found of a host is remembered by this process, and tried again later.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from arqon._session.session import Session, SessionEnd
from arqon.errors import ArqonError

Transport: TypeAlias = Literal["auto", "websocket", "http"]
_REMEMBERED_SECONDS: Final = 600.0
# A WebSocket that breaks sooner may not be let through for long; so many in a row are not.
_SHORT_SECONDS: Final = 10.0
_SHORT_LIVES: Final = 2
_BROKEN: Final = 1006
# What a Shield, or nobody, says where the upgrade was removed in between.
_IN_BETWEEN: Final = frozenset({"unreachable", "not-a-websocket", "connection-lost"})
_http_until: Final[dict[str, float]] = {}
_short_lives: Final[dict[str, int]] = {}


async def open_over(
    transport: Transport, url: str, dial: Callable[[bool], Awaitable[Session]]
) -> Session:
    """What `dial` opens, over HTTP when it is called with True. Raises the reason why not."""
    if transport != "auto":
        return await dial(transport == "http")
    host = urlsplit(url).netloc
    if time.monotonic() < _http_until.get(host, 0.0):
        try:
            return await dial(True)
        except ArqonError:
            # Perhaps HTTP is broken by now, and WebSocket is not.
            del _http_until[host]
            raise
    try:
        session = await dial(False)
    except ArqonError as error:
        if error.reason not in _IN_BETWEEN:
            raise
        try:
            session = await dial(True)
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
