/**
 * A backup as a tar archive, written and read as a stream: a head, the files of the parts, the manifest with their
 * digests. Knows neither the parts' content nor encryption.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import type { Env } from "../env.ts";
import { readTar, tarEnd, TarError, tarHeader, tarPadding } from "../tar.ts";
import { BackupHead, HEAD_PATH, Manifest, MANIFEST_BYTES, MANIFEST_PATH } from "./manifest.ts";
import type { BackupPart } from "./manifest.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A file of a backup. */
export interface GivenFile {
  readonly path: string;
  readonly size_bytes: number;
  readonly bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

type WithoutFiles<T> = T extends unknown ? Omit<T, "files"> : never;

/** A part of a backup; its files are read one after the other. */
export interface GivenPart {
  readonly facts: WithoutFiles<BackupPart>;
  readonly files: AsyncIterable<GivenFile> | Iterable<GivenFile>;
}

/** Why a file is no complete backup, as a text for people. */
export class BackupError extends Error {
  override readonly name = "BackupError";
}

/** The clock and the callback of progress. */
interface PackOptions extends Pick<Env, "now"> {
  /** Called when a part is complete. */
  readonly onPart?: (part: BackupPart) => void;
}

const encoder = new TextEncoder();
const MODE = 0o600;

function* wholeFile(path: string, content: unknown, time_s: number): Generator<Bytes> {
  const bytes = encoder.encode(`${JSON.stringify(content, undefined, 2)}\n`);
  yield tarHeader(path, bytes.length, MODE, time_s);
  yield bytes;
  yield tarPadding(bytes.length);
}

/**
 * Streams the archive. Rejects with RangeError if a file does not have its declared length, and with errors of a part's
 * files.
 */
export async function* packBackup(
  head: BackupHead,
  parts: AsyncIterable<GivenPart> | Iterable<GivenPart>,
  { now, onPart = () => {} }: PackOptions,
): AsyncGenerator<Uint8Array> {
  const time_s = Math.floor(head.begun_ms / 1_000);
  yield* wholeFile(HEAD_PATH, head, time_s);
  const packed: BackupPart[] = [];
  for await (const { facts, files } of parts) {
    const stored: BackupPart["files"] = [];
    for await (const { path, size_bytes, bytes } of files) {
      yield tarHeader(path, size_bytes, MODE, time_s);
      const digest = createHash("sha256");
      let left = size_bytes;
      for await (const piece of bytes) {
        digest.update(piece);
        left -= piece.length;
        if (left < 0) break;
        yield piece;
      }
      if (left !== 0) throw new RangeError(`${path} has other than ${size_bytes} bytes`);
      yield tarPadding(size_bytes);
      stored.push({ path, size_bytes, sha256: digest.digest("hex") });
    }
    const part = { ...facts, files: stored };
    packed.push(part);
    onPart(part);
  }
  const manifest: Manifest = { ...head, ended_ms: now(), parts: packed };
  yield* wholeFile(MANIFEST_PATH, manifest, time_s);
  yield tarEnd();
}

/** A file of a backup being read. Its digest is known once all of it has been read. */
export interface ReadFile {
  readonly path: string;
  readonly size_bytes: number;
  readonly bytes: AsyncIterable<Bytes>;
}

/** A consumer of a backup's files. */
export interface BackupReader {
  /** One file; unread bytes are skipped. */
  onFile?(file: ReadFile): Promise<void>;
}

/** Parses a small JSON file of a backup. Rejects with BackupError, naming the file, if it is invalid. */
export async function parseFile<S extends z.ZodType>(
  schema: S,
  { path, size_bytes, bytes }: ReadFile,
): Promise<z.output<S>> {
  if (size_bytes > MANIFEST_BYTES) throw new BackupError(`${path} is too long`);
  const text = await new Response(ReadableStream.from(bytes)).text();
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw new BackupError(`${path} is no JSON`);
  }
  const result = schema.safeParse(found);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new BackupError(`${path}: ${issue?.path.join(".")}: ${issue?.message}`);
}

interface Seen {
  readonly size_bytes: number;
  readonly sha256: string;
}

/** Reads one file to its end, however much the consumer takes of it. */
async function readFile(
  { path, size_bytes, bytes }: ReadFile,
  reader: BackupReader,
): Promise<Seen> {
  const digest = createHash("sha256");
  const pieces = bytes[Symbol.asyncIterator]();
  let read = 0;
  // A consumer that stops ends this generator only.
  const counted = async function* () {
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      digest.update(next.value);
      read += next.value.length;
      yield next.value;
    }
  };
  await reader.onFile?.({ path, size_bytes, bytes: counted() });
  for await (const _ of counted());
  if (read !== size_bytes) throw new BackupError(`${path} is cut short`);
  return { size_bytes, sha256: digest.digest("hex") };
}

function compare({ parts }: Manifest, seen: ReadonlyMap<string, Seen>): void {
  const listed = parts.flatMap(({ files }) => files);
  for (const { path, size_bytes, sha256 } of listed) {
    const found = seen.get(path);
    if (found === undefined) throw new BackupError(`${path} is missing`);
    if (found.size_bytes !== size_bytes || found.sha256 !== sha256) {
      throw new BackupError(`${path} is damaged: its SHA-256 differs from the manifest`);
    }
  }
  if (listed.length !== seen.size) {
    const names = new Set(listed.map(({ path }) => path));
    const [stranger] = [...seen.keys()].filter((path) => !names.has(path));
    throw new BackupError(`${stranger ?? "a file"} is not in the manifest`);
  }
}

async function readAll(source: AsyncIterable<Uint8Array>, reader: BackupReader): Promise<Manifest> {
  const seen = new Map<string, Seen>();
  let head: BackupHead | undefined;
  let manifest: Manifest | undefined;
  for await (const entry of readTar(source)) {
    if (manifest !== undefined) throw new BackupError(`${entry.path} is after the manifest`);
    if (head === undefined) {
      if (entry.path !== HEAD_PATH) throw new BackupError(`it does not begin with ${HEAD_PATH}`);
      head = await parseFile(BackupHead, entry);
    } else if (entry.path === MANIFEST_PATH) {
      manifest = await parseFile(Manifest, entry);
    } else {
      if (seen.has(entry.path)) throw new BackupError(`${entry.path} occurs twice`);
      seen.set(entry.path, await readFile(entry, reader));
    }
  }
  if (head === undefined || manifest === undefined) {
    throw new BackupError("it has no manifest: it was cut short while it was made");
  }
  const { format, version, engine, begun_ms } = manifest;
  const same = format === head.format && version === head.version && engine === head.engine &&
    begun_ms === head.begun_ms;
  if (!same) throw new BackupError("its manifest belongs to another backup");
  compare(manifest, seen);
  return manifest;
}

/**
 * Reads a whole backup, passes its files to `reader`, and resolves with the manifest once all digests match. Rejects
 * with BackupError, or with an error of `reader`.
 */
export async function readBackup(
  source: AsyncIterable<Uint8Array>,
  reader: BackupReader = {},
): Promise<Manifest> {
  try {
    return await readAll(source, reader);
  } catch (error) {
    if (error instanceof TarError) throw new BackupError(error.message);
    throw error;
  }
}
