/** Requests and replies are unchanged by encoding and decoding. Pure. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../../../shared/testing/any_character.ts";
import { HOOKS, POLICY_FAULTS } from "../../../shared/records/verdict.ts";
import { decodeReply, decodeRequest, encodeReply } from "./ring_message.ts";
import { encodeRequest, requestInPlace } from "./ring_message.ts";
import { recordOf } from "../testing/records.ts";

const text = fc.string({ unit: anyCharacter, maxLength: 40 });
const PLAIN = { noNullPrototype: true };
const word = fc.nat({ max: 2 ** 32 - 1 });

const head = fc.record({ id: word, deadline_ms: fc.double({ noNaN: true }) }, PLAIN);
const facts = fc.record({
  headers: fc.array(fc.tuple(text, text), { maxLength: 5 }),
  claims: fc.dictionary(text, fc.jsonValue(), { maxKeys: 5, noNullPrototype: true }),
}, PLAIN);
const request = fc.record({
  hook: fc.constantFrom(...HOOKS),
  tenant_id: text,
  payload: fc.uint8Array(),
  payload_most: fc.integer({ min: -2, max: 2 ** 24 }),
  record_reads: fc.boolean(),
}, PLAIN);
const mode = fc.constantFrom("enforce" as const, "observe" as const);
const entry = fc.record({ module: word, name: text, mode, asks: fc.boolean() }, PLAIN);
const chain = fc.array(entry, { minLength: 1, maxLength: 200 });

Deno.test("a request arrives as it was sent, with its facts if a policy can read them", () => {
  fc.assert(fc.property(head, request, facts, chain, (head, request, facts, chain) => {
    let requests = 0;
    const given = { ...request, facts: () => (requests++, facts) };
    const read = decodeRequest(recordOf(encodeRequest(head, given, chain)));
    const { facts: readFacts, facts_bytes, payload, ...rest } = read;
    const { payload: sent, ...routing } = request;
    const entries = chain.map(({ module, mode }) => ({ module, mode }));
    assert.deepEqual(rest, { ...head, ...routing, chain: entries });
    assert.deepEqual([...payload], [...sent]);
    const asks = chain.some((entry) => entry.asks);
    assert.equal(requests, asks ? 1 : 0);
    const json_bytes = new TextEncoder().encode(JSON.stringify(facts)).length;
    assert.equal(facts_bytes, asks ? json_bytes : 0);
    const expected = JSON.stringify(asks ? facts : { headers: [], claims: {} });
    assert.equal(JSON.stringify(readFacts()), expected);
    assert.equal(readFacts(), readFacts());
  }));
});

Deno.test("headers and claims are read correctly, whatever earlier requests had", () => {
  const empty = { payload: new Uint8Array(0), payload_most: 0 };
  const given = { hook: "on_message", tenant_id: "a", ...empty } as const;
  const asking = [{ module: 1, name: "p", mode: "enforce", asks: true }] as const;
  const long = { text: "x".repeat(5_000) };
  const claims = fc.constantFrom({}, { a: 1 }, { a: "1" }, { b: { a: 1 } }, { "é": null }, long);
  const longer = [9_000, 20_000].map((length) => [["a", "é".repeat(length)] as const]);
  const headers = fc.constantFrom([], [["a", "b"] as const], ...longer);
  const asked = fc.record({ headers, claims }, PLAIN);
  fc.assert(fc.property(fc.array(asked, { maxLength: 20 }), (all) => {
    for (const facts of all) {
      const request = { ...given, facts: () => facts };
      const head = { id: 1, deadline_ms: 0 };
      const read = decodeRequest(recordOf(encodeRequest(head, request, asking)));
      assert.deepEqual(read.facts(), facts);
    }
  }));
});

const few = fc.record({
  tenant_id: fc.constantFrom("", "a", "ab", "b"),
  chain: fc.array(
    fc.record({ module: fc.nat(2), name: fc.constant("p"), mode, asks: fc.constant(false) }, PLAIN),
    { minLength: 1, maxLength: 3 },
  ),
}, PLAIN);

Deno.test("a request is read correctly, however similar to the previous one", () => {
  const given = { hook: "on_message", payload: new Uint8Array(0), payload_most: 0 } as const;
  const facts = () => ({ headers: [], claims: {} });
  const head = { id: 1, deadline_ms: 0 };
  fc.assert(fc.property(fc.array(few, { maxLength: 20 }), (requests) => {
    for (const { tenant_id, chain } of requests) {
      const request = { ...given, tenant_id, facts };
      const read = decodeRequest(recordOf(encodeRequest(head, request, chain)));
      assert.equal(read.tenant_id, tenant_id);
      assert.deepEqual(read.chain, chain.map(({ module, mode }) => ({ module, mode })));
    }
  }));
});

const value = fc.option(fc.uint8Array({ maxLength: 60 }), { nil: null });
const held = fc.record({ hold: word, value: fc.option(value, { nil: undefined }) }, PLAIN);
const slotted = fc.array(
  fc.record({ entry, values: fc.array(held, { maxLength: 4 }) }, PLAIN),
  { minLength: 1, maxLength: 64 },
);

Deno.test("the holds of a chain's slots arrive with their policies, and new values unchanged", () => {
  const ended = fc.array(word, { maxLength: 8 });
  fc.assert(
    fc.property(head, request, slotted, ended, (head, request, slotted, ended) => {
      const given = { ...request, facts: () => ({ headers: [], claims: {} }) };
      const ref = { tenant_id: "t", place: "p", ttl_ms: 1, template: "", filled: "" };
      const chain = slotted.map(({ entry, values }) => ({
        ...entry,
        slots: values.map(() => ref),
      }));
      const values = slotted.flatMap(({ values }) => values);
      const state = { values, ended };
      const read = decodeRequest(recordOf(encodeRequest(head, given, chain, state)));
      const is_new = values.filter(({ value }) => value !== undefined);
      const changes = { given: is_new.map(({ hold, value }) => [hold, value!] as const), ended };
      const holds = values.map(({ hold }) => hold);
      const in_place = requestInPlace(given, chain, { holds, hold_changes: changes });
      for (const { chain: entries, hold_changes, payload } of [read, in_place]) {
        assert.deepEqual(
          entries.map(({ holds = [] }) => holds),
          slotted.map(({ values }) => values.map(({ hold }) => hold)),
        );
        assert.deepEqual(hold_changes, changes);
        assert.deepEqual([...payload], [...request.payload]);
      }
    }),
  );
});

const slot_value = fc.record(
  { place: fc.nat({ max: 199 }), slot: fc.nat({ max: 3 }), value },
  PLAIN,
);
const state = fc.record({
  written: fc.array(slot_value, { minLength: 1, maxLength: 9 }),
  read: fc.array(slot_value, { maxLength: 9 }),
}, PLAIN);

const ran = fc.record({
  allowed: fc.boolean(),
  code: fc.nat({ max: 599 }),
  reason: fc.oneof(fc.constant(""), text),
  units: fc.nat({ max: 2 ** 52 }),
  instance_units: fc.nat({ max: 2 ** 52 }),
  duration_ms: fc.double({ noNaN: true, min: 0 }),
}, PLAIN);
const seen = fc.record({
  reads: fc.array(
    fc.tuple(fc.constantFrom("header" as const, "claim" as const), text, fc.option(text)),
    { maxLength: 3 },
  ),
  added_headers: fc.array(fc.tuple(text, text), { maxLength: 2 }),
  asking_bytes: fc.nat(),
}, PLAIN);
const seen_fields = fc.oneof(
  fc.constant({}),
  fc.constant({ has_read_payload: true as const }),
  fc.record({ seen }, PLAIN),
  fc.record({ has_read_payload: fc.constant(true as const), seen }, PLAIN),
);
const fault = fc.record({
  fault: fc.constantFrom(...POLICY_FAULTS),
  detail: text,
  unmade: fc.constant(true as const),
}, { ...PLAIN, requiredKeys: ["fault", "detail"] });
const replaced = fc.constantFrom({}, { replaced: true });
const outcome = fc.tuple(ran, seen_fields, fc.option(fault, { nil: {} }), replaced)
  .map(([ran, seen, fault, replaced]) => ({ ...ran, ...seen, ...fault, ...replaced }));
const reply = fc.record({
  outcomes: fc.array(outcome, { maxLength: 200 }),
  added_headers: fc.array(fc.tuple(text, text), { maxLength: 2 }),
  logs: fc.array(
    fc.record({ place: fc.nat({ max: 199 }), level: fc.nat({ max: 3 }), message: text }, PLAIN),
    { maxLength: 2 },
  ),
}, PLAIN);

Deno.test("a reply arrives as it was sent", () => {
  const more = fc.record({ expired: fc.constant(true), payload: fc.uint8Array() }, {
    ...PLAIN,
    requiredKeys: [],
  });
  const any = fc.tuple(reply, more, fc.option(state, { nil: {} }));
  fc.assert(fc.property(word, any, (id, [reply, more, state]) => {
    const sent = { ...reply, ...state, ...more };
    assert.deepEqual(decodeReply(recordOf(encodeReply(id, sent))), { id, reply: sent });
  }));
});

Deno.test("an outcome without texts has 28 bytes", () => {
  const cost = { units: 7, instance_units: 0, duration_ms: 0.25 };
  const ran = { allowed: true, code: 0, reason: "", ...cost };
  const size_bytes = (count: number) => {
    const outcomes = Array.from({ length: count }, () => ran);
    const { start, end } = recordOf(encodeReply(1, { outcomes, added_headers: [], logs: [] }));
    return end - start;
  };
  assert.deepEqual([size_bytes(1), size_bytes(2)], [36, 64]);
});
