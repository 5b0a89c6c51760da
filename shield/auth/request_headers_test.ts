/** The headers of a request that policies may read. */
import assert from "node:assert/strict";
import { policyHeaders } from "./request_headers.ts";

Deno.test("secrets and the handshake's headers are omitted, and names are in lower case", () => {
  const headers = new Headers({
    "X-Team": "blue",
    Authorization: "Bearer a.b.c",
    Cookie: "session=1",
    "X-API-Key": "of Centrifugo's server API",
    "Sec-WebSocket-Key": "k",
    "Sec-WebSocket-Protocol": "arqon.token.a.b.c",
    "User-Agent": "test",
  });
  assert.deepEqual(policyHeaders(headers), [["user-agent", "test"], ["x-team", "blue"]]);
  assert.deepEqual(policyHeaders(new Headers()), []);
});

Deno.test("from the header that exceeds 8,192 bytes on, none is kept, however short", () => {
  const headers = new Headers({
    "x-1": "a".repeat(4_000),
    "x-2": "a".repeat(4_186),
    "x-3": "",
    "x-4": "a",
  });
  // 3 + 4,000 and 3 + 4,186 bytes fit exactly.
  assert.deepEqual(policyHeaders(headers).map(([name]) => name), ["x-1", "x-2"]);
  headers.set("x-2", "a".repeat(4_187));
  assert.deepEqual(policyHeaders(headers).map(([name]) => name), ["x-1"]);
});

Deno.test("only the first 48 headers are kept", () => {
  const names = Array.from({ length: 60 }, (_, index) => `x-${String(index).padStart(2, "0")}`);
  const headers = new Headers(names.map((name): [string, string] => [name, "1"]));
  assert.deepEqual(policyHeaders(headers).map(([name]) => name), names.slice(0, 48));
});
