/**
 * Reads the backup that a running bus with data on its own machine gives out through the admin API. The
 * caller packs it anew, so that it can add files and encrypt all of it.
 */
import { BackupError, parseFile } from "../../shared/backup/archive.ts";
import type { GivenPart } from "../../shared/backup/archive.ts";
import { DATA_FOLDER } from "../../shared/backup/embedded_parts.ts";
import {
  BackupHead,
  DatabaseFacts,
  HEAD_PATH,
  MANIFEST_PATH,
} from "../../shared/backup/manifest.ts";
import { readTar } from "../../shared/tar.ts";
import type { TarEntry } from "../../shared/tar.ts";

/** The backup that a bus gives out: which bus it is, and its databases. */
export interface RemoteBackup {
  readonly head: BackupHead;
  readonly parts: AsyncIterable<GivenPart>;
}

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
      const told = { path, size_bytes, bytes };
      const next = await entries.next();
      if (next.done === true || next.value.path !== `${DATA_FOLDER}/${facts.name}`) {
        throw new BackupError("the bus hands out something else than its databases");
      }
      yield { facts, files: [told, next.value] };
    }
  }
  if (!is_whole) throw new BackupError("the bus did not hand out all");
}

/**
 * Reads the head of a backup from the stream of the admin API; the databases come as they are read. Rejects
 * with BackupError.
 */
export async function remoteBackup(stream: ReadableStream<Uint8Array>): Promise<RemoteBackup> {
  const entries = readTar(stream);
  const first = await entries.next();
  if (first.done === true || first.value.path !== HEAD_PATH) {
    throw new BackupError("the bus hands out no backup");
  }
  return { head: await parseFile(BackupHead, first.value), parts: partsOf(entries) };
}
