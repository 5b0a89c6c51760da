"""Ed25519 signatures of messages. Needs the extra `arqon-sdk[signing]` (`cryptography`)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer(Protocol):
    """Signs bytes with the private key of the token's `cnf.jwk`."""

    def sign(self, data: bytes, /) -> bytes | Awaitable[bytes]:
        """Ed25519 over `data`: 64 bytes.

        Return an awaitable for remote keys, for example in a key management service: publishes to a
        room still keep their order.
        """
        ...


def signing_input(tenant: str, room: str, message_id: str, payload: bytes) -> bytes:
    """The signed bytes: five parts, each after its length as u32 big-endian (docs/protocol.md)."""
    parts = (b"arqon.v1", tenant.encode(), room.encode(), message_id.encode(), payload)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def ed25519_key(seed: bytes) -> Ed25519PrivateKey:
    """A signer from the 32 bytes of a secret key (RFC 8032).

    Raises ImportError without the extra `signing` and ValueError for another length. A private key
    loaded with `cryptography` already is a `Signer`.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ImportError("signing needs: pip install 'arqon-sdk[signing]'") from error
    return Ed25519PrivateKey.from_private_bytes(seed)
