"""What `connect` takes, with every default and bound, and how a connection says where it stands."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypedDict
from urllib.parse import urlsplit

from arqon._session.token import TokenSource
from arqon._session.transport import Transport
from arqon._time.backoff import Backoff
from arqon.errors import ArqonError
from arqon.signing import Signer


@dataclass(frozen=True)
class Status:
    """Where the connection stands; `on_status` hears every change."""

    state: Literal["connecting", "open", "waiting", "closed"]
    error: ArqonError | None = None
    """Why it waits, or why it is closed (None: the program closed it)."""
    retry_in_ms: int = 0
    """The wait that begins now."""


def nothing(_: object) -> None:
    """What hears of everything while the program has not said who does."""


def _unix_ms() -> float:
    return time.time() * 1_000


@dataclass(frozen=True)
class Options:
    """All options of `connect` but the address. A number below 1 is a ValueError."""

    token: str | None = None
    """A token for as long as it lasts."""
    get_token: TokenSource | None = None
    """Asked at the start (unless `token` is given), before one expires and after a refusal.

    A coroutine function, or a function that does not block. If it has a parameter it gets the
    refusal of the present token there, or None: after a refusal a cached one is of no use.
    """
    initial_attempts: int = 1
    """How often `connect` tries before it raises. Once open it reconnects without end."""
    handshake_timeout_ms: int = 10_000
    """Upgrade, WELCOME and `get_token`, each within this."""
    request_timeout_ms: int = 10_000
    """Default `timeout_ms` of publish and command, and that of SUB, UNSUB and REFRESH."""
    window: int = 256
    """Unanswered publishes and commands at a time."""
    queue: int = 8_192
    """Requests that wait for the window or for a connection; above: `TooManyPending`."""
    queue_bytes: int = 67_108_864
    """Their bytes."""
    offline: Literal["queue", "refuse"] = "queue"
    """Requests without a connection: wait for one, or raise `ConnectionLost` at once."""
    backoff: Backoff = field(default_factory=Backoff)
    tls: ssl.SSLContext | None = None
    """For `wss`; default: the platform's trust."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Further headers of the upgrade."""
    transport: Transport = "websocket"
    """"http": server-sent events and requests; "auto": those where WebSocket does not open."""
    signer: Signer | None = None
    """Signs every publish and command with Ed25519."""
    traceparent: Callable[[], str | None] | None = None
    """The `traceparent` of the active span, for example from an OpenTelemetry propagator."""
    console_url: str | None = None
    """Where the web console is, for the `url` of `Connection.explain`."""
    on_status: Callable[[Status], None] = nothing
    on_error: Callable[[ArqonError], None] = nothing
    """Refusals that answer no request, for example of a publish without ACK."""
    random: Callable[[], float] = random.random
    """Numbers in [0, 1) for every jitter."""
    now_ms: Callable[[], float] = _unix_ms
    """Unix ms, for the time before the bus has told its own."""

    def __post_init__(self) -> None:
        """Checks."""
        for name in ("initial_attempts", "handshake_timeout_ms", "request_timeout_ms", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.offline not in ("queue", "refuse"):
            raise ValueError(f"offline is {self.offline!r}; expected 'queue' or 'refuse'")
        if self.transport not in ("auto", "websocket", "http"):
            names = "'auto', 'websocket' or 'http'"
            raise ValueError(f"transport is {self.transport!r}; expected {names}")
        if self.queue < 1 or self.queue_bytes < 1:
            raise ValueError("queue and queue_bytes are at least 1")


class OptionsDict(TypedDict, total=False):
    """The options of `connect` as keyword arguments: the fields of `Options`, which see."""

    token: str | None
    get_token: TokenSource | None
    initial_attempts: int
    handshake_timeout_ms: int
    request_timeout_ms: int
    window: int
    queue: int
    queue_bytes: int
    offline: Literal["queue", "refuse"]
    backoff: Backoff
    tls: ssl.SSLContext | None
    headers: dict[str, str]
    transport: Transport
    signer: Signer | None
    traceparent: Callable[[], str | None] | None
    console_url: str | None
    on_status: Callable[[Status], None]
    on_error: Callable[[ArqonError], None]
    random: Callable[[], float]
    now_ms: Callable[[], float]


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
