/**
 * The journal of a bus: every decision once, with its inputs. `tests/model` covers NATS. `shared/journal` and
 * `shield/journal` have the tests of blocks and the queue.
 */
import assert from "node:assert/strict";
import { isHole, type JournalRecord } from "../shared/journal/record.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { journalLines } from "./harness/journal_lines.ts";
import { enforce } from "./peers/policy_admin.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";

const TENANT = "default";
const ROOMS = '[[rooms]]\nroom = "durable-*"\ndurable = true\n';

/** What a bus that journals everything has journalled at its end, oldest first. */
async function journalled(
  rooms: string,
  work: (bus: TestBus, client: RawClient) => Promise<void>,
): Promise<JournalRecord[]> {
  await using folder = await temporaryFolder();
  const data_dir = folder.path;
  const config = `[journal]\njournal = "all"\n${rooms}${PATIENT_POLICIES}`;
  await using bus = await startLocalBus(config, { data_dir });
  using client = await openText(bus.url, bus.token);
  await work(bus, client);
  client[Symbol.dispose]();
  await bus.stop();
  const lines = await journalLines({ server: { data_dir } }, TENANT);
  const records = lines.map((line) => (assert(!isHole(line), JSON.stringify(line)), line));
  return records.sort((a, b) => Number(a.id.split(".").at(-1)) - Number(b.id.split(".").at(-1)));
}

async function send(client: RawClient, room: string, text: string): Promise<number> {
  client.send({
    op: "pub",
    room,
    type: "chat",
    data: { text },
    id: 9,
    message_id: `${room}-${text}`,
  });
  return (await client.json()).code;
}

Deno.test("journal: headers and keyed state are written with their values, as they were before the call", async () => {
  const records = await journalled("", async (bus, client) => {
    await enforce(bus, "rate_limit", { name: "rate", hooks: ["on_message"] });
    assert.equal(await send(client, "lobby", "hello"), 0);
    assert.equal(await send(client, "lobby", "again"), 0);
    client.send("{");
    assert.equal((await client.json()).op, "err");
  });
  const unread = records.filter(({ reason }) => reason === "malformed-frame");
  assert.deepEqual(unread.map(({ hook, payload }) => [hook, payload.form]), [
    ["on_message", "none"],
  ]);
  const [first, second] = records.filter(({ room }) => room === "lobby");
  const { time_ms, policies: [policy] } = first!;
  const reads = new Map(policy!.reads.map(({ name, value }) => [name, value]));
  assert.equal(reads.get("x-arqon-now-ms"), String(time_ms), JSON.stringify(policy));
  assert(policy!.asking_bytes > 0);
  assert.equal(policy!.abi, 2);
  const before = { from: "state", name: "{user}", value: null, key: '["dev"]' };
  assert.deepEqual(policy!.reads.filter(({ from }) => from === "state"), [before]);
  assert.deepEqual(policy!.writes.map(({ name }) => name), ["{user}"]);
  const { value } = policy!.writes[0]!;
  assert(value, "its state was written");
  const [kept] = second!.policies[0]!.reads.filter(({ from }) => from === "state");
  assert.deepEqual(kept, { ...before, value });
});

Deno.test("journal: data that a policy removed from a message is recorded only if the class keeps payloads", async () => {
  const classes = [["hash-*", "hash"], ["kept-*", "keep"]].map(([room, payload]) =>
    `[[rooms]]\nroom = "${room}"\njournal_payload = "${payload}"\n`
  ).join("");
  const records = await journalled(ROOMS + classes, async (bus, client) => {
    await enforce(bus, "mask_digits", { name: "mask", hooks: ["on_message"], order: 1 });
    await enforce(bus, "bad_words", { name: "words", hooks: ["on_message"], order: 2 });
    for (const room of ["lobby", "durable-1", "hash-1", "kept-1"]) {
      assert.equal(await send(client, room, "pin 4711"), 0);
    }
    assert.equal(await send(client, "lobby", "malware 4711"), 403);
  });
  const messages = records.filter(({ hook }) => hook === "on_message");
  const written = messages.map(({ room, offset, payload, policies }) => [
    room,
    offset,
    payload.form === "kept" ? atob(payload.data) : payload.form,
    policies.map(({ payload, is_payload_missing }) =>
      payload === null ? is_payload_missing ?? null : atob(payload)
    ),
  ]);
  const before = '{"text":"pin 4711"}';
  const after = '{"text":"pin ****"}';
  assert.deepEqual(written, [
    ["lobby", null, "reference", [after, null]],
    ["durable-1", 1, "reference", [after, null]],
    ["hash-1", null, "hash", [true, null]],
    ["kept-1", null, before, [after, null]],
    ["lobby", null, "reference", [true, null]],
  ]);
});
