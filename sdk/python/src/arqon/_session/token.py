"""The token of a connection: its source and its refresh. It is never logged."""

from __future__ import annotations

import asyncio
import base64
import inspect
import re
from asyncio import sleep
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from arqon._clock import ServerClock
from arqon._gen import Refresh
from arqon._tasks import within
from arqon._wire.frames import REFRESH, frame_of
from arqon.errors import ArqonError, error_of
from arqon.message import json_of

if TYPE_CHECKING:
    from arqon._driver import Driver
    from arqon._session.session import Session
    from arqon.options import Options

TokenSource: TypeAlias = (
    "Callable[[], Awaitable[str] | str] | Callable[[ArqonError | None], Awaitable[str] | str]"
)

_COMPACT_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
# A token that expires within this time is not used for a handshake.
_MARGIN_MS: Final = 2_000
_DELAY_MS_MAX: Final = 2_147_483_647


def check_token(token: object) -> str:
    """The token, if it is valid in a header. Raises `TokenMalformed`."""
    if isinstance(token, str) and _COMPACT_JWS.fullmatch(token):
        return token
    raise error_of("token-malformed", "expected three base64url parts with dots between them")


def token_expiry_ms(token: str) -> int | None:
    """`exp` of a JWT in Unix ms; None if it is unreadable."""
    try:
        part = token.split(".")[1]
        claims: Any = json_of(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        exp = cast("dict[str, Any]", claims)["exp"]
        return int(exp * 1_000) if isinstance(exp, (int, float)) else None
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def refresh_delay_ms(remaining_ms: float, random: Callable[[], float]) -> int:
    """When to request the next token: after 75 to 90 % of the remaining time, at least 1 s."""
    share = 0.75 + 0.15 * random()
    return min(_DELAY_MS_MAX, max(1_000, int(remaining_ms * share)))


def _wants_refusal(source: Callable[..., Any]) -> bool:
    """Whether the program's function accepts the refusal: it has a parameter without a default."""
    try:
        parameters = inspect.signature(source).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


class TokenKeeper:
    """Keeps the token of one connection, for every handshake and REFRESH."""

    def __init__(self, options: Options, clock: ServerClock) -> None:
        """Raises ValueError without a token and a source, `TokenMalformed`."""
        token, get_token = options.token, options.get_token
        if token is None and get_token is None:
            raise ValueError("connect needs `token` or `get_token`")
        self._token = None if token is None else check_token(token)
        self._source = cast("Callable[..., Awaitable[str] | str] | None", get_token)
        self._refused: ArqonError | None = None
        self._timeout_ms = options.handshake_timeout_ms
        self._clock = clock

    @property
    def renewable(self) -> bool:
        """Whether there is a source of new tokens."""
        return self._source is not None

    def refuse(self, error: ArqonError) -> None:
        """Marks the present token as refused until there is another."""
        self._refused = error

    async def current(self) -> str:
        """The token to use now; a new one after a refusal, or if the present one has expired."""
        if self._token is not None and self._refused is None:
            expires_ms = token_expiry_ms(self._token)
            now_ms = self._clock.now_ms()
            if self._source is None or expires_ms is None or expires_ms > now_ms + _MARGIN_MS:
                return self._token
        if self._source is None:
            raise self._refused or error_of("token-missing")
        return await self.renew()

    async def renew(self) -> str:
        """Requests a new token.

        Raises `Unreachable` for an exception of the source, because a failing token server is
        retried; `AnswerTimeout` if it hangs, `TokenMalformed` for an invalid token.
        """
        if self._source is None:
            raise error_of("token-missing")
        try:
            answer = await within(self._timeout_ms / 1_000, self._ask(self._source))
        except ArqonError:
            raise
        except asyncio.TimeoutError:
            raise error_of("answer-timeout", str(self._timeout_ms)) from None
        except Exception as error:
            raise error_of("unreachable", f"the token source: {error}") from error
        self._token, self._refused = check_token(answer), None
        return self._token

    async def _ask(self, source: Callable[..., Awaitable[str] | str]) -> str:
        answer = source(self._refused) if _wants_refusal(source) else source()
        return await answer if inspect.isawaitable(answer) else answer


async def refresh_forever(bus: Driver, session: Session, tokens: TokenKeeper) -> None:
    """Sends REFRESH at 75 to 90 % of each token's life, at most once a second; never returns."""
    expires_ms = session.welcome.token_expires_ms
    while True:
        remaining_ms = expires_ms - bus.clock.now_ms()
        await sleep(refresh_delay_ms(remaining_ms, bus.options.random) / 1_000)
        try:
            token = await tokens.renew()
            request_id = bus.next_id()
            refresh = Refresh(token=token, request_id=request_id)
            await session.request(request_id, frame_of(REFRESH, refresh))
            expires_ms = token_expiry_ms(token) or expires_ms
        except ArqonError as error:
            # It is retried in the remaining time; at expiry, 4401 and the reconnect request one
            # anyway.
            bus.on_err(error)
