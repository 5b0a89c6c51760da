"""Signed notes and checkpoints (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature). Pure.

Needs the extra `arqon-sdk[proof]` (`cryptography`).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

_ED25519, _COSIGNATURE = 1, 4
_TIME_BYTES: Final = 8
_NOTE_CHARS_MAX: Final = 65_536
_SIGNATURES_MAX: Final = 64
_SIZE_MAX: Final = 2**53 - 1
_LINE: Final = re.compile(r"— (\S+) (\S+)")
_CHECKPOINT: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n(?:[^\n]+\n)*")
_UNSIGNED: Final = "no known key has signed it"


class Key(NamedTuple):
    """A public key for the verification of signatures."""

    name: str
    public: bytes
    is_witness: bool = False

    @property
    def id(self) -> bytes:
        """The key hash in a signature: four bytes."""
        kind = _COSIGNATURE if self.is_witness else _ED25519
        return sha256(f"{self.name}\n".encode() + bytes((kind,)) + self.public).digest()[:4]


def key_of(text: str, is_witness: bool = False) -> Key | None:
    """The key of `NAME+ID+KEY`; None for any other text. A witness may use the form of any key."""
    found = re.fullmatch(r"([^+\s\x00-\x1f\x7f-\x9f]+)\+([0-9a-f]{8})\+(\S+)", text)
    data = None if found is None else _bytes_of(found[3])
    if found is None or data is None or len(data) != 33 or data[0] not in (_ED25519, _COSIGNATURE):
        return None
    key = Key(found[1], data[1:], data[0] == _COSIGNATURE)
    if key.id.hex() != found[2]:
        return None
    return key._replace(is_witness=key.is_witness or is_witness)


def _bytes_of(text: str) -> bytes | None:
    """Decodes canonical base64."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return None
    return data if b64encode(data).decode() == text else None


def ed25519() -> Any:
    """The class of public keys. Raises ImportError without the extra `proof`."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise ImportError("proof needs: pip install 'arqon-sdk[proof]'") from error
    return Ed25519PublicKey


def _has_signed(key: Key, text: str, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    message = text.encode()
    if key.is_witness:
        time, signature = signature[:_TIME_BYTES], signature[_TIME_BYTES:]
        message = b"cosignature/v1\ntime %d\n" % int.from_bytes(time, "big") + message
    try:
        ed25519().from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _open_note(note: str, keys: Iterable[Key]) -> tuple[str, list[Key]]:
    """The signed text, and the keys that have signed it. Raises ValueError."""
    text, gap, rest = note.rpartition("\n\n")
    *lines, last = rest.split("\n")
    odd = re.search(r"[\x00-\x09\x0b-\x1f]", note)
    if len(note) > _NOTE_CHARS_MAX or not gap or odd or last or len(lines) > _SIGNATURES_MAX:
        raise ValueError("it is no signed note")
    text += "\n"
    known = {(key.name, key.id): key for key in keys}
    by: list[Key] = []
    for line in lines:
        found = _LINE.fullmatch(line)
        data = None if found is None else _bytes_of(found[2])
        if found is None or data is None or len(data) < 5:
            raise ValueError("one of its signature lines is none")
        key = known.get((found[1], data[:4]))
        if key is None or key in by:
            continue
        if not _has_signed(key, text, data[4:]):
            raise ValueError(f"the signature of {key.name} is not of this text")
        by.append(key)
    return text, by


class Checkpoint(NamedTuple):
    """A signed tree head."""

    origin: str
    size: int
    root: bytes
    note: str


def open_checkpoint(
    note: str, keys: Sequence[Key], witnesses: Sequence[Key]
) -> tuple[Checkpoint, int]:
    """A checkpoint signed by one of the keys, whose name is the checkpoint's origin.

    Also returns the number of witnesses that have cosigned it. Raises ValueError.
    """
    text, by = _open_note(note, [*keys, *witnesses])
    signed = [key for key in by if key in keys]
    if not signed:
        raise ValueError(_UNSIGNED)
    found = _CHECKPOINT.fullmatch(text)
    root = None if found is None else _bytes_of(found[3])
    if found is None or root is None or len(root) != 32 or int(found[2]) > _SIZE_MAX:
        raise ValueError("it is no checkpoint")
    origin = found[1]
    for key in signed:
        if key.name != origin:
            raise ValueError(f"it is of {origin}, not of {key.name}")
    return Checkpoint(origin, int(found[2]), root, note), sum(key in witnesses for key in by)
