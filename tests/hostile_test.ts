/**
 * Every module of `hostile_modules.ts` on one running bus, through the admin API and real clients,
 * while other tenants go on sending: what they send arrives, all of it and in order.
 */
import assert from "node:assert/strict";
import { startBus } from "./harness/bus.ts";
import type { TestBus } from "./harness/bus.ts";
import { HOSTILE_MODULES } from "./peers/hostile_modules.ts";
import type { AllowedMessage, BlockedMessage, HostileModule } from "./peers/hostile_modules.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import type { PolicyAdmin } from "./peers/policy_admin.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const WORKERS = 2;
/**
 * Two workers, so that every hostile tenant shares one with somebody. How long a verdict takes is
 * the machine's business here and the benchmark's to measure: nothing may stall, and no heartbeat
 * comes between the messages that are counted.
 */
const CONFIG = `
[server]
host = "127.0.0.1"
drain_ms = 0
heartbeat_ms = 600_000
[ops]
host = "127.0.0.1"
[policy]
workers = ${WORKERS}
stall_ms = 60_000
`;
/** As many as a sender may have faults before it is slowed: each of them meets the module itself. */
const MESSAGES = 3;
/** What a tenant's messages may cost in memory, hostile or not; a compile bomb takes gigabytes. */
const RESIDENT_BYTES = 1_500_000_000;
/** Messages of a steady tenant that wait for their ACK; far below what a connection may have. */
const WINDOW = 256;
const BURST = 5;
const BURST_MS = 5;

/** A tenant that sends about a thousand messages a second and hears them. */
interface Steady {
  /** Resolves when a message that is sent from now on has arrived. */
  progress(): Promise<void>;
  /** Stops; resolves with the number of messages, all of which arrived and were acknowledged in order. */
  stop(): Promise<number>;
}

async function startSteady(bus: TestBus, tenant: string): Promise<Steady> {
  const token = await bus.tokenFor({ tenant });
  const listener = await openText(bus.url, token);
  listener.send({ op: "sub", room: "steady", id: 1 });
  assert.equal((await listener.json()).code, 0);
  const publisher = await openText(bus.url, token);
  const waiting = new Map<number, () => void>();
  let sent = 0;
  let acknowledged = 0;
  let last = Infinity;
  const send = () => {
    publisher.send({ op: "pub", room: "steady", type: "n", data: ++sent, id: sent });
  };
  const timer = setInterval(() => {
    for (let index = 0; index < BURST && sent - acknowledged < WINDOW; index++) send();
  }, BURST_MS);
  const acknowledge = async () => {
    while (acknowledged < last) {
      const { op, id, code, reason } = await publisher.json();
      assert.deepEqual({ op, id, code, reason }, {
        op: "ack",
        id: ++acknowledged,
        code: 0,
        reason: undefined,
      });
    }
  };
  const hear = async () => {
    for (let heard = 1; heard <= last; heard++) {
      assert.equal((await listener.json()).data, heard, "in order, none lost, none twice");
      waiting.get(heard)?.();
    }
  };
  const all = Promise.all([acknowledge(), hear()]);
  // Told by whoever waits for it; until then it must not end the process.
  all.catch(() => clearInterval(timer));
  return {
    progress() {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(sent + 1, resolve);
      return Promise.race([promise, all.then(() => {})]);
    },
    async stop() {
      clearInterval(timer);
      last = sent + 1;
      send();
      await all;
      for (const client of [publisher, listener]) client[Symbol.dispose]();
      return sent;
    },
  };
}

/** The module is taken, put in force for a tenant of its own, and blocks that tenant's messages. */
async function runMessages(
  bus: TestBus,
  admin: PolicyAdmin,
  hostile: HostileModule,
  outcome: BlockedMessage | AllowedMessage,
): Promise<void> {
  const { name } = hostile;
  const uploaded = await admin.upload(hostile.make());
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body));
  const { sha256 } = uploaded.body;
  const deployed = await admin.post("deploy", { tenant: name, name, sha256 });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  assert.equal((deployed.body["here"] as { state: string }).state, "active");
  const client = await openText(bus.url, await bus.tokenFor({ tenant: name }));
  client.send({ op: "sub", room: "r", id: 1 });
  assert.equal((await client.json()).code, 0);
  const passes = outcome.code === 0 ? MESSAGES : 0;
  for (let id = 2; id < 2 + MESSAGES; id++) {
    client.send({ op: "pub", room: "r", data: "judged", id });
  }
  await expectAnswers(client, outcome, passes);
  const removed = await admin.remove(name, name);
  assert.equal(removed.status, 200, JSON.stringify(removed.body));
  client.send({ op: "pub", room: "r", data: "free again", id: 9 });
  assert.equal(await nextMessage(client), "free again", "nothing that was refused reached anybody");
  client[Symbol.dispose]();
  await expectVerdicts(bus, name, outcome);
}

async function expectAnswers(
  client: RawClient,
  outcome: BlockedMessage | AllowedMessage,
  passes: number,
): Promise<void> {
  const answers = [];
  let heard = 0;
  while (answers.length < MESSAGES || heard < passes) {
    const frame = await client.json();
    if (frame.op === "ack") answers.push(frame);
    else {
      assert.equal(frame.data, "judged");
      heard++;
    }
  }
  assert.equal(heard, passes);
  for (const { code, reason, message } of answers) {
    assert.equal(code, outcome.code, message);
    if (outcome.code === 0) continue;
    assert.equal(message, "Message blocked by policy");
    assert.equal(reason, outcome.code === 403 ? "policy-rejected" : "policy-fault");
  }
}

/** The data of the next message; acknowledgements are passed over. */
async function nextMessage(client: RawClient): Promise<unknown> {
  for (;;) {
    const frame = await client.json();
    if (frame.op === "msg") return frame.data;
    assert.equal(frame.code, 0, JSON.stringify(frame));
  }
}

/** Each message was refused for the reason that the table names, and for no other. */
async function expectVerdicts(
  bus: TestBus,
  name: string,
  outcome: BlockedMessage | AllowedMessage,
): Promise<void> {
  const lines = (await metrics(bus)).split("\n").filter((line) =>
    line.startsWith("shield_policy_verdicts_total") && line.includes(`module="${name}"`)
  );
  const verdict = outcome.code === 0 ? "allowed" : "refused";
  const reason = outcome.code === 0 ? "none" : outcome.fault ?? "policy";
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.match(lines[0] ?? "", new RegExp(`verdict="${verdict}",reason="${reason}"`));
  assert.match(lines[0] ?? "", new RegExp(` ${MESSAGES}$`));
}

async function metrics(bus: TestBus): Promise<string> {
  return await (await fetch(`${bus.ops_url}/metrics`)).text();
}

async function run(bus: TestBus, admin: PolicyAdmin, hostile: HostileModule): Promise<void> {
  const { outcome } = hostile;
  if (outcome.at === "message") return await runMessages(bus, admin, hostile, outcome);
  const { status, body } = await admin.upload(hostile.make());
  assert.equal(status, outcome.status, JSON.stringify(body));
  assert.match(String(body["detail"]), outcome.detail);
  assert.equal(body["reason"], status === 413 ? "too-large" : "invalid-policy");
}

/** The process is as it was: ready, its workers the same ones, nothing waiting, memory bounded. */
async function expectHealthy(bus: TestBus, admin: PolicyAdmin): Promise<void> {
  const ready = await fetch(`${bus.ops_url}/health/ready`);
  assert.equal(ready.status, 200);
  assert.equal((await ready.json()).status, "ok");
  const { policies } = await admin.status();
  const { workers, workers_replaced, quarantined, pending, open_breakers } = policies;
  assert.deepEqual({ workers, workers_replaced, quarantined, pending, open_breakers }, {
    workers: WORKERS,
    workers_replaced: 0,
    quarantined: [],
    pending: 0,
    open_breakers: [],
  });
  const resident = /^process_resident_memory_bytes (\d+)/m.exec(await metrics(bus))?.[1];
  assert(Number(resident) < RESIDENT_BYTES, `${resident} bytes are resident`);
  assert.doesNotMatch(bus.log(), /level=error/);
}

/** Runs every module on a bus of this configuration; gives the bus's metrics at the end. */
async function runAll(
  t: Deno.TestContext,
  text: string,
  words: Uint8Array<ArrayBuffer>,
): Promise<string> {
  const config = await Deno.makeTempFile({ suffix: ".toml" });
  try {
    await Deno.writeTextFile(config, text);
    await using bus = await startBus(["--config", config]);
    const admin = await policyAdmin(bus);
    // One whose messages pass the same workers, and one without any policy.
    const { body: { sha256 } } = await admin.upload(words);
    const deployed = await admin.post("deploy", { tenant: "guarded", name: "words", sha256 });
    assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
    const steady = [await startSteady(bus, "guarded"), await startSteady(bus, "plain")];
    for (const hostile of HOSTILE_MODULES) {
      await t.step(hostile.name, async () => {
        await run(bus, admin, hostile);
        await Promise.all(steady.map((tenant) => tenant.progress()));
      });
    }
    await t.step("afterwards: everything arrived, and the process is healthy", async () => {
      for (const tenant of steady) assert(await tenant.stop() > HOSTILE_MODULES.length);
      await expectHealthy(bus, admin);
    });
    return await metrics(bus);
  } finally {
    await Deno.remove(config);
  }
}

const WORDS = `${ROOT}/policies/build/bad_words.wasm`;

Deno.test("hostile modules hurt their own tenant only", async (t) => {
  const text = await runAll(t, CONFIG, await Deno.readFile(WORDS));
  assert.match(text, /^shield_policy_inline_total\{result="verdict".*\} 0$/m);
});
