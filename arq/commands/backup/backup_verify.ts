/** `arq backup verify FILE`: reads all of a backup, checks every digest, and says what is in it. */
import { BackupError, type BackupReader, readBackup } from "../../../shared/backup/archive.ts";
import type { Manifest } from "../../../shared/backup/manifest.ts";
import { openBackup } from "../../backup/encryption.ts";
import { manifestText } from "../../backup/text.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** A backup that was read to its end and is complete. */
export interface CheckedBackup {
  readonly manifest: Manifest;
  readonly is_encrypted: boolean;
}

/** Reads all of a backup. Rejects with CommandError when the backup is not complete. */
export async function checkedBackup(
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
    throw new CommandError(`${file} is no whole backup: ${error.message}`, EXIT.failure);
  }
}

/** Prints what is in a backup. Exit code 1 means that it is not complete. */
export async function backupVerify(
  io: Io,
  file: string,
  flags: Flags,
): Promise<number> {
  const { manifest, is_encrypted: encrypted } = await checkedBackup(io, file, flags);
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify({ file, encrypted, ...manifest })}\n`);
  } else {
    await print(io.stdout, `whole: ${manifestText(manifest)}`);
  }
  return EXIT.ok;
}
