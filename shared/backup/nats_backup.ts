/**
 * The bus's streams on NATS as parts of a backup, each by the server's own snapshot: a part has the files that `nats
 * stream backup` writes. One stream after the other, in the order of `stream_order.ts`, while the bus runs.
 */
import type { Env } from "../env.ts";
import type { GivenFile, GivenPart } from "./archive.ts";
import type { ListedStream, Snapshot, StreamApi } from "./stream_api.ts";
import { inBackupOrder, isBeforeLogs } from "./stream_order.ts";

/** The folder of streams in the archive. */
export const STREAMS_FOLDER = "streams";
/** Configuration and state, in the form of the server's tools. */
export const META_FILE = "backup.json";
/** The snapshot; a large one is in several files, with `.0000`, `.0001`, … after the name. */
export const DATA_FILE = "stream.tar.s2";

/** Bytes of a snapshot buffered at a time, since a file's length precedes its bytes. */
const PIECE_BYTES = 16_777_216;

interface NatsBackup extends Pick<Env, "now"> {
  readonly api: StreamApi;
  /** Of `[platform.registry] kv_bucket`. */
  readonly schema_bucket: string;
}

interface Piece {
  readonly chunks: readonly Uint8Array[];
  readonly size_bytes: number;
}

async function* gathered(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  let piece: Uint8Array[] = [];
  let size_bytes = 0;
  for await (const chunk of chunks) {
    piece.push(chunk);
    size_bytes += chunk.length;
    if (size_bytes < PIECE_BYTES) continue;
    yield { chunks: piece, size_bytes };
    [piece, size_bytes] = [[], 0];
  }
  if (size_bytes > 0) yield { chunks: piece, size_bytes };
}

async function* filesOf({ config, state, chunks }: Snapshot): AsyncGenerator<GivenFile> {
  const folder = `${STREAMS_FOLDER}/${config.name}`;
  const meta = new TextEncoder().encode(JSON.stringify({ config, state }, undefined, 2));
  yield { path: `${folder}/${META_FILE}`, size_bytes: meta.length, bytes: [meta] };
  const pieces = gathered(chunks);
  const first = await pieces.next();
  if (first.done === true) return;
  // A single file has the plain name.
  let next = await pieces.next();
  if (next.done === true) {
    const { size_bytes, chunks: bytes } = first.value;
    yield { path: `${folder}/${DATA_FILE}`, size_bytes, bytes };
    return;
  }
  const path = (at: number) => `${folder}/${DATA_FILE}.${String(at).padStart(4, "0")}`;
  yield { path: path(0), size_bytes: first.value.size_bytes, bytes: first.value.chunks };
  for (let at = 1; next.done !== true; at++, next = await pieces.next()) {
    yield { path: path(at), size_bytes: next.value.size_bytes, bytes: next.value.chunks };
  }
}

async function* partOf(backup: NatsBackup, stream: string): AsyncGenerator<GivenPart> {
  const { api, now } = backup;
  const snapshot = await api.snapshot(stream);
  if (snapshot === undefined) return;
  const { messages, first_seq: first_sequence, last_seq: last_sequence } = snapshot.state;
  const figures = { messages, first_sequence, last_sequence };
  const facts = { kind: "stream", name: stream, taken_ms: now(), ...figures } as const;
  yield { facts, files: filesOf(snapshot) };
}

/** The parts. A stream that is deleted meanwhile is omitted; new logs are included. */
export async function* natsParts(backup: NatsBackup): AsyncGenerator<GivenPart> {
  const { api, schema_bucket } = backup;
  const taken = new Set<string>();
  const passes = [
    ({ name }: ListedStream) => isBeforeLogs(name, schema_bucket),
    ({ name }: ListedStream) => !taken.has(name),
  ];
  for (const is_due of passes) {
    for (const stream of inBackupOrder(await api.list(), schema_bucket).filter(is_due)) {
      taken.add(stream.name);
      yield* partOf(backup, stream.name);
    }
  }
}
