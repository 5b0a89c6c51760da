/** Repeated calls: equal ones, different ones, and unknown instead of guessed results. */
import assert from "node:assert/strict";
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { caseOf, runCase } from "./case_file.ts";
import { OwnState, payloadAt, RecordedInputs } from "./recorded_call.ts";
import { Repeater, type RepeaterOptions } from "./repeater.ts";
import { isSelected } from "./selection.ts";
import { readyModule } from "./replay_modules.ts";
import { addTally, plain, type Tally } from "./tally.ts";
import {
  alternates,
  asksForOthers,
  limits,
  refusesAll,
  refusesFrom,
  saysHello,
  traps,
  wantsClaim,
  wantsHeader,
  writesBlindly,
} from "./testing/guest_text.ts";
import { builtReady, linesOf, MEMORY_PAGES, Recorder } from "./testing/recorded.ts";

const WORDS = await builtReady("bad_words");
const ready = async (bytes: Promise<Uint8Array>) => await readyModule(await bytes, MEMORY_PAGES);
const SMALL = await ready(refusesFrom(20));

type Given = Partial<RepeaterOptions> & { readonly selection?: RepeaterOptions["selection"] };

const repeat = async (lines: readonly unknown[], given: Given = {}) =>
  plain(await tallied(lines, given));

async function tallied(lines: readonly unknown[], given: Given = {}): Promise<Tally> {
  const repeater = new Repeater({
    isSelected,
    selection: { policy: "p" },
    candidate: SMALL,
    moduleOf: () => Promise.resolve(undefined),
    ...given,
  });
  await repeater.feed({ first_line: 1, bytes: new TextEncoder().encode(linesOf(lines)) });
  return repeater.tally;
}

function sized(sizes: readonly number[]): JournalRecord[] {
  const recorder = new Recorder("p", SMALL);
  return sizes.map((size) => recorder.record({ payload: "x".repeat(size) }));
}

/** The record with changed members of its policy. */
function withPolicy(record: JournalRecord, change: Partial<PolicyRecord>): JournalRecord {
  return { ...record, policies: record.policies.map((one) => ({ ...one, ...change })) };
}

Deno.test("replay: the recorded module repeats its decisions, fuel included", async () => {
  const { recorded, candidate, decisions } = await repeat(sized([5, 19, 20, 400]));
  assert.deepEqual([decisions, recorded.repeated, recorded.same], [4, 4, 4]);
  assert.deepEqual([candidate.to_allowed, candidate.to_refused], [0, 0]);
});

Deno.test("replay: every difference from the record is reported with the differing member", async () => {
  const [one, two, three] = sized([5, 5, 30]) as [JournalRecord, JournalRecord, JournalRecord];
  const { recorded } = await repeat([
    withPolicy(one, { allowed: false, code: 403, reason: "no" }),
    withPolicy(two, { added_headers: [["x-a", "1"]] }),
    withPolicy(three, { code: 429, units: 1 }),
  ]);
  assert.deepEqual(recorded.different, {
    "verdict, code, reason": 1,
    "headers": 1,
    "code, fuel": 1,
  });
  assert.deepEqual(recorded.samples.map(({ id }) => id), [one.id, two.id, three.id]);
});

Deno.test("replay: a difference in fuel alone is separate for a module that may keep memory, and fails for others", async () => {
  const [record] = sized([5]) as [JournalRecord];
  const other = [withPolicy(record, { units: 1 })];
  const stateful = await repeat(other);
  assert.deepEqual([stateful.recorded.stateful_fuel, stateful.recorded.different], [1, {}]);
  const fresh = await repeat(other, { candidate: { ...SMALL, is_stateful: false } });
  assert.deepEqual(fresh.recorded.different, { fuel: 1 });
});

Deno.test("replay: another version of the transform: fuel is not compared, the rest is", async () => {
  const records = sized([5, 30]).map((one) => ({
    ...withPolicy(one, { units: 7 }),
    meter_version: 1,
  }));
  const { recorded } = await repeat(records, { candidate: { ...SMALL, is_stateful: false } });
  assert.deepEqual([recorded.fuel_not_compared, recorded.same], [2, 2]);
});

Deno.test("replay: a call that ended within its budget does so when prices have risen since", async () => {
  const [record] = sized([5]) as [JournalRecord];
  const [policy] = record.policies as [JournalRecord["policies"][number]];
  const short = withPolicy(record, { units: 7, budget_units: policy.units! - 1 });
  const { recorded } = await repeat([{ ...short, meter_version: 1 }]);
  assert.deepEqual([recorded.same, recorded.different], [1, {}]);
  const today = await repeat([short]);
  assert.deepEqual(Object.values(today.recorded.different), [1]);
});

Deno.test("replay: flips of a planted change are those that a ledger of our own expects", async () => {
  const sizes = Array.from({ length: 200 }, (_, at) => at % 41);
  const flips: string[] = [];
  const candidate = await ready(refusesFrom(30));
  const records = sized(sizes);
  const { candidate: found } = await repeat(records, {
    candidate,
    moduleOf: () => Promise.resolve(SMALL),
    onFlip: (kind, { id }) => flips.push(`${kind} ${id}`),
  });
  const expected = records.filter((_, at) => sizes[at]! >= 20 && sizes[at]! < 30);
  assert.deepEqual(flips, expected.map(({ id }) => `to_allowed ${id}`));
  assert.deepEqual([found.to_allowed, found.to_refused], [expected.length, 0]);
  assert.ok(found.samples.to_allowed.every(({ payload }) => /^x{20,29}$/.test(payload ?? "")));
});

Deno.test("replay: an input that the record lacks is unknown, never guessed", async () => {
  const recorder = new Recorder("p", WORDS);
  const records = [recorder.record({ payload: "a" }), recorder.record({ payload: "b" })];
  for (
    const [module, what] of [[wantsHeader(), "header x-plan"], [
      wantsClaim(),
      "claim x-plan",
    ]] as const
  ) {
    const { candidate } = await repeat(records, { candidate: await ready(module) });
    assert.deepEqual([candidate.unknown, candidate.repeated], [{ [what]: 2 }, 0]);
  }
  const hashed = { form: "hash", sha256: "0".repeat(64), bytes: 1 } as const;
  const lost = records.map((one) => ({ ...one, payload: hashed }));
  const { candidate } = await repeat(lost);
  assert.deepEqual([candidate.unknown, candidate.repeated], [{ payload: 2 }, 0]);
});

Deno.test("replay: inputs whose names a module invents are counted together beyond a limit", async () => {
  const records = Array.from(
    { length: 30 },
    () => new Recorder("p", WORDS).record({ payload: "a" }),
  );
  const { candidate } = await tallied(records, { candidate: await ready(asksForOthers()) });
  const names = candidate.unknown;
  assert.ok(names.size > 500 && names.size <= 1_001, `${names.size} names`);
});

Deno.test("replay: recorded inputs are given, and those of the chain and of the Shield itself", async () => {
  const wanting = await ready(wantsHeader());
  const recorder = new Recorder("p", wanting);
  const has = recorder.record({ payload: "a", headers: { "x-plan": "free" } });
  const lacks = recorder.record({ payload: "a" });
  assert.deepEqual([has.allowed, lacks.allowed], [true, false]);
  const { recorded } = await repeat([has, lacks], { candidate: wanting });
  assert.deepEqual([recorded.same, recorded.unknown], [2, {}]);
  // The policy ran before the header was added, so the other module's read is not needed.
  const [words] = new Recorder("first", WORDS).record({ payload: "a" }).policies as [PolicyRecord];
  const before = { ...words, added_headers: [["X-Plan", "pro"] as [string, string]] };
  const chained = { ...lacks, policies: [before, { ...lacks.policies[0]!, reads: [] }] };
  const { candidate } = await repeat([chained], { candidate: wanting });
  assert.deepEqual([candidate.to_allowed, candidate.unknown], [1, {}]);
  const erased = withPolicy(has, {
    reads: [{ from: "header", name: "x-plan", value: null, is_erased: true }],
  });
  const gone = await repeat([erased], { candidate: wanting });
  assert.deepEqual(gone.recorded.unknown, { "header x-plan": 1 });
});

Deno.test("replay: the payload is the one that an earlier policy has replaced", async () => {
  const [record] = sized([25]) as [JournalRecord];
  const [words] = new Recorder("first", WORDS).record({ payload: "a" }).policies as [PolicyRecord];
  const short = { ...words, payload: btoa("short") };
  const second = { ...record.policies[0]!, allowed: true, code: 0 };
  const { candidate } = await repeat([{ ...record, policies: [short, second] }]);
  assert.deepEqual([candidate.repeated, candidate.to_refused], [1, 0]);
  const watched = { ...short, mode: "observe" as const };
  const observed = await repeat([{ ...record, policies: [watched, second] }]);
  assert.equal(observed.candidate.to_refused, 1, "a policy that observes replaces nothing");
});

Deno.test("replay: holes, bad lines, other policies, rooms and times are counted, not compared", async () => {
  const [record] = sized([5]) as [JournalRecord];
  const about = { node: "n", tenant: "default", from_ms: 1, to_ms: 2 };
  const holes = [{ format: 1, hole: { ...about, records: 3, why: "queue-full" } }, {
    format: 1,
    hole: { ...about, records: null, why: "killed" },
  }];
  const counted = await tallied([
    record,
    ...holes,
    { format: 9 },
    withPolicy(record, { name: "q" }),
  ]);
  const tally = plain(counted);
  assert.deepEqual([tally.holes, tally.missing, tally.unknown_holes], [2, 3, 1]);
  assert.deepEqual(tally.hole_reasons, { "queue-full": 1, "killed": 1 });
  assert.deepEqual([tally.bad_lines, tally.first_bad?.line], [1, 4]);
  // Several threads count; the first may have seen none.
  const sum = await tallied([record]);
  addTally(sum, counted);
  assert.deepEqual([sum.bad_lines, sum.first_bad?.line], [1, 4]);
  assert.deepEqual([tally.without_policy, tally.other_policies], [1, { q: 1 }]);
  const { time_ms } = record;
  for (
    const [selection, decisions] of [
      [{ room: "chat-*" }, 1],
      [{ room: "lobby" }, 0],
      [{ from_ms: time_ms }, 1],
      [{ from_ms: time_ms + 1 }, 0],
      [{ until_ms: time_ms }, 0],
    ] as const
  ) {
    const found = await repeat([record], { selection: { policy: "p", ...selection } });
    assert.deepEqual([found.decisions, found.outside], [decisions, 1 - decisions]);
  }
});

Deno.test("replay: what the Shield decided for a policy is not repeated, and a lost module is named", async () => {
  const [record] = sized([5]) as [JournalRecord];
  const slow = withPolicy(record, { allowed: false, code: 429, fault: "rate", units: 0 });
  const limited = await repeat([slow]);
  assert.deepEqual([limited.recorded.not_run, limited.candidate.repeated], [{ rate: 1 }, 0]);
  const module = "f".repeat(64);
  const lost = await repeat([withPolicy(record, { module })]);
  assert.deepEqual(lost.recorded.no_module, { [module]: 1 });
  assert.equal(lost.candidate.repeated, 1, "the recorded verdict is still one to compare with");
});

Deno.test("replay: a new module's fault is a flip and counts by name; a missing hook is reported", async () => {
  const records = sized([5, 5, 30]);
  const { candidate } = await repeat(records, { candidate: await ready(traps()) });
  assert.deepEqual([candidate.to_refused, candidate.changed], [2, 1]);
  assert.deepEqual(candidate.faults, { trap: 3 });
  const subscribed = records.map((one) => ({ ...one, hook: "on_subscribe" }));
  const none = await repeat(subscribed, { moduleOf: () => Promise.resolve(undefined) });
  assert.equal(none.candidate.no_hook, 3);
});

Deno.test("replay: calls of a module of version 2 are independent of earlier ones, of version 1 they may depend", async () => {
  for (const abi of [1, 2] as const) {
    const module = await ready(alternates(abi));
    const recorder = new Recorder("p", module);
    const records = Array.from({ length: 6 }, () => recorder.record({ payload: "a" }));
    assert.equal(records.filter(({ allowed }) => allowed).length, abi === 1 ? 3 : 6);
    // Without the first call, every module that keeps memory is one call behind.
    const { recorded } = await repeat(records.slice(1), { candidate: module });
    assert.deepEqual(Object.keys(recorded.different), abi === 1 ? ["verdict, code"] : []);
    assert.equal(recorded.same, abi === 1 ? 0 : 5);
  }
});

Deno.test("replay: keyed state of the recorded module is what it read, another one begins without", async () => {
  const old = await ready(limits(3));
  const recorder = new Recorder("p", old);
  const users = Array.from({ length: 40 }, (_, at) => `u${at % 4}`);
  const records = users.map((user) => recorder.record({ payload: "a", user }));
  assert.equal(records.filter(({ allowed }) => allowed).length, 12);
  const moduleOf = () => Promise.resolve(old);
  // The recorded module needs nothing earlier: each record has what it read.
  const middle = await repeat(records.slice(20), { candidate: old, moduleOf });
  assert.deepEqual([middle.recorded.same, middle.recorded.different], [20, {}]);
  // As on a Shield: none of the values is handed on, so a limit of five counts from the window's first message.
  const flips: string[] = [];
  const { candidate } = await repeat(records.slice(4), {
    candidate: await ready(limits(5)),
    moduleOf,
    onFlip: (kind, { id, is_warm_up }) => flips.push(`${kind} ${id} ${is_warm_up}`),
  });
  assert.deepEqual(flips, records.slice(12, 24).map(({ id }) => `to_allowed ${id} true`));
  assert.equal(candidate.warm_up, 12);
  const forged = records.map((one) => withPolicy(one, { writes: [] }));
  const { recorded } = await repeat(forged, { candidate: old, moduleOf });
  assert.deepEqual(recorded.different, { state: 40 });
  const unread = records.map((one) => withPolicy(one, { reads: [] }));
  const unknown = await repeat(unread, { candidate: old, moduleOf });
  assert.deepEqual([unknown.recorded.unknown, unknown.recorded.repeated], [
    { "state {user}": 40 },
    0,
  ]);
});

/** A record as the journal returns it after its sender was erased. */
function erased(record: JournalRecord): JournalRecord {
  const gone = { reason: "", detail: "", payload: null, added_headers: [], logs: [] };
  const policies = record.policies.map((one) => ({
    ...one,
    ...gone,
    reads: one.reads.map((read) => ({ ...read, value: null, is_erased: true as const })),
    writes: one.writes.map(({ name }) => ({ name, value: null })),
  }));
  return { ...record, sender: null, payload: { form: "erased" }, policies };
}

Deno.test("replay: erased data is not a difference, and the remaining data is compared", async () => {
  for (const bytes of [refusesAll(), writesBlindly()]) {
    const module = await ready(bytes);
    const record = new Recorder("p", module).record({ payload: "a" });
    const moduleOf = () => Promise.resolve(module);
    const { recorded } = await repeat([erased(record)], { candidate: module, moduleOf });
    assert.deepEqual([recorded.same, recorded.different], [1, {}]);
    const forged = withPolicy(erased(record), { allowed: !record.allowed, code: 0 });
    const other = await repeat([forged], { candidate: module, moduleOf });
    assert.equal(other.recorded.repeated - other.recorded.same, 1);
  }
  const other = await repeat([erased(new Recorder("p", SMALL).record({ payload: "a" }))], {
    candidate: await ready(refusesAll()),
  });
  assert.equal(other.candidate.to_refused, 1);
});

Deno.test("replay: what an unknown call has written is unknown, until a record has it or it has expired", async () => {
  const old = await ready(limits(1, "{tenant}"));
  const recorder = new Recorder("p", old);
  const records = Array.from({ length: 3 }, () => recorder.record({ payload: "a" }));
  assert.deepEqual(records.map(({ allowed }) => allowed), [true, false, false]);
  const [first, second, third] = records as [JournalRecord, JournalRecord, JournalRecord];
  const { candidate } = await repeat([erased(second), third], { candidate: old });
  assert.deepEqual(candidate.unknown, { "state {tenant}": 1 });
  assert.deepEqual([candidate.repeated, candidate.to_allowed], [1, 0], "the third has its value");
  const known = await repeat([first, erased(second)], {
    candidate: await ready(limits(2, "{tenant}")),
  });
  assert.deepEqual([known.candidate.unknown, known.candidate.to_allowed], [{}, 1]);
  const state = new OwnState(old);
  for (const one of [first, erased(second)]) state.follow(one, 0, true);
  state.has_diverged = true;
  const later = (later_ms: number) => {
    const record = withPolicy({ ...third, time_ms: third.time_ms + later_ms }, { reads: [] });
    const inputs = new RecordedInputs(record, 0);
    return [state.of(record, record.policies[0]!, inputs).state.value(0), inputs.unknown?.size];
  };
  assert.deepEqual([later(59_000), later(60_000)], [[null, 1], [null, undefined]]);
});

Deno.test("replay: a header fills a key as it was sent, not as an earlier policy has added it", async () => {
  const module = await ready(limits(3, "{header.x-plan}"));
  const record = new Recorder("p", module).record({ payload: "a" });
  const [own] = record.policies as [PolicyRecord];
  const before = { ...own, name: "first", added_headers: [["x-plan", "pro"] as [string, string]] };
  const call = { ...own, reads: [] };
  const chained = { ...record, policies: [before, call] };
  const inputs = new RecordedInputs(chained, 1);
  new OwnState(module).of(chained, call, inputs);
  assert.deepEqual([inputs.header("x-plan"), [...inputs.unknown ?? []]], [
    "pro",
    ["header x-plan"],
  ]);
});

Deno.test("replay: a state value expires, and after that a new module starts without it", async () => {
  const old = await ready(limits(1));
  const record = new Recorder("p", old).record({ payload: "a" });
  const at = (later_ms: number) => [record, { ...record, time_ms: record.time_ms + later_ms }];
  const far = await repeat(at(60_000), { candidate: old });
  assert.deepEqual([far.candidate.to_refused, far.candidate.warm_up], [0, 0]);
  const near = await repeat(at(59_999), { candidate: old });
  assert.deepEqual([near.candidate.to_refused, near.candidate.warm_up], [1, 1]);
});

Deno.test("replay: a module that replaces a payload fails at a signal, which has none, as on a Shield", async () => {
  const says = await ready(saysHello());
  const [event] = sized([5]) as [JournalRecord];
  const fault = { module: says.sha256, abi: 2, allowed: false, code: 503, fault: "abi" } as const;
  const detail = "host_set_payload: only a message has a payload";
  const signal = {
    ...withPolicy(event, { ...fault, detail }),
    ...{ type: "", content_type: "", payload: { form: "none" } } as const,
  };
  const moduleOf = () => Promise.resolve(says);
  const { candidate, recorded } = await repeat([signal], { candidate: says, moduleOf });
  assert.deepEqual([candidate.faults, candidate.to_allowed], [{ abi: 1 }, 0]);
  assert.deepEqual([recorded.repeated, recorded.different], [1, { fuel: 1 }]);
  assert.equal(caseOf(signal, 0, []), undefined);
});

Deno.test("replay: a payload that a module puts in the place of another is compared, in cases too", async () => {
  const masks = await builtReady("mask_digits");
  const recorder = new Recorder("p", masks);
  const record = recorder.record({ payload: "call 555 0199" });
  const [policy] = record.policies as [PolicyRecord];
  assert.ok(policy.payload !== null, "it replaces the payload");
  const same = await repeat([record], { candidate: masks });
  assert.deepEqual([same.recorded.same, same.candidate.changed], [1, 0]);
  const moduleOf = () => Promise.resolve(masks);
  const gone = await repeat([record], { candidate: WORDS, moduleOf });
  assert.deepEqual([gone.recorded.same, gone.candidate.changed], [1, 1]);
  assert.equal(gone.candidate.samples.changed[0]?.differs, "payload");
  const forged = await repeat([withPolicy(record, { payload: null })], { candidate: masks });
  assert.deepEqual(forged.recorded.different, { payload: 1 });
  const signed = { allowed: false, code: 422, fault: "signed-payload", payload: null };
  const by_sender = { ...withPolicy(record, signed), is_signed: true as const };
  const kept = await repeat([by_sender], { candidate: masks });
  assert.equal(kept.candidate.faults["signed-payload"], 1);
  // The same when the recorded module had not read the payload.
  const untouched = await repeat([{ ...withPolicy(record, { payload: null }), is_signed: true }], {
    candidate: masks,
  });
  assert.equal(untouched.candidate.faults["signed-payload"], 1);
  const signed_case = caseOf(by_sender, 0, []);
  assert.deepEqual(signed_case && runCase(masks, signed_case).differs, []);
  const one = caseOf(record, 0, []);
  assert.ok(one !== undefined);
  const missing = withPolicy(record, { payload: null, is_payload_missing: true });
  const silent = await repeat([missing], { candidate: masks });
  assert.deepEqual([silent.recorded.same, silent.recorded.different], [1, {}]);
  assert.equal(caseOf(missing, 0, []), undefined);
  const behind = { ...missing, policies: [...missing.policies, { ...policy, name: "q" }] };
  assert.equal(payloadAt(behind, 1), undefined);
  assert.deepEqual([runCase(masks, one).differs, runCase(WORDS, one).differs], [[], ["payload"]]);
});
