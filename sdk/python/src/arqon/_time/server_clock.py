"""The bus's clock as this client knows it, which no jump of the machine's own clock moves."""

from __future__ import annotations

import time
from collections.abc import Callable


class ServerClock:
    """Follows the time of the last WELCOME by a clock that only runs forward.

    That clock stalls while a laptop sleeps: then the bus is the first to say that a token
    has ended, and a new one is asked for.
    """

    def __init__(
        self, now_ms: Callable[[], float], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`now_ms`, the machine's Unix ms, is what there is before the first WELCOME."""
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._ahead_ms: float | None = None

    def set(self, server_time_ms: float) -> None:
        """A WELCOME says so."""
        self._ahead_ms = server_time_ms - self._monotonic() * 1_000

    def now_ms(self) -> float:
        """Unix ms on the bus's clock.

        >>> clock = ServerClock(lambda: 5.0, lambda: 2.0)
        >>> clock.now_ms()
        5.0
        >>> clock.set(10_000)
        >>> clock.now_ms()
        10000.0
        """
        if self._ahead_ms is None:
            return self._now_ms()
        return self._monotonic() * 1_000 + self._ahead_ms
