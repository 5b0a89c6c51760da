"""Payloads of any kind, read by the Shield, by Google's reader (upb) and, if it is there, by Go's.

What the Shield takes in binary form the others take. Of ProtoJSON it takes what both others take,
refuses what both refuse, and reads the same message.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, cast

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError, EncodeError, Message
from ours import HERE, answers, by_us

from arqon._gen import Envelope

GO_READER: Final = HERE / "go_reader"
SEED: Final = 20261121
PAYLOADS: Final = 30_000
TYPES: Final = ("t.All", "t2.Node", "t2.Loose")


def shield(lines: list[str]) -> tuple[str, list[str]]:
    """The descriptor set in hexadecimal, and the Shield's verdicts."""
    schema, *verdicts = by_us("reader_verdicts.ts", lines=lines)
    assert len(verdicts) == len(lines)
    return schema, verdicts


def go(schema: str, lines: list[str], folder: Path) -> list[str] | None:
    """Go's verdicts; None where there is no Go."""
    if shutil.which("go") is None:
        return None
    binary = folder / "reader"
    build = ["go", "build", "-o", str(binary), "."]
    subprocess.run(build, cwd=GO_READER, check=True, timeout=600)
    return answers([str(binary)], [schema, *lines])


def messages_of(schema: str) -> dict[str, type[Message]]:
    """A class for each message that payloads are of."""
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(bytes.fromhex(schema)).file:
        pool.Add(file)
    names = (*TYPES, "t3.Known")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names
    }


def varint(value: int, size: int = 0) -> bytes:
    """A number, in at least this many bytes."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    while len(out) < size:
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


NUMBERS: Final = [
    *range(1, 16),
    *range(21, 36),
    *range(41, 48),
    50,
    51,
    60,
    61,
    5000,
    777,
    2**29 - 1,
]
VALUES: Final = [0, 1, 2, 7, 127, 128, 2**31, 2**32, 2**35 + 1, 2**63, 2**64 - 1, 2**64 - 2]
TEXTS: Final = [b"", b"a", "ä€😀".encode(), b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82"]


def prefix(rng: random.Random, value: int) -> bytes:
    """A tag or a length: mostly as an encoder writes it."""
    return varint(value, rng.randrange(2, 12) if rng.random() < 0.04 else 0)


def fields(rng: random.Random, depth: int = 0) -> bytes:
    """Some fields: right, wrong, written at length, cut."""
    out = b""
    for _ in range(rng.randrange(0, 4)):
        number = rng.choice(NUMBERS) if rng.random() < 0.98 else rng.choice([0, 2**29, 2**31])
        wire = rng.choices([0, 1, 2, 3, 5, 4, 6, 7], [30, 8, 40, 8, 8, 1, 1, 1])[0]
        out += prefix(rng, number << 3 | wire)
        if wire == 0:
            out += varint(rng.choice(VALUES), rng.choice([0, 0, 0, 5, 10, 11]))
        elif wire in (1, 5):
            out += rng.randbytes(8 if wire == 1 else 4)
        elif wire == 2:
            kind = rng.random()
            if kind < 0.5 and depth < 4:
                body = fields(rng, depth + 1)
            elif kind < 0.7:
                body = b"".join(varint(rng.choice(VALUES)) for _ in range(rng.randrange(0, 4)))
            else:
                body = rng.choice(TEXTS) if rng.random() < 0.8 else rng.randbytes(rng.randrange(12))
            out += prefix(rng, len(body) if rng.random() < 0.98 else len(body) + 1) + body
        elif wire == 3:
            closing = number if rng.random() < 0.9 else number + 1
            body = fields(rng, depth + 1) if depth < 4 else b""
            out += body + prefix(rng, closing << 3 | 4)
    return out


def nested(depth: int, group: bool) -> bytes:
    """Messages or groups that nobody knows, so deep."""
    body = b""
    for _ in range(depth):
        body = (
            varint(700 << 3 | 3) + body + varint(700 << 3 | 4)
            if group
            else varint(43 << 3 | 2) + varint(len(body)) + body
        )
    return body


def binary_lines() -> list[tuple[str, str, bytes]]:
    rng = random.Random(SEED)
    lines = [("B", rng.choice(TYPES), fields(rng)) for _ in range(PAYLOADS)]
    for _ in range(PAYLOADS):
        payload = fields(rng)
        tag = rng.choice([20, 21, 22]) << 3 | 2
        body = b"\x1a\x01r" + fields_of_envelope(rng) + prefix(rng, tag)
        lines.append(("E", "-", body + prefix(rng, len(payload)) + payload))
    for depth in (50, 98, 99, 100, 101, 150):
        lines += [("B", "t.All", nested(depth, group)) for group in (False, True)]
    return lines


def fields_of_envelope(rng: random.Random) -> bytes:
    """Some of the fields that a sender may write."""
    out = b""
    for number in (2, 8, 10, 11):
        if rng.random() < 0.3:
            text = rng.choice([b"", b"a", b"ab"])
            out += prefix(rng, number << 3 | 2) + prefix(rng, len(text)) + text
    return out


def test_what_the_shield_takes_others_take(tmp_path: Path) -> None:
    lines = binary_lines()
    written = [
        f"{kind} {name} {data.hex()}" if kind == "B" else f"E {data.hex()}"
        for kind, name, data in lines
    ]
    schema, verdicts = shield(written)
    messages = messages_of(schema)
    taken = {"B": 0, "E": 0}
    for (kind, name, data), verdict in zip(lines, verdicts, strict=True):
        if not verdict.startswith("+"):
            continue
        taken[kind] += 1
        reader = messages[name] if kind == "B" else Envelope
        try:
            reader.FromString(data)
        except DecodeError as error:
            raise AssertionError(f"{kind} {name} {data.hex()}: {error}") from None
    payloads = [at for at, (kind, _, _) in enumerate(lines) if kind == "B"]
    others = go(schema, [written[at] for at in payloads], tmp_path)
    for at, other in zip(payloads, others or [], strict=others is not None):
        assert not verdicts[at].startswith("+") or other.startswith("+"), (written[at], other)
    print(f"{len(lines)} payloads, of which the Shield takes {taken}")
    assert min(taken.values()) > 3_000
    assert max(taken.values()) < PAYLOADS


VALUES_OF_JSON: Final[dict[str, list[str]]] = json.loads(
    (HERE / "json_values.json").read_text(encoding="utf-8")
)
# Members of `t3.Known` that are tried, and with which of those values.
KNOWN: Final = {
    "timestamp": "times",
    "duration": "durations",
    "mask": "masks",
    "int64": "numerals",
    "uint64": "numerals",
    "int32": "numerals",
    "double": "numerals",
    "float": "numerals",
    "bytes": "others",
    "value": "plain",
    "struct": "plain",
    "items": "plain",
}
ANY: Final = '{"any":{"@type":"type.googleapis.com/%s",%s}}'


def json_texts() -> list[tuple[str, str]]:
    """Types and texts of JSON."""
    values = VALUES_OF_JSON
    numerals = values["numerals"]
    words = [*numerals, *(f" {one}" for one in numerals[:4]), *values["others"]]
    tried = [*numerals, *map(json.dumps, words), "true", "false", "null", "[]", "{}", '"\\ud800"']
    found: list[tuple[str, str]] = []
    for name in values["fields"]:
        many = "colors" if name == "color" else name.replace("one", "many")
        found += [("t.All", f'{{"{name}":{value}}}') for value in tried]
        found += [("t.All", f'{{"{many}":[{value}]}}') for value in tried]
    for key in values["keys"]:
        found.append(("t.All", f'{{"children":{{{json.dumps(key)}:{{}}}}}}'))
    for value in ["1", '"1"', "1e1", "null", '"x"', "1.5"]:
        found.append(("t.All", f'{{"labels":{{"a":{value}}}}}'))
        found.append(("t.All", f'{{"labels":{{"a":1,"a":{value}}}}}'))
    for name, which in KNOWN.items():
        for value in values[which]:
            shown = (value,) if which == "plain" else (value, json.dumps(value))
            found += [("t3.Known", f'{{"{name}":{one}}}') for one in shown]
    for inner in ['"oneInt64":"1e2"', '"oneInt64":"0x1"', '"oneUint64":18446744073709551615']:
        found.append(("t3.Known", ANY % ("t.All", inner)))
    for inner in ['"value":"1s"', '"value":"1s "']:
        found.append(("t3.Known", ANY % ("google.protobuf.Duration", inner)))
    return found


def by_upb(kind: type[Message], text: str) -> str:
    """A verdict as the children give it."""
    try:
        read = kind()
        json_format.Parse(text, read, descriptor_pool=cast("Any", kind.DESCRIPTOR.file.pool))
        return f"+ {read.SerializeToString(deterministic=True).hex()}"
    except (json_format.ParseError, EncodeError, ValueError, OverflowError) as error:
        return f"- {error}"


def same(kind: type[Message], one: str, other: str) -> bool:
    """Both refuse, or both read one message."""
    if one[0] != other[0]:
        return False
    if one[0] == "-":
        return True
    parsed = [kind.FromString(bytes.fromhex(each[2:])) for each in (one, other)]
    return parsed[0].SerializeToString(deterministic=True) == parsed[1].SerializeToString(
        deterministic=True
    )


@pytest.mark.skipif(shutil.which("go") is None, reason="Go tells which of two readers is right")
def test_protojson_is_what_two_others_agree_on(tmp_path: Path) -> None:
    texts = json_texts()
    lines = [f"J {name} {text.encode().hex()}" for name, text in texts]
    schema, verdicts = shield(lines)
    messages: dict[str, Any] = messages_of(schema)
    others = go(schema, lines, tmp_path)
    assert others is not None
    agreed = 0
    wrong: list[str] = []
    for (name, text), ours, theirs in zip(texts, verdicts, others, strict=True):
        kind = messages[name]
        google = by_upb(kind, text)
        if not same(kind, google, theirs):
            continue
        agreed += 1
        if not same(kind, ours, google):
            wrong.append(f"{text}: {ours[:120]} but {google[:120]}")
    print(f"{len(texts)} texts, {agreed} on which the others agree")
    assert not wrong, "\n".join(wrong)
    assert agreed > len(texts) // 2
