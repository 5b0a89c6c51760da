/**
 * The embedded log on a full disk: a child process whose files the system limits, so that real writes fail.
 * `embedded_log_test.ts` has the limits of `log_bytes`.
 */
import assert from "node:assert/strict";
import { mountSmallDisk, noSmallDisk } from "../../../tests/harness/small_disk.ts";
import { testLog } from "../../testing/logs.ts";
import { temporaryFolder } from "../../testing/temporary_folder.ts";
import { text, within } from "../testing/conformance.ts";
import { openEmbedded } from "./embedded.ts";

/** In blocks of 512 bytes or of 1 KiB, depending on the shell. */
const FILE_BLOCKS = 2_000;
const RETENTION = { history_size: 100_000, history_ttl_seconds: 3_600, replicas: undefined };
const engine = new URL("./embedded.ts", import.meta.url);
const config = new URL("../../../deno.json", import.meta.url).pathname;

/** Appends until it is refused, then prints the answers and the stored messages, and closes. */
const script = (data_dir: string) => `
  import { openEmbedded } from ${JSON.stringify(engine.href)};
  const log = { debug() {}, info() {}, warn() {}, error() {}, sample: () => false, child: () => log };
  const spine = openEmbedded({ log, now: Date.now, data_dir: ${JSON.stringify(data_dir)} });
  const rooms = await spine.log("acme", ${JSON.stringify(RETENTION)});
  const offsets = [];
  const refused = [];
  while (refused.length < 3) {
    try {
      offsets.push((await rooms.append("a", new Uint8Array(5_000))).offset);
    } catch (error) {
      refused.push(error.reason + ": " + error.message);
    }
  }
  const { messages } = await rooms.read("a", { after: 0, limit: 10_000, max_bytes: 1e9 });
  const read = messages.map(({ offset }) => offset);
  const scrubbed = await spine.scrub().catch(({ reason, message }) => reason + ": " + message);
  await spine.drain();
  console.log(JSON.stringify({ offsets, refused, read, scrubbed }));`;

Deno.test("a disk that fails is a 503, and what was acknowledged is there afterwards", async () => {
  await using folder = await temporaryFolder();
  const data_dir = `${folder.path}/data`;
  const path = `${folder.path}/child.ts`;
  await Deno.writeTextFile(path, script(data_dir));
  const run = ["run", "--quiet", "--no-check", "--config", config, "-A", path];
  // A process that ignores SIGXFSZ gets an error for the write that would exceed the limit.
  const child = new Deno.Command("sh", {
    args: [
      ...["-c", `trap '' XFSZ; ulimit -f ${FILE_BLOCKS}; exec "$@"`, "sh"],
      ...[Deno.execPath(), ...run],
    ],
    stdout: "piped",
    stderr: "inherit",
  });
  const { stdout, success } = await within(child.output(), "the child");
  assert.equal(success, true);
  const { offsets, refused, read, scrubbed } = JSON.parse(text(stdout));
  assert.ok(offsets.length > 20, `${offsets.length} were stored`);
  for (const one of [...refused, scrubbed]) assert.match(one, /^log-unavailable: .*(disk|full)/);
  assert.deepEqual(read, offsets, "reads go on");
  const spine = openEmbedded({ log: testLog("warn"), now: Date.now, data_dir });
  const rooms = await spine.log("acme", RETENTION);
  const { messages } = await rooms.read("a", { after: 0, limit: 10_000, max_bytes: 1e9 });
  const stored = messages.map(({ offset }) => offset);
  // A refused message may be stored all the same; an acknowledged one must be.
  assert.deepEqual(offsets.filter((offset: number) => !stored.includes(offset)), []);
  await rooms.append("a", new Uint8Array(5_000));
  await spine.drain();
});

const why_not = noSmallDisk();
if (why_not !== undefined) console.error(`full disks are not tested: ${why_not}`);

/** A child that stores 3.6 MB, rewrites its files, and prints what is left in the write-ahead log. */
async function rewritten(data_dir: string, env: Record<string, string>) {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/child.ts`;
  await Deno.writeTextFile(
    path,
    `import { openEmbedded } from ${JSON.stringify(engine.href)};
    const log = { debug() {}, info() {}, warn() {}, error() {}, sample: () => false, child: () => log };
    const data_dir = ${JSON.stringify(data_dir)};
    const spine = openEmbedded({ log, now: Date.now, data_dir });
    const rooms = await spine.log("acme", ${JSON.stringify(RETENTION)});
    for (let at = 0; at < 400; at++) await rooms.append("a", new Uint8Array(9_000).fill(at));
    const refused = await spine.scrub().then(() => "", ({ message }) => message);
    const { size } = Deno.statSync(data_dir + "/log.sqlite-wal");
    await spine.drain();
    console.log(JSON.stringify({ refused, size }));`,
  );
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--config", config, "-A", path],
    env,
  }).output();
  assert.equal(success, true, text(stderr));
  const names = Array.from(Deno.readDirSync(data_dir), ({ name }) => name).sort();
  assert.deepEqual(names, ["log.sqlite", "spine.sqlite"]);
  return JSON.parse(text(stdout));
}

if (why_not === undefined) {
  Deno.test("a rewrite of the files needs no other disk than theirs", async () => {
    await using folder = await temporaryFolder();
    await using disk = await mountSmallDisk(1);
    await disk.fill();
    const done = await rewritten(`${folder.path}/it's data`, { SQLITE_TMPDIR: disk.folder });
    assert.deepEqual(done, { refused: "", size: 0 });
  });

  Deno.test("a rewrite for which there is no room leaves the room that there was", async () => {
    await using disk = await mountSmallDisk(14);
    const { refused, size } = await rewritten(`${disk.folder}/data`, {});
    assert.match(refused, /the disk is full/);
    assert.equal(size, 0);
  });
}
