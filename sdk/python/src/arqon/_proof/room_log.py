"""Reads the log of a room over HTTP, for a loop with `verify`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from arqon._proof.verified_log import POLL_SECONDS, Terms, VerifiedLog
from arqon._session.http_socket import Answer, HttpStream
from arqon.message import json_of
from arqon.proof import LogError

if TYPE_CHECKING:
    from arqon._connection.driver import Driver
    from arqon._subscription.room_entry import SubscribeOptions

# Timeout of a whole answer.
_REQUEST_SECONDS: Final = 30.0
# The largest file: a bundle of the largest entries.
_FILE_BYTES_MAX: Final = 256 * (2 + 65_535)
_WAIT_MS_MAX: Final = 600_000
# A Shield may need this long to see a log that another Shield has created.
_NEW_SECONDS: Final = 10.0


class LogFiles:
    """Reads the files of a log over one persistent connection."""

    def __init__(
        self,
        url: str,
        token: Callable[[], Awaitable[str]],
        wait_seconds: float,
        *,
        tls: ssl.SSLContext | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`url` is the log's."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self.url = url
        self._place = parts.hostname or "", parts.port or (443 if secure else 80)
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._path = parts.path
        self._headers = {"Host": parts.netloc, **(headers or {})}
        self._token = token
        self._wait_seconds = wait_seconds
        self._stream: HttpStream | None = None

    async def read(self, path: str) -> bytes:
        """Reads a file. Retries while the bus restarts, and after a requested wait."""
        began = monotonic()
        while True:
            try:
                answer, body = await asyncio.wait_for(self._ask(path), _REQUEST_SECONDS)
            except (OSError, asyncio.TimeoutError) as error:
                again, what = POLL_SECONDS, f"{type(error).__name__}: {error}"
            else:
                if answer.status == 200:
                    return body
                is_new = answer.status == 404 and monotonic() - began < _NEW_SECONDS
                again = POLL_SECONDS if is_new else _wait_of(answer, body)
                what = f"HTTP {answer.status} {body[:1_000].decode(errors='replace')}"
            waited = monotonic() - began
            if again == 0 or waited + again > self._wait_seconds:
                late = f"; waited {waited:.0f} s" if again else ""
                raise LogError(f"{self.url}/{path}: {what}{late}")
            await asyncio.sleep(again)

    async def _ask(self, path: str) -> tuple[Answer, bytes]:
        headers = {**self._headers, "Authorization": f"Bearer {await self._token()}"}
        kept, self._stream = self._stream, None
        if kept is not None:
            try:
                return await self._ask_on(kept, path, headers)
            except OSError:
                # The server has closed the idle connection.
                pass
        return await self._ask_on(await HttpStream.open(*self._place, self._tls), path, headers)

    async def _ask_on(
        self, stream: HttpStream, path: str, headers: dict[str, str]
    ) -> tuple[Answer, bytes]:
        body, is_kept = bytearray(), False
        try:
            answer = await stream.ask("GET", f"{self._path}/{path}", headers)
            async for piece in stream.body(answer):
                body += piece
                if len(body) > _FILE_BYTES_MAX:
                    raise LogError(f"{path}: the answer has more than {_FILE_BYTES_MAX} bytes")
            is_kept = answer.is_kept
        finally:
            if is_kept:
                self._stream = stream
            else:
                stream.abort()
        return answer, bytes(body)

    def close(self) -> None:
        """Ends the connection."""
        if self._stream is not None:
            self._stream.abort()


def _wait_of(answer: Answer, body: bytes) -> float:
    """The requested wait in seconds; 0: none."""
    if answer.status < 500 and answer.status != 429:
        return 0
    told: object = None
    try:
        parsed = json_of(body)
        if isinstance(parsed, dict):
            told = cast("dict[str, object]", parsed).get("retry_after_ms")
    except (ValueError, RecursionError):
        pass  # This is not a problem body: the header counts.
    if isinstance(told, (int, float)) and told > 0:
        return min(told, _WAIT_MS_MAX) / 1_000
    said = answer.headers.get("retry-after", "")
    if said.isdecimal() and len(said) < 7:
        return min(int(said) or POLL_SECONDS, _WAIT_MS_MAX / 1_000)
    try:
        # A date is by the server's clock.
        now = parsedate_to_datetime(answer.headers.get("date", ""))
        seconds = (parsedate_to_datetime(said) - now).total_seconds()
        return min(max(seconds, POLL_SECONDS), _WAIT_MS_MAX / 1_000)
    except (TypeError, ValueError):
        return 0 if answer.status == 429 else POLL_SECONDS


class RoomLog(VerifiedLog):
    """The log of a room, at the address of its connection."""

    def __init__(self, bus: Driver, room: str, options: SubscribeOptions) -> None:
        """Raises ValueError if nothing can be verified."""
        proof, tenant_id = bus.options.proof, bus.welcomed.tenant_id
        assert proof is not None
        keys = [
            key._replace(name=prefix + room)
            for prefix, tenant, key in proof.tenant_keys()
            if tenant == tenant_id
        ]
        if not keys:
            raise ValueError(f"proof.vkeys has none of tenant {tenant_id}")
        witnesses = proof.witness_keys()
        wait_seconds = proof.wait_ms / 1_000
        base = "http" + bus.url.removeprefix("ws").removesuffix("socket")
        url = f"{base}proof/{tenant_id}.{room}"
        given = bus.options
        self.files = LogFiles(url, bus.token, wait_seconds, tls=given.tls, headers=given.headers)
        verify = options.verify
        terms = Terms(
            keys,
            witnesses,
            len(witnesses) if proof.quorum is None else proof.quorum,
            wait_seconds,
            proof.complete and not options.filter and not options.no_echo,
            verify if isinstance(verify, str) else None,
        )
        super().__init__(self.files.read, terms)
