"""The options of `connect` with their defaults and bounds, and the status of a connection."""

from __future__ import annotations

import random
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypedDict, cast
from urllib.parse import urlsplit

from arqon._clock import Backoff, backoff_of
from arqon._session.session import Transport
from arqon._session.token import TokenSource
from arqon.errors import ArqonError
from arqon.proof import Proof, proof_of
from arqon.signing import Signer

_FUNCTIONS: Final = ("get_token", "traceparent", "on_status", "on_error", "random", "now")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True)
class Status:
    """The status of the connection; `on_status` receives every change."""

    state: Literal["connecting", "open", "waiting", "closed"]
    error: ArqonError | None = None
    """The reason of the wait or of the end (None: the program closed it)."""
    retry_in_ms: int = 0
    """The wait that begins now."""


def nothing(_: object) -> None:
    """The default callback."""


def _unix_ms() -> float:
    return time.time() * 1_000


@dataclass(frozen=True)
class Options:
    """All options of `connect` except the URL.

    An invalid option is a ValueError with its name, its value and what is expected: numbers are at
    least 1. `backoff` and `proof` may also be dicts, as in TypeScript: `{"base_ms": 100}`.
    """

    token: str | None = None
    """A token, used until it expires."""
    get_token: TokenSource | None = None
    """Called at the start (unless `token` is given), before a token expires and after a refusal.

    A coroutine function, or a function that does not block. If it has a parameter, it gets the
    refusal of the present token, or None: after a refusal, do not return the same token again.
    """
    initial_attempts: int = 1
    """Attempts of `connect` before it raises. An open connection reconnects without a limit."""
    handshake_timeout_ms: int = 10_000
    """Timeout of the upgrade, of WELCOME and of `get_token` each."""
    request_timeout_ms: int = 10_000
    """Default `timeout_ms` of publish and command, and that of SUB, UNSUB and REFRESH."""
    window: int = 256
    """The most unanswered publishes and commands."""
    queue: int = 8_192
    """The most requests that wait for the window or for a connection; above: `TooManyPending`."""
    queue_bytes: int = 67_108_864
    """Their bytes."""
    offline: Literal["queue", "refuse"] = "queue"
    """Requests while disconnected: wait for a connection, or raise `ConnectionLost` at once."""
    backoff: Backoff = field(default_factory=Backoff)
    tls: ssl.SSLContext | None = None
    """TLS settings for `wss`; default: the platform's trust store."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Further headers of the upgrade."""
    transport: Transport = "websocket"
    """"http": server-sent events and requests; "auto": these only if WebSocket does not open."""
    signer: Signer | None = None
    """Signs every publish and command with Ed25519."""
    proof: Proof | None = None
    """The keys and witnesses for `verify` of a room. Needs the extra `arqon-sdk[proof]`."""
    traceparent: Callable[[], str | None] | None = None
    """The `traceparent` of the active span, for example from an OpenTelemetry propagator."""
    console_url: str | None = None
    """Base URL of the web console, for the `url` of `Connection.explain`."""
    on_status: Callable[[Status], None] = nothing
    on_error: Callable[[ArqonError], None] = nothing
    """Receives refusals without a request, for example of a publish without ACK."""
    random: Callable[[], float] = random.random
    """Numbers in [0, 1) for every jitter."""
    now: Callable[[], float] = _unix_ms
    """Unix ms, until the bus's own time is known."""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self) if each.type == "int"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1:
                raise ValueError(f"{name} is {value!r}; expected at least 1")
        if self.offline not in ("queue", "refuse"):
            raise ValueError(f"offline is {self.offline!r}; expected 'queue' or 'refuse'")
        if self.transport not in ("auto", "websocket", "http"):
            names = "'auto', 'websocket' or 'http'"
            raise ValueError(f"transport is {self.transport!r}; expected {names}")
        object.__setattr__(self, "backoff", backoff_of(self.backoff))
        object.__setattr__(self, "proof", proof_of(self.proof))
        _check_headers(self.headers)
        if self.signer is not None and not callable(getattr(self.signer, "sign", None)):
            raise ValueError(f"signer is {self.signer!r}; expected an object with sign(data)")
        if self.tls is not None and not isinstance(self.tls, ssl.SSLContext):
            raise ValueError(f"tls is {self.tls!r}; expected an ssl.SSLContext")
        for name in _FUNCTIONS:
            value = getattr(self, name)
            if callable(value) or (value is None and name in ("get_token", "traceparent")):
                continue
            shown = "not shown" if name == "get_token" else repr(value)
            raise ValueError(f"{name} is {shown}; expected a function")


def _check_headers(headers: object) -> None:
    """Raises ValueError for invalid headers; it does not show values, which may be secrets."""
    if not isinstance(headers, dict):
        raise ValueError(f"headers is {headers!r}; expected a dict of names and texts")
    for name, value in cast("dict[object, object]", headers).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers has the name {name!r}; expected letters, digits and '-'")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            kind = type(value).__name__
            raise ValueError(f"headers[{name!r}] is a {kind}; expected one line of ASCII text")


class OptionsDict(TypedDict, total=False):
    """The options of `connect` as keyword arguments: see the fields of `Options`."""

    token: str | None
    get_token: TokenSource | None
    initial_attempts: int
    handshake_timeout_ms: int
    request_timeout_ms: int
    window: int
    queue: int
    queue_bytes: int
    offline: Literal["queue", "refuse"]
    backoff: Backoff | dict[str, float]
    tls: ssl.SSLContext | None
    headers: dict[str, str]
    transport: Transport
    signer: Signer | None
    proof: Proof | dict[str, Any] | None
    traceparent: Callable[[], str | None] | None
    console_url: str | None
    on_status: Callable[[Status], None]
    on_error: Callable[[ArqonError], None]
    random: Callable[[], float]
    now: Callable[[], float]


def socket_url(url: str) -> str:
    """The WebSocket address of `ws(s)://…`, `http(s)://…` or `host:port`. Raises ValueError.

    >>> socket_url("localhost:4000"), socket_url("https://bus.example")
    ('ws://localhost:4000/v1/socket', 'wss://bus.example/v1/socket')
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.username is not None:
        raise ValueError(f"url is {url!r}; expected ws://host:port, wss://… or host:port")
    path = parts.path.rstrip("/").removesuffix("/v1/socket")
    return f"{scheme}://{parts.netloc}{path}/v1/socket"
