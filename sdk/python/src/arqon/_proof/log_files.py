"""Reads the files of a room's log over HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from arqon._session.close_reaction import problem_of, wait_ms_of
from arqon._session.http_socket import Answer, HttpRequests, place_of
from arqon.proof import LogError

Token: TypeAlias = "str | Callable[[], Awaitable[str]] | None"
"""A token, or what gives the present one; None: none is needed."""
POLL_SECONDS: Final = 1.0
# Of a whole answer.
_REQUEST_SECONDS: Final = 30.0
# The largest file: a bundle of the largest entries.
_FILE_BYTES_MAX: Final = 256 * (2 + 65_535)
# A Shield may need this long to see a log that another Shield has created.
_NEW_SECONDS: Final = 10.0
# Beside a checkpoint: the class of the room omits messages for its readers.
_PARTIAL: Final = "x-arqon-partial"


class LogFiles:
    """Reads the files of a log over one persistent connection."""

    def __init__(
        self,
        url: str,
        token: Token,
        wait_seconds: float,
        *,
        tls: ssl.SSLContext | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self._requests = HttpRequests(place_of(parts, tls))
        self._path = parts.path
        self._headers = {"Host": parts.netloc, **(headers or {})}
        self._token = token
        self._wait_seconds = wait_seconds
        self.is_partial = False
        """The class of the room omits messages, as said with the newest checkpoint."""

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
                    if path == "checkpoint":
                        self.is_partial = _PARTIAL in answer.headers
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
        token = await self._token() if callable(self._token) else self._token
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        target, headers = f"{self._path}/{path}", {**self._headers, **bearer}
        answer, body = await self._requests.ask("GET", target, headers, bytes_max=_FILE_BYTES_MAX)
        if len(body) > _FILE_BYTES_MAX:
            raise LogError(f"{path}: the answer has more than {_FILE_BYTES_MAX} bytes")
        return answer, body

    def close(self) -> None:
        self._requests.abort()


def _wait_of(answer: Answer, body: bytes) -> float:
    """The requested wait in seconds; 0: none."""
    if answer.status < 500 and answer.status != 429:
        return 0
    asked_ms = wait_ms_of(problem_of(body), answer.headers)
    return asked_ms / 1_000 if asked_ms or answer.status == 429 else POLL_SECONDS
