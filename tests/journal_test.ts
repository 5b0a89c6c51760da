/**
 * The journal of a bus: every decision once, with its inputs. `tests/model` covers NATS. `shared/journal` and
 * `shield/journal` have the tests of blocks and the queue.
 */
import assert from "node:assert/strict";
import { isHole, type JournalLine, type JournalRecord } from "../shared/journal/record.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { seen } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { journalLines } from "./harness/journal_lines.ts";
import { enforce } from "./peers/policy_admin.ts";
import { ask, openText, type RawClient } from "./peers/raw_client.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const TENANT = "default";
const ROOMS = '[[rooms]]\nroom = "durable-*"\ndurable = true\n';

async function withFolder(run: (data_dir: string) => Promise<void>): Promise<void> {
  const dir = `${ROOT}/.arqon`;
  await Deno.mkdir(dir, { recursive: true });
  const folder = await Deno.makeTempDir({ dir, prefix: "journal-" });
  await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
  await run(`${folder}/data`);
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

function recordsOf(lines: readonly JournalLine[]): JournalRecord[] {
  const records = lines.map((line) => (assert(!isHole(line), JSON.stringify(line)), line));
  return records.sort((a, b) => Number(a.id.split(".").at(-1)) - Number(b.id.split(".").at(-1)));
}

Deno.test("journal: headers and keyed state are written with their values, as they were before the call", async () => {
  await withFolder(async (data_dir) => {
    const config = `[server]\ndata_dir = ${
      JSON.stringify(data_dir)
    }\n[journal]\njournal = "all"\n${PATIENT_POLICIES}`;
    await using bus = await startLocalBus(config);
    await enforce(bus, "rate_limit", { name: "rate", hooks: ["on_message"] });
    using client = await openText(bus.url, bus.token);
    assert.equal(await send(client, "lobby", "hello"), 0);
    assert.equal(await send(client, "lobby", "again"), 0);
    client.send("{");
    assert.equal((await client.json()).op, "err");
    client[Symbol.dispose]();
    await bus.stop();
    const records = recordsOf(await journalLines({ server: { data_dir } }, TENANT));
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
    const [state] = policy!.reads.filter(({ from }) => from === "state");
    assert.equal(state?.value, null, "it is the first of this user");
    assert.equal(state?.key, '["dev"]');
    assert.deepEqual(policy!.writes.map(({ name }) => name), [state?.name]);
    assert(policy!.writes[0]?.value);
    assert.equal(policy!.abi, 2);
    const before = { from: "state", name: "{user}", value: null, key: '["dev"]' };
    assert.deepEqual(policy!.reads.filter(({ from }) => from === "state"), [before]);
    const [{ name, value } = { name: "", value: "" }] = policy!.writes;
    assert.equal(name, "{user}");
    const [kept] = second!.policies[0]!.reads.filter(({ from }) => from === "state");
    assert.deepEqual(kept, { ...before, value });
  });
});

Deno.test("journal: a message without an id is found in its room's log, though its decision took a moment", async () => {
  let looks = 0;
  const now = () => Date.now() + looks++;
  const config = `[journal]\njournal = "all"\n#constant journal.flush_ms = 20\n${ROOMS}`;
  await using bus = await startLocalBus(config, { now });
  using client = await openText(bus.url, bus.token);
  await ask(client, { op: "pub", room: "durable-1", type: "chat", data: "hello" });
  const url = `${bus.admin_url}/v1/journal?tenant=${TENANT}&room=durable-1&payload=1`;
  const headers = { authorization: `Bearer ${await bus.tokenFor({ role: "admin" })}` };
  const lines = await seen(
    "the journal",
    async () => (await (await fetch(url, { headers })).text()).trim().split("\n"),
    ({ length }) => length > 1,
  );
  assert.deepEqual(JSON.parse(lines[0]!).payload, { form: "kept", data: btoa('"hello"') });
});

Deno.test("journal: data that a policy removed from a message is recorded only if the class keeps payloads", async () => {
  await withFolder(async (data_dir) => {
    const classes = [["hash-*", "hash"], ["kept-*", "keep"]].map(([room, payload]) =>
      `[[rooms]]\nroom = "${room}"\njournal_payload = "${payload}"\n`
    ).join("");
    await using bus = await startLocalBus(
      `[server]\ndata_dir = ${
        JSON.stringify(data_dir)
      }\n[journal]\njournal = "all"\n${ROOMS}${classes}${PATIENT_POLICIES}`,
    );
    await enforce(bus, "mask_digits", { name: "mask", hooks: ["on_message"], order: 1 });
    await enforce(bus, "bad_words", { name: "words", hooks: ["on_message"], order: 2 });
    using client = await openText(bus.url, bus.token);
    for (const room of ["lobby", "durable-1", "hash-1", "kept-1"]) {
      assert.equal(await send(client, room, "pin 4711"), 0);
    }
    assert.equal(await send(client, "lobby", "malware 4711"), 403);
    client[Symbol.dispose]();
    await bus.stop();
    const records = recordsOf(await journalLines({ server: { data_dir } }, TENANT));
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
});
