/**
 * That requests and replies survive their encoding. Pure.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { HOOKS } from "./policy.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from "./ring_message.ts";

const text = fc.string({ unit: "binary", maxLength: 40 });
const PLAIN = { noNullPrototype: true };
const word = fc.nat({ max: 2 ** 32 - 1 });

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

Deno.test("a request arrives as it was sent", () => {
  const head = fc.record(
    { generation: word, id: word, deadline_ms: fc.double({ noNaN: true }) },
    PLAIN,
  );
  const request = fc.record({
    hook: fc.constantFrom(...HOOKS),
    tenant_id: text,
    headers: fc.array(fc.tuple(text, text), { maxLength: 5 }),
    claims: fc.dictionary(text, fc.jsonValue(), { maxKeys: 5, noNullPrototype: true }),
    payload: fc.uint8Array(),
  }, PLAIN);
  const entry = fc.record({
    module: fc.nat(),
    name: text,
    mode: fc.constantFrom("enforce" as const, "observe" as const),
  }, PLAIN);
  const chain = fc.array(entry, { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(head, request, chain, (head, request, chain) => {
    const read = decodeRequest(joined(encodeRequest(head, request, chain)));
    const { facts, payload, ...rest } = read;
    const { headers, claims, payload: sent, ...routing } = request;
    assert.deepEqual(rest, { ...head, ...routing, chain });
    assert.deepEqual([...payload], [...sent]);
    assert.deepEqual(facts().headers, headers);
    assert.equal(JSON.stringify(facts().claims), JSON.stringify(claims));
    assert.equal(facts(), facts());
  }));
});

Deno.test("a reply arrives as it was sent, with its generation", () => {
  const outcome = {
    module: 3,
    name: "p",
    mode: "enforce",
    allowed: false,
    code: 503,
    reason: "",
    fault: "trap",
    detail: "unreachable",
    units: 12,
    duration_ms: 0.25,
  } as const;
  const reply = { outcomes: [outcome], added_headers: [["a", "é"]] as const, logs: [] };
  fc.assert(fc.property(word, word, (generation, id) => {
    assert.deepEqual(decodeReply(joined(encodeReply(generation, id, reply))), {
      generation,
      id,
      reply,
    });
  }));
});
