/**
 * A bus on the embedded Spine whose `data_dir` is read-only, in use or damaged, or on a really full disk, its own file
 * system: it does not start, with a clear error, and nothing is changed, and one that runs continues to read. Real
 * processes. `alerts/machine_test.ts` has what operators learn of a full disk, `durable_kill_test.ts` SIGKILL.
 */
import assert from "node:assert/strict";
import { connect, type Connection } from "../sdk/typescript/mod.ts";
import { roomState } from "@arqon/sdk/state";
import { startBus, type TestBus } from "./harness/bus.ts";
import { dataFinding } from "../arq/doctor/paths.ts";
import { diskIo } from "../arq/testing/disk_io.ts";
import { history } from "@arqon/sdk/history";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { seen } from "../shared/testing/until.ts";
import { send } from "./peers/own_connections.ts";
import { mountSmallDisk, noSmallDisk } from "./harness/small_disk.ts";

const dial = async (bus: TestBus): Promise<Connection> =>
  await connect({ url: bus.url, token: await bus.tokenFor({ role: "service" }) });

/** A process of root may write everywhere, unless it drops that right. */
const UNPRIVILEGED = Deno.uid() === 0
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
  : [];

/** The message has all of it, and no stack trace. */
async function failsToStart(args: string[], why: readonly RegExp[], wrapper: string[] = []) {
  await assert.rejects(startBus(args, false, wrapper), (error) => {
    assert.ok(error instanceof Error);
    for (const text of [/ended before it was ready/, ...why]) assert.match(error.message, text);
    assert.doesNotMatch(error.message, /\n\s+at /, "no stack trace");
    return true;
  });
}

Deno.test("a data_dir that is read-only, damaged or in use: the bus does not start, and reports why", async () => {
  await using folder = await temporaryFolder();
  const data_dir = `${folder.path}/data`;
  const args = ["--data-dir", data_dir];
  {
    await using bus = await startBus(args);
    await using client = await dial(bus);
    await roomState(client.room("state")).set("k", 1);
    await failsToStart(args, [/data_dir .* is in use by another ArqonBus process/]);
    await roomState(client.room("state")).set("k", 2);
  }
  const files = [...Deno.readDirSync(data_dir)].map(({ name }) => `${data_dir}/${name}`);
  for (const file of files) await Deno.chmod(file, 0o400);
  await Deno.chmod(data_dir, 0o500);
  try {
    const why = /data_dir .* cannot be opened \(.*; may this user write there\?\)/;
    await failsToStart(args, [why], UNPRIVILEGED);
  } finally {
    await Deno.chmod(data_dir, 0o700);
  }
  for (const file of files) await Deno.chmod(file, 0o600);
  const file = `${data_dir}/spine.sqlite`;
  const good = await Deno.readFile(file);
  await Deno.writeFile(file, new TextEncoder().encode("no database at all, but long enough"));
  await failsToStart(args, [/data_dir .* cannot be opened \(file is not a database\)/]);
  await Deno.writeFile(file, good);
  await using bus = await startBus(args);
  await using client = await dial(bus);
  assert.equal((await roomState(client.room("state")).get("k")).value, 2, "nothing was touched");
});

const MESSAGE = new Uint8Array(20_000).fill(65);
const why_not = noSmallDisk();
if (why_not !== undefined) console.error(`full disks are not tested: ${why_not}`);
/** A test that exists only where a file system can be mounted. */
function testOnDisk(name: string, run: () => Promise<void>): void {
  if (why_not === undefined) Deno.test(name, run);
}

testOnDisk(
  "while the disk is full what is stored can be read, and what keeps nothing goes on",
  async () => {
    await using disk = await mountSmallDisk(24);
    await using bus = await startBus(["--data-dir", `${disk.folder}/data`]);
    await using client = await dial(bus);
    const log = client.room("durable-1");
    await log.publish("t", MESSAGE);
    const state = client.room("state");
    await roomState(state).set("k", 1);
    await disk.fill();
    const refusal = () => log.publish("t", MESSAGE).then(() => "", ({ reason }) => reason);
    await seen("a publish is refused", refusal, (reason) => reason === "log-unavailable");
    assert.equal((await roomState(state).get("k")).value, 1);
    assert.equal((await history(log, { limit: 1 })).messages.length, 1);
    const plain = client.room("plain");
    using messages = plain.subscribe();
    await messages.ready;
    await plain.publish("t", "still here");
    assert.equal((await messages.next()).value?.text(), "still here");
    await disk.clear();
    await seen("a publish is stored again", refusal, (reason) => reason === "");
    await roomState(state).set("k", 2);
  },
);

testOnDisk("a start on a full disk: one message has what to do, and nothing is lost", async () => {
  await using disk = await mountSmallDisk(24);
  const args = ["--data-dir", `${disk.folder}/data`];
  let offsets: bigint[] = [];
  {
    await using bus = await startBus(args);
    await using client = await dial(bus);
    const sent = Array.from({ length: 5 }, () => client.room("durable-1").publish("t", MESSAGE));
    offsets = (await Promise.all(sent)).map(({ offset }) => BigInt(offset ?? 0));
    await roomState(client.room("state")).set("k", 1);
  }
  await disk.fill();
  await failsToStart(args, [
    /data_dir .*\/data cannot be opened: its disk is full \(\S+ \w+ of 24\.0 MiB are free\)/,
    /Nothing is lost: free some room there/,
    /Do not delete (spine|log)\.sqlite \([\d.]+ [KM]iB\) or its -wal/,
    /log_bytes/,
  ]);
  await disk.clear();
  await using bus = await startBus(args);
  await using client = await dial(bus);
  const { messages } = await history(client.room("durable-1"), { limit: 10 });
  assert.deepEqual(messages.map(({ offset }) => BigInt(offset ?? 0)), offsets);
  assert.equal((await roomState(client.room("state")).get("k")).value, 1);
});

Deno.test("a torn or damaged file: the message names it, its content, and how to save it", async () => {
  await using folder = await temporaryFolder();
  const data_dir = `${folder.path}/data`;
  const args = ["--data-dir", data_dir];
  {
    await using bus = await startBus(args);
    await using client = await dial(bus);
    await client.room("durable-1").publish("t", MESSAGE);
    await roomState(client.room("state")).set("k", 1);
  }
  const contents = {
    "spine.sqlite": /bans and revocations/,
    "log.sqlite": /the messages of durable rooms/,
  };
  for (const [file, holds] of Object.entries(contents)) {
    const good = await Deno.readFile(`${data_dir}/${file}`);
    const torn = good.slice();
    // The first page has the page size and the list of tables.
    torn.fill(0xff, 100, 4_096);
    await Deno.writeFile(`${data_dir}/${file}`, torn);
    const opened = new RegExp(`data_dir .*cannot be opened .*${file}`);
    const saved = new RegExp(`sqlite3 ${file} .recover`);
    await failsToStart(args, [opened, /is damaged/, holds, saved]);
    await Deno.writeFile(`${data_dir}/${file}`, good);
  }
  // Without the audit log everything works except admins' changes.
  await Deno.writeFile(`${data_dir}/audit.sqlite`, new Uint8Array(8_192).fill(0xff));
  await using bus = await startBus(args);
  await using client = await dial(bus);
  assert.equal((await roomState(client.room("state")).get("k")).value, 1);
  const root = await bus.tokenFor({ user: "root", role: "admin" });
  const answer = await send(`${bus.admin_url}/v1/backup`, root, "GET");
  const body = await answer.text();
  assert.deepEqual([answer.status, /"audit-unavailable"/.test(body)], [503, true], body);
  assert.match(body, /audit\.sqlite .*is damaged/);
});

testOnDisk(
  "arq doctor reports a full disk under data_dir, though an empty file can be created there",
  async () => {
    await using disk = await mountSmallDisk(1);
    const io = diskIo(disk.folder);
    assert.equal((await dataFinding(io, "data")).status, "ok");
    await disk.fill();
    const { status, text, fix } = await dataFinding(io, "data");
    assert.equal(status, "fail");
    assert.match(text, /cannot be written: .*[Nn]o space/);
    assert.match(fix ?? "", /free some space/);
    await disk.clear();
  },
);
