/**
 * Puts the streams of a backup back into NATS. Says no while a bus is at work there, or where streams
 * of one are, before it changes anything. The backup has been read to its end and found whole before.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { NatsConnection } from "@nats-io/transport-deno";
import { everyProcess } from "../subjects/subject.ts";
import { BackupError } from "./archive.ts";
import type { BackupReader, ReadFile } from "./archive.ts";
import type { BackupHead } from "./manifest.ts";
import { DATA_FILE, META_FILE, STREAMS_FOLDER } from "./nats_backup.ts";
import type { RawConfig, RawState, Restoring, StreamApi } from "./stream_api.ts";
import { inBackupOrder, restoredReplicas } from "./stream_order.ts";

const Meta = z.object({
  config: z.looseObject({ name: z.string(), num_replicas: z.number() }),
  state: z.looseObject({
    messages: z.number(),
    bytes: z.number(),
    first_seq: z.number(),
    last_seq: z.number(),
  }),
});

/** Names of the bus's streams that are there. */
export async function busStreams(api: StreamApi, schema_bucket: string): Promise<string[]> {
  return inBackupOrder(await api.list(), schema_bucket).map(({ name }) => name);
}

/**
 * Listens for `listen_ms` to what every Shield and Brain says of itself again and again; the ids of those
 * that were heard. Rejects when this user may not listen: then nobody knows.
 */
export async function busAtWork(connection: NatsConnection, listen_ms: number): Promise<string[]> {
  const heard = new Set<string>();
  const { promise: refused, reject } = Promise.withResolvers<never>();
  // Nobody waits for it any longer once the time is over.
  refused.catch(() => {});
  const subscriptions = [everyProcess("beat"), everyProcess("announce")].map((subject) =>
    connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return reject(error);
        heard.add(message.subject.slice(message.subject.lastIndexOf(".") + 1));
      },
    })
  );
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => timer = setTimeout(resolve, listen_ms));
  try {
    await Promise.race([over, refused]);
  } finally {
    clearTimeout(timer);
    for (const subscription of subscriptions) subscription.unsubscribe();
  }
  return [...heard].sort();
}

/** Where to, and who learns of it. */
interface NatsRestore {
  readonly api: Pick<StreamApi, "restore" | "remove">;
  readonly head: BackupHead;
  readonly is_clustered: boolean;
  /** Streams that are there already: their files are passed over. */
  readonly done: ReadonlySet<string>;
  /** A stream is complete. */
  readonly onStream: (name: string) => void;
}

/** How often one stream is begun. */
const ATTEMPTS = 4;

/** What a restore of all streams needs beside `NatsRestore`. */
export interface NatsRestores extends Omit<NatsRestore, "done" | "onStream"> {
  /** Streams that are there and stay. */
  readonly left?: readonly string[];
  /** Reads the backup from its beginning. */
  readonly readBackup: (reader: BackupReader) => Promise<void>;
  /** A stream was cut off, and is begun again. */
  readonly onCutOff: (name: string, problem: string) => Promise<void>;
}

/**
 * Restores all streams. A server drops a stream that is being restored when nothing comes for five seconds, or
 * when another one becomes its leader: busy ones do that to any stream. It is then deleted and begun anew, and
 * what is complete stays. Returns the names. Rejects with `Incomplete`.
 */
export async function restoreStreams(options: NatsRestores): Promise<readonly string[]> {
  const { api, readBackup, onCutOff, left = [] } = options;
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
      if (stuck !== undefined) await api.remove(stuck);
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

/** Not every stream is there; `cause` says why. */
export class Incomplete extends Error {
  readonly restored: readonly string[];

  constructor(restored: readonly string[], cause: unknown) {
    super("the streams are not complete", { cause });
    this.restored = restored;
  }
}

/** Takes a backup's files one after the other, and makes streams of them. `end` completes the last one. */
class StreamRestorer implements BackupReader {
  readonly #options: NatsRestore;
  #open: { readonly name: string; readonly restoring: Restoring } | undefined;
  /** The stream that has been begun and is not complete. */
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

  /** Completes the stream that is under way. */
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
    const { head, is_clustered } = this.#options;
    const num_replicas = restoredReplicas({
      replicas: config.num_replicas,
      was_clustered: head.clustered === true,
      is_clustered,
    });
    this.unfinished = stream;
    const restoring = await this.#options.api.restore(
      { ...config, num_replicas } as RawConfig,
      state as RawState,
    );
    this.#open = { name: stream, restoring };
  }
}
