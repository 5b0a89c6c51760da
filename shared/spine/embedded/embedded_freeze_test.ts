/** A database is read in its state at one moment while it is written to, and keeps its lock. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { QUIET } from "../../testing/logs.ts";
import { until } from "../../testing/until.ts";
import { type EmbeddedOptions, openEmbedded } from "./embedded.ts";
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
    const write = async (from: number, to: number, letter: string) => {
      for (let at = from; at < to; at++) {
        await bucket.put([`key-${at}`], payload(letter.repeat(2_000)));
        await durable.append("room", payload(letter.repeat(2_000)));
      }
    };
    const logBytes = (name: string) => Deno.statSync(`${data_dir}/${name}.sqlite-wal`).size;
    await write(0, 300, "a");
    const backup = backupOf(spine);
    try {
      const [kv_file, log_file] = backup.files;
      const begun = kv_file!.read()[Symbol.asyncIterator]();
      const first = await begun.next();
      // Twice what SQLite keeps in the write-ahead log before it moves pages into the file on its own, and more.
      await write(0, 3_000, "b");
      await until("the write-ahead logs are short", () => {
        return logBytes("spine") < 5_000_000 && logBytes("log") < 5_000_000;
      });
      const rest = await Array.fromAsync({ [Symbol.asyncIterator]: () => begun });
      const read = new Blob([first.value as BlobPart, ...rest as BlobPart[]]);
      assert.equal(read.size, kv_file!.size_bytes, "a reader that began earlier");
      using kv = await opened(backup, "spine.sqlite", `${data_dir}/copy.sqlite`);
      assert.deepEqual(await read.bytes(), await Deno.readFile(`${data_dir}/copy.sqlite`));
      using messages = await opened(backup, "log.sqlite", `${data_dir}/copy_log.sqlite`);
      assert.deepEqual([rows(kv, "entry"), rows(messages, "message")], [300, 300]);
      assert.equal(rows(kv, "entry WHERE substr(value, 1, 1) = x'61'"), 300);
      assert.equal(backup.files[0]?.sequences["bucket:TEST"], 300);
      assert.ok((log_file?.sequences["log:acme"] ?? 0) >= 300);
    } finally {
      backup.release();
    }
    assert.equal(backup.waiting_bytes(), 0);
    await write(3_000, 3_010, "c");
    const again = backupOf(spine);
    using kv = await opened(again, "spine.sqlite", `${data_dir}/second.sqlite`);
    assert.equal(rows(kv, "entry"), 3_010);
    again.release();
    const names = Array.from(Deno.readDirSync(data_dir), ({ name }) => name);
    assert.deepEqual(names.filter((name) => name.includes("saved")), []);
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

Deno.test("freeze: after a backup that cannot begin, files do not grow", async () => {
  await withSpine(async (spine, data_dir) => {
    const bucket = await spine.keyValue("TEST");
    const in_the_way = `${data_dir}/spine.sqlite-saved`;
    await Deno.mkdir(in_the_way);
    assert.throws(() => spine.backup?.(), { reason: "spine-unavailable" });
    for (let at = 0; at < 100; at++) {
      await bucket.put(["key"], new Uint8Array(200_000).fill(at));
    }
    const waiting = Deno.statSync(`${data_dir}/spine.sqlite-wal`).size;
    assert.ok(waiting < 8_000_000, `${waiting} bytes were not moved into the file`);
    await Deno.remove(in_the_way);
    backupOf(spine).release();
  });
});

Deno.test("freeze: files are not rewritten while a backup reads them", async () => {
  await withSpine(async (spine) => {
    const backup = backupOf(spine);
    await assert.rejects(spine.scrub!(), /a backup is under way/);
    backup.release();
    await spine.scrub!();
  });
});
