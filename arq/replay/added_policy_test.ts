/** Which recorded operations a new policy would have judged, and with which inputs. */
import assert from "node:assert/strict";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { isSampled } from "../../shared/sampling.ts";
import { RecordedInputs } from "./recorded_call.ts";
import { type AddedPolicy, NO_MODULE, withAdded } from "./selection.ts";
import { PlannedChain } from "./planned_chain.ts";
import { readyModule } from "./replay_modules.ts";
import { Repeater, type ReplayModule } from "./repeater.ts";
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

/** What a chain of `latches` and a policy of which the plan may make the first one says of these payloads. */
async function latched(first: ReplayModule | undefined, payloads: readonly string[]) {
  const module = await readyModule(await latches(6), MEMORY_PAGES);
  const recorder = new Recorder("latch", module);
  const others = first === undefined ? [] : [first];
  const common = {
    room: "*",
    hooks: ["on_message"] as const,
    mode: "enforce" as const,
    percent: 1,
  };
  const same = { is_changed: false, decide: () => ({}) };
  const chain = await PlannedChain.of({
    policies: [
      ...others.map(({ sha256 }) => ({ ...common, name: "first", sha256, order: 0 })),
      { ...common, name: "latch", sha256: module.sha256, order: 1 },
    ],
    moduleOf: (sha256) => Promise.resolve([module, ...others].find((one) => one.sha256 === sha256)),
    fuel_limit: 10_000,
    gates: { signature: same, schema: same },
  });
  for (const payload of payloads) chain.take(recorder.record({ payload }));
  const { allow_to_refuse, refuse_to_allow, still_refused, unknown } = chain.tally;
  return { allow_to_refuse, refuse_to_allow, still_refused, unknown };
}

Deno.test("a plan does not count state that a call wrote unread which the plan refuses", async () => {
  const payloads = ["malware", "tea"];
  const none = { allow_to_refuse: 0, refuse_to_allow: 0, still_refused: 0, unknown: 0 };
  assert.deepEqual(await latched(undefined, payloads), { ...none, still_refused: 1 });
  const words = await builtReady("bad_words");
  assert.deepEqual(await latched(words, payloads), { ...none, allow_to_refuse: 1, unknown: 1 });
});
