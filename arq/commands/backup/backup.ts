/**
 * `arq backup FILE`: writes everything that a bus stores into one file while the bus runs. It uses the snapshots of
 * NATS. The data of an embedded bus comes through its admin API, or from its folder while the bus is stopped.
 */
import { BackupError, packBackup, parseFile } from "../../../shared/backup/archive.ts";
import type { GivenPart } from "../../../shared/backup/archive.ts";
import { DATA_FOLDER, embeddedParts } from "../../../shared/backup/embedded_parts.ts";
import { dataFiles } from "../../../shared/backup/embedded_restore.ts";
import {
  BACKUP_FORMAT,
  BackupHead,
  type BackupPart,
  DatabaseFacts,
  HEAD_PATH,
  MANIFEST_PATH,
} from "../../../shared/backup/manifest.ts";
import { natsParts } from "../../../shared/backup/nats_backup.ts";
import { busStreams } from "../../../shared/backup/nats_restore.ts";
import { createLogger } from "../../../shared/logs/log.ts";
import { openSpine } from "../../../shared/spine/open.ts";
import { VERSION } from "../../../shared/version.ts";
import { findAdmin } from "../../bus/admin.ts";
import { sealingOf } from "../../backup/encryption.ts";
import { fileParts, filesToSave, hasFiles, manifestText, sizeText } from "../../backup/files.ts";
import { dataDirOf, findPlace, openNats, type Place } from "../../backup/backup_place.ts";
import { failed, usageError } from "../../terminal/exit.ts";
import { newOutput, PARTIAL } from "../../terminal/input.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import { createProgress } from "../../terminal/screen.ts";
import type { Flags } from "../../program/flags.ts";
import { readTar, type TarEntry } from "../../../shared/tar.ts";

async function* partsOf(entries: AsyncGenerator<TarEntry>): AsyncGenerator<GivenPart> {
  let facts: DatabaseFacts | undefined;
  let is_whole = false;
  for await (const entry of entries) {
    const { path, size_bytes } = entry;
    if (path === MANIFEST_PATH) {
      is_whole = true;
    } else if (path.endsWith(".json")) {
      const bytes = await Array.fromAsync(entry.bytes);
      facts = await parseFile(DatabaseFacts, {
        path,
        size_bytes,
        bytes: ReadableStream.from(bytes),
      });
      const written = { path, size_bytes, bytes };
      const next = await entries.next();
      if (next.done === true || next.value.path !== `${DATA_FOLDER}/${facts.name}`) {
        throw new BackupError("the bus sent something other than its databases");
      }
      yield { facts, files: [written, next.value] };
    }
  }
  if (!is_whole) throw new BackupError("the bus did not send everything");
}

/** The head of a backup from the admin API; its databases are streamed. Rejects with BackupError. */
async function remoteBackup(stream: ReadableStream<Uint8Array>) {
  const entries = readTar(stream);
  const first = await entries.next();
  if (first.done === true || first.value.path !== HEAD_PATH) {
    throw new BackupError("the bus sends no backup");
  }
  return { head: await parseFile(BackupHead, first.value), parts: partsOf(entries) };
}

/** The part of a file's name that is replaced by the UTC time at which the backup begins. */
const TIME = "{time}";
/** The form of that time: `20260801T030000Z`. Such names sort by time and are valid on every file system. */
const STAMP = /^\d{8}T\d{6}Z/;
const STAMP_LENGTH = 16;

/** The last part of a path. */
const nameIn = (path: string): string => path.split(/[\\/]/).at(-1) ?? "";

/** Whether a file's name has the placeholder for the time: exactly once, and not in a folder's name. */
export function carriesTime(path: string): boolean {
  return nameIn(path).includes(TIME) && path.indexOf(TIME) === path.lastIndexOf(TIME);
}

/** The path with the time `now_ms` (Unix ms) for its placeholder. */
export function pathAt(path: string, now_ms: number): string {
  const stamp = new Date(now_ms).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return path.replace(TIME, stamp);
}

/** The time in a file's name that belongs to `path`; undefined for any other name. */
function stampIn(name: string, path: string): string | undefined {
  const [before = "", behind = ""] = nameIn(path).split(TIME);
  const stamp = name.slice(before.length, before.length + STAMP_LENGTH);
  const is_ours = name.startsWith(before) && STAMP.test(stamp) &&
    name.slice(before.length + STAMP_LENGTH) === behind;
  return is_ours ? stamp : undefined;
}

/**
 * Names in a folder that must be removed so that the newest `keep` backups of `path` stay, of which `made` is the last.
 * They include unfinished files older than the oldest of these, left by killed backups. Names that do not belong to
 * `path` are not touched, nor are later ones than `made`: they are of a clock that was ahead, or this one is behind,
 * and would take the place of newer backups.
 */
export function outdated(
  names: readonly string[],
  path: string,
  keep: number,
  made: string,
): string[] {
  const newest = stampIn(made, path) ?? "";
  const stamped = names.flatMap((name) => {
    const is_whole = !name.endsWith(PARTIAL);
    const stamp = stampIn(is_whole ? name : name.slice(0, -PARTIAL.length), path);
    return stamp === undefined ? [] : [{ name, stamp, is_whole }];
  });
  const whole = stamped.filter(({ is_whole, stamp }) => is_whole && stamp <= newest)
    .map(({ stamp }) => stamp).sort();
  const oldest = whole.at(-keep) ?? whole[0] ?? "";
  return stamped.filter(({ stamp }) => stamp < oldest).map(({ name }) => name).sort();
}

/** The data of a backup, until it is closed. */
interface Source extends AsyncDisposable {
  readonly head: BackupHead;
  readonly parts: AsyncIterable<GivenPart> | Iterable<GivenPart>;
  /** Estimated bytes; undefined when unknown. */
  readonly bytes: number | undefined;
}

const silent = (io: Io) =>
  createLogger({
    ...{ level: "error", format: "json", component: "arq" } as const,
    now: io.now,
    write: () => {},
  });

async function natsSource(io: Io, place: Place): Promise<Source> {
  const nats = await openNats(io, place);
  const { api, is_clustered } = nats;
  const { kv_bucket: schema_bucket } = place.config.platform.registry;
  const backup = { api, schema_bucket, now: io.now };
  try {
    if ((await busStreams(api, schema_bucket)).length === 0) {
      const hint = "is it the right [nats], and the right account?";
      throw failed(`there is no bus in ${place.title}`, hint);
    }
    return {
      head: headOf(io, { engine: "nats", clustered: is_clustered }),
      parts: natsParts(backup),
      bytes: undefined,
      [Symbol.asyncDispose]: () => nats[Symbol.asyncDispose](),
    };
  } catch (error) {
    await nats[Symbol.asyncDispose]();
    throw error;
  }
}

const headOf = (io: Io, more: Pick<BackupHead, "engine"> & Partial<BackupHead>): BackupHead => ({
  format: BACKUP_FORMAT,
  version: VERSION,
  begun_ms: io.now(),
  ...more,
});

/** The data in the folder of a stopped bus; undefined while a process has it open. */
async function stoppedSource(io: Io, place: Place): Promise<Source | undefined> {
  const data_dir = dataDirOf(io, place);
  if ((await dataFiles(data_dir)).length === 0) {
    throw failed(`there is no data in ${data_dir}`, "has a bus ever run?");
  }
  const { config } = place;
  try {
    const spine = await openSpine(
      { ...config, server: { ...config.server, data_dir } },
      { log: silent(io), now: io.now },
    );
    const backup = spine.backup?.();
    if (backup === undefined) throw new RangeError("the engine has no backup");
    return {
      head: headOf(io, { engine: "embedded", begun_ms: backup.taken_ms }),
      parts: embeddedParts(backup),
      bytes: backup.files.reduce((total, file) => total + file.size_bytes, 0),
      async [Symbol.asyncDispose]() {
        backup.release();
        await spine.drain();
      },
    };
  } catch (error) {
    if (error instanceof Error && /is in use by another/.test(error.message)) return undefined;
    throw error;
  }
}

async function runningSource(io: Io, flags: Flags<"files">): Promise<Source> {
  const stream = await (await findAdmin(io, flags)).stream("/v1/backup");
  const { head, parts } = await remoteBackup(stream);
  return { head, parts, bytes: undefined, [Symbol.asyncDispose]: () => Promise.resolve() };
}

async function sourceOf(io: Io, place: Place | undefined, flags: Flags<"files">): Promise<Source> {
  if (place === undefined) return await runningSource(io, flags);
  if (place.engine === "nats") return await natsSource(io, place);
  const stopped = await stoppedSource(io, place);
  if (stopped !== undefined) return stopped;
  const running = await runningSource(io, flags);
  const { node_id } = place.config.server;
  if (node_id === undefined || running.head.node_id === node_id) return running;
  await running[Symbol.asyncDispose]();
  throw failed(
    `the answering bus is ${running.head.node_id}, but ${place.config_file} belongs to ${node_id}`,
    "name the admin listener of that bus with --admin-url, and a token with --token-file",
  );
}

async function* both(
  first: Source["parts"],
  second: readonly GivenPart[],
): AsyncGenerator<GivenPart> {
  yield* first;
  yield* second;
}

async function writeBackup(
  io: Io,
  path: string,
  source: Source,
  files: readonly GivenPart[],
  flags: Flags<"files">,
) {
  const sealing = await sealingOf(io, flags);
  const sink = await newOutput(io, path);
  const progress = await createProgress(io, source.bytes, "bytes");
  const parts: BackupPart[] = [];
  let size_bytes = 0;
  try {
    const packed = packBackup(source.head, both(source.parts, files), {
      now: io.now,
      onPart: (part) => parts.push(part),
    });
    const bytes = sealing === undefined ? packed : await sealing(packed);
    for await (const piece of bytes) {
      io.signal.throwIfAborted();
      await sink.write(piece);
      size_bytes += piece.length;
      progress.update(size_bytes);
    }
    await sink.finish();
  } catch (error) {
    // The original failure is reported.
    await sink.abandon(false).catch(() => {});
    throw error;
  } finally {
    progress.stop();
  }
  return { head: source.head, parts, size_bytes };
}

/** The path of the backup. Throws when the file exists, or when `--keep` is given without a time in the name. */
async function placeOf(io: Io, file: string, keep: number | undefined): Promise<string> {
  if (keep !== undefined && !carriesTime(file)) {
    const hint = `for example --keep 14 with /backup/bus-${TIME}.tar.age`;
    throw usageError(`--keep needs a file with ${TIME} in its name`, hint);
  }
  const path = resolvePath(io.cwd, pathAt(file, io.now()));
  if (await io.files.state(path) === undefined) return path;
  const hint = `name another file, for example with ${TIME} in it`;
  throw failed(`${path} exists already`, hint);
}

/** Removes the oldest backups of that name so that `keep` stay. Returns the removed paths. */
async function removeOutdated(io: Io, file: string, path: string, keep: number): Promise<string[]> {
  const folder = path.slice(0, -nameIn(path).length);
  const names = await io.files.list(folder);
  const paths = outdated(names, file, keep, nameIn(path)).map((name) => folder + name);
  for (const one of paths) await io.files.remove(one);
  return paths;
}

/** Makes a backup. When it fails, it leaves no file. */
export async function backup(io: Io, file: string, flags: Flags<"files">): Promise<Ended> {
  const path = await placeOf(io, file, flags.keep);
  const place = await findPlace(io, flags.config);
  const { include = [] } = flags;
  const paths = flags.files ? filesToSave(io, place, include) : [...include];
  const files = await fileParts(io, paths.map((one) => resolvePath(io.cwd, one)));
  await using source = await sourceOf(io, place, flags);
  const { head, parts, size_bytes } = await writeBackup(io, path, source, files, flags);
  const manifest = { ...head, ended_ms: io.now(), parts: [...parts] };
  const is_encrypted = flags.passphraseFile !== undefined ||
    flags.recipientsFile !== undefined || (flags.recipient ?? []).length > 0;
  const { keep } = flags;
  const removed = keep === undefined ? [] : await removeOutdated(io, file, path, keep);
  const gone = removed.map((one) => `removed ${one}\n`).join("");
  const open = "arq: it is not encrypted, and may hold keys and passwords: --recipient encrypts\n";
  return {
    json: { file: path, encrypted: is_encrypted, size_bytes, removed, ...manifest },
    text: `${path} (${sizeText(size_bytes)})\n${manifestText(manifest)}${gone}`,
    note: !is_encrypted && hasFiles(manifest) ? open : "",
  };
}
