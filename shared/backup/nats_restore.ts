/**
 * Restores the streams of a backup into NATS. Refuses, before it changes anything, if a bus is running there, or has
 * streams there. The backup was read to its end and found complete before.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { NatsConnection } from "@nats-io/transport-deno";
import { everyProcess } from "../subjects/subject.ts";
import { BackupError, type BackupReader, type ReadFile } from "./archive.ts";
import type { BackupHead } from "./manifest.ts";
import { DATA_FILE, META_FILE, STREAMS_FOLDER } from "./nats_backup.ts";
import type { ListedStream, RawConfig, RawState, Restoring, StreamApi } from "./stream_api.ts";
import { inBackupOrder, isBusName, isLeft, restoredReplicas } from "./stream_order.ts";
import { RESTORE_CUT_OFF, RESTORE_KEY, STORAGE_BUCKET } from "../spine/contract/storage_plan.ts";
import { within } from "../within.ts";

const Meta = z.object({
  config: z.looseObject({ name: z.string(), num_replicas: z.number() }),
  state: z.looseObject({
    messages: z.number(),
    bytes: z.number(),
    first_seq: z.number(),
    last_seq: z.number(),
  }),
});

/** The stream that each process of a bus opens first. While it has the mark of a restore, none starts. */
const FIRST = `KV_${STORAGE_BUCKET}`;

/** The mark of a restore that is under way, or was cut off; undefined: there is none. */
const markIn = (streams: readonly ListedStream[]): string | undefined => {
  const { config } = streams.find(({ name }) => name === FIRST) ?? {};
  return (config?.["metadata"] as Record<string, string> | undefined)?.[RESTORE_KEY];
};

/** Names of the bus's existing streams. Rejects with `spine-unavailable` if only a part of them was restored. */
export async function busStreams(api: StreamApi, schema_bucket: string): Promise<string[]> {
  const streams = await api.list();
  if (markIn(streams) !== undefined) throw new ArqonError("spine-unavailable", RESTORE_CUT_OFF);
  return inBackupOrder(streams, schema_bucket).map(({ name }) => name);
}

/** The bus's existing streams: those that a restore replaces, and those that it leaves. */
export interface StreamsThere {
  readonly there: readonly string[];
  readonly left: readonly string[];
  /** Whether the mark of a restore that was cut off is there. */
  readonly is_marked: boolean;
}

/**
 * Finds them, also those for which no server answers, such as one whose restore was cut off on a cluster. After a
 * restore that was cut off, only what was there before it is left.
 */
export async function streamsThere(api: StreamApi, schema_bucket: string): Promise<StreamsThere> {
  const lost: string[] = [];
  const listed = await api.list(lost);
  const mark = markIn(listed);
  const found = inBackupOrder(listed, schema_bucket).map(({ name }) => name);
  const all = [...found, ...lost.filter((name) => isBusName(name, schema_bucket))];
  const kept: readonly string[] = mark === undefined ? all : JSON.parse(mark);
  const left = all.filter((name) => isLeft(name) && kept.includes(name));
  const there = all.filter((name) => !left.includes(name));
  return { there, left, is_marked: mark !== undefined };
}

/** Keeps the files of the first stream, which are few and small, while a backup is checked. */
export class FirstStream implements BackupReader {
  readonly files:
    (Pick<ReadFile, "path" | "size_bytes"> & { readonly whole: Uint8Array<ArrayBuffer> })[] = [];

  async onFile({ path, size_bytes, bytes }: ReadFile): Promise<void> {
    if (!path.startsWith(`${STREAMS_FOLDER}/${FIRST}/`)) return;
    const whole = await new Response(ReadableStream.from(bytes)).bytes();
    this.files.push({ path, size_bytes, whole });
  }

  /** Gives them to `reader`. */
  async read(reader: BackupReader): Promise<void> {
    for (const { whole, ...file } of this.files) {
      await reader.onFile?.({ ...file, bytes: ReadableStream.from([whole]) });
    }
  }
}

/**
 * Subscribes to the heartbeats of Shields and Brains for `listen_ms`; returns the ids received. Rejects if this user
 * may not subscribe: then it is unknown.
 */
export async function busAtWork(connection: NatsConnection, listen_ms: number): Promise<string[]> {
  const senders = new Set<string>();
  const { promise: refused, reject } = Promise.withResolvers<never>();
  const subscriptions = [everyProcess("beat"), everyProcess("announce")].map((subject) =>
    connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return reject(error);
        senders.add(message.subject.slice(message.subject.lastIndexOf(".") + 1));
      },
    })
  );
  try {
    await within(listen_ms, refused, () => {});
  } finally {
    for (const subscription of subscriptions) subscription.unsubscribe();
  }
  return [...senders].sort();
}

interface NatsRestore {
  readonly api: Pick<StreamApi, "restore" | "remove">;
  readonly head: BackupHead;
  readonly is_clustered: boolean;
  /** Existing streams: their files are skipped. */
  readonly done: ReadonlySet<string>;
  readonly onStream: (name: string) => void;
  /** Metadata that the streams get besides their own. */
  readonly mark?: Readonly<Record<string, string>>;
}

/** How often one stream is tried. */
const ATTEMPTS = 4;

interface NatsRestores extends Omit<NatsRestore, "done" | "onStream">, StreamsThere {
  /** Of the same backup. */
  readonly first: FirstStream;
  readonly readBackup: (reader: BackupReader) => Promise<void>;
  /** A stream was aborted, and is started again. */
  readonly onCutOff: (name: string, problem: string) => Promise<void>;
}

/**
 * Restores all streams; returns their names. A server drops a stream being restored after five seconds without data, or
 * when its leader changes: a busy server does that to any stream. The stream is then deleted and started again;
 * complete ones stay. Rejects with `Incomplete`.
 */
async function restoreAll(options: NatsRestores): Promise<readonly string[]> {
  const { readBackup, onCutOff, left } = options;
  const done: string[] = [];
  const onStream = (name: string) => void done.push(name);
  let stuck: string | undefined;
  for (let attempt = 1;;) {
    const restorer = new StreamRestorer({
      ...options,
      onStream,
      done: new Set([...left, ...done]),
    });
    try {
      await readBackup(restorer);
      await restorer.end();
      return done;
    } catch (cause) {
      const { unfinished = stuck } = restorer;
      attempt = unfinished === stuck ? attempt + 1 : 2;
      const is_cut = cause instanceof ArqonError && cause.reason === "spine-unavailable";
      if (unfinished === undefined || !is_cut || attempt > ATTEMPTS) {
        throw new Incomplete(done, cause);
      }
      stuck = unfinished;
      await onCutOff(unfinished, cause.message);
    }
  }
}

/**
 * Replaces the bus's streams by those of the backup; returns their names. The first stream has a mark meanwhile, so
 * that no bus starts on half of them, and the next restore knows what was there before. Rejects with `Incomplete`.
 */
export async function restoreStreams(options: NatsRestores): Promise<readonly string[]> {
  const { api, first, left, there, is_marked } = options;
  const only = { ...options, left: [], readBackup: (reader: BackupReader) => first.read(reader) };
  const mark = { [RESTORE_KEY]: JSON.stringify(left) };
  if (!is_marked) await restoreAll({ ...only, mark });
  for (const name of there) if (name !== FIRST) await api.remove(name);
  const done = await restoreAll({ ...options, left: [...left, FIRST] });
  return [...await restoreAll(only), ...done];
}

/** Not every stream was restored; `cause` says why. */
export class Incomplete extends Error {
  readonly restored: readonly string[];

  constructor(restored: readonly string[], cause: unknown) {
    super("the streams are not complete", { cause });
    this.restored = restored;
  }
}

/** Receives a backup's files in order, and creates their streams. `end` completes the last one. */
class StreamRestorer implements BackupReader {
  readonly #options: NatsRestore;
  #open: { readonly name: string; readonly restoring: Restoring } | undefined;
  /** The stream that was started and is incomplete. */
  unfinished: string | undefined;

  constructor(options: NatsRestore) {
    this.#options = options;
  }

  async onFile(file: ReadFile): Promise<void> {
    const [folder, stream = "", name = ""] = file.path.split("/");
    if (folder !== STREAMS_FOLDER || this.#options.done.has(stream)) return;
    if (name === META_FILE) return await this.#begin(stream, file);
    if (name !== DATA_FILE && !name.startsWith(`${DATA_FILE}.`)) return;
    if (this.#open?.name !== stream) throw new BackupError(`${file.path} has no ${META_FILE}`);
    for await (const piece of file.bytes) await this.#open.restoring.write(piece);
  }

  async end(): Promise<void> {
    if (this.#open === undefined) return;
    const { name, restoring } = this.#open;
    this.#open = undefined;
    await restoring.finish();
    this.unfinished = undefined;
    this.#options.onStream(name);
  }

  async #begin(stream: string, file: ReadFile): Promise<void> {
    await this.end();
    const text = await new Response(ReadableStream.from(file.bytes)).text();
    const parsed = Meta.safeParse(JSON.parse(text));
    if (!parsed.success || parsed.data.config.name !== stream) {
      throw new BackupError(`${file.path} does not describe stream ${stream}`);
    }
    const { config, state } = parsed.data;
    const { head, is_clustered, mark } = this.#options;
    const num_replicas = restoredReplicas({
      replicas: config.num_replicas,
      was_clustered: head.clustered === true,
      is_clustered,
    });
    this.unfinished = stream;
    // One whose restore was cut off is in the way, and no list may have it.
    await this.#options.api.remove(stream);
    const metadata = { ...config["metadata"] as object, ...mark };
    const restoring = await this.#options.api.restore(
      { ...config, num_replicas, metadata } as RawConfig,
      state as RawState,
    );
    this.#open = { name: stream, restoring };
  }
}
