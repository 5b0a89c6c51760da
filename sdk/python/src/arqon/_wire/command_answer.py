"""Strict decoding of answers: `MalformedFrame` for an unexpected shape."""

from __future__ import annotations

from typing import Any, cast

from arqon._gen import Ack
from arqon.errors import error_of
from arqon.message import json_of


def answer_of(ack: Ack) -> Any:
    """The JSON of an ACK; None if it has none."""
    if not ack.result:
        return None
    try:
        return json_of(ack.result)
    except (ValueError, RecursionError):
        raise error_of("malformed-frame", "from the server: an answer that is no JSON") from None


def sub_answer_of(ack: Ack) -> dict[str, Any]:
    """The JSON object of a SUB's ACK; empty if it has none."""
    try:
        answer = json_of(ack.result or b"{}")
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise error_of("malformed-frame", "from the server: the answer to SUB is no JSON object")
    return cast("dict[str, Any]", answer)


def fields(answer: Any, **kinds: type) -> dict[str, Any]:
    """The answer, an object with these members of these types.

    >>> fields({"version": 7, "epoch": "e"}, version=int)["epoch"]
    'e'
    """
    found = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    for name, kind in kinds.items():
        if type(found.get(name)) is not kind:
            text = f"from the server: an answer without {name} ({kind.__name__})"
            raise error_of("malformed-frame", text)
    return found
