/** Which calls become cases, and that a case repeats the same call. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { PolicyRecord } from "../../shared/journal/record.ts";
import { createChoice } from "../commands/policy/policy_cases.ts";

import { caseOf, parseCase, payloadBytes, readablePayload, runCase } from "./case_file.ts";
import { parseRedactPath, type RedactPath } from "./redaction.ts";
import { readyModule } from "./replay_modules.ts";
import { refusesFrom } from "./testing/guest_text.ts";
import { builtReady, MEMORY_PAGES, Recorder } from "./testing/recorded.ts";

const MODULE = await readyModule(await refusesFrom(20), MEMORY_PAGES);

Deno.test("cases: a payload in its readable form gives the same bytes again", () => {
  const text = fc.oneof(fc.json().map((one) => new TextEncoder().encode(one)), fc.uint8Array());
  fc.assert(fc.property(text, (bytes) => {
    assert.deepEqual(payloadBytes(readablePayload(bytes)), Uint8Array.from(bytes));
  }));
  assert.deepEqual(readablePayload(new TextEncoder().encode('{"a":1}')), { json: { a: 1 } });
  assert.deepEqual(readablePayload(new TextEncoder().encode('{"a": 1}')), { text: '{"a": 1}' });
});

Deno.test("cases: half of them refused, no two alike, the same ones each time", () => {
  const recorder = new Recorder("p", MODULE);
  const records = Array.from(
    { length: 400 },
    (_, at) => recorder.record({ payload: at % 10 === 0 ? "y".repeat(20 + at) : `${at % 50}` }),
  );
  const choose = (count: number) => {
    const choice = createChoice(count);
    for (const one of records) choice.offer(one.id, one.allowed, () => caseOf(one, 0, []));
    return choice.chosen();
  };
  const some = choose(20);
  assert.equal(some.filter(({ verdict }) => verdict.allowed).length, 10);
  assert.equal(new Set(some.map(({ payload }) => JSON.stringify(payload))).size, 20);
  assert.deepEqual(choose(20), some);
  // There are 45 other allowed payloads and 40 refused ones.
  const all = choose(1_000);
  assert.deepEqual([all.length, all.filter(({ verdict }) => !verdict.allowed).length], [85, 40]);
  assert.deepEqual(choose(60).filter(({ verdict }) => verdict.allowed).length, 30);
});

Deno.test("cases: written, read and run, they repeat the recorded decisions", () => {
  const recorder = new Recorder("p", MODULE);
  for (const payload of ["short", "long".repeat(20), '{"a":[1,2,3]}']) {
    const made = caseOf(recorder.record({ payload }), 0, []);
    const read = parseCase(JSON.stringify(made));
    assert.ok("case" in read, JSON.stringify(read));
    const { differs, unknown, units } = runCase(MODULE, read.case);
    assert.deepEqual([differs, unknown, units], [[], [], read.case.verdict.units]);
  }
  const problem = parseCase("{}");
  assert.ok("problem" in problem);
});

Deno.test("cases: a policy's state is redacted as payloads are, and its key is in no case", async () => {
  const recorder = new Recorder("p", await builtReady("rate_limit"));
  const record = recorder.record({ payload: "{}" });
  const [policy] = record.policies as [PolicyRecord];
  const kept = (value: string, ...redact: readonly string[]) => {
    const state = { from: "state" as const, name: "{user}", key: '["ann"]' };
    const reads = [{ ...state, value: btoa(value) }, { ...state, value: null }];
    const paths = redact.map((one) => parseRedactPath(one) as RedactPath);
    const made = caseOf({ ...record, policies: [{ ...policy, reads }] }, 0, paths);
    assert.ok(made !== undefined && !JSON.stringify(made.reads).includes("ann"));
    const [first, none] = made.reads;
    assert.equal(none!.value, null);
    return [atob(first!.value ?? ""), made.is_redacted];
  };
  assert.deepEqual(kept("\x00\xff\x07"), ["\x00\xff\x07", false]);
  assert.deepEqual(kept("\x00\xff\x07", "data.email"), ["[redacted]", true]);
  const state = '{"email":"a@b","password":"p","n":1}';
  assert.deepEqual(kept(state), ['{"email":"a@b","password":"[redacted]","n":1}', true]);
  assert.deepEqual(
    kept(state, "data.email"),
    ['{"email":"[redacted]","password":"[redacted]","n":1}', true],
  );
});
