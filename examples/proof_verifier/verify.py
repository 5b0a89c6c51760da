#!/usr/bin/env python3
"""Checks a transparency log that an ArqonBus serves, from its specifications alone.

It reads a log over HTTP or from a folder, believes nothing of it, and needs Python 3.9 alone:
notes, tiles and proofs are c2sp.org's, trees RFC 6962's, signatures RFC 8032's.

  verify.py --vkey VKEY [--older FILE]... [--messages FILE] [--token-env NAME] SOURCE
  verify.py --vkey VKEY --proof FILE

SOURCE is a folder or the URL of a tree. --older is a checkpoint from an earlier visit: the log
must continue it. --messages has answers of GET /v1/rooms/ROOM/messages, one JSON text a line: each
message that has an entry must have the entry's hash. Exit code 1: something is wrong, and what is
printed shows it; of a fork, both signed checkpoints. Exit code 2: it could not be read.
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
from pathlib import Path
from urllib import error, request

WIDTH, WAIT = 256, 60


class Wrong(Exception):
    """What the log should not have: the evidence."""


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
    if scalar == 0:
        return (0, 1, 1, 0)
    rest = times(scalar >> 1, add(point, point))
    return add(rest, point) if scalar & 1 else rest


def point_of(data: bytes) -> Point | None:
    """The point of 32 bytes, or None."""
    y, sign = int.from_bytes(data, "little") & (2**255 - 1), data[31] >> 7
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P != 0 or (x == 0 and sign == 1):
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


# RFC 6962: trees.
def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of the tree whose entries have these hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1  # The largest power of two below the size.
    return node_hash(root_of(hashes[:split]), root_of(hashes[split:]))


def root_of_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that follows from an entry and its proof (RFC 6962, 2.1.1)."""
    if not 0 <= index < size or (size > 1) != (len(proof) > 0):
        raise Wrong(f"the proof is none of an entry {index} of {size}")
    if size == 1:
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return node_hash(root_of_inclusion(leaf, index, split, proof[:-1]), proof[-1])
    return node_hash(proof[-1], root_of_inclusion(leaf, index - split, size - split, proof[:-1]))


# c2sp.org/signed-note and c2sp.org/tlog-checkpoint.
def open_key(vkey: str) -> tuple[str, bytes, bytes]:
    """Name, id and public key of a verifier key."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    data = base64.b64decode(encoded, validate=True)
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if len(data) != 33 or data[0] != 1 or expected.hex() != key_id:
        raise Wrong("the verifier key is none of Ed25519")
    return name, expected, data[1:]


def open_checkpoint(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root that the key has signed."""
    name, key_id, key = open_key(vkey)
    split = note.rfind("\n\n")
    text = note[: split + 1]
    for line in note[split + 2 :].rstrip("\n").split("\n"):
        form = re.fullmatch(r"— (\S+) (\S+)", line)
        if split < 0 or form is None:
            raise Wrong("the checkpoint is no signed note")
        signature = base64.b64decode(form[2], validate=True)
        if form[1] != name or signature[:4] != key_id:
            continue
        if not is_signature(key, text.encode(), signature[4:]):
            raise Wrong("the signature is not of this checkpoint")
        form = re.fullmatch(r"([^\n]+)\n(0|[1-9]\d*)\n([^\n]+)\n(?:[^\n]+\n)*", text)
        if form is None or form[1] != name:
            raise Wrong(f"it is no checkpoint of {name}")
        return int(form[2]), base64.b64decode(form[3], validate=True)
    raise Wrong(f"{name} has not signed the checkpoint")


# c2sp.org/tlog-tiles.
def tiles_of(level: str, count: int) -> Iterator[tuple[str, int]]:
    """Path and width of each tile of a level that has so many hashes or entries."""
    for index in range(-(-count // WIDTH)):
        width = min(WIDTH, count - index * WIDTH)
        parts = re.findall("...", str(index).zfill(-(-len(str(index)) // 3) * 3))
        name = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
        yield f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}"), width


class Source:
    """A tree over HTTP or in a folder."""

    def __init__(self, place: str, token: str) -> None:
        """A folder or an address, and the token for it or nothing."""
        self.place, self.token = place.rstrip("/"), token

    def read(self, path: str) -> bytes:
        """The bytes of a file, which a server may ask to come again for."""
        headers, waited = {"authorization": f"Bearer {self.token}"} if self.token else {}, 0
        while True:
            try:
                if not self.place.startswith("http"):
                    return Path(self.place, path).read_bytes()
                asked = request.Request(f"{self.place}/{path}", headers=headers)
                with request.urlopen(asked, timeout=WAIT) as answer:
                    return bytes(answer.read())
            except error.HTTPError as no:
                again = no.headers.get("retry-after", "")
                if no.code not in (429, 503) or not again.isdigit():
                    raise Wrong(f"{path} cannot be read: {no}") from None
                if waited + int(again) > WAIT:
                    raise TimeoutError(f"{path}: {no.read(999)!r}; waited {waited} s") from None
                time.sleep(max(1, int(again)))
                waited += max(1, int(again))
            except FileNotFoundError:
                raise Wrong(f"{path} is not there") from None

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

    def hashes(self, level: int, count: int) -> list[bytes]:
        """All hashes of a level of tiles."""
        found: list[bytes] = []
        for path, width in tiles_of(str(level), count):
            tile = self.read(path)
            if len(tile) != 32 * width:
                raise Wrong(f"{path} has not the {width} hashes of its name")
            found += [tile[at : at + 32] for at in range(0, len(tile), 32)]
        return found


def message_hashes(path: str) -> dict[tuple[str, int], str]:
    """The hash of each message's text as the bus has sent it, by epoch and offset."""
    found, decoder = {}, json.JSONDecoder()
    for line in filter(str.strip, Path(path).read_bytes().decode().split("\n")):
        epoch = json.loads(line)["epoch"]
        at = line.index('"messages":[') + len('"messages":[')
        while line[at] == "{":
            message, end = decoder.raw_decode(line, at)
            found[epoch, message["offset"]] = hashlib.sha256(line[at:end].encode()).hexdigest()
            at = end + 1 if line[end] == "," else end
    return found


def verify_tree(
    source: Source, vkey: str, older: Sequence[str], messages: dict[tuple[str, int], str]
) -> dict[str, object]:
    """What was found, when all is right: signature, entries, tiles, old checkpoints, messages."""
    newest = source.read("checkpoint").decode()
    size, root = open_checkpoint(newest, vkey)
    entries = list(source.entries(size))
    hashes = [leaf_hash(entry) for entry in entries]
    if root_of(hashes) != root:
        raise Wrong("the entries are not those of the signed checkpoint")
    level, expected = 0, hashes
    while expected:
        if source.hashes(level, len(expected)) != expected:
            raise Wrong(f"the tiles of level {level} are not made of the entries")
        whole = len(expected) // WIDTH * WIDTH
        expected = [root_of(expected[at : at + WIDTH]) for at in range(0, whole, WIDTH)]
        level += 1
    for note in older:
        old, old_root = open_checkpoint(note, vkey)
        if old > size or root_of(hashes[:old]) != old_root:
            what = f"that of {size} entries does not continue that of {old}"
            raise Wrong(f"two signed trees: {what}\n\n{note}\n{newest}")
    records = [json.loads(entry) for entry in entries]
    logged = {(one["epoch"], one["offset"]): one["sha256"] for one in records if "sha256" in one}
    # What came after the newest entry is not logged yet.
    last = max((offset for _, offset in logged), default=0)
    due = {at: one for at, one in messages.items() if at[1] <= last}
    for at, one in due.items():
        if logged.get(at) != one:
            raise Wrong(f"the message at offset {at[1]} is not the one that was logged")
    found = {"size": size, "root": base64.b64encode(root).decode()}
    return {**found, "breaks": [one for one in records if "break" in one], "messages": len(due)}


def verify_proof(text: str, vkey: str) -> dict[str, object]:
    """What the entry of a c2sp.org/tlog-proof says, when its proof is right."""
    form = re.fullmatch(
        r"c2sp.org/tlog-proof@v1\nextra (\S+)\nindex (\d+)\n((?:\S+\n)*)\n(.+)", text, re.DOTALL
    )
    if form is None:
        raise Wrong("it is no tlog-proof with an entry")
    entry, index = base64.b64decode(form[1], validate=True), int(form[2])
    size, root = open_checkpoint(form[4], vkey)
    path = [base64.b64decode(one, validate=True) for one in form[3].split()]
    if root_of_inclusion(leaf_hash(entry), index, size, path) != root:
        raise Wrong("the entry is not in the tree of the signed checkpoint")
    return {"index": index, "size": size, "entry": json.loads(entry)}


def main() -> None:
    """Does what the command line says."""
    options = argparse.ArgumentParser(description="Checks a transparency log of an ArqonBus.")
    options.add_argument("source", nargs="?", help="a folder, or the URL of a tree")
    options.add_argument("--vkey", required=True, help="the verifier key, from whom you trust")
    options.add_argument("--older", action="append", default=[], help="an earlier checkpoint")
    options.add_argument("--messages", help="a file with answers of the room's history")
    options.add_argument("--token-env", help="the environment variable with a token")
    options.add_argument("--proof", help="a .tlog-proof file, instead of a tree")
    given = options.parse_args()
    try:
        if given.proof:
            found = verify_proof(Path(given.proof).read_bytes().decode(), given.vkey)
        else:
            source = Source(given.source or ".", os.environ.get(given.token_env or "", ""))
            messages = message_hashes(given.messages) if given.messages else {}
            older = [Path(path).read_bytes().decode() for path in given.older]
            found = verify_tree(source, given.vkey, older, messages)
        print(json.dumps(found))
    except OSError as problem:
        options.exit(2, f"{problem}\n")
    except (Wrong, ValueError, KeyError) as problem:
        sys.exit(f"wrong: {problem}")


if __name__ == "__main__":
    main()
