"""How long to wait before the next attempt: exponential with full jitter. Nothing waits here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Bounds of the waits: 250 ms at first, then doubled up to 15 s."""

    base_ms: int = 250
    """Ceiling of the first wait."""
    max_ms: int = 15_000
    """No wait is longer."""


def backoff_delay_ms(attempt: int, backoff: Backoff, random: Callable[[], float]) -> int:
    """The wait before attempt number `attempt` (0: the first after a failure).

    `random` gives numbers in [0, 1). Full jitter, uniform from 0 to the ceiling, spreads a crowd
    that lost the same node best.

    >>> [backoff_delay_ms(n, Backoff(), lambda: 0.5) for n in (0, 1, 2, 20)]
    [125, 250, 500, 7500]
    """
    ceiling_ms = min(backoff.max_ms, backoff.base_ms * 2 ** min(attempt, 31))
    return int(random() * ceiling_ms)
