"""Verifies messages against the transparency log of their room: the option `verify` of a room.

docs/proof.md describes the log's guarantees. Needs the extra `arqon-sdk[proof]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from arqon._proof.notes import Key, ed25519, key_of

if TYPE_CHECKING:
    from arqon.message import Message

WITH_RECEIPT: Final[Mapping[str, str]] = {"x-arqon-receipt": "1"}
"""Headers that request a receipt: `publish(…, headers=WITH_RECEIPT)`, then `.receipt`."""
ProofKind: TypeAlias = Literal["fork", "gap", "changed", "missing", "damaged"]


@dataclass(frozen=True)
class ProofEvidence:
    """Evidence of a violation, for anybody with the keys."""

    checkpoints: tuple[str, ...]
    """Signed notes, the older one first."""
    entry: str | None = None
    """The entry of the log, as text."""
    message: Message | None = None
    sha256: str | None = None
    """The hash of the received message's text."""


class ProofError(Exception):
    """A violation by a room or its log, with evidence.

    `fork`: two signed trees, and neither extends the other. `gap`: an entry of the log did not
    arrive as a message. `changed`: the log has another message at that offset. `missing`: it has
    none in time. `damaged`: its files match no signed tree, so nothing can be verified.
    """

    def __init__(self, kind: ProofKind, message: str, evidence: ProofEvidence) -> None:
        super().__init__(message)
        self.kind = kind
        self.evidence = evidence


class LogError(Exception):
    """The log cannot be read, or its checkpoint is not signed as required: nothing is verified."""


@dataclass(frozen=True)
class Proof:
    """The option `proof` of `connect`: the keys and witnesses for `verify`. Also a dict of these.

    Raises ValueError for invalid options, ImportError without the extra `proof`.
    """

    vkeys: Sequence[str]
    """Keys that may have signed a log, as `arq proof key` prints them.

    One of each key of the tenant is enough, since it signs the logs of all rooms.
    """
    witnesses: Sequence[str] = ()
    """Keys of witnesses: each newest checkpoint must have their cosignatures."""
    quorum: int | None = None
    """The required number of witnesses; None: all.

    With half of them or fewer, two readers may see different histories.
    """
    wait_ms: float = 60_000
    """How long to wait for an entry, for cosignatures, and for a log that does not answer."""
    complete: bool = True
    """Every entry must arrive as a message; False if a replay crosses erased messages.

    With a filter or without echo it is always False.
    """

    def __post_init__(self) -> None:
        ed25519()
        count = len(dict.fromkeys(self.witness_keys()))
        quorum: object = self.quorum
        if not self.tenant_keys():
            raise ValueError("proof.vkeys is empty; expected what `arq proof key` prints")
        if quorum is not None and (type(quorum) is not int or not min(1, count) <= quorum <= count):
            raise ValueError(f"proof.quorum is {quorum!r}, of {count} witnesses")
        wait: object = self.wait_ms
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not wait >= 0:
            raise ValueError(f"proof.wait_ms is {wait!r}; expected at least 0")
        if type(self.complete) is not bool:
            raise ValueError(f"proof.complete is {self.complete!r}; expected True or False")

    def tenant_keys(self) -> list[tuple[str, str, Key]]:
        """For each key: the prefix of its logs' names, their tenant, and the key."""
        found: list[tuple[str, str, Key]] = []
        for key in self.keys():
            prefix, dot, room = key.name.rpartition(".")
            host, slash, tenant_id = prefix.rpartition("/")
            if not (host and slash and tenant_id and dot and room) or "." in tenant_id:
                raise ValueError(f"proof.vkeys has {key.name}; expected that of a room's log")
            found.append((f"{prefix}.", tenant_id, key))
        return found

    def keys(self) -> list[Key]:
        """The keys of `vkeys`."""
        return _keys_of("vkeys", self.vkeys)

    def witness_keys(self) -> list[Key]:
        """The keys of the witnesses."""
        return _keys_of("witnesses", self.witnesses, is_witness=True)


def _keys_of(name: str, texts: object, is_witness: bool = False) -> list[Key]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise ValueError(f"proof.{name} is {texts!r}; expected a list of keys")
    keys: list[Key] = []
    for text in cast("Sequence[object]", texts):
        key = key_of(text, is_witness) if isinstance(text, str) else None
        if key is None:
            raise ValueError(f"proof.{name} has {text!r}; expected NAME+ID+KEY")
        keys.append(key)
    return list(dict.fromkeys(keys))


def proof_of(value: Any) -> Proof | None:
    """The option, which may be a dict. Raises ValueError, and ImportError without the extra."""
    if value is None or isinstance(value, Proof):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"proof is {value!r}; expected a Proof or a dict")
    try:
        return Proof(**cast("dict[str, Any]", value))
    except TypeError as error:
        raise ValueError(f"proof: {error}") from None
