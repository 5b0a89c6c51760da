/**
 * `arq backup verify` and `arq restore`: read a whole backup and check every digest; restore also writes its data to
 * the configured place, while no bus runs there. `arq standby sync|status|promote` keeps the NATS of a second site as a
 * copy of the first site's, and makes it the NATS of a bus when the first site is lost.
 */
import { BackupError, type BackupReader, readBackup } from "../../../shared/backup/archive.ts";
import type { Manifest } from "../../../shared/backup/manifest.ts";
import { openBackup } from "../../backup/encryption.ts";
import { FileRestorer, hasFiles, manifestText } from "../../backup/files.ts";
import { CommandError, EXIT, failed, printable, usageError, whyOf } from "../../terminal/exit.ts";
import { type Ended, type Io, note } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { dataFiles, DataRestorer } from "../../../shared/backup/embedded_restore.ts";
import { RestoreRefused } from "../../../shared/backup/embedded_restore.ts";
import {
  busAtWork,
  FirstStream,
  Incomplete,
  restoreStreams,
  type StreamsThere,
  streamsThere,
} from "../../../shared/backup/nats_restore.ts";
import { freeText } from "../../../shared/spine/embedded/embedded_database.ts";
import { plural } from "../../../shared/plural.ts";
import { dataDirOf, findPlace, openNats } from "../../backup/backup_place.ts";
import type { OpenNats, Place } from "../../backup/backup_place.ts";
import { mirrorStates, promoteStandby, syncStandby } from "../../../shared/backup/standby.ts";
import type { MirrorState, StandbySite } from "../../../shared/backup/standby.ts";
import { StreamApi } from "../../../shared/backup/stream_api.ts";

/** A backup that was read to its end and is complete. */
export interface CheckedBackup {
  readonly manifest: Manifest;
  readonly is_encrypted: boolean;
}

/** Reads all of a backup. Rejects with CommandError when the backup is not complete. */
async function checkedBackup(
  io: Io,
  file: string,
  flags: Flags,
  reader?: BackupReader,
): Promise<CheckedBackup> {
  const { bytes, is_encrypted } = await openBackup(io, file, flags);
  const interruptible = async function* () {
    for await (const piece of bytes) {
      io.signal.throwIfAborted();
      yield piece;
    }
  };
  try {
    return { manifest: await readBackup(interruptible(), reader), is_encrypted };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    throw new CommandError(`${file} is not a complete backup: ${error.message}`);
  }
}

/** Prints what is in a backup. Exit code 1 means that it is not complete. */
export async function backupVerify(io: Io, file: string, flags: Flags): Promise<Ended> {
  const { manifest, is_encrypted: encrypted } = await checkedBackup(io, file, flags);
  return { json: { file, encrypted, ...manifest }, text: `whole: ${manifestText(manifest)}` };
}

const STOP_FIRST =
  "stop every Shield, Brain and arq serve of it first; --force does not change that";
/** Missed heartbeats after which no bus is assumed to run. */
const BEATS = 2;
const BEAT_SPARE_MS = 500;

/** One reader for several: each sees every file of the backup, and only one accepts it. */
const together = (readers: readonly BackupReader[]): BackupReader => ({
  async onFile(file) {
    for (const reader of readers) await reader.onFile?.(file);
  },
});

async function requireFree(
  io: Io,
  place: Place,
  nats: OpenNats,
  force: boolean,
): Promise<StreamsThere> {
  const { presence, platform } = place.config;
  const listen_ms = BEATS * presence.heartbeat_ms + BEAT_SPARE_MS;
  await note(io, `checking for ${listen_ms} ms whether a bus uses ${place.title}`);
  const at_work = await busAtWork(nats.connection, listen_ms);
  if (at_work.length > 0) {
    const who = at_work.slice(0, 8).join(", ");
    throw failed(`a bus uses ${place.title}: ${who}${at_work.length > 8 ? ", …" : ""}`, STOP_FIRST);
  }
  const found = await streamsThere(nats.api, platform.registry.kv_bucket);
  const { there } = found;
  if (there.length === 0 || force) return found;
  const names = `${there.slice(0, 4).join(", ")}${there.length > 4 ? ", …" : ""}`;
  const text = `${place.title} is not empty: ${plural(there.length, "stream")} (${names})`;
  throw failed(text, "--force deletes them, with all that is in them");
}

async function restoreNats(
  io: Io,
  file: string,
  place: Place,
  manifest: Manifest,
  flags: Flags,
  files: FileRestorer | undefined,
  first: FirstStream,
): Promise<Restored> {
  await using nats = await openNats(io, place);
  const found = await requireFree(io, place, nats, flags.force === true);
  const { there: removed, left } = found;
  if (removed.length > 0) await note(io, `deleting ${plural(removed.length, "stream")}`);
  const streams = manifest.parts.filter(({ kind }) => kind === "stream").map(({ name }) => name);
  let restored: readonly string[];
  try {
    const done = await restoreStreams({
      api: nats.api,
      head: manifest,
      is_clustered: nats.is_clustered,
      first,
      ...found,
      async readBackup(restorer) {
        const readers = files === undefined ? [restorer] : [restorer, files];
        await checkedBackup(io, file, flags, together(readers));
      },
      onCutOff: (name, problem) =>
        note(io, `NATS has dropped ${name} (${problem}); starting it again`),
    });
    restored = streams.filter((name) => done.includes(name));
  } catch (error) {
    if (!(error instanceof Incomplete)) throw error;
    const done = `${error.restored.length} of ${plural(streams.length, "stream")}`;
    await note(io, `stopped after ${done}; run it again with --force`);
    throw error.cause;
  }
  return { restored, removed, kept: null, left, files: files?.written ?? [] };
}

type Restored = Awaited<ReturnType<typeof restoreData>>;

async function restoreData(
  io: Io,
  file: string,
  place: Place,
  flags: Flags,
  files: FileRestorer | undefined,
) {
  const data_dir = dataDirOf(io, place);
  const there = await dataFiles(data_dir);
  const restorer = new DataRestorer(data_dir);
  try {
    await restorer.open();
    if (there.length > 0 && flags.force !== true) {
      throw failed(
        `data_dir ${data_dir} is not empty: ${there.join(", ")}`,
        "--force moves them into a folder next to it, and restores in their place",
      );
    }
    const readers = files === undefined ? [restorer] : [restorer, files];
    await checkedBackup(io, file, flags, together(readers));
    const suffix = new Date(io.now()).toISOString().replace(/[-:]|\.\d+/g, "");
    const kept = await restorer.finish(suffix) ?? null;
    const { restored, left } = restorer;
    return {
      restored: restored as readonly string[],
      /** Names of the streams that were there before and were deleted. */
      removed: [] as readonly string[],
      /** Folder that now has the previous databases; null when there were none. */
      kept,
      /** The parts of the usage ledger that existed and are kept. */
      left: left as readonly string[],
      files: (files?.written ?? []) as readonly string[],
    };
  } catch (error) {
    const is_unchanged = await restorer.abandon();
    if (error instanceof RestoreRefused) throw failed(error.message, STOP_FIRST);
    if (error instanceof CommandError || io.signal.aborted) throw error;
    throw failed(
      `cannot restore into data_dir ${data_dir} (${freeText(data_dir)}): ${whyOf(error)}`,
      is_unchanged
        ? "nothing was changed; the disk has to take the backup beside what is there"
        : "run it again, with --force",
    );
  }
}

async function requirePlace(io: Io, manifest: Manifest, flags: Flags): Promise<Place> {
  const place = await findPlace(io, flags.config);
  if (place === undefined) {
    throw usageError(
      "no target: there is no config.toml here",
      "name the bus's configuration with --config FILE",
    );
  }
  if (place.engine === manifest.engine) return place;
  const ours = place.engine === "nats" ? "[nats]" : "no [nats]";
  throw failed(
    `the backup is of an ${manifest.engine === "nats" ? "bus on NATS" : "embedded bus"}, and ` +
      `${place.config_file} has ${ours}`,
    "name the configuration of such a bus with --config",
  );
}

function summary(io: Io, place: Place, manifest: Manifest, restored: Restored): string {
  const { kept, removed, left, files } = restored;
  const first = removed.length > 0
    ? `deleted ${plural(removed.length, "stream")} that were there\n`
    : "";
  const moved = kept === null ? "" : `the previous data is in ${kept}\n`;
  const ledger = left.length === 0
    ? ""
    : `the existing usage ledger was kept (${left.join(", ")}): remove it before ` +
      "the restore to get the backup's\n";
  const written = files.map((path) => `wrote ${path}\n`).join("");
  const alone = files.length === 0 && hasFiles(manifest)
    ? "its files were left alone; --files-to DIR writes them\n"
    : "";
  const restored_text = `restored into ${place.title}: ${manifestText(manifest)}`;
  return first + moved + ledger + restored_text + written + alone +
    `${io.arq} serve, or the Shields and Brains, may be started; clients' offsets, versions and ` +
    "fences from after the backup are invalid\n";
}

/** Restores a backup. Refuses where a bus runs, and where data exists unless `force` is set. */
export async function restore(io: Io, file: string, flags: Flags): Promise<Ended> {
  await note(io, `checking ${file}`);
  const first = new FirstStream();
  const { manifest } = await checkedBackup(io, file, flags, first);
  const place = await requirePlace(io, manifest, flags);
  const files = flags.filesTo === undefined
    ? undefined
    : new FileRestorer(io, flags.filesTo, manifest.parts);
  await files?.requireNew();
  const restored = place.engine === "nats"
    ? await restoreNats(io, file, place, manifest, flags, files, first)
    : await restoreData(io, file, place, flags, files);
  return {
    json: { place: place.title, ...restored, manifest },
    text: summary(io, place, manifest, restored),
  };
}

async function natsPlace(io: Io, flags: Flags): Promise<Place> {
  const place = await findPlace(io, flags.config);
  if (place === undefined) {
    throw usageError(
      "no NATS: there is no config.toml here",
      "--config FILE names one with [nats]",
    );
  }
  if (place.engine === "nats") return place;
  throw failed(`${place.config_file} has no [nats]`, "a copy is of NATS");
}

const siteOf = ({ api: own, is_clustered }: OpenNats, { config }: Place): StandbySite => ({
  own,
  is_clustered,
  schema_bucket: config.platform.registry.kv_bucket,
});

const lines = (mirrors: readonly MirrorState[]) =>
  mirrors.map(({ name, lag, last_sequence }) => {
    const behind = lag === null ? "no message yet" : `${plural(lag, "message")} behind`;
    return `  ${printable(name)}  up to ${last_sequence}, ${behind}\n`;
  }).join("");

/** Creates the missing mirrors. */
export async function standbySync(io: Io, flags: Flags<"domain">): Promise<Ended> {
  const place = await natsPlace(io, flags);
  await using nats = await openNats(io, place);
  const { domain } = flags;
  const api = new StreamApi(nats.connection, domain);
  const synced = await syncStandby(siteOf(nats, place), { api, domain });
  const { made, updated, orphans, mirrors } = synced;
  const gone = orphans.length === 0 ? "" : `the origin was deleted: ${orphans.join(", ")}\n`;
  const counts = `${made.length} new, ${updated.length} brought up to date\n`;
  const text = `${plural(mirrors.length, "mirror")}, ${counts}${gone}${lines(mirrors)}`;
  return { json: synced, text };
}

/** Prints the lag of each mirror. */
export async function standbyStatus(io: Io, flags: Flags): Promise<Ended> {
  const place = await natsPlace(io, flags);
  await using nats = await openNats(io, place);
  const mirrors = await mirrorStates(siteOf(nats, place));
  return {
    json: { mirrors },
    text: `${plural(mirrors.length, "mirror")}\n${lines(mirrors)}`,
    code: mirrors.length > 0 ? EXIT.ok : EXIT.failure,
  };
}

/** Converts the mirrors to independent streams. */
export async function standbyPromote(io: Io, flags: Flags): Promise<Ended> {
  const place = await natsPlace(io, flags);
  await using nats = await openNats(io, place);
  const promoted = await promoteStandby(siteOf(nats, place));
  if (promoted.length === 0) {
    throw failed(`there is no mirror in ${place.title}`, "arq standby sync");
  }
  const text = `${plural(promoted.length, "stream")} of ${place.title} take messages now\n` +
    lines(promoted) +
    "Shields and Brains may be started here; the first site's must not be started again\n";
  return { json: { promoted }, text };
}
