/**
 * Restores the databases of a backup into a `data_dir`: written beside the existing ones, checked, and only then moved
 * into place. A running bus keeps its data; one that starts meanwhile is refused.
 */
import { DatabaseSync } from "node:sqlite";
import { RESTORE_MARK } from "../spine/embedded/embedded_backup.ts";
import { BackupError, type BackupReader, type ReadFile } from "./archive.ts";
import { DATA_FOLDER } from "./embedded_parts.ts";
import { isKeptBucket } from "./stream_order.ts";

const SPINE = "spine.sqlite";
/** The databases, in the order in which they are moved into place. */
const NAMES = ["audit.sqlite", "log.sqlite", SPINE] as const;
/** The usage ledger, if there is one. An existing one stays, since later usage counts, too. */
const USAGE = "usage.sqlite";
/** What SQLite keeps beside a database. */
const BESIDE = ["", "-wal", "-shm", "-journal"];
const PARTIAL = "restore.partial";
const WRITE_MODE = 0o600;

/** A restore that was cut off after its mark was written. */
interface CutOff {
  /** The folder with what was there before; undefined: nothing was there. */
  readonly aside: string | undefined;
  /** Whether the ledger of use was there before. */
  readonly is_left: boolean;
}

/** Why nothing was restored. */
export class RestoreRefused extends Error {
  override readonly name = "RestoreRefused";
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The lock of a `data_dir`, as a bus takes it. Throws RestoreRefused while one has it. */
function lock(data_dir: string): DatabaseSync {
  const database = new DatabaseSync(`${data_dir}/${SPINE}`);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;");
    return database;
  } catch (error) {
    database.close();
    const text = error instanceof Error ? error.message : String(error);
    if (/database is locked/.test(text)) {
      throw new RestoreRefused(`data_dir ${data_dir} is in use by an ArqonBus that runs`);
    }
    // An unreadable database is in no use; it is moved aside.
    if (/not a database|malformed/.test(text)) return new DatabaseSync(":memory:");
    throw error;
  }
}

/** Names of a bus's files in a `data_dir`; none if the folder does not exist. */
export async function dataFiles(data_dir: string): Promise<string[]> {
  const names = [...NAMES.flatMap((name) => BESIDE.map((more) => name + more)), RESTORE_MARK];
  const found = await Promise.all(names.map((name) => exists(`${data_dir}/${name}`)));
  return names.filter((_, at) => found[at]);
}

/**
 * Keeps the buckets of data that stays: the journal, the ledgers of deliveries and of usage are files beside
 * `spine.sqlite`, and their keys, marks, prices and running minutes are in it. `from` is the open database that is
 * about to be replaced, `to` the path of the restored one.
 */
function keepBuckets(from: DatabaseSync, to: string, keeps_usage: boolean): void {
  const has = from.prepare("SELECT count(*) AS tables FROM sqlite_master WHERE name = 'bucket'");
  // It was unreadable, or there was none.
  if (has.get()?.["tables"] === 0) return;
  // Not attached: SQLite in Deno may do that only with all permissions.
  const restored = new DatabaseSync(to);
  try {
    const names = "SELECT name FROM bucket";
    const entries = "SELECT key, value, revision FROM entry WHERE bucket = ?";
    const revisions = "SELECT revision FROM bucket WHERE name = ?";
    const drop = restored.prepare("DELETE FROM entry WHERE bucket = ?");
    const add = restored.prepare(
      "INSERT INTO entry (bucket, key, value, revision) VALUES (?, ?, ?, ?)",
    );
    const raise = restored.prepare(
      "INSERT INTO bucket VALUES (?, ?) ON CONFLICT (name) " +
        "DO UPDATE SET revision = max(revision, excluded.revision)",
    );
    const found = [from, restored].flatMap((one) => one.prepare(names).all());
    restored.exec("BEGIN");
    for (const name of new Set(found.map((row) => String(row["name"])))) {
      if (!isKeptBucket(name, keeps_usage)) continue;
      drop.run(name);
      for (const row of from.prepare(entries).iterate(name)) {
        add.run(name, row["key"]!, row["value"]!, row["revision"]!);
      }
      for (const row of from.prepare(revisions).all(name)) raise.run(name, row["revision"]!);
    }
    restored.exec("COMMIT");
  } catch (error) {
    // A damaged database, for which a restore is made, has nothing that could be kept.
    if (!/malformed/.test(String(error))) throw error;
  } finally {
    restored.close();
  }
}

/** Undefined: there is no mark, or one that does not say what was there. */
async function readMark(path: string): Promise<CutOff | undefined> {
  const text = await exists(path) ? await Deno.readTextFile(path) : "";
  return text === "" ? undefined : JSON.parse(text);
}

function check(path: string): void {
  const database = new DatabaseSync(path);
  try {
    const row = database.prepare("PRAGMA quick_check(1)").get();
    if (row?.["quick_check"] === "ok") return;
    throw new BackupError(`${path} is damaged: ${row?.["quick_check"]}`);
  } finally {
    database.close();
  }
}

/** Receives the files of a backup; `finish` moves them into place, `abandon` leaves everything as it was. */
export class DataRestorer implements BackupReader {
  readonly #data_dir: string;
  readonly #written = new Set<string>();
  #lock: DatabaseSync | undefined;
  /** What was restored, and what existed and stays. */
  readonly restored: string[] = [];
  readonly left: string[] = [];
  /** Whether `spine.sqlite` only exists because of the lock. */
  #was_empty = false;
  #cut_off: CutOff | undefined;

  constructor(data_dir: string) {
    this.#data_dir = data_dir;
  }

  /** Creates the folder if necessary, and locks it. Rejects with RestoreRefused if a bus uses it. */
  async open(): Promise<void> {
    await Deno.mkdir(this.#data_dir, { recursive: true, mode: 0o700 });
    this.#was_empty = !await exists(`${this.#data_dir}/${SPINE}`);
    this.#cut_off = await readMark(this.#mark);
    this.#lock = lock(this.#data_dir);
    // It may not exist, and the rest is overwritten.
    await Deno.remove(this.#partial(), { recursive: true }).catch(() => {});
    await Deno.mkdir(this.#partial(), { mode: 0o700 });
  }

  async onFile({ path, bytes }: ReadFile): Promise<void> {
    const name = [...NAMES, USAGE].find((one) => path === `${DATA_FOLDER}/${one}`);
    if (name === undefined) return;
    using file = await Deno.open(this.#partial(name), {
      createNew: true,
      write: true,
      mode: WRITE_MODE,
    });
    for await (const piece of bytes) {
      for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
    }
    await file.sync();
    this.#written.add(name);
  }

  /**
   * Checks what was written and moves it into place; existing files go into a folder whose name ends in `suffix`.
   * Returns its path.
   */
  async finish(suffix: string): Promise<string | undefined> {
    for (const name of NAMES) {
      if (!this.#written.has(name)) throw new BackupError(`${DATA_FOLDER}/${name} is missing`);
      check(this.#partial(name));
    }
    if (this.#written.has(USAGE)) check(this.#partial(USAGE));
    const cut_off = this.#cut_off;
    const is_left = cut_off?.is_left ?? await exists(`${this.#data_dir}/${USAGE}`);
    await this.#keep(cut_off?.aside, is_left);
    const had = (await dataFiles(this.#data_dir)).filter((name) =>
      name !== RESTORE_MARK && !(this.#was_empty && name.startsWith(SPINE))
    );
    const fresh = had.length === 0 ? undefined : `before-restore-${suffix}`;
    const aside = cut_off?.aside ?? fresh;
    const folder = aside && `${this.#data_dir}/${aside}`;
    await Deno.writeTextFile(this.#partial(RESTORE_MARK), JSON.stringify({ aside, is_left }));
    if (folder !== undefined) await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    // From here on the mark keeps a bus from starting, even if this process dies. It appears whole, and needs no room.
    await Deno.rename(this.#partial(RESTORE_MARK), this.#mark);
    this.#unlock();
    for (const name of await dataFiles(this.#data_dir)) {
      if (name === RESTORE_MARK) continue;
      // What has been moved there already was replaced by the restore that was cut off.
      const is_kept = folder !== undefined && !await exists(`${folder}/${name}`);
      if (is_kept) await Deno.rename(`${this.#data_dir}/${name}`, `${folder}/${name}`);
      else await Deno.remove(`${this.#data_dir}/${name}`);
    }
    if (is_left) this.left.push(USAGE);
    for (const name of [...(is_left ? [] : [USAGE]), ...NAMES]) {
      if (!this.#written.has(name)) continue;
      await Deno.rename(this.#partial(name), `${this.#data_dir}/${name}`);
      this.restored.unshift(name);
    }
    await Deno.remove(this.#mark);
    await Deno.remove(this.#partial(), { recursive: true });
    return folder;
  }

  /** Restores the state before `open`; returns false if files were moved already. */
  async abandon(): Promise<boolean> {
    const is_locked = this.#lock !== undefined;
    this.#unlock();
    if (!is_locked) return !await exists(this.#mark);
    // It may not exist, and the rest is overwritten.
    await Deno.remove(this.#partial(), { recursive: true }).catch(() => {});
    // It may not exist.
    if (this.#was_empty) await Deno.remove(`${this.#data_dir}/${SPINE}`).catch(() => {});
    return true;
  }

  get #mark(): string {
    return `${this.#data_dir}/${RESTORE_MARK}`;
  }

  /** Keeps the buckets of data that stays, also of the database that a restore has moved away before it was cut off. */
  async #keep(aside: string | undefined, keeps_usage: boolean): Promise<void> {
    const folder = `${this.#data_dir}/${aside}`;
    const is_moved = aside !== undefined && await exists(`${folder}/${SPINE}`);
    const from = is_moved ? lock(folder) : this.#lock;
    if (from !== undefined) keepBuckets(from, this.#partial(SPINE), keeps_usage);
    if (is_moved) from?.close();
  }

  #partial(name = ""): string {
    return `${this.#data_dir}/${PARTIAL}${name === "" ? "" : `/${name}`}`;
  }

  #unlock(): void {
    this.#lock?.close();
    this.#lock = undefined;
  }
}
