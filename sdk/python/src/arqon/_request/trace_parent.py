"""How a message says which W3C trace it belongs to: a trace id, or a whole `traceparent`.

One that belongs to none gets a trace of its own, by which `arq why --trace` finds it, refused or
not.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Final

# Any version, ids that are not all zero. Of later versions, what version 00 has.
_FORM: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


def traced_by(
    trace_id: str | None,
    traceparent: str | None,
    headers: dict[str, str],
    current: Callable[[], str | None] | None,
) -> tuple[str, dict[str, str]]:
    """The envelope's trace id (a new one where none is given) and headers.

    `current` gives the traceparent of the active span, for example from an OpenTelemetry
    propagator. Raises ValueError for a traceparent that is none, or of another trace.
    """
    parent = traceparent
    if parent is None and trace_id is None and current is not None:
        parent = current()
    if parent is None:
        return trace_id or secrets.token_hex(16), headers
    found = _FORM.fullmatch(parent)
    if found is None:
        raise ValueError(f"traceparent is {parent[:100]!r}; expected 00-<32>-<16>-<2 hex digits>")
    if trace_id is not None and trace_id != found[1]:
        raise ValueError("traceparent is of another trace than trace_id; give one of them")
    return found[1], {**headers, "traceparent": parent}
