/**
 * A backup of a bus that runs with its data on its own machine: the admin API hands it out, and it is
 * packed anew here, so that files can be beside it and a key around it.
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

/** What a bus hands out: who it is, and its databases. */
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

/** Takes apart what the admin API answers. Rejects with BackupError. */
export async function remoteBackup(stream: ReadableStream<Uint8Array>): Promise<RemoteBackup> {
  const entries = readTar(stream);
  const first = await entries.next();
  if (first.done === true || first.value.path !== HEAD_PATH) {
    throw new BackupError("the bus hands out no backup");
  }
  return { head: await parseFile(BackupHead, first.value), parts: partsOf(entries) };
}
