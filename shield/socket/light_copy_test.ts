/** A light copy of a request of a real server, compared with the request. */
import assert from "node:assert/strict";
import { onGoneAsked, onTokenShown, showsToken } from "../../shared/http1/handled_request.ts";
import { collectYoung, oldGarbageOf } from "../../shared/testing/young_garbage.ts";
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

Deno.test("what is known of a request is young garbage once it is answered", () => {
  const requests = 20;
  const rounds = 20;
  const each_bytes = 4_000;
  const handled = () => {
    const facts = new Array(each_bytes / 8).fill(0.5);
    const request = onTokenShown(new Request("http://x/"), () => facts.pop());
    onGoneAsked(request, () => AbortSignal.abort(facts));
    const copy = lightCopyOf(request);
    showsToken(originalOf(copy));
    return copy;
  };
  const garbage_bytes = oldGarbageOf(() => {
    for (let round = 0; round < rounds; round++) {
      // All of these are under way during one young collection, and answered before the next.
      const under_way = Array.from({ length: requests }, handled);
      collectYoung();
      assert.equal(under_way.splice(0).length, requests);
      collectYoung();
    }
  });
  const part = garbage_bytes / (requests * rounds * each_bytes);
  assert.ok(part < 0.5, `${part} of it is left for a full collection`);
});
