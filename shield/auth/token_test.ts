/** Where a token is found in a request. Nothing here verifies one. */
import assert from "node:assert/strict";
import { offeredSubprotocols, tokenFrom } from "./token.ts";

const URL_TOKEN = "http://shield/v1/socket?access_token=q.q.q";

function request(headers: Record<string, string>, url = "http://shield/v1/socket"): Request {
  return new Request(url, { headers });
}

Deno.test("a token is read from a Bearer header, whatever its case and spaces", () => {
  for (const authorization of ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c  "]) {
    assert.equal(tokenFrom(request({ authorization }), { query_token: false }), "a.b.c");
  }
});

Deno.test("a token is read from a subprotocol item besides the real subprotocols", () => {
  const socket = request({
    "sec-websocket-protocol": "arqon.v1 ,arqon.token.a.b.c,  arqon.v1.json",
  });
  assert.equal(tokenFrom(socket, { query_token: false }), "a.b.c");
  assert.deepEqual(offeredSubprotocols(socket), ["arqon.v1", "arqon.v1.json"]);
  assert.deepEqual(offeredSubprotocols(request({})), []);
});

Deno.test("white space and empty items make no difference to a list of subprotocols", () => {
  for (
    const list of [
      "arqon.v1,arqon.token.a.b.c",
      "arqon.token.a.b.c,arqon.v1",
      "\tarqon.v1\t,\t arqon.token.a.b.c ",
      ",, arqon.v1,,arqon.token.a.b.c,",
    ]
  ) {
    const socket = request({ "sec-websocket-protocol": list });
    assert.deepEqual(offeredSubprotocols(socket), ["arqon.v1"], list);
    assert.equal(tokenFrom(socket, { query_token: false }), "a.b.c", list);
  }
  const lines = new Headers([
    ["Sec-WebSocket-Protocol", "arqon.token.a.b.c"],
    ["sec-websocket-protocol", "arqon.v1.json"],
  ]);
  const socket = new Request("http://shield/v1/socket", { headers: lines });
  assert.deepEqual(offeredSubprotocols(socket), ["arqon.v1.json"]);
  assert.equal(tokenFrom(socket, { query_token: false }), "a.b.c");
});

Deno.test("a token in the URL counts only if the config allows it", () => {
  assert.equal(tokenFrom(request({}, URL_TOKEN), { query_token: false }), undefined);
  assert.equal(tokenFrom(request({}, URL_TOKEN), { query_token: true }), "q.q.q");
});

Deno.test("the header has precedence over the subprotocol, and the subprotocol over the URL", () => {
  const headers = { authorization: "Bearer h.h.h", "sec-websocket-protocol": "arqon.token.s.s.s" };
  const both = request(headers, URL_TOKEN);
  assert.equal(tokenFrom(both, { query_token: true }), "h.h.h");
  const item = request({ "sec-websocket-protocol": "arqon.token.s.s.s" }, URL_TOKEN);
  assert.equal(tokenFrom(item, { query_token: true }), "s.s.s");
});

Deno.test("a request without a token has no token", () => {
  const none: Record<string, string>[] = [
    {},
    { authorization: "" },
    { authorization: "Bearer" },
    { authorization: "Bearer   " },
    { authorization: "Basic dTpw" },
    { authorization: "Bearera.b.c" },
    { "sec-websocket-protocol": "arqon.token." },
    { "sec-websocket-protocol": "arqon.v1, arqon.token" },
    { "sec-websocket-protocol": " , ,, " },
  ];
  for (const headers of none) {
    assert.equal(tokenFrom(request(headers), { query_token: false }), undefined);
  }
  const empty = request({}, "http://shield/?access_token=");
  assert.equal(tokenFrom(empty, { query_token: true }), undefined);
});
