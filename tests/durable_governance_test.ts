/**
 * Who may read a durable room; recovery repeats no checks. Policies, schemas and mirroring act at publish; room classes
 * change while the bus runs.
 */
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { enforce } from "./peers/policy_admin.ts";
import { requirePing } from "./peers/schema_admin.ts";

const CONFIG = `
[server]
drain_ms = 0
[[rooms]]
room = "log-*"
durable = true
[platform.mirroring]
rules = [{ prefix = "in.t.default.r.log-*", percent = 1.0 }]
`;
interface Stage {
  readonly bus: TestBus;
  open(): Promise<DurableClient>;
}

/** Sums of the series of these names. */
async function counts(bus: TestBus, names: readonly string[]): Promise<number[]> {
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  return names.map((name) => {
    const line = new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+]+)$`, "gm");
    return [...text.matchAll(line)].reduce((sum, [, value]) => sum + Number(value), 0);
  });
}

async function onlyOnce({ bus, open }: Stage): Promise<void> {
  const room = "log-once";
  using publisher = await open();
  const { epoch, offset } = await publisher.join(room);
  const before = await publisher.fill(room, ["malware of old"]);
  await enforce(bus, "bad_words", { name: "words", room: "log-once*", hooks: ["on_message"] });
  assert.equal((await publisher.pub(room, "malware")).reason, "policy-rejected");
  const after = await publisher.fill(room, numbers(0, 10));
  const names = ["policy_execution_duration_count", "shield_mirror_traffic_total"];
  const judged = await counts(bus, names);
  assert.ok(judged.every((count) => count >= 10), `both looked at each message: ${judged}`);
  using reader = await open();
  assert.equal((await reader.join(room, { after_offset: offset, epoch })).recovered, true);
  const all = await reader.receives([...before, ...after]);
  assert.deepEqual(all, ["malware of old", ...numbers(0, 10)]);
  const page = await reader.ask({ op: "cmd", room, name: "history.get" });
  assert.equal(page.result.messages.length, 11);
  assert.deepEqual(await counts(bus, names), judged, "and not at one of them again");
}

async function oldShapes({ bus, open }: Stage): Promise<void> {
  const room = "log-shape";
  using publisher = await open();
  const { epoch, offset } = await publisher.join(room);
  const stored = await publisher.fill(room, ["no ping at all"]);
  await requirePing(bus, "default", room);
  assert.equal((await publisher.pub(room, { text: "no n" })).reason, "schema-violation");
  using reader = await open();
  assert.equal((await reader.join(room, { after_offset: offset, epoch })).recovered, true);
  assert.deepEqual(await reader.receives(stored), ["no ping at all"]);
}

async function setClass(bus: TestBus, room_class: object): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const response = await fetch(`${bus.admin_url}/v1/tenants/default/rooms`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(room_class),
  });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.equal(body.here.in_force, true);
}

/** One connection persists through everything. */
async function turned({ bus, open }: Stage): Promise<void> {
  const room = "turn-1";
  using publisher = await open();
  using reader = await open();
  assert.equal(await reader.join(room), undefined);
  await publisher.pub(room, "before");
  const before = await reader.next();
  assert.deepEqual([before.data, before.offset], ["before", undefined]);
  await setClass(bus, { room: "turn-*", durable: true });
  const [offset = 0] = await publisher.fill(room, ["durable"]);
  const durable = await reader.next();
  assert.deepEqual([durable.data, durable.offset], ["durable", offset]);
  using other = await open();
  const { epoch } = await other.join(room);
  const [next = 0] = await publisher.fill(room, ["missed"]);
  using back = await open();
  const place = { after_offset: offset, epoch };
  assert.equal((await back.join(room, place)).recovered, true);
  assert.deepEqual(await back.receives([next]), ["missed"]);
  await reader.receives([next]);
  await setClass(bus, { room: "turn-*", durable: false });
  const refused = await back.sub(room, place);
  assert.deepEqual([refused.code, refused.reason], [400, "not-durable"]);
  const history = await back.ask({ op: "cmd", room, name: "history.get" });
  assert.equal(history.reason, "not-durable");
  assert.equal((await publisher.pub(room, "after")).offset, undefined);
  const after = await reader.next();
  assert.deepEqual([after.data, after.offset], ["after", undefined]);
}

Deno.test("durable rooms under policies, schemas and tails", async (t) => {
  await using bus = await startLocalBus(CONFIG + PATIENT_POLICIES);
  const open = () => DurableClient.open(bus.url, bus.token);
  const step = (name: string, run: (stage: Stage) => Promise<void>) =>
    t.step(name, () => run({ bus, open }));
  await step("policies and mirroring see a message once, at publish", onlyOnce);
  await step("messages stored before a schema are delivered unchanged", oldShapes);
  await step("a room becomes durable and stops being so under its subscribers", turned);
});
