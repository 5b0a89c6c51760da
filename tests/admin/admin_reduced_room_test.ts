/**
 * Rooms with reducers, folded again beside the bus: `arq room verify`, `at` and `diff` as a person uses them, their
 * authorization, and a log with a changed digest.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { readEnvelope } from "@arqon/proto";
import { runProgram } from "../../arq/program/program.ts";
import { exitCodeOf, explain } from "../../arq/terminal/exit.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { decodeBatch, encodeBatch } from "../../brain/reducers/log/batch.ts";
import { configFrom } from "../../shared/config/load.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { testLog } from "../../shared/testing/logs.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { startNats } from "../harness/nats_server.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { reducedRooms, reducerFile } from "../../shared/testing/reducers.ts";

const CONFIG = `
[admin]
operator_tenants = ["ops"]
[limits]
#constant limits.command_timeout_ms = 60_000
#constant reducers.snapshot_entries = 4
${reducedRooms("count-*", "counter")}
`;

/** The room, and one of its values. */
const PLACE = ["count-1", "--prefix", "total"];

/** Calls a room ten times: it adds 1, 2, … */
async function count(bus: TestBus, room: string): Promise<void> {
  const request_timeout_ms = 60_000;
  await using client = await connect({
    url: bus.url,
    token: await bus.tokenFor(),
    request_timeout_ms,
  });
  const counter = reduced<{ add: [number | string, number] }>(client.room(room));
  for (let at = 1; at <= 9; at++) await counter.call("add", at);
  // It is an entry like any other, and changes nothing.
  await assert.rejects(counter.call("add", "many"), { reason: "call-rejected" });
}

const adminOf = async (bus: TestBus, tenant: string) =>
  new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", tenant, user: "root" }));

async function arqOf(bus: TestBus, tenant = "default") {
  const token = await bus.tokenFor({ role: "admin", tenant, user: "root" });
  const own = ["--admin-url", bus.admin_url, "--token", token];
  return async (...args: string[]) => {
    const io = diskIo(Deno.cwd());
    let output = "";
    const code = await runProgram(io, ["room", ...args, ...own]).catch((error) => {
      output = explain(error);
      return exitCodeOf(error);
    });
    return { code, stdout: io.stdout.text(), stderr: io.stderr.text() + output };
  };
}

Deno.test("a room is verified from its first entry, and shown as it was at any", async () => {
  await using bus = await startLocalBus(CONFIG);
  await count(bus, "count-1");
  const arq = await arqOf(bus);
  const verified = await arq("verify", "count-1");
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /^count-1: 10 entries from the first to entry 10 by 1 program/);
  assert.match(verified.stdout, /, past \d snapshots?: the same\nstate +[0-9a-f]{64}\nchain /);
  const answer = JSON.parse((await arq("verify", "count-1", "--json")).stdout);
  assert.deepEqual([answer.same, answer.begin, answer.offset, answer.differs], [true, 0, 10, null]);
  for (const [offset, total] of [[1, "1"], [4, "10"], [7, "28"], [10, "45"]] as const) {
    const { stdout, stderr } = await arq("at", ...PLACE, "--offset", String(offset));
    assert.equal(stdout, `total = ${total}\n`, stderr);
    assert.match(stderr, new RegExp(`^count-1 after entry ${offset}, 20.*Z: 2 values of`));
  }
  const now = JSON.parse((await arq("at", "count-1", "--json")).stdout);
  assert.deepEqual([now.offset, now.values, now.chain], [
    10,
    { total: "45", "user/tester": "45" },
    answer.chain,
  ]);
  assert.equal((await arq("at", "count-1", "--offset", "0")).stdout, "");
  assert.equal((await arq("at", "count-1", "--prefix", "x")).stdout, "");
  const then = new Date(now.at_ms).toISOString();
  const at = JSON.parse((await arq("at", "count-1", "--time", then, "--json")).stdout);
  assert.equal(at.state, now.state);
  const before = await arq("at", "count-1", "--time", "2020-01-01", "--json");
  assert.equal(JSON.parse(before.stdout).offset, 0);
  const diff = async (...args: string[]) => (await arq("diff", ...PLACE, ...args)).stdout;
  assert.equal(await diff("--from", "0", "--to", "4"), "+ total = 10\n");
  assert.equal(await diff("--from", "4"), "~ total = 10 -> 45\n");
  assert.equal(await diff("--from", "9"), "");
});

Deno.test("what cannot be folded is reported, with the reason", async () => {
  await using bus = await startLocalBus(CONFIG);
  await count(bus, "count-1");
  const arq = await arqOf(bus);
  for (
    const [args, code, text] of [
      [["verify", "lobby"], 1, /lobby has no reducer/],
      [["verify", "count-1~reducer"], 1, /count-1~reducer has no reducer/],
      [["at", "count-1", "--offset", "11"], 1, /count-1 has no entry 11 yet: its last is 10/],
      [["at", "count-1", "--offset", "1", "--time", "10:00"], 2, /cannot be used with/],
      [["diff", "count-1", "--from", "5", "--to", "4"], 2, /--from 5 is after --to 4/],
      [["at", "count-1", "--offset", "-1"], 2, /Expected an offset/],
    ] as const
  ) {
    const { code: got, stderr } = await arq(...args);
    assert.match(stderr, text, args.join(" "));
    assert.equal(got, code, stderr);
  }
  const nobody = await arq("verify", "count-2");
  assert.match(nobody.stdout, /^count-2: 0 entries from the first to entry 0/, nobody.stderr);
});

/** Calls a room, forks it, and calls the fork. */
async function forked(bus: TestBus, arq: Awaited<ReturnType<typeof arqOf>>): Promise<void> {
  await count(bus, "count-1");
  const output = await arq("fork", "count-1", "--to", "count-2", "--at", "6");
  assert.equal(output.stdout, "count-2 begins after entry 6 of count-1\n", output.stderr);
  assert.equal((await arq("at", "count-2", "--prefix", "total")).stdout, "total = 21\n");
  await count(bus, "count-2");
}

Deno.test("a room is forked and its past removed, and both report their previous state", async () => {
  await using bus = await startLocalBus(CONFIG);
  const arq = await arqOf(bus);
  await forked(bus, arq);
  const at = async (room: string, offset: number) =>
    (await arq("at", room, "--prefix", "total", "--offset", String(offset))).stdout;
  assert.equal(await at("count-2", 3), "total = 6\n");
  assert.equal(await at("count-2", 15), "total = 66\n");
  const verified = await arq("verify", "count-2");
  assert.match(verified.stdout, /^count-2: 10 entries after entry 6 of count-1 to entry 16/);
  const changed = await arq("diff", "count-2", "--from", "5", "--to", "7", "--prefix", "total");
  assert.equal(changed.stdout, "~ total = 15 -> 22\n", changed.stderr);
  const again = await arq("fork", "count-1", "--to", "count-2");
  assert.match(again.stderr, /count-2 has begun already/);
  assert.match((await arq("fork", "count-1", "--to", "lobby")).stderr, /lobby has no reducer/);
  assert.equal((await arq("trim", "count-1")).code, 2);
  const trimmed = await arq("trim", "count-1", "--yes");
  assert.match(trimmed.stdout, /^count-1: its past now begins after entry 10; \d+ messages/);
  assert.match((await arq("at", "count-1", "--offset", "4")).stderr, /not kept/);
  assert.equal((await arq("at", "count-1", "--prefix", "total")).stdout, "total = 45\n");
  assert.equal((await arq("verify", "count-1")).code, 0);
  // The fork's first state is in its own first snapshot; everything earlier is gone.
  const rest = await arq("verify", "count-2");
  assert.match(rest.stdout, /^count-2: 10 entries after entry 6 of count-1 to entry 16/);
  assert.match((await arq("at", "count-2", "--offset", "5")).stderr, /goes back to entry 6\n/);
  const checked = await arq("deploy", "count-*", reducerFile("counter"), "--dry-run");
  assert.match(checked.stdout, /^count-2: \d+ entr.*, the same$/m, checked.stderr);
  const whole = await arq("repair", "count-1", "--accept-loss");
  assert.match(whole.stdout, /^count-1 has lost nothing/, whole.stderr);
  assert.equal((await arq("repair", "count-1")).code, 2);
  const own = await adminOf(bus, "default");
  const other = await adminOf(bus, "acme");
  const past = "/v1/rooms/default/count-2/past";
  const { entry, changes, last } = await own.read(`${past}?offset=16`);
  assert.deepEqual([entry.command, entry.verdict, changes, last], ["add", "rejected", [], 16]);
  const page = await own.read(`${past}?offset=15&limit=1`);
  assert.deepEqual([page.values.length, page.values[0].value.text], [1, "66"]);
  const next = await own.read(`${past}?offset=15&after=${encodeURIComponent(page.next)}`);
  assert.deepEqual([next.values[0].key.text, next.next], ["user/tester", null]);
  assert.equal((await own.get(`${past}?offset=17`)).status, 400);
  assert.equal((await own.get(`${past}?offset=1&time_ms=1`)).status, 400);
  assert.equal((await other.get(past)).status, 403);
  // No client may request it, whatever its role.
  await using client = await connect({
    url: bus.url,
    token: await bus.tokenFor({ role: "admin" }),
  });
  for (const name of ["room.past", "past"]) {
    const refused = client.room("count-2").command(name, { ask: { action: "trim" } });
    await assert.rejects(refused, { reason: "command-forbidden" });
  }
});

Deno.test("a room's snapshots are read by admins of its tenant alone", async () => {
  await using bus = await startLocalBus(CONFIG);
  await count(bus, "count-1");
  const own = await adminOf(bus, "default");
  const other = await adminOf(bus, "acme");
  const operator = await adminOf(bus, "ops");
  const path = "/v1/rooms/default/count-1/reducer";
  await until("a snapshot", async () => (await own.read(path)).snapshots.length > 0);
  const about = await own.read(path);
  assert.deepEqual([about.reducer, about.log_room_id], ["counter", "count-1~reducer"]);
  const [{ name }] = about.snapshots;
  assert.equal((await own.get(`${path}/${name}`)).status, 200);
  assert.equal((await operator.get(`${path}/${name}`)).status, 200);
  assert.equal((await other.get(path)).status, 403);
  assert.equal((await other.get(`${path}/${name}`)).status, 403);
  // Nor through a room of its own.
  assert.equal((await other.get(`/v1/rooms/acme/count-1/reducer/${name}`)).status, 404);
  assert.equal((await own.get(`/v1/rooms/default/count-2/reducer/${name}`)).status, 404);
  for (const object of [`module-${"0".repeat(64)}`, "module-x", "..", "program-", "%00"]) {
    assert.ok([400, 404].includes((await own.get(`${path}/${object}`)).status), object);
  }
  const user = new AdminClient(bus.admin_url, bus.token);
  assert.equal((await user.get(path)).status, 403);
});

const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };
const LOG_ROOM = "count-1~reducer";

/** Appends an entry to the log, as its owner would, with a wrong digest. */
async function writeFalse(nats_url: string): Promise<void> {
  const config = configFrom({ nats: { urls: [nats_url], request_timeout_ms: 60_000 } });
  const spine = await openSpine(config, { log: testLog(), now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const durable = await spine.log("default", RETENTION);
  const { messages } = await durable.read(LOG_ROOM, { after: 0, limit: 100, max_bytes: 1_000_000 });
  const batches = messages.map(({ payload }) =>
    decodeBatch(readEnvelope(payload).event?.data ?? new Uint8Array())
  ).filter(({ entries }) => entries.length > 0);
  const last = batches.at(-1)!;
  const entry = { ...batches[0]!.entries[0]!, offset: 11 };
  const data = encodeBatch({ ...last, after: 10, entries: [entry] });
  const from = { now: Date.now, random: (size: number) => new Uint8Array(size).fill(7) };
  const payload = systemEnvelope(from, {
    tenant_id: "default",
    room_id: LOG_ROOM,
    event: { type: "reducer.entries", data, content_type: "application/octet-stream" },
  });
  await durable.append(LOG_ROOM, payload);
}

Deno.test("on NATS, an entry with a different result is named", async () => {
  await using nats = await startNats({ jetstream: true });
  const on = `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\n`;
  await using bus = await startLocalBus(CONFIG + on);
  await count(bus, "count-1");
  const arq = await arqOf(bus);
  const before = await arq("verify", "count-1");
  assert.match(before.stdout, /^count-1: 10 entries from the first to entry 10/, before.stderr);
  await writeFalse(nats.url);
  const { code, stdout, stderr } = await arq("verify", "count-1");
  assert.equal(code, 1, stderr);
  assert.match(
    stdout,
    /^count-1: entry 11 has a different result than the recorded one\nnoted +[0-9a-f]{64}\nfolded /,
  );
  const { differs } = JSON.parse((await arq("verify", "count-1", "--json")).stdout);
  assert.deepEqual([differs.about, differs.first, differs.last], ["entries", 11, 11]);
  assert.equal((await arq("at", ...PLACE, "--offset", "10")).stdout, "total = 45\n");
  const refused = await arq("at", ...PLACE, "--offset", "11");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /entry 11 of count-1 has a different result.*\n.*arq room verify/);
});
