/**
 * Agrees with other processes on the name of a log's next stream. A standalone NATS server (2.15.2) can create two
 * streams with the same subjects at the same moment, and each would store every message; of two with the same name it
 * creates one.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../env.ts";
import type { LogPlace } from "./nats_log_place.ts";
import { changeDocument, isConflict } from "../../contract/compare_and_set.ts";
import type { KeyValue, KvEntry } from "../../contract/spine.ts";

/**
 * By tenant, and by the number of a shared stream: the name of the latest stream, and whether it has been created. For
 * a tenant in a shared stream: which stream.
 */
export const LOGS_BUCKET = "ARQON_LOGS";

/** The dependencies of naming. */
export interface NameTools extends Pick<Env, "now"> {
  /** Opens `LOGS_BUCKET`. */
  bucket(): Promise<KeyValue>;
  /** [0, 1). */
  readonly random: () => number;
}

interface Agreed {
  readonly stream: string;
  readonly made: boolean;
}

function decode({ value }: KvEntry): Agreed | { readonly shared: string } {
  return JSON.parse(new TextDecoder().decode(value));
}

function encode(agreed: Agreed): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(agreed));
}

function newStreamName(prefix: string, now_ms: number, random: () => number): string {
  const suffix = Math.floor(random() * 36 ** 4).toString(36).padStart(4, "0");
  return `${prefix}${now_ms.toString(36)}${suffix}`;
}

/** The name under which any process creates the missing stream. */
export async function agreeOnName(
  tools: NameTools,
  { name_key, prefix }: LogPlace,
): Promise<string> {
  const bucket = await tools.bucket();
  return await changeDocument(async (mayLose) => {
    const entry = await bucket.get(name_key);
    const agreed = entry === undefined ? undefined : decode(entry);
    if (agreed !== undefined && "shared" in agreed) {
      throw new ArqonError("log-unavailable", "the tenant's log shares a stream by now");
    }
    if (agreed?.made === false) return agreed.stream;
    const stream = newStreamName(prefix, tools.now(), tools.random);
    const value = encode({ stream, made: false });
    await mayLose(bucket.update(name_key, value, entry?.revision ?? 0));
    return stream;
  }, { overtaken: () => new ArqonError("log-unavailable", "too many processes name its stream") });
}

/** Records that the stream has been created: if it is missing later, it was deleted. */
export async function noteMade(
  tools: NameTools,
  { name_key }: LogPlace,
  stream: string,
): Promise<void> {
  const bucket = await tools.bucket();
  const entry = await bucket.get(name_key);
  if (entry === undefined) return;
  const agreed = decode(entry);
  if ("shared" in agreed || agreed.stream !== stream || agreed.made) return;
  try {
    await bucket.update(name_key, encode({ stream, made: true }), entry.revision);
  } catch (error) {
    if (!isConflict(error)) throw error; // Otherwise another process has recorded it.
  }
}
