/** A light copy of a request of a real server, compared with the request. */
import assert from "node:assert/strict";
import { lightCopyOf, originalOf } from "./light_copy.ts";

Deno.test("a light copy has the request's method, address and headers, and knows the request", async () => {
  const { promise: seen, resolve } = Promise.withResolvers<[Request, Request]>();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const copy = lightCopyOf(request);
    assert.equal(copy.headers.get("x-one"), "1");
    assert.deepEqual([...copy.headers].find(([name]) => name === "x-two"), ["x-two", "2"]);
    assert.deepEqual([copy.method, copy.url], [request.method, request.url]);
    assert.notEqual(copy.headers, request.headers, "the request retains no list of the copy");
    resolve([copy, request]);
    return new Response("ok");
  });
  const headers = { "x-one": "1", "x-two": "2" };
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/v1?a=b`, { headers });
  assert.equal(await response.text(), "ok");
  const [copy, request] = await seen;
  assert.equal(originalOf(copy), request);
  assert.equal(originalOf(request), request);
});
