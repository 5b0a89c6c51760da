"""Random key sets and tokens, judged by our authenticator and by PyJWT: the same verdicts."""

from __future__ import annotations

import base64
import json
import math
import random
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from ours import by_us

SEED = 20261121
SETS = 150
TOKENS = 20
ISSUER = "https://id.example.com"
AUDIENCE = "arqon"
NOW = int(time.time())
Jwk = dict[str, Any]

KEYS: dict[str, list[Any]] = {
    "RS256": [rsa.generate_private_key(65537, 2048) for _ in range(3)],
    "ES256": [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)],
    "EdDSA": [ed25519.Ed25519PrivateKey.generate() for _ in range(3)],
}
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
# What an authenticator of ours may take a key of this algorithm for.
KEY_ALGS = {"RS256": ["RS256"], "ES256": ["ES256"], "EdDSA": ["EdDSA", "Ed25519"]}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(alg: str, private: Any) -> Jwk:
    """The public half as PyJWT writes it, without what it says of its use."""
    written = get_default_algorithms()[alg].to_jwk(private.public_key(), as_dict=True)
    return {name: written[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in written}


def key_of_set(rng: random.Random) -> tuple[Jwk, str, Any]:
    """One member of a set, mostly right, with its algorithm and its private half."""
    alg = rng.choice(list(KEYS))
    private = rng.choice(KEYS[alg])
    jwk = public_jwk(alg, private)
    if rng.random() < 0.9:
        jwk["kid"] = rng.choice(["a", "b", "c", "d", "e", "f", "g", "h"])
    if rng.random() < 0.6:
        good = KEY_ALGS[alg]
        jwk["alg"] = rng.choice(good * 4 + ["RS512", "ES384", "ES256", "ECDH-ES", None])
    if rng.random() < 0.4:
        jwk["use"] = rng.choice(["sig", "sig", "sig", "enc", None])
    if rng.random() < 0.4:
        jwk["key_ops"] = rng.choice([["verify"], ["verify"], ["sign", "verify"], ["sign"], []])
    return jwk, alg, private


def usable(jwk: Jwk, alg: str) -> bool:
    """RFC 7517: what a key says of itself restricts it."""
    return (
        ("alg" not in jwk or jwk["alg"] in KEY_ALGS[alg])
        and ("use" not in jwk or jwk["use"] == "sig")
        and ("key_ops" not in jwk or "verify" in jwk["key_ops"])
    )


def claims_text(rng: random.Random, sub: str) -> str:
    """Claims as JSON text: mostly right, sometimes with one that is not."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": rng.choice([AUDIENCE, ["other", AUDIENCE]]),
        "exp": NOW + 3600,
        "sub": sub,
        "tenant_id": "acme",
        "role": "user",
    }
    if rng.random() < 0.35:
        name, value = rng.choice(
            [
                ("aud", "other"),
                ("aud", [AUDIENCE, 1]),
                ("aud", [AUDIENCE, None]),
                ("aud", {"a": AUDIENCE}),
                ("exp", NOW - 3600),
                ("exp", str(NOW + 3600)),
                ("exp", math.inf),
                ("exp", None),
                ("nbf", NOW + 3600),
                ("nbf", -math.inf),
                ("nbf", [NOW]),
                ("nbf", NOW - 60),
                ("iat", math.inf),
                ("iat", "yesterday"),
                ("iat", NOW - 60.5),
                ("jti", 7),
                ("jti", "t-1"),
                ("sub", 7),
                ("iss", f"{ISSUER}/"),
                ("iss", [ISSUER]),
            ]
        )
        claims[name] = value
    text = json.dumps(claims).replace("Infinity", "1e309")
    if rng.random() < 0.1:
        repeated = ['"sub": "eve"', '"\\u0073ub": "eve"', '"role": "user"', '"x": {"y": 1, "y": 1}']
        again = rng.choice(repeated)
        text = f"{text[:-1]}, {again}}}"
    return text


def token_of(rng: random.Random, keys: list[tuple[Jwk, str, Any]], sub: str) -> str:
    """A token signed by a key of the set or by another one, sometimes spoiled afterwards."""
    jwk, alg, private = rng.choice(keys)
    if rng.random() < 0.1:
        private = rng.choice(KEYS[alg])
    header: dict[str, Any] = {"alg": alg, "typ": "JWT"}
    if "kid" in jwk:
        header["kid"] = jwk["kid"]
    if rng.random() < 0.1:
        header["kid"] = rng.choice(["a", "b", "nobody", ""])
    if rng.random() < 0.05:
        header.pop("kid", None)
    if rng.random() < 0.05:
        header["crit"] = rng.choice([[], ["b64"], ["exp"]])
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(claims_text(rng, sub).encode())}"
    prepared = get_default_algorithms()[alg]
    signature = prepared.sign(signed.encode(), private)
    kind = rng.random()
    if kind < 0.03:
        at = rng.randrange(len(signature))
        signature = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
    elif kind < 0.05:
        signature = b""
    elif kind < 0.07:
        swapped = base64url(json.dumps({"iss": ISSUER, "sub": "eve"}).encode())
        signed = f"{signed.split('.')[0]}.{swapped}"
    return f"{signed}.{base64url(signature)}"


def no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses an object that names a member twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("repeated")
    return dict(pairs)


def is_time(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def user_by_pyjwt(keys: list[tuple[Jwk, str, Any]], token: str) -> str:
    """Whom PyJWT sees behind a token; "" when it refuses it."""
    pairs = [(jwk, alg) for jwk, alg, _ in keys if usable(jwk, alg)]
    named = [(alg, jwk["kid"]) for jwk, alg in pairs if "kid" in jwk]
    if len(set(named)) < len(named):
        return ""
    try:
        head = jwt.get_unverified_header(token)
        fitting = [
            jwk
            for jwk, alg in pairs
            if alg == head["alg"] and ("kid" not in head or jwk.get("kid") == head["kid"])
        ]
        if len(fitting) != 1 or "crit" in head:
            return ""
        key = jwt.PyJWK({**fitting[0], "alg": head["alg"]})
        claims = jwt.decode(
            token,
            key,
            algorithms=[head["alg"]],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iss", "aud", "sub"], "verify_iat": False},
        )
        payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
        json.loads(payload, object_pairs_hook=no_repetition)
    except (jwt.PyJWTError, ValueError, KeyError, OverflowError, TypeError):
        return ""
    # PyJWT reads digits in a string as a time, and infinite ones as far away.
    times = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    return str(claims["sub"]) if all(map(is_time, times)) else ""


def test_random_keys_and_tokens_are_judged_alike() -> None:
    rng = random.Random(SEED)
    worlds = []
    for at in range(SETS):
        keys = [key_of_set(rng) for _ in range(rng.randrange(1, 6))]
        tokens = [token_of(rng, keys, f"u{at}-{n}") for n in range(TOKENS)]
        members: list[Jwk] = [jwk for jwk, _, _ in keys]
        if rng.random() < 0.3:
            members.append({**public_jwk("ES384", OTHER_CURVE), "kid": rng.choice("abcd")})
        worlds.append((keys, members, tokens))
    lines = [
        json.dumps({"jwks": json.dumps({"keys": members}), "tokens": tokens})
        for _, members, tokens in worlds
    ]
    printed = by_us("token_verdicts.ts", flags=["--allow-read", "--allow-env"], lines=lines)
    verdicts = [json.loads(line) for line in printed]
    assert len(verdicts) == SETS
    accepted = 0
    for (keys, members, tokens), ours in zip(worlds, verdicts, strict=True):
        theirs = [user_by_pyjwt(keys, token) for token in tokens]
        for token, our, their in zip(tokens, ours, theirs, strict=True):
            head, payload = (base64.urlsafe_b64decode(part + "==") for part in token.split(".")[:2])
            assert our == their, (members, head, payload)
        accepted += sum(user != "" for user in ours)
    assert SETS * TOKENS * 0.2 < accepted < SETS * TOKENS * 0.9, accepted
    print(f"{SETS * TOKENS} tokens, {accepted} of them good by both")
