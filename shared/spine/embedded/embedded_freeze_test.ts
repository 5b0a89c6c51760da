/** A database is read in its state at one moment while it is written to, and keeps its lock. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { QUIET } from "../../testing/logs.ts";
import { openEmbedded } from "./embedded.ts";
import type { EmbeddedOptions } from "./embedded.ts";
import type { Spine, SpineBackup } from "../contract/spine.ts";

const log = QUIET;
const RETENTION = { history_size: 1_000_000, history_ttl_seconds: 3_600, replicas: undefined };
const payload = (text: string) => new TextEncoder().encode(text);

async function withSpine(
  run: (spine: Spine, data_dir: string) => Promise<void>,
  options: Partial<EmbeddedOptions> = {},
): Promise<void> {
  const data_dir = await Deno.makeTempDir();
  const spine = openEmbedded({ log, now: Date.now, data_dir, ...options });
  try {
    await run(spine, data_dir);
  } finally {
    await spine.drain();
    await Deno.remove(data_dir, { recursive: true });
  }
}

function backupOf(spine: Spine): SpineBackup {
  const backup = spine.backup?.();
  assert.ok(backup !== undefined);
  return backup;
}

/** Reads a file of the backup to its end, and opens it. */
async function opened(backup: SpineBackup, name: string, path: string): Promise<DatabaseSync> {
  const file = backup.files.find((one) => one.name === name);
  assert.ok(file !== undefined);
  const bytes = new Blob(await Array.fromAsync(file.read()) as BlobPart[]);
  assert.equal(bytes.size, file.size_bytes);
  await Deno.writeFile(path, bytes.stream());
  const database = new DatabaseSync(path);
  assert.equal(database.prepare("PRAGMA integrity_check").get()?.["integrity_check"], "ok");
  return database;
}

const rows = (database: DatabaseSync, table: string) =>
  Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);

Deno.test("freeze: both files are of the moment of the backup, whatever is written while they are read", async () => {
  await withSpine(async (spine, data_dir) => {
    const bucket = await spine.keyValue("TEST");
    const durable = await spine.log("acme", RETENTION);
    const write = async (from: number, to: number) => {
      for (let at = from; at < to; at++) {
        await bucket.put([`key-${at}`], payload("v".repeat(2_000)));
        await durable.append("room", payload("m".repeat(2_000)));
      }
    };
    await write(0, 300);
    const backup = backupOf(spine);
    try {
      // More than SQLite keeps in the write-ahead log before it moves pages into the file on its own.
      await write(300, 3_000);
      assert.ok(backup.waiting_bytes() > 8_000_000);
      using kv = await opened(backup, "spine.sqlite", `${data_dir}/copy.sqlite`);
      using messages = await opened(backup, "log.sqlite", `${data_dir}/copy_log.sqlite`);
      assert.deepEqual([rows(kv, "entry"), rows(messages, "message")], [300, 300]);
      assert.equal(backup.files[0]?.sequences["bucket:TEST"], 300);
      assert.ok((backup.files[1]?.sequences["log:acme"] ?? 0) >= 300);
    } finally {
      backup.release();
    }
    // The waiting pages are in the file again, and nothing is missing.
    await write(3_000, 3_010);
    const again = backupOf(spine);
    using kv = await opened(again, "spine.sqlite", `${data_dir}/second.sqlite`);
    assert.equal(rows(kv, "entry"), 3_010);
    again.release();
    assert.ok(backup.waiting_bytes() < 8_000_000, "the log beside the file is used again");
  });
});

Deno.test("freeze: data_dir stays locked through backups and after them", async () => {
  await withSpine(async (spine, data_dir) => {
    const bucket = await spine.keyValue("TEST");
    await bucket.put(["a"], payload("a"));
    for (let turn = 0; turn < 2; turn++) {
      const backup = backupOf(spine);
      for (const file of backup.files) await Array.fromAsync(file.read());
      backup.release();
    }
    // Another process: when a process closes any descriptor of the file, its locks are dropped.
    const program = `
      import { DatabaseSync } from "node:sqlite";
      for (const name of ["spine", "log"]) {
        const database = new DatabaseSync(Deno.args[0] + "/" + name + ".sqlite");
        try { database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT"); console.log("free"); }
        catch (error) { console.log(error.message); }
      }`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--ext=ts", program, data_dir],
    }).output();
    const output = new TextDecoder().decode(stdout);
    assert.equal(output, "database is locked\n".repeat(2), new TextDecoder().decode(stderr));
  });
});

Deno.test("freeze: one backup at a time, and nothing that is in memory only", async () => {
  await withSpine((spine) => {
    const backup = backupOf(spine);
    assert.throws(() => spine.backup?.(), { reason: "too-many-pending" });
    backup.release();
    backup.release();
    backupOf(spine).release();
    return Promise.resolve();
  });
  const spine = openEmbedded({ log, now: Date.now });
  assert.throws(() => spine.backup?.(), { reason: "invalid-settings" });
  await spine.drain();
});

Deno.test("freeze: a backup is given up when more than its bound is written meanwhile", async () => {
  await withSpine(async (spine) => {
    const durable = await spine.log("acme", RETENTION);
    await durable.append("room", payload("first"));
    const backup = backupOf(spine);
    const reading = backup.files[1]?.read()[Symbol.asyncIterator]();
    await reading?.next();
    const deadline_ms = Date.now() + 60_000;
    let ended: unknown;
    // Each read checks that the file is still the frozen one.
    for (let at = 0; ended === undefined && Date.now() < deadline_ms; at++) {
      await durable.append("room", payload("m".repeat(60_000)));
      const read = backup.files[1]?.read()[Symbol.asyncIterator]();
      await read?.next().catch((error) => ended = error);
    }
    assert.match(String(ended), /more than limits\.backup_waiting_bytes/);
    backupOf(spine).release();
  }, { limits: { backup_waiting_bytes: 2_000_000 } });
});

Deno.test("freeze: the engine closes while a backup is read, and loses nothing", async () => {
  const data_dir = await Deno.makeTempDir();
  const open = () => openEmbedded({ log, now: Date.now, data_dir });
  const spine = open();
  const bucket = await spine.keyValue("TEST");
  await bucket.put(["before"], payload("x"));
  const backup = backupOf(spine);
  await bucket.put(["meanwhile"], payload("x"));
  await spine.drain();
  await assert.rejects(Array.fromAsync(backup.files[0]!.read()));
  const again = open();
  const keys = await (await again.keyValue("TEST")).keys();
  assert.deepEqual(keys.sort(), [["before"], ["meanwhile"]]);
  await again.drain();
  await Deno.remove(data_dir, { recursive: true });
});

Deno.test("freeze: files are not rewritten while a backup reads them", async () => {
  await withSpine(async (spine) => {
    const backup = backupOf(spine);
    await assert.rejects(spine.scrub!(), /a backup is under way/);
    backup.release();
    await spine.scrub!();
  });
});
