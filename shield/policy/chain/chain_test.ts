/** Tenant documents: changes, history, rollback, matching, and malformed ones. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, isRoomPattern, matchesRoomPattern, type Reason } from "@arqon/proto";
import { isSampled } from "../../../shared/sampling.ts";
import { applicable, documentBytes, emptyDocument, parseDocument, sampled } from "./chain.ts";
import { rolledBack, rollingBack, withoutPolicy, withPolicy } from "./chain.ts";
import { HISTORY_VERSIONS, POLICIES_MAX } from "./chain.ts";
import type { PolicyDocument } from "./chain.ts";
import { HOOKS, type PolicyBinding } from "../../../shared/records/verdict.ts";
import { binding } from "../testing/modules.ts";

const author = { by: "ops", at_ms: 1_767_323_045_000 };
const names = (list: readonly PolicyBinding[]) => list.map(({ name }) => name);

function refusedWith(reason: Reason, text = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ArqonError, String(error));
    assert.equal(error.reason, reason);
    assert.match(error.message, text);
    return true;
  };
}

/** Deploys in order; each policy is named after its index. */
function deployed(...bindings: Partial<PolicyBinding>[]): PolicyDocument {
  return bindings.reduce(
    (document, more, at) => withPolicy(document, binding({ name: `p${at}`, ...more }), author),
    emptyDocument(),
  );
}

const anyBinding: fc.Arbitrary<PolicyBinding> = fc.record({
  name: fc.constantFrom("a", "b", "c", "d", "e"),
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  room: fc.constantFrom("*", "chat-*", "chat-1", "c*", "other"),
  hooks: fc.subarray([...HOOKS], { minLength: 1 }),
  order: fc.integer({ min: -3, max: 3 }),
  mode: fc.constantFrom("enforce", "observe"),
  percent: fc.constantFrom(0, 0.1, 0.5, 1),
});

Deno.test("policies run by order, equal ones by name", () => {
  const last = { name: "b", order: 5 };
  const other = { name: "a", order: 5 };
  const document = deployed({ name: "z", order: 1 }, last, other, { name: "y", order: -1 });
  assert.deepEqual(names(document.current.policies), ["y", "z", "a", "b"]);
  assert.equal(document.current.version, 4);
});

Deno.test("a deployment replaces the policy of its name, and repeating it changes nothing", () => {
  const first = deployed({ name: "a", order: 1 }, { name: "b", order: 2 });
  const second = withPolicy(first, binding({ name: "a", order: 3 }), author);
  assert.deepEqual(names(second.current.policies), ["b", "a"]);
  assert.equal(second.current.change, "deploy a");
  const shuffled = binding({ name: "a", order: 3, hooks: ["on_message"] });
  assert.equal(withPolicy(second, shuffled, author), second);
  assert.notEqual(withPolicy(second, { ...shuffled, percent: 0.5 }, author), second);
});

Deno.test("a missing policy cannot be removed", () => {
  const document = deployed({ name: "a" }, { name: "b" });
  const removed = withoutPolicy(document, "a", author);
  assert.deepEqual(names(removed.current.policies), ["b"]);
  assert.equal(removed.current.version, 3);
  assert.throws(() => withoutPolicy(removed, "a", author), refusedWith("policy-unknown", /"a"/));
});

Deno.test("a tenant has at most 64 policies, and each can still be replaced", () => {
  const full = deployed(...Array.from({ length: POLICIES_MAX }, () => ({})));
  const one_more = () => withPolicy(full, binding({ name: "more" }), author);
  assert.throws(one_more, refusedWith("invalid-policy", /at most 64/));
  assert.equal(withPolicy(full, binding({ name: "p0", order: 9 }), author).current.version, 65);
});

Deno.test("the largest document fits into a key-value value", () => {
  let document = emptyDocument();
  const long = (at: number) => `${at}`.padStart(64, "x");
  for (let at = 0; at < POLICIES_MAX + HISTORY_VERSIONS; at++) {
    const more = { name: long(at % POLICIES_MAX), room: `${long(0)}*`, hooks: HOOKS, order: at };
    document = withPolicy(document, binding({ ...more, percent: 0.1234567890123456 }), author);
  }
  assert.equal(document.current.policies.length, POLICIES_MAX);
  assert.equal(document.history.length, HISTORY_VERSIONS);
  const { length } = documentBytes(document);
  assert.ok(length > 400_000 && length < 524_288, `${length} bytes`);
  assert.ok("document" in parseDocument(documentBytes(document)));
});

Deno.test("rollbacks go back step by step, and a deployment continues from there", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => binding({ name, sha256: name.repeat(64) }));
  let document = emptyDocument();
  for (const one of [a, b, c]) document = withPolicy(document, one as PolicyBinding, author);
  document = rolledBack(document, undefined, author);
  assert.deepEqual(names(document.current.policies), ["a", "b"]);
  assert.deepEqual([document.current.version, document.current.restores], [4, 2]);
  assert.equal(document.current.change, "roll back to version 2");
  document = rolledBack(document, undefined, author);
  assert.deepEqual(names(document.current.policies), ["a"]);
  document = rolledBack(document, 3, author);
  assert.deepEqual(names(document.current.policies), ["a", "b", "c"]);
  assert.equal(rolledBack(document, document.current.version, author), document);
  for (const left of [2, 1, 0]) {
    document = rolledBack(document, undefined, author);
    assert.equal(document.current.policies.length, left);
  }
  const further = () => rolledBack(document, undefined, author);
  assert.throws(further, refusedWith("policy-unknown", /no earlier version; there are 0 to 8/));
  assert.throws(() => rolledBack(document, 99, author), refusedWith("policy-unknown", /99/));
  const nothing = () => rolledBack(emptyDocument(), undefined, author);
  assert.throws(nothing, refusedWith("policy-unknown", /there is none/));
});

Deno.test("a rollback after the same concurrent rollback goes back one step, not two", () => {
  const document = deployed({ name: "a" }, { name: "b" }, { name: "c" });
  const change = rollingBack(undefined, author);
  assert.deepEqual(names(change(document).current.policies), ["a", "b"]);
  const overtaken = rolledBack(document, undefined, author);
  assert.deepEqual(names(change(overtaken).current.policies), ["a", "b"]);
  const exact = rollingBack(1, author);
  assert.deepEqual(names(exact(overtaken).current.policies), ["a"]);
});

Deno.test("any changes match a plain list of versions", () => {
  type Step = { deploy: PolicyBinding } | { remove: string } | { back: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ deploy: anyBinding }),
    fc.record({ remove: fc.constantFrom("a", "b", "c") }),
    fc.record({ back: fc.nat(30) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    let document = emptyDocument();
    const versions = [[] as readonly PolicyBinding[]];
    for (const one of steps) {
      const before = structuredClone(document);
      let next = document;
      try {
        if ("deploy" in one) next = withPolicy(document, one.deploy, author);
        else if ("remove" in one) next = withoutPolicy(document, one.remove, author);
        else next = rolledBack(document, one.back, author);
      } catch (error) {
        assert.ok(error instanceof ArqonError && error.reason === "policy-unknown");
      }
      assert.deepEqual(document, before, "the given document is not changed");
      if (next !== document) versions.push(next.current.policies);
      if ("back" in one && next !== document) {
        assert.deepEqual(next.current.policies, versions[one.back]);
      }
      document = next;
      assert.equal(document.current.version, versions.length - 1);
      const kept = document.history.map(({ version, policies }) => [version, policies]);
      const expected = versions.map((policies, version) => [version, policies]).slice(0, -1);
      assert.deepEqual(kept, expected.slice(-HISTORY_VERSIONS));
      assert.deepEqual(parseDocument(documentBytes(document)), { document });
    }
  }));
});

const chainFor = (
  { current: { policies } }: ReturnType<typeof emptyDocument>,
  hook: typeof HOOKS[number],
  room: string,
  key: string,
) => sampled(applicable(policies, hook, room), key);

Deno.test("the policies that run match a plain reading of hooks, rooms and rollouts", () => {
  const room = fc.constantFrom("chat-1", "chat-2", "c", "other", "x");
  const bindings = fc.array(anyBinding, { maxLength: 12 });
  fc.assert(
    fc.property(bindings, fc.constantFrom(...HOOKS), room, fc.string(), (all, hook, to, key) => {
      const document = all.reduce((made, one) => withPolicy(made, one, author), emptyDocument());
      const expected = document.current.policies.filter((one) =>
        one.hooks.includes(hook) &&
        (hook === "on_connect" || matchesRoomPattern(one.room, to)) &&
        isSampled(key, one.percent)
      );
      assert.deepEqual(chainFor(document, hook, to, key), expected);
    }),
  );
});

Deno.test("a rollout keeps its keys when it grows, and covers none at 0 and all at 1", () => {
  const at = (percent: number) => deployed({ percent });
  fc.assert(fc.property(fc.string(), fc.double({ min: 0, max: 1, noNaN: true }), (key, percent) => {
    const covered = (part: number) => chainFor(at(part), "on_message", "r", key).length;
    assert.ok(covered(percent / 2) <= covered(percent));
    assert.deepEqual([covered(0), covered(1)], [0, 1]);
  }));
});

Deno.test("anything that is not exactly a document is malformed, and the sentence names the place", () => {
  const good = JSON.parse(new TextDecoder().decode(documentBytes(deployed({ name: "a" }))));
  const [policy] = good.current.policies;
  const withBinding = (more: Record<string, unknown>) => ({
    ...good,
    current: { ...good.current, policies: [{ ...policy, ...more }] },
  });
  const table: [value: unknown, sentence: RegExp][] = [
    [null, /malformed: it:/],
    [{}, /format/],
    [{ ...good, format: 2 }, /format/],
    [{ ...good, later: true }, /later/],
    [withBinding({ later: true }), /current\.policies\[0\].*later/],
    [withBinding({ name: "a b" }), /policies\[0\]\.name: expected/],
    [withBinding({ sha256: "A".repeat(64) }), /sha256: expected 64/],
    [withBinding({ room: "a.b" }), /room: expected a room/],
    [withBinding({ hooks: [] }), /hooks/],
    [withBinding({ hooks: ["on_message", "on_message"] }), /each hook once/],
    [withBinding({ hooks: ["on_fire"] }), /hooks\[0\]/],
    [withBinding({ order: 1.5 }), /order/],
    [withBinding({ mode: "warn" }), /mode/],
    [withBinding({ percent: 1.1 }), /percent/],
    [{ ...good, current: { ...good.current, policies: [policy, policy] } }, /each name once/],
    [{ ...good, current: { ...good.current, version: -1 } }, /version/],
    [{ ...good, history: Array(21).fill(good.current) }, /history/],
  ];
  assert.ok("document" in parseDocument(new TextEncoder().encode(JSON.stringify(good))));
  for (const [value, sentence] of table) {
    const parsed = parseDocument(new TextEncoder().encode(JSON.stringify(value)));
    assert.ok("problem" in parsed, JSON.stringify(value));
    assert.match(parsed.problem, sentence);
  }
  for (const bytes of [new Uint8Array(0), new Uint8Array([0xff]), new Uint8Array([0x7b])]) {
    assert.deepEqual(parseDocument(bytes), { problem: "the document is not JSON" });
  }
});

Deno.test("any bytes are a document or a problem", () => {
  const junk = fc.oneof(fc.uint8Array(), fc.json().map((text) => new TextEncoder().encode(text)));
  fc.assert(fc.property(junk, (bytes) => {
    const parsed = parseDocument(bytes);
    assert.ok("problem" in parsed ? parsed.problem.length < 2_000 : parsed.document.format === 1);
  }));
  assert.ok(isRoomPattern("*"));
});
