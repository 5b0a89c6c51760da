"""The bus's clock as known to this client, durations and back-off."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast


class ServerClock:
    """The time of the last WELCOME, advanced by a monotonic clock.

    That clock stops while a laptop sleeps: then the bus reports an expired token first, and a new
    one is requested.
    """

    def __init__(
        self, now_ms: Callable[[], float], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`now_ms` returns the machine's Unix ms; it is used before the first WELCOME."""
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._ahead_ms: float | None = None

    def set(self, server_time_ms: float) -> None:
        """Sets the time of a WELCOME."""
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


Duration: TypeAlias = float | str | timedelta
_TEXT: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(name: str, value: Duration) -> float:
    """A duration in seconds, at least 0. Raises ValueError, with `name`, for an invalid value.

    >>> seconds_of("since", "10m"), seconds_of("since", timedelta(hours=1)), seconds_of("wait", 0.5)
    (600.0, 3600.0, 0.5)
    """
    seconds = math.nan
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        found = _TEXT.fullmatch(value)
        if found is not None:
            seconds = float(int(found[1]) * _UNITS[found[2]])
    else:
        seconds = float(value)
    if seconds >= 0:
        return seconds
    expected = 'seconds, a timedelta, or text such as "30s", "10m", "2h", "7d"'
    raise ValueError(f"{name} is {value!r}; expected {expected}")


# The same limit as in the TypeScript SDK, whose timers allow no longer wait.
_MS_MAX: Final = 2_147_483_647


@dataclass(frozen=True)
class Backoff:
    """Bounds of the waits: 250 ms at first, then doubled up to 15 s."""

    base_ms: int = 250
    """Upper bound of the first wait."""
    max_ms: int = 15_000
    """Upper bound of every wait."""

    def __post_init__(self) -> None:
        """Checks. Raises ValueError."""
        for name in ("base_ms", "max_ms"):
            value: object = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 <= cast("float", value) <= _MS_MAX:
                raise ValueError(f"backoff.{name} is {value!r}; expected 0 to {_MS_MAX}")


def backoff_of(given: object) -> Backoff:
    """The bounds, also from a dict as in the TypeScript SDK. Raises ValueError."""
    if isinstance(given, Backoff):
        return given
    if not isinstance(given, dict):
        raise ValueError(f"backoff is {given!r}; expected Backoff(base_ms=…, max_ms=…)")
    bounds = cast("dict[str, Any]", given)
    for name, value in bounds.items():
        if name not in ("base_ms", "max_ms"):
            raise ValueError(f"backoff.{name} is {value!r}; expected base_ms or max_ms")
    return Backoff(**bounds)


def backoff_delay_ms(attempt: int, backoff: Backoff, random: Callable[[], float]) -> int:
    """The wait before attempt number `attempt` (0: the first after a failure).

    `random` returns numbers in [0, 1). Full jitter, uniform from 0 to the ceiling, best spreads
    clients that lost the same node.

    >>> [backoff_delay_ms(n, Backoff(), lambda: 0.5) for n in (0, 1, 2, 20)]
    [125, 250, 500, 7500]
    """
    ceiling_ms = min(backoff.max_ms, backoff.base_ms * 2 ** min(attempt, 31))
    return int(random() * ceiling_ms)
