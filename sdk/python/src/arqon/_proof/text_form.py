"""The text form of a message, byte for byte as the bus writes it: the log has its hash. Pure."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from arqon._wire.frames import SAFE_MAX
from arqon.message import Message, Signal, no_constant

# A frame adds four levels to this, which makes 100.
_JSON_DEPTH_MAX: Final = 96
# White space in JavaScript.
_SPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
# A string without an end matches up to the end of the text, so that the search stays linear.
_STRINGS_OR_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _text(name: str, value: str) -> str:
    return f',"{name}":{_quote(value)}' if value else ""


def _number(name: str, value: int) -> str:
    shown = f'"{value}"' if value > SAFE_MAX else str(value)
    return f',"{name}":{shown}' if value else ""


def _base64(data: bytes) -> str:
    return f'{{"base64":"{b64encode(data).decode()}"}}'


def _json_text(data: bytes) -> str | None:
    """The text of the bytes, if they are JSON that is not nested too deeply."""
    try:
        text = data.decode()
        depth = 0
        for found in _STRINGS_OR_BRACKETS.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
            if depth > _JSON_DEPTH_MAX:
                return None
        # Numbers stay text, because Python refuses long ones.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=no_constant)
    except ValueError:
        return None
    return text


def _data(data: bytes, content_type: str) -> str:
    kind = content_type.partition(";")[0].strip(_SPACE).lower()
    typed = _text("content_type", content_type)
    if kind != "application/json" and not kind.endswith("+json") and kind.startswith("text/"):
        try:
            shown = _quote(data.decode())
        except ValueError:
            return f',"data":{_base64(data)}{typed}'
        return f',"data":{shown}{"" if content_type == "text/plain" else typed}'
    if not data:
        return typed
    is_json = kind == "application/json" or kind.endswith("+json")
    text = _json_text(data) if is_json else None
    if text is None:
        return f',"data":{_base64(data)}{typed}'
    return f',"data":{text}{"" if content_type == "application/json" else typed}'


def _headers(headers: Mapping[str, str]) -> str:
    """The headers in received order, except that JavaScript puts names that are indexes first."""
    indexes = sorted(int(n) for n in headers if _INDEX.fullmatch(n) and int(n) < 2**32 - 1)
    first = [str(index) for index in indexes]
    names = [*first, *(name for name in headers if name not in first)]
    return ",".join(f"{_quote(name)}:{_quote(headers[name])}" for name in names)


def _signal(signal: Signal) -> str:
    rest = _text("target", signal.target) + _text("reason", signal.reason)
    return f'{{"kind":{_quote(signal.kind)}{rest}{_number("until_ms", signal.until_ms)}}}'


def text_of(message: Message, tenant_id: str) -> str:
    """The text; the headers of the message must be in received order."""
    if message.signal is not None:
        payload = f',"signal":{_signal(message.signal)}'
    else:
        data = _data(message.raw, message.content_type)
        payload = f',"type":{_quote(message.type)}{data}{_text("schema_id", message.schema_id)}'
    signature = message.signature
    return (
        f'{{"op":"msg","room":{_quote(message.room)}{payload}'
        f',"sender":{_quote(message.sender)},"ts":{message.timestamp_ms}'
        f',"headers":{{{_headers(message.headers)}}}'
        + _text("trace_id", message.trace_id)
        + _text("tenant_id", tenant_id)
        + _text("message_id", message.message_id)
        + _number("offset", message.offset)
        + (f',"signature":"{b64encode(signature).decode()}"' if signature else "")
        + "}"
    )
