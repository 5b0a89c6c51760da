/**
 * Agrees with other processes on what a tenant's next stream is called. A NATS server that is no
 * cluster lets two streams with the same subjects be made at the same moment (2.15.2), and each would
 * then take every message; of two with the same name it makes one.
 */
import { ArqonError } from "@arqon/proto";
import { streamPrefix } from "./nats_log_config.ts";
import type { KeyValue, KvEntry } from "./spine.ts";

/** By tenant: the name of its latest stream, and whether that has been made. */
export const LOGS_BUCKET = "ARQON_LOGS";

/** With n processes at once the last one succeeds at its n-th attempt. */
const ATTEMPTS = 64;

/** What the names are made from. */
export interface NameTools {
  /** Opens `LOGS_BUCKET`. */
  bucket(): Promise<KeyValue>;
  /** Unix ms. */
  readonly now: () => number;
  /** [0, 1). */
  readonly random: () => number;
}

interface Agreed {
  readonly stream: string;
  readonly made: boolean;
}

function decode({ value }: KvEntry): Agreed {
  return JSON.parse(new TextDecoder().decode(value));
}

function encode(agreed: Agreed): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(agreed));
}

function isConflict(error: unknown): boolean {
  return error instanceof ArqonError && error.reason === "version-conflict";
}

/** A name that no stream had before. */
export function newStreamName(tenant_id: string, now_ms: number, random: () => number): string {
  const suffix = Math.floor(random() * 36 ** 4).toString(36).padStart(4, "0");
  return `${streamPrefix(tenant_id)}${now_ms.toString(36)}${suffix}`;
}

/** The name under which the tenant's stream is to be made by whoever finds that it has none. */
export async function agreeOnName(tools: NameTools, tenant_id: string): Promise<string> {
  const bucket = await tools.bucket();
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const entry = await bucket.get([tenant_id]);
    const agreed = entry === undefined ? undefined : decode(entry);
    if (agreed?.made === false) return agreed.stream;
    const stream = newStreamName(tenant_id, tools.now(), tools.random);
    try {
      await bucket.update([tenant_id], encode({ stream, made: false }), entry?.revision ?? 0);
      return stream;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
  throw new ArqonError("log-unavailable", "too many processes name its stream");
}

/** Notes that the stream has been made: if it is missing from now on, it was deleted. */
export async function noteMade(
  tools: NameTools,
  tenant_id: string,
  stream: string,
): Promise<void> {
  const bucket = await tools.bucket();
  const entry = await bucket.get([tenant_id]);
  if (entry === undefined) return;
  const agreed = decode(entry);
  if (agreed.stream !== stream || agreed.made) return;
  try {
    await bucket.update([tenant_id], encode({ stream, made: true }), entry.revision);
  } catch (error) {
    if (!isConflict(error)) throw error; // Else another process has noted it.
  }
}
