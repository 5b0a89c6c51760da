#!/usr/bin/env python3
"""Checks a transparency log that an ArqonBus serves, from its specifications alone.

It reads a log over HTTP or from a folder, and needs Python 3.9 alone: notes, tiles and proofs are
c2sp.org's, trees RFC 6962's, signatures RFC 8032's. The log must continue each --older checkpoint,
and have the messages of --messages: answers of GET /v1/rooms/ROOM/messages, a line each. Each
--witness must have cosigned the checkpoint, or --quorum of them. Exit code 1: something is wrong,
and what is printed shows it; of a fork, both signed checkpoints. Exit code 2: it was not readable.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib import error, request

WIDTH, WAIT, FILE_MAX = 256, 60, 256 * 65_537


class Wrong(Exception):
    """What the log should not have: the evidence."""


def sha256(*parts: bytes) -> bytes:
    """The hash of these bytes, one behind the other."""
    return hashlib.sha256(b"".join(parts)).digest()


# RFC 8032: verification of Ed25519 signatures.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
BASE = (4 * pow(5, P - 2, P) % P).to_bytes(32, "little")
Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    """The sum of two points in extended coordinates."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    u, v = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, v - u, v + u, t + s
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar: int, point: Point) -> Point:
    """A multiple of a point."""
    rest = times(scalar >> 1, add(point, point)) if scalar else (0, 1, 1, 0)
    return add(rest, point) if scalar & 1 else rest


def point_of(data: bytes) -> Point | None:
    """The point of 32 bytes, or None."""
    y, sign = int.from_bytes(data, "little") & (2**255 - 1), data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * ROOT_OF_MINUS_ONE % P
    if y >= P or (x * x - square) % P != 0 or (x == 0 and sign == 1):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def is_signature(key: bytes, text: bytes, signature: bytes) -> bool:
    """Whether the holder of the key has signed the text."""
    a, r = point_of(key), point_of(signature[:32]) if len(signature) == 64 else None
    base, s = point_of(BASE), int.from_bytes(signature[32:], "little")
    if a is None or r is None or base is None or s >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + text).digest()
    x, y, z, _ = times(s, base)
    other = add(r, times(int.from_bytes(digest, "little") % ORDER, a))
    return (x * other[2] - other[0] * z) % P == 0 and (y * other[2] - other[1] * z) % P == 0


# RFC 6962: trees. The hash of an entry begins with a zero, that of two subtrees with a one.
def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of the tree whose entries have these hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256()
    split = 1 << (len(hashes) - 1).bit_length() - 1  # The largest power of two below the size.
    return sha256(b"\1", root_of(hashes[:split]), root_of(hashes[split:]))


def root_of_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that follows from an entry and its proof (RFC 6962, 2.1.1)."""
    if not 0 <= index < size or (size > 1) != (len(proof) > 0):
        raise Wrong(f"the proof is none of an entry {index} of {size}")
    if size == 1:
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    at, width = (index, split) if index < split else (index - split, size - split)
    part = root_of_inclusion(leaf, at, width, proof[:-1])
    return sha256(b"\1", *((part, proof[-1]) if index < split else (proof[-1], part)))


# c2sp.org/signed-note, c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature.
def has_signed(vkey: str, note: str, kind: int = 1) -> bool:
    """Whether the key has signed the note; of kind 4: as a witness."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    data = base64.b64decode(encoded, validate=True)
    own, found = sha256(name.encode(), b"\n", data)[:4], False
    if len(data) != 33 or data[0] != kind or own.hex() != key_id:
        raise Wrong(f"the key {name} is none of Ed25519, or not of its kind")
    text, _, lines = note.rpartition("\n\n")
    for line in lines.splitlines(keepends=True):
        form = re.fullmatch(r"— (\S+) (\S+)\n", line)
        if form is None:
            raise Wrong("the checkpoint is no signed note")
        signature = base64.b64decode(form[2], validate=True)
        if form[1] != name or signature[:4] != own:
            continue
        signature, signed = signature[4:], f"{text}\n"
        if kind == 4:
            signed = f"cosignature/v1\ntime {int.from_bytes(signature[:8], 'big')}\n{signed}"
            signature = signature[8:]
        if not is_signature(data[1:], signed.encode(), signature):
            raise Wrong(f"the signature of {name} is not of this checkpoint")
        found = True
    return found


def open_checkpoint(note: str, given: argparse.Namespace, of: set[str]) -> tuple[int, bytes]:
    """Size and root that the key has signed, and as many of these witnesses as were asked for."""
    name, by = given.vkey.split("+")[0], sum(has_signed(one, note, 4) for one in of)
    if not has_signed(given.vkey, note):
        raise Wrong(f"{name} has not signed the checkpoint")
    if of and by < (given.quorum or len(of)):
        raise Wrong(f"{by} of {len(of)} witnesses have cosigned the checkpoint")
    text = note.rpartition("\n\n")[0]
    form = re.fullmatch(r"([^\n]+)\n(0|[1-9]\d*)\n([^\n]+)(?:\n[^\n]+)*", text)
    if form is None or form[1] != name:
        raise Wrong(f"it is no checkpoint of {name}")
    return int(form[2]), base64.b64decode(form[3], validate=True)


# c2sp.org/tlog-tiles.
def tiles_of(level: str, count: int) -> Iterator[tuple[str, int]]:
    """Path and width of each tile of a level that has so many hashes or entries."""
    for index in range(-(-count // WIDTH)):
        width = min(WIDTH, count - index * WIDTH)
        parts = re.findall("...", str(index).zfill(-(-len(str(index)) // 3) * 3))
        name = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
        yield f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}"), width


class Source(NamedTuple):
    """A tree in a folder, or at an address with the token for it."""

    place: str
    token: str

    def ask(self, path: str) -> bytes:
        """The bytes of a file: not more than any has, and not later than WAIT."""
        if not self.place.startswith("http"):
            return Path(self.place, path).read_bytes()
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        asked, data = request.Request(f"{self.place}/{path}", headers=headers), b""
        end = time.monotonic() + WAIT
        with request.urlopen(asked, timeout=WAIT) as answer:
            while part := answer.read1(65_536):
                data += part
                if len(data) > FILE_MAX or time.monotonic() > end:
                    raise TimeoutError(f"{path}: too large, or too slow")
            if answer.length:
                raise TimeoutError(f"{path}: it ended too early")
            return data

    def read(self, path: str, waited: int = 0) -> bytes:
        """The bytes of a file, which a server may ask to come again for."""
        try:
            return self.ask(path)
        except FileNotFoundError:
            raise Wrong(f"{path} is not there") from None
        except error.HTTPError as no:
            again = no.headers.get("retry-after", "")
            if no.code not in (429, 503) or not again.isdigit():
                raise Wrong(f"{path} cannot be read: {no}") from None
            if waited + int(again) > WAIT:
                raise TimeoutError(f"{path}: {no.read(999)!r}; waited {waited} s") from None
        time.sleep(max(1, int(again)))
        return self.read(path, waited + max(1, int(again)))

    def entries(self, size: int) -> Iterator[bytes]:
        """All entries of the bundles."""
        for path, width in tiles_of("entries", size):
            bundle, at, count = self.read(path), 0, 0
            while at + 2 <= len(bundle):
                end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
                yield bundle[at + 2 : end]
                at, count = end, count + 1
            if at != len(bundle) or count != width:
                raise Wrong(f"{path} has not the {width} entries of its name")


def message_hashes(path: str) -> dict[tuple[str, int], set[str]]:
    """The hashes of each message's texts as the bus has sent it, by epoch and offset."""
    found: dict[tuple[str, int], set[str]] = {}
    for line in filter(str.strip, Path(path).read_bytes().decode().split("\n")):
        epoch, at = json.loads(line)["epoch"], line.index('"messages":[') + len('"messages":[')
        while line[at] == "{":
            message, end = json.JSONDecoder().raw_decode(line, at)
            text = sha256(line[at:end].encode()).hex()
            found.setdefault((epoch, message["offset"]), set()).add(text)
            at = end + 1 if line[end] == "," else end
    return found


def verify_tree(source: Source, given: argparse.Namespace) -> dict[str, object]:
    """What was found, when all is right: signature, entries, tiles, old checkpoints, messages."""
    signed = source.read("checkpoint").decode()
    size, root = open_checkpoint(signed, given, set(given.witness))
    entries = list(source.entries(size))
    hashes = [sha256(b"\0", entry) for entry in entries]
    if root_of(hashes) != root:
        raise Wrong("the entries are not those of the signed checkpoint")
    expected = hashes
    for level in range(8):
        for at, (path, width) in enumerate(tiles_of(str(level), len(expected))):
            if source.read(path) != b"".join(expected[at * WIDTH : at * WIDTH + width]):
                raise Wrong(f"{path} does not match the entries")
        whole = len(expected) // WIDTH * WIDTH
        expected = [root_of(expected[at : at + WIDTH]) for at in range(0, whole, WIDTH)]
    for path in given.older:
        note = Path(path).read_bytes().decode()
        old, old_root = open_checkpoint(note, given, set())
        if old > size or root_of(hashes[:old]) != old_root:
            what = f"that of {size} entries does not extend that of {old}"
            raise Wrong(f"two signed trees: {what}\n\n{note}\n{signed}")
    records = [json.loads(entry) for entry in entries]
    logged, standing, last = {}, {}, 0
    for one in records:
        if "sha256" in one:
            if one["offset"] <= last:
                raise Wrong(f"an entry has offset {one['offset']}, after one of {last}")
            logged[one["epoch"], one["offset"]] = standing[one["offset"]] = one["sha256"]
        elif one["break"] != "gap":
            standing = {at: was for at, was in standing.items() if at <= one["offset"]}
        last = last if one.get("break") == "gap" else one["offset"]
    messages = message_hashes(given.messages).items() if given.messages else ()
    # What came after the newest entry is not logged yet.
    due = {place: texts for place, texts in messages if place[1] <= last}
    # The bus names its present epoch, also of what was stored in an earlier one.
    for place, texts in due.items():
        if {logged.get(place, standing.get(place[1]))} != texts:
            raise Wrong(f"the message at offset {place[1]} is not the logged one")
    found = {"size": size, "root": base64.b64encode(root).decode()}
    return {**found, "breaks": [one for one in records if "break" in one], "messages": len(due)}


def verify_proof(given: argparse.Namespace) -> dict[str, object]:
    """What the entry of a c2sp.org/tlog-proof says, when its proof is right."""
    lines = r"(?s)c2sp.org/tlog-proof@v1\nextra (\S+)\nindex (\d+)\n((?:\S+\n)*)\n(.+)"
    form = re.fullmatch(lines, Path(given.proof).read_bytes().decode())
    if form is None:
        raise Wrong("it is no tlog-proof with an entry")
    entry, index = base64.b64decode(form[1], validate=True), int(form[2])
    size, root = open_checkpoint(form[4], given, set(given.witness))
    path = [base64.b64decode(one, validate=True) for one in form[3].split()]
    if root_of_inclusion(sha256(b"\0", entry), index, size, path) != root:
        raise Wrong("the entry is not in the tree of the signed checkpoint")
    return {"index": index, "size": size, "entry": json.loads(entry)}


def main() -> None:
    """Does what the command line says."""
    options = argparse.ArgumentParser(description="Checks a transparency log of an ArqonBus.")
    options.add_argument("source", nargs="?", help="a folder, or the URL of a tree")
    options.add_argument("--vkey", required=True, help="the verifier key, from whom you trust")
    options.add_argument("--older", action="append", default=[], help="an earlier checkpoint")
    options.add_argument("--witness", action="append", default=[], help="the key of a witness")
    options.add_argument("--quorum", type=int, help="how many witnesses; else all")
    options.add_argument("--messages", help="a file with answers of the room's history")
    options.add_argument("--token-env", help="the environment variable with a token")
    options.add_argument("--proof", help="a .tlog-proof file, instead of a tree")
    given = options.parse_args()
    try:
        token = os.environ.get(given.token_env or "", "")
        source = Source((given.source or ".").rstrip("/"), token)
        found = verify_proof(given) if given.proof else verify_tree(source, given)
    except (OSError, HTTPException) as problem:
        options.exit(2, f"{problem}\n")
    except (Wrong, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        sys.exit(f"wrong: {problem}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
