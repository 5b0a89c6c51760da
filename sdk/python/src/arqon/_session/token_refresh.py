"""New tokens before the present one ends, for as long as a session lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arqon._session.session import Session
from arqon._session.token import TokenKeeper, refresh_delay_ms, token_expiry_ms
from arqon._time.server_clock import ServerClock
from arqon._wire.frames import encode_refresh
from arqon.errors import ArqonError


async def refresh_forever(
    session: Session,
    tokens: TokenKeeper,
    clock: ServerClock,
    random: Callable[[], float],
    next_id: Callable[[], int],
    on_error: Callable[[ArqonError], None],
) -> None:
    """Sends REFRESH at 75 to 90 % of each token's life, at most once a second; never returns."""
    expires_ms = session.welcome.token_expires_ms
    while True:
        remaining_ms = expires_ms - clock.now_ms()
        await asyncio.sleep(refresh_delay_ms(remaining_ms, random) / 1_000)
        try:
            token = await tokens.renew()
            request_id = next_id()
            await session.request(request_id, encode_refresh(token, request_id))
            expires_ms = token_expiry_ms(token) or expires_ms
        except ArqonError as error:
            # Tried again in what is left; at the end 4401 and the reconnect ask anyway.
            on_error(error)
