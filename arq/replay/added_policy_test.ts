/** Which recorded operations a new policy would have judged, and with which inputs. */
import assert from "node:assert/strict";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { isSampled } from "../../shared/sampling.ts";
import { RecordedInputs } from "./recorded_call.ts";
import { type AddedPolicy, NO_MODULE, withAdded } from "./selection.ts";
import { PlannedChain } from "./planned_chain.ts";
import { readyModule } from "./replay_modules.ts";
import { Repeater, type ReplayModule } from "./repeater.ts";
import { binary, guestText } from "../../shield/policy/testing/guests.ts";
import { latches, limits } from "./testing/guest_text.ts";
import { builtReady, MEMORY_PAGES, Recorder } from "./testing/recorded.ts";

const recorder = new Recorder("words", await builtReady("bad_words"));
const tea = recorder.record({ payload: "tea" });
const ADDED: AddedPolicy = {
  name: "new",
  room: "*",
  hooks: ["on_message"],
  order: 5,
  mode: "enforce",
  percent: 1,
  fuel_limit: 10_000,
  orders: new Map([["words", 5]]),
};
const namesOf = (record: JournalRecord | undefined) => record?.policies.map(({ name }) => name);

Deno.test("a new policy runs in the chain by its order, then by its name", () => {
  assert.deepEqual(namesOf(withAdded(tea, ADDED)), ["new", "words"]);
  assert.deepEqual(namesOf(withAdded(tea, { ...ADDED, name: "x" })), ["words", "x"]);
  assert.deepEqual(namesOf(withAdded(tea, { ...ADDED, order: 6 })), ["words", "new"]);
  assert.deepEqual(namesOf(withAdded(tea, { ...ADDED, orders: new Map() })), ["words", "new"]);
  const [own] = withAdded(tea, ADDED)?.policies ?? [];
  assert.deepEqual([own?.module, own?.allowed, own?.writes], [NO_MODULE, true, []]);
  const limited = { ...ADDED, fuel_limit: 1 };
  assert.equal(withAdded(tea, limited)?.policies[0]?.budget_units, tea.policies[0]?.budget_units);
  const alone = withAdded({ ...tea, policies: [] }, limited);
  assert.equal(alone?.policies[0]?.budget_units, 500, "nobody knows the limit of that bus");
});

Deno.test("a new policy is not called for other rooms, hooks and shares, nor for what was refused anyway", () => {
  assert.equal(withAdded(tea, { ...ADDED, room: "other-*" }), undefined);
  assert.notEqual(withAdded(tea, { ...ADDED, room: "chat-*" }), undefined);
  assert.equal(withAdded(tea, { ...ADDED, hooks: ["on_subscribe"] as const }), undefined);
  const refused = recorder.record({ payload: "malware" });
  assert.equal(refused.allowed, false);
  assert.equal(withAdded(refused, { ...ADDED, order: 6 }), undefined, "it would come later");
  assert.equal(withAdded({ ...refused, policies: [] }, ADDED), undefined, "no policy was asked");
  const connecting: JournalRecord = { ...tea, hook: "on_connect", room: "" };
  const entering: AddedPolicy = { ...ADDED, hooks: ["on_connect"], room: "chat-*" };
  assert.notEqual(withAdded(connecting, entering), undefined, "no room counts there");
  const half = { ...ADDED, percent: 0.5 };
  for (let at = 0; at < 50; at++) {
    const trace = at.toString(16).padStart(32, "0");
    const is_asked = withAdded({ ...tea, trace }, half) !== undefined;
    assert.equal(is_asked, isSampled(trace, 0.5), "as a Shield samples");
  }
  assert.equal(withAdded({ ...tea, sender: null }, half), undefined, "nobody knows its key");
});

Deno.test("a new policy is asked about the room beside which a reserved one is, as a Shield asks", () => {
  const hooks = ["on_subscribe"] as const;
  for (const beside of ["growing", "members", "values"]) {
    const entering: JournalRecord = { ...tea, hook: "on_subscribe", room: `chat-1~${beside}` };
    const own = withAdded(entering, { ...ADDED, hooks, room: "chat-1" });
    assert.notEqual(own, undefined, beside);
    assert.equal(withAdded(entering, { ...ADDED, hooks, room: "chat-2" }), undefined);
    assert.equal(new RecordedInputs(own!, 0).header("x-arqon-room"), "chat-1", beside);
  }
});

Deno.test("a new policy finds headers and claims that another policy has read, and none of its state", () => {
  const reads = [
    { from: "claim", name: "plan", value: "gold" },
    { from: "state", name: "{user}", value: "AA==" },
  ] as const;
  const [policy] = tea.policies;
  const record = { ...tea, policies: [{ ...policy!, reads: [...reads] }] };
  const own = withAdded(record, ADDED)?.policies.find(({ name }) => name === "new");
  assert.deepEqual(own?.reads, [reads[0]]);
  // What the policy itself has added was not sent: before it, nobody has it.
  const again = [{ from: "header", name: "x-plan", value: "added" }] as const;
  const adding = { ...policy!, name: "adds", added_headers: [["X-Plan", "added"]] };
  const policies = [adding, { ...policy!, reads: [...again] }] as typeof tea.policies;
  const first = withAdded({ ...tea, policies }, {
    ...ADDED,
    order: -1,
    orders: new Map([["adds", 0], ["words", 1]]),
  });
  assert.deepEqual(first?.policies[0]?.reads, []);
});

Deno.test("a new policy counts the calls that are refused behind it, and judges only the others", async () => {
  const repeater = new Repeater({
    selection: { policy: "new" },
    isSelected: () => true,
    candidate: await readyModule(await limits(2), MEMORY_PAGES),
    withAdded: (record) => withAdded(record, ADDED),
    moduleOf: () => Promise.resolve(undefined),
  });
  for (const payload of ["malware", "tea", "milk"]) {
    await repeater.take(recorder.record({ payload }));
  }
  const { decisions, candidate } = repeater.tally;
  assert.deepEqual([decisions, candidate.to_refused, candidate.to_allowed], [2, 1, 0]);
});

type Bound = { readonly name: string; readonly module: ReplayModule };

/** A chain of planned policies, in this order, which no gate of the plan changes. */
async function chainOf(policies: readonly Bound[], fuel_limit = 10_000) {
  const same = { is_changed: false, decide: () => ({}) };
  return await PlannedChain.of({
    policies: policies.map(({ name, module: { sha256 } }, order) => (
      { name, sha256, order, room: "*", hooks: ["on_message"], mode: "enforce", percent: 1 }
    )),
    moduleOf: (sha256) =>
      Promise.resolve(policies.find(({ module }) => module.sha256 === sha256)?.module),
    fuel_limit,
    chain_fuel_limit: 2 * fuel_limit,
    max_frame_bytes: 40_000,
    gates: { signature: same, schema: same },
  });
}

const countsOf = ({ tally }: PlannedChain) => [
  tally.allow_to_refuse,
  tally.refuse_to_allow,
  tally.still_refused,
  tally.unknown,
];

Deno.test("a plan does not count state that a call wrote unread which the plan refuses", async () => {
  const module = await readyModule(await latches(6), MEMORY_PAGES);
  const words = { name: "first", module: await builtReady("bad_words") };
  const latch = { name: "latch", module };
  for (
    const [policies, counts] of [[[latch], [0, 0, 1, 0]], [[words, latch], [1, 0, 0, 1]]] as const
  ) {
    const chain = await chainOf(policies);
    const own = new Recorder("latch", module);
    for (const payload of ["malware", "tea"]) chain.take(own.record({ payload }));
    assert.deepEqual(countsOf(chain), counts);
  }
});

Deno.test("a plan counts the fuel of a call and of the chain as this bus limits them", async () => {
  const module = await builtReady("bad_words");
  const { policies: [policy] } = tea;
  const units = policy!.units / UNITS_PER_FUEL;
  const added = ["a", "b", "c"].map((name) => ({ name, module }));
  const judged = async (...given: Parameters<typeof chainOf>) => {
    const chain = await chainOf(...given);
    chain.take({ ...tea, policies: [] });
    return countsOf(chain);
  };
  assert.deepEqual(await judged(added.slice(0, 2), units * 1.2), [0, 0, 0, 0]);
  assert.deepEqual(await judged(added, units * 1.2), [1, 0, 0, 0], "the third has too little left");
  assert.deepEqual(await judged(added.slice(0, 1), units * 0.9), [1, 0, 0, 0]);
});

Deno.test("a plan refuses what a policy makes longer than a frame of this bus", async () => {
  for (
    const [bytes, counts] of [[5_000, [0, 0, 0, 0]], [30_000, [0, 0, 0, 1]], [40_001, [
      1,
      0,
      0,
      0,
    ]]] as const
  ) {
    const body = `(call $set_payload (i32.const 0) (i32.const ${bytes})) (i32.const 0)`;
    const module = await readyModule(binary(guestText({ abi: 2, body })), MEMORY_PAGES);
    const chain = await chainOf([{ name: "long", module }]);
    chain.take({ ...tea, policies: [] });
    assert.deepEqual(countsOf(chain), counts, `${bytes} bytes`);
  }
});

Deno.test("a plan calls no policy of a chain in which one was not ready", async () => {
  const module = await readyModule(await limits(1), MEMORY_PAGES);
  const words = { name: "words", module: await builtReady("bad_words") };
  const chain = await chainOf([{ name: "limit", module }, words]);
  const [policy] = tea.policies;
  const slow = { ...policy!, allowed: false, code: 503, fault: "sender-slowed", reads: [] };
  const refused = { ...tea, allowed: false, reason: "policy-fault", policies: [slow] };
  for (const record of [refused, tea, tea]) chain.take(record);
  assert.deepEqual(countsOf(chain), [1, 0, 1, 0], "the limit counts from the second on");
});
