/** An heir of a request of a real server, beside the request itself. */
import assert from "node:assert/strict";
import { heirOf, originalOf } from "./request_heir.ts";

Deno.test("an heir has the request's method, address and headers, and knows the request", async () => {
  const { promise: seen, resolve } = Promise.withResolvers<[Request, Request]>();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const heir = heirOf(request);
    assert.equal(heir.headers.get("x-one"), "1");
    assert.deepEqual([...heir.headers].find(([name]) => name === "x-two"), ["x-two", "2"]);
    assert.deepEqual([heir.method, heir.url], [request.method, request.url]);
    assert.notEqual(heir.headers, request.headers, "the request holds no list of the heir's");
    resolve([heir, request]);
    return new Response("ok");
  });
  const headers = { "x-one": "1", "x-two": "2" };
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/v1?a=b`, { headers });
  assert.equal(await response.text(), "ok");
  const [heir, request] = await seen;
  assert.equal(originalOf(heir), request);
  assert.equal(originalOf(request), request);
});
