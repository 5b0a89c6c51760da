/**
 * Backups of the embedded engine: its files, all frozen in one turn, so that they are consistent. A backup is aborted
 * when too much is written meanwhile.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import { FreezableFile, type FrozenFile } from "./embedded_freeze.ts";
import type { SpineBackup } from "../contract/spine.ts";

/** Closes a database and ends a backup of it. */
export function closeBacked(database: DatabaseSync, file: BackupFile | undefined): void {
  file?.file.release(new Error("the engine has closed"));
  database.close();
  file?.file.close();
}

/** Interval between two looks at the waiting bytes, in ms: what is written meanwhile moves into a file in one turn. */
const WATCH_MS = 20;

/** Closes a database and ends a backup of it. */
export interface BackupFile {
  readonly name: SpineBackup["files"][number]["name"];
  readonly file: FreezableFile;
  sequences(): Record<string, number>;
}

const NEWEST = {
  "spine.sqlite": "SELECT 'bucket:' || name AS name, revision AS newest FROM bucket " +
    "UNION ALL SELECT 'ledger:' || name, last FROM ledger ORDER BY 1",
  "usage.sqlite":
    "SELECT 'use:' || tenant AS name, max(id) AS newest FROM block GROUP BY tenant ORDER BY 1",
  "log.sqlite": "SELECT 'log:' || tenant AS name, last AS newest FROM log ORDER BY 1",
} as const;

/** The file of an open database; undefined: it is in memory. */
export function backupFile(
  database: DatabaseSync,
  name: BackupFile["name"],
  data_dir: string | undefined,
): BackupFile | undefined {
  if (data_dir === undefined) return undefined;
  const newest = database.prepare(NEWEST[name]);
  return {
    name,
    file: new FreezableFile(database, `${data_dir}/${name}`),
    sequences: () =>
      Object.fromEntries(newest.all().map((row) => [String(row["name"]), Number(row["newest"])])),
  };
}

/** A file that exists in `data_dir` while `arq restore` moves the databases into place. */
export const RESTORE_MARK = "restore.unfinished";

/** Throws if a restore is unfinished, so the databases may be inconsistent. Call it with `data_dir` locked. */
export function requireRestored(data_dir: string): void {
  const names = Array.from(Deno.readDirSync(data_dir), ({ name }) => name);
  if (!names.includes(RESTORE_MARK)) return;
  throw new Error("arq restore was cut short there: run it again, with --force");
}

/** What making backups needs. */
interface BackupOptions extends Pick<Env, "log" | "now"> {
  /** The files to back up; none if all data are in memory. */
  readonly files: () => readonly BackupFile[];
  /** Bytes that may wait in all files together while a backup is read. */
  readonly waiting_bytes_max: number;
}

/** Makes the backups of one engine, one at a time. */
export class EmbeddedBackups {
  readonly #options: BackupOptions;
  /** Ends the backup that is under way. */
  #end: ((why: Error) => void) | undefined;

  constructor(options: BackupOptions) {
    this.#options = options;
  }

  /** Begins a backup. Throws `too-many-pending`, `invalid-settings`, and errors of the disk. */
  open(): SpineBackup {
    const files = this.#options.files();
    const { now } = this.#options;
    if (files.length === 0) {
      const detail = "there is nothing to back up: without [server] data_dir, all is in memory";
      throw new ArqonError("invalid-settings", detail);
    }
    if (this.#end !== undefined) throw new ArqonError("too-many-pending", "a backup is under way");
    const frozen: FrozenFile[] = [];
    const taken_ms = now();
    try {
      for (const { file } of files) frozen.push(file.freeze());
      const sequences = files.map((one) => one.sequences());
      return this.#watched(taken_ms, files, frozen, sequences);
    } catch (cause) {
      for (const one of frozen) one.release(new Error("not all files could be frozen"));
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ArqonError("spine-unavailable", why, { cause });
    }
  }

  get is_under_way(): boolean {
    return this.#end !== undefined;
  }

  /** Ends the backup that is under way: the files are about to close. */
  close(why: Error): void {
    this.#end?.(why);
  }

  #watched(
    taken_ms: number,
    files: readonly BackupFile[],
    frozen: readonly FrozenFile[],
    sequences: readonly Record<string, number>[],
  ): SpineBackup {
    const { log, waiting_bytes_max } = this.#options;
    const waiting_bytes = () => frozen.reduce((total, one) => total + one.waiting_bytes(), 0);
    const end = (why: Error) => {
      clearInterval(timer);
      for (const one of frozen) one.release(why);
      // The next one may be under way by now.
      if (this.#end === end) this.#end = undefined;
    };
    const watch = () => {
      try {
        for (const one of frozen) one.settle();
      } catch (cause) {
        return end(new ArqonError("spine-unavailable", String(cause), { cause }));
      }
      const bytes = waiting_bytes();
      if (bytes <= waiting_bytes_max) return;
      log.warn("a backup is given up: too much is written meanwhile", { bytes });
      const detail = `the backup took too long: ${bytes} bytes were written meanwhile, more than ` +
        "limits.backup_waiting_bytes";
      end(new ArqonError("at-capacity", detail));
    };
    this.#end = end;
    const timer = setInterval(watch, WATCH_MS);
    return {
      taken_ms,
      files: files.map(({ name }, at) => {
        const { size_bytes, read } = frozen[at] as FrozenFile;
        return { name, size_bytes, sequences: sequences[at] ?? {}, read };
      }),
      waiting_bytes,
      release: () => end(new ArqonError("spine-unavailable", "the backup has ended")),
    };
  }
}
