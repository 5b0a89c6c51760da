/**
 * Agrees with other processes on what the next stream of a log is called. A NATS server that is no
 * cluster lets two streams with the same subjects be made at the same moment (2.15.2), and each would
 * then take every message; of two with the same name it makes one.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../env.ts";
import type { LogPlace } from "./nats_log_place.ts";
import { changeDocument, isConflict } from "../../contract/compare_and_set.ts";
import type { KeyValue, KvEntry } from "../../contract/spine.ts";

/**
 * By tenant, and by the number of what tenants share: the name of the latest stream, and whether that has
 * been made. Of a tenant that shares a stream: which one.
 */
export const LOGS_BUCKET = "ARQON_LOGS";

/** What the names are made from. */
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

/** A name that no stream had before. */
function newStreamName(prefix: string, now_ms: number, random: () => number): string {
  const suffix = Math.floor(random() * 36 ** 4).toString(36).padStart(4, "0");
  return `${prefix}${now_ms.toString(36)}${suffix}`;
}

/** The name under which the stream is to be made by whoever finds that there is none. */
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
  }, {
    overtaken: () => new ArqonError("log-unavailable", "too many processes name its stream"),
  });
}

/** Notes that the stream has been made: if it is missing from now on, it was deleted. */
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
    if (!isConflict(error)) throw error; // Else another process has noted it.
  }
}
