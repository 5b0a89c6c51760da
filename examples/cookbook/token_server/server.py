"""A token server in Python: a logged-in user gets a token for 15 minutes.

Needs `pip install pyjwt[crypto]`.
"""

from __future__ import annotations

import json
import sys
import time
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt

# Your sessions, by the value of their cookie.
SESSIONS = {"s-ann": "ann", "s-bob": "bob"}
JWK = json.loads(Path(sys.argv[1]).read_text())
KEY = jwt.PyJWK(JWK).key


def user_of(cookies: str) -> str | None:
    """The logged-in user."""
    try:
        session = SimpleCookie(cookies).get("session")
    except CookieError:
        return None
    return SESSIONS.get(session.value) if session else None


def token_for(user: str) -> str:
    """A token with the grants of this user."""
    now = int(time.time())
    claims = {
        "iss": "https://app.example.com",
        "aud": "arqon",
        "sub": user,
        "tenant_id": "acme",
        "role": "user",
        "iat": now,
        "exp": now + 900,
        "grants": [
            {"room": "chat-*", "actions": ["publish", "subscribe", "presence"]},
            {"room": f"inbox-{user}", "actions": ["subscribe"]},
        ],
    }
    return jwt.encode(claims, KEY, algorithm=JWK["alg"], headers={"kid": JWK["kid"]})


class Handler(BaseHTTPRequestHandler):
    """Answers POST with a token."""

    def do_POST(self) -> None:
        """Answers with a token, or 401."""
        user = user_of(self.headers.get("cookie", ""))
        token = token_for(user) if user else ""
        self.send_response(200 if user else 401)
        self.send_header("cache-control", "no-store")
        self.send_header("content-length", str(len(token)))
        self.end_headers()
        self.wfile.write(token.encode())


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
