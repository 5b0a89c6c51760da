/**
 * Encryption of backups in the format of the program `age` (age-encryption.org/v1), so that `age` can open
 * them too. A backup is encrypted for the holders of keys or with a passphrase; without either it is written
 * in the clear.
 */
import { Decrypter, Encrypter } from "age-encryption";
import { CommandError, EXIT, failed, usageError, whyOf } from "../terminal/exit.ts";
import { openInput, readInput } from "../terminal/input.ts";
import type { Io } from "../terminal/io.ts";
import type { Flags } from "../program/flags.ts";

/** A function that turns the plain bytes of a backup into the bytes that are written. */
type Sealing = (bytes: AsyncIterable<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>;

const MAGIC = "age-encryption.org/v1\n";
const ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";
const decoder = new TextDecoder();

/** The lines of a text that are neither empty nor comments. */
const linesOf = (bytes: Uint8Array) =>
  decoder.decode(bytes).split(/\r?\n/).map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));

async function passphraseOf(io: Io, file: string): Promise<string> {
  const [line = ""] = decoder.decode(await readInput(io, file)).split(/\r?\n/);
  if (line !== "") return line;
  throw new CommandError(`${file} is empty; expected a passphrase in its first line`);
}

/** The encryption that the options ask for; undefined: none. Throws when a key cannot be used. */
export async function sealingOf(io: Io, flags: Flags): Promise<Sealing | undefined> {
  const { recipient = [], recipientsFile, passphraseFile } = flags;
  const from_file = recipientsFile === undefined
    ? []
    : linesOf(await readInput(io, recipientsFile));
  const recipients = [...recipient, ...from_file];
  if (recipientsFile !== undefined && from_file.length === 0) {
    throw new CommandError(`${recipientsFile} has no recipient; expected lines as age1…`);
  }
  if (recipients.length === 0 && passphraseFile === undefined) return undefined;
  if (recipients.length > 0 && passphraseFile !== undefined) {
    throw usageError("a backup is encrypted for recipients or with a passphrase, not with both");
  }
  const encrypter = new Encrypter();
  for (const one of recipients) {
    try {
      encrypter.addRecipient(one);
    } catch (error) {
      const hint = "age-keygen makes a pair; the line `# public key: age1…` has the recipient";
      const shown = one.startsWith("AGE-SECRET-KEY") ? "a secret key" : one;
      throw new CommandError(`${shown} is not a recipient: ${whyOf(error)}`, EXIT.usage, hint);
    }
  }
  if (passphraseFile !== undefined) {
    encrypter.setPassphrase(await passphraseOf(io, passphraseFile));
  }
  return async (bytes) => await encrypter.encrypt(ReadableStream.from(bytes));
}

async function decrypterOf(io: Io, file: string, flags: Flags): Promise<Decrypter> {
  const { identity, passphraseFile } = flags;
  if (identity === undefined && passphraseFile === undefined) {
    const hint = "--identity FILE has the key of a recipient, --passphrase-file FILE a passphrase";
    throw failed(`${file} is encrypted`, hint);
  }
  const decrypter = new Decrypter();
  if (identity !== undefined) {
    const lines = linesOf(await readInput(io, identity));
    if (lines.length === 0) throw new CommandError(`${identity} has no key`);
    for (const line of lines) {
      try {
        decrypter.addIdentity(line);
      } catch {
        const hint = "expected lines as AGE-SECRET-KEY-1…, as age-keygen writes them";
        throw failed(`${identity} has a line that is not a key`, hint);
      }
    }
  }
  if (passphraseFile !== undefined) {
    decrypter.addPassphrase(await passphraseOf(io, passphraseFile));
  }
  return decrypter;
}

/** Reads the first bytes of a file as text, and gives back a stream of the whole file. */
async function peeked(
  stream: ReadableStream<Uint8Array>,
): Promise<{ start: string; bytes: AsyncIterable<Uint8Array> }> {
  const pieces = stream[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  for (let count = 0; count < ARMOR.length;) {
    const { done, value } = await pieces.next();
    if (done === true) break;
    first.push(value);
    count += value.length;
  }
  const bytes = async function* () {
    try {
      yield* first;
      for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
        yield next.value;
      }
    } finally {
      await pieces.return?.();
    }
  };
  const start = first.map((piece) => decoder.decode(piece.subarray(0, ARMOR.length))).join("");
  return { start, bytes: bytes() };
}

async function* unsealed(
  decrypter: Decrypter,
  bytes: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  try {
    yield* await decrypter.decrypt(ReadableStream.from(bytes));
  } catch (error) {
    const hint = "another key or passphrase, or a damaged or truncated file";
    throw failed(`${file} cannot be decrypted: ${whyOf(error)}`, hint);
  }
}

interface OpenBackup {
  readonly is_encrypted: boolean;
  /** The decrypted bytes, which can be read once. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Opens a backup file, encrypted or not. */
export async function openBackup(io: Io, file: string, flags: Flags): Promise<OpenBackup> {
  const { start, bytes } = await peeked(await openInput(io, file));
  if (start.startsWith(ARMOR)) {
    throw failed(`${file} is armored`, `age -d ${file} > backup.tar first`);
  }
  if (!start.startsWith(MAGIC)) return { is_encrypted: false, bytes };
  const decrypter = await decrypterOf(io, file, flags);
  return { is_encrypted: true, bytes: unsealed(decrypter, bytes, file) };
}
