/**
 * Other behaviour of a listener of client sockets: subprotocols, refusals, plain HTTP, TLS. The rest of the suite is
 * `conformance.ts`.
 */
import assert from "node:assert/strict";
import { type Case, open } from "./conformance.ts";
import { rawFrame, RawPeer, TEXT } from "./conformance_peer.ts";

/** Answers with the content of the request. */
async function echo(request: Request): Promise<Response> {
  const { method, url } = request;
  if (url.endsWith("/refused")) {
    const headers = { "www-authenticate": "Bearer", "content-type": "application/problem+json" };
    return new Response('{"reason":"token-missing"}', { status: 401, headers });
  }
  if (url.endsWith("/empty")) {
    return new Response(null, { status: 204, headers: { vary: "origin" } });
  }
  const { pathname, search } = new URL(url);
  const body = await request.text();
  const length = body.length;
  return Response.json({ method, path: pathname + search, length, x: request.headers.get("x-a") });
}

const TOKEN_ITEM = "arqon.token.e30.e30.sig";

/** The same offer in the forms of clients and proxies. */
const OFFERS: readonly (readonly string[])[] = [
  [`Sec-WebSocket-Protocol: arqon.v1,${TOKEN_ITEM}`],
  [`Sec-WebSocket-Protocol:arqon.v1,${TOKEN_ITEM}`],
  [`sec-websocket-protocol: ${TOKEN_ITEM},arqon.v1`],
  [`SEC-WEBSOCKET-PROTOCOL: ${TOKEN_ITEM} ,\tarqon.v1\t`],
  [`Sec-WebSocket-Protocol: ,, ${TOKEN_ITEM},,arqon.v1,\t,`],
  ["Sec-WebSocket-Protocol: arqon.v1", `Sec-WebSocket-Protocol: ${TOKEN_ITEM}`],
  [`Sec-WebSocket-Protocol: other,${TOKEN_ITEM}`, "sec-websocket-protocol: x,arqon.v1,y"],
  ["Sec-WebSocket-Protocol: arqon.v1,arqon.v1"],
];

/** Equivalent forms of a WebSocket request. */
const UPGRADES: readonly (readonly string[])[] = [
  ["Connection: keep-alive, Upgrade"],
  ["connection: keep-alive,upgrade"],
  ["CONNECTION: keep-alive\t,\tUPGRADE"],
  ["Connection: keep-alive", "Connection: Upgrade"],
  ["UPGRADE: WebSocket"],
  ["Upgrade: h2c, websocket"],
  ["Upgrade: h2c,websocket"],
];

/** Through a listener of the host's kind. */
export const HTTP_CASES: readonly Case[] = [
  {
    behaviour: "confirms the chosen subprotocol of several",
    async run(host) {
      const offered = "Sec-WebSocket-Protocol: other, arqon.v1, arqon.token.e30.e30.sig";
      const { peer } = await open(host, [offered]);
      using _peer = peer;
      assert.match(peer.head, /^sec-websocket-protocol: arqon\.v1$/im);
    },
  },
  {
    behaviour: "confirms it in any form of the list",
    async run(host) {
      for (const lines of OFFERS) {
        const { peer } = await open(host, lines);
        using _peer = peer;
        const headers = peer.head.match(/^sec-websocket-protocol:.*$/gim);
        const names = headers?.map((line) => line.toLowerCase());
        assert.deepEqual(names, ["sec-websocket-protocol: arqon.v1"], lines.join(" | "));
      }
    },
  },
  {
    behaviour: "accepts Connection and Upgrade as lists, in any case",
    async run(host) {
      for (const lines of UPGRADES) {
        const { peer } = await open(host, [...lines, "Sec-WebSocket-Protocol: arqon.v1"]);
        using _peer = peer;
        assert.match(peer.head, /^sec-websocket-protocol: arqon\.v1$/im, lines.join(" | "));
      }
    },
  },
  {
    behaviour: "confirms none if none was chosen",
    async run(host) {
      const { peer } = await open(host, ["Sec-WebSocket-Protocol: other"]);
      using _peer = peer;
      assert.doesNotMatch(peer.head, /sec-websocket-protocol/i);
    },
  },
  {
    behaviour: "a handshake with a malformed key is refused, and the answer the handler's",
    async run(host) {
      using peer = await RawPeer.connect(host.url, ["Sec-WebSocket-Key: short"], host.ca);
      assert.match(peer.head, /^HTTP\/1\.1 400 /);
    },
  },
  {
    behaviour: "a refused upgrade gets status, headers and body of the refusal",
    options: { handler: echo },
    async run(host) {
      using peer = await RawPeer.connect(`${host.url}refused`, [], host.ca);
      assert.match(peer.head, /^HTTP\/1\.1 401 /);
      assert.match(peer.head, /^www-authenticate: Bearer$/im);
      assert.match(peer.head, /^content-type: application\/problem\+json$/im);
      assert.match(peer.head, /^content-length: 26$/im);
      assert.equal(await peer.text(26), '{"reason":"token-missing"}');
    },
  },
  {
    behaviour: "answers plain requests: method, path, query, headers and body reach the handler",
    options: { handler: echo },
    async run(host) {
      const got = await fetch(`${host.url}a%20b?c=d`, { headers: { "x-a": "1" } });
      assert.deepEqual(await got.json(), { method: "GET", path: "/a%20b?c=d", length: 0, x: "1" });
      const posted = await fetch(host.url, { method: "POST", body: "y".repeat(300_000) });
      assert.equal((await posted.json()).length, 300_000);
      const empty = await fetch(`${host.url}empty`);
      assert.equal(empty.status, 204);
      // The runtime's server compresses, which its headers show.
      assert.match(empty.headers.get("vary") ?? "", /^(Accept-Encoding, )?origin$/);
      const head = await fetch(host.url, { method: "HEAD" });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    },
  },
  {
    behaviour: "speaks TLS with a certificate",
    options: { tls: true },
    async run(host) {
      assert.match(host.url, /^https:/);
      const { peer, seen } = await open(host);
      using _peer = peer;
      await peer.write(rawFrame(TEXT, new TextEncoder().encode("secret")));
      assert.deepEqual(await seen.count(2), ["open", "secret"]);
      seen.socket.send("answer");
      assert.equal(new TextDecoder().decode((await peer.frame())?.body), "answer");
    },
  },
];
