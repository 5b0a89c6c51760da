"""Reads the log of a room over HTTP, for a loop with `verify`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from arqon._proof.verified_log import POLL_SECONDS, LogVerifier
from arqon._session.close_reaction import problem_of
from arqon._session.http_socket import Answer, HttpRequests, place_of
from arqon.message import Message
from arqon.proof import LogError, Proof, proof_of

if TYPE_CHECKING:
    from arqon._connection.driver import Driver
    from arqon._subscription.room_entry import SubscribeOptions
    from arqon.room import Room

Token: TypeAlias = "str | Callable[[], Awaitable[str]] | None"
"""A token, or what gives the present one; None: none is needed."""
# Of a whole answer.
_REQUEST_SECONDS: Final = 30.0
# The largest file: a bundle of the largest entries.
_FILE_BYTES_MAX: Final = 256 * (2 + 65_535)
_WAIT_MS_MAX: Final = 600_000
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
    body_ms: object = problem_of(body).get("retry_after_ms")
    if isinstance(body_ms, (int, float)) and body_ms > 0:
        return min(body_ms, _WAIT_MS_MAX) / 1_000
    header = answer.headers.get("retry-after", "")
    if header.isdecimal() and len(header) < 7:
        return min(int(header) or POLL_SECONDS, _WAIT_MS_MAX / 1_000)
    try:
        # A date is by the server's clock.
        now = parsedate_to_datetime(answer.headers.get("date", ""))
        seconds = (parsedate_to_datetime(header) - now).total_seconds()
        return min(max(seconds, POLL_SECONDS), _WAIT_MS_MAX / 1_000)
    except (TypeError, ValueError):
        return 0 if answer.status == 429 else POLL_SECONDS


class VerifiedLog(LogVerifier):
    """The log of a room at any address, for example behind a CDN.

    `async for message in VerifiedLog(url, proof).verify(room)` is a loop over an entered room.
    """

    def __init__(
        self,
        url: str,
        proof: Proof | Mapping[str, Any],
        *,
        token: Token = None,
        checkpoint: str | None = None,
    ) -> None:
        """`url` is that of the log: `https://cdn.example/v1/proof/acme.bets`.

        One of `proof.vkeys` must have signed it. `token`: for a log that is not public.
        `checkpoint`: of an earlier visit, which the log must extend. Raises as `Proof` does.
        """
        given = proof_of(proof)
        if given is None:
            raise ValueError("proof is None; expected a Proof or a dict")
        self.files = LogFiles(url.rstrip("/"), token, given.wait_ms / 1_000)
        super().__init__(self.files, given, given.keys(), checkpoint)

    async def verify(self, room: Room) -> AsyncGenerator[Message, None]:
        """The messages of the room, each once it is verified. Raises `ProofError` and `LogError`.

        Its connection needs the option `proof`: the order of headers, which it then keeps, is part
        of a message's hash.
        """
        if room.bus.options.proof is None:
            raise ValueError(f"room {room.id}: verify needs the option `proof` of connect")
        try:
            async for message in room:
                yield await self.hold(message)
        finally:
            self.files.close()


class RoomLog(LogVerifier):
    """The log of a room, as its connection reaches it."""

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
        base = "http" + bus.url.removeprefix("ws").removesuffix("socket")
        url, wait_seconds = f"{base}proof/{tenant_id}.{room}", proof.wait_ms / 1_000
        given, verify, token = bus.options, options.verify, bus.tokens.current
        self.files = LogFiles(url, token, wait_seconds, tls=given.tls, headers=given.headers)
        kept = verify if isinstance(verify, str) else None
        complete = not options.filter and not options.no_echo
        super().__init__(self.files, proof, keys, kept, complete=complete)
