/**
 * What `arq dev up` leaves in the state folder: a record of what runs, and a lock that the bus holds as
 * long as it lives. The system lets a lock go with its process, so that whoever cannot get it knows that
 * the process of the record is ours, and a file that a killed bus left fools nobody.
 */
import { join } from "node:path";
import type { DevBusReady } from "./dev_bus.ts";

/** Absolute paths below a state folder. */
export interface DevFiles {
  readonly state_dir: string;
  readonly folder: string;
  readonly lock: string;
  readonly record: string;
  readonly log: string;
  /** Room state and durable rooms. */
  readonly data_dir: string;
  /** With the public keys of a compose stack. */
  readonly issuer_dir: string;
  /** Of the compose file where no checkout has one. */
  readonly stack_dir: string;
}

/** What `arq dev up` has started here. */
export type DevRecord =
  | { readonly kind: "embedded"; readonly pid: number; readonly started_ms: number }
  | ComposeRecord;

/** Of a compose stack. */
export interface ComposeRecord {
  readonly kind: "compose";
  /** The compose file. */
  readonly file: string;
  readonly started_ms: number;
}

/** The state folder of a working folder, and the files in it. */
export function devFiles(cwd: string): DevFiles {
  const state_dir = join(cwd, ".arqon");
  const folder = join(state_dir, "dev");
  return {
    state_dir,
    folder,
    lock: join(folder, "up.lock"),
    record: join(folder, "up.json"),
    log: join(folder, "up.log"),
    data_dir: join(folder, "data"),
    issuer_dir: join(folder, "issuer"),
    stack_dir: join(folder, "stack"),
  };
}

/** The record in a file's text; undefined when it is none. */
export function parseRecord(text: string): DevRecord | undefined {
  try {
    const { kind, pid, file, started_ms } = JSON.parse(text);
    if (!Number.isSafeInteger(started_ms)) return undefined;
    if (kind === "embedded" && Number.isSafeInteger(pid) && pid > 1) {
      return { kind, pid, started_ms };
    }
    return kind === "compose" && typeof file === "string" ? { kind, file, started_ms } : undefined;
  } catch {
    return undefined;
  }
}

async function textIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The record; undefined when there is none that can be read. */
export async function readRecord({ record }: DevFiles): Promise<DevRecord | undefined> {
  const text = await textIfThere(record);
  return text === undefined ? undefined : parseRecord(text);
}

/** Others see the old record or the whole new one. */
export async function writeRecord({ record }: DevFiles, value: DevRecord): Promise<void> {
  const temporary = `${record}.${Deno.pid}.tmp`;
  await Deno.writeTextFile(temporary, JSON.stringify(value));
  await Deno.rename(temporary, record);
}

/** Removes a file or an empty folder, if it is there. */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The lock, for as long as the file is open; undefined when another process has it. */
export async function takeLock({ lock }: DevFiles): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(lock, { create: true, write: true });
  if (await file.tryLock(true)) return file;
  file.close();
  return undefined;
}

/** Whether a bus of `arq dev up` lives. */
export async function isAlive(files: DevFiles): Promise<boolean> {
  try {
    const lock = await takeLock(files);
    lock?.close();
    return lock === undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What the bus with this pid has announced; undefined before it is ready and once it drains. */
export async function announcementOf(
  { folder }: DevFiles,
  pid: number,
): Promise<DevBusReady | undefined> {
  const text = await textIfThere(join(folder, `${pid}.json`));
  return text === undefined ? undefined : JSON.parse(text);
}
