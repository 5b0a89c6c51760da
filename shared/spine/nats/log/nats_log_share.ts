/**
 * The quota of one tenant in a shared stream. JetStream does not count bytes by subject, so processes that write for a
 * tenant take grants from a counter in the tenant's entry of `LOGS_BUCKET`, which is never less than the stored bytes.
 * When the counter reaches the tenant's bound, its messages are counted. A tenant is guaranteed its
 * `shared_tenant_bytes`; it gets more only while half of the stream is free.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../../logs/log.ts";
import { LOG_OFFSET_HEADER } from "../../contract/durable_log.ts";
import type { Kept, LogLimits, Retention } from "../../contract/durable_log.ts";
import type { LogTools, StreamLog } from "./nats_log.ts";
import { type NameTools, sharing, type TenantPlace } from "./nats_log_stream.ts";
import { countFrom, direct, type Reading } from "./nats_log_read.ts";
import { changeDocument } from "../../contract/compare_and_set.ts";
import type { KvEntry } from "../../contract/spine.ts";

/** One grant is this fraction of the guaranteed bytes. */
const SURE_PARTS = 8;
/** Beyond the guaranteed bytes, one grant is this fraction of the bound. */
const BOUND_PARTS = 64;
const GRANT_BYTES_MIN = 16_384;
const GRANT_BYTES_MAX = 4_194_304;
/** How long a full tenant is refused without another check. */
const FULL_MS = 1_000;
/** While a full tenant's message count does not fall, its bytes are recounted only after this time. */
const COUNT_AGAIN_MS = 60_000;
/** Messages in one request while counting. */
const COUNT_MESSAGES = 1_000;
const COUNT_BYTES = 4_194_304;
/** NATS' overhead of a stored message beside subject, headers and payload. */
const RECORD_BYTES = 34;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The entry in `LOGS_BUCKET` of a tenant in a shared stream. */
interface SharedEntry {
  /** Which stream. */
  readonly shared: string;
  /** Granted bytes; no less than the tenant's stored bytes. */
  readonly held: number;
}

/** Undefined for the entry of a tenant with a stream of its own. */
export function readShared({ value }: KvEntry): SharedEntry | undefined {
  const { shared, held } = JSON.parse(decoder.decode(value));
  return typeof shared === "string" && Number.isSafeInteger(held) ? { shared, held } : undefined;
}

/** As `readShared` reads it. */
export const writeShared = (entry: SharedEntry): Uint8Array<ArrayBuffer> =>
  encoder.encode(JSON.stringify(entry));

/** The bounds of one tenant in a shared stream, in bytes. */
interface ShareBounds {
  readonly sure: number;
  readonly most: number;
}

/** The bounds from the configuration: `log_bytes` bounds a tenant in its own or a shared stream. Pure. */
export function shareBounds(
  { log_bytes, shared_bytes, shared_tenant_bytes }: LogLimits,
): ShareBounds {
  const most = Math.min(log_bytes, Math.floor(shared_bytes / 2));
  return { most, sure: Math.min(most, shared_tenant_bytes) };
}

/** The grant for a tenant with `held` bytes that needs `size_bytes`; 0: it is full. Pure. */
export function grantOf(
  held: number,
  size_bytes: number,
  { sure, most }: ShareBounds,
  has_pool: boolean,
): number {
  const bound = has_pool ? most : sure;
  const part = held < sure ? sure / SURE_PARTS : Math.max(sure / SURE_PARTS, most / BOUND_PARTS);
  const wanted = Math.min(GRANT_BYTES_MAX, Math.max(GRANT_BYTES_MIN, Math.floor(part)));
  const grant = Math.max(size_bytes, Math.min(wanted, bound - held));
  return held + grant > bound ? 0 : grant;
}

interface ShareTools extends Pick<LogTools, "api" | "link" | "limits"> {
  readonly names: NameTools;
}

/** The result of counting a tenant's messages; monotonic ms. */
interface Counted {
  readonly messages: number;
  readonly at_ms: number;
}

/** Messages of all rooms of a tenant, and the bytes that they take in the stream. */
export async function countStored(
  reading: Reading,
  pattern: string,
): Promise<{ messages: number; bytes: number }> {
  const counted = { messages: 0, bytes: 0 };
  for (let seq = 1;;) {
    const question = { next_by_subj: pattern, seq, batch: COUNT_MESSAGES, max_bytes: COUNT_BYTES };
    const { messages, pending } = await direct(reading, question);
    for (const { headers, payload } of messages) {
      counted.messages++;
      counted.bytes += RECORD_BYTES + payload.length;
      for (const [name, value] of Object.entries(headers)) {
        counted.bytes += name.length + value.length + 4;
      }
    }
    const last = Number(messages.at(-1)?.headers[LOG_OFFSET_HEADER] ?? "0");
    if (pending === 0 || last < seq) return counted;
    seq = last + 1;
  }
}

/** The share of one tenant in this process. */
export class TenantShare {
  /** As `Reading.removed`. */
  readonly removed: () => Promise<number>;
  readonly #tools: ShareTools;
  readonly #log: Logger;
  readonly #tenant_id: string;
  readonly #shard: string;
  readonly #place: TenantPlace;
  readonly #bounds: ShareBounds;
  /** Granted and unused bytes. */
  #left: number;
  #full: { readonly until_ms: number; readonly counted: Counted } | undefined;
  #is_logged = false;

  /** `left`: what was granted already. */
  constructor(tools: ShareTools, tenant_id: string, shard: string, left: number) {
    this.#tools = tools;
    this.#log = tools.link.log;
    this.#tenant_id = tenant_id;
    this.#shard = shard;
    this.#place = sharing(shard, tenant_id);
    this.#bounds = shareBounds(tools.limits);
    this.#left = left;
    this.removed = () => this.#removed();
  }

  /** Uses granted bytes; false if the grant is too small. */
  take(size_bytes: number): boolean {
    if (size_bytes > this.#left) return false;
    this.#left -= size_bytes;
    return true;
  }

  /** Gets a grant of at least this many bytes. Rejects with `log-unavailable` if there is no room. */
  async more(log: StreamLog, size_bytes: number): Promise<void> {
    const { names, link } = this.#tools;
    if (link.monotonic() < (this.#full?.until_ms ?? -Infinity)) throw this.#refusal();
    const bucket = await names.bucket();
    await changeDocument(async (mayLose) => {
      const entry = await bucket.get([this.#tenant_id]);
      const known = entry === undefined ? await this.#lost(log) : readShared(entry);
      if (known?.shared !== this.#shard) {
        throw new ArqonError("log-unavailable", "the tenant's log has another place by now");
      }
      const found = await this.#grant(log, known.held, size_bytes);
      const next = writeShared({ shared: this.#shard, held: found.held + found.grant });
      await mayLose(bucket.update([this.#tenant_id], next, entry?.revision ?? 0));
      this.#left += found.grant;
      this.#full = undefined;
    }, {
      overtaken: () => new ArqonError("log-unavailable", "too many processes write for the tenant"),
    });
  }

  /** As `DurableLog.trim`; the removal is recorded for this tenant only. */
  async trim(reading: Reading, subject: string, keep: Kept): Promise<void> {
    const { api, names } = this.#tools;
    const { stream, timeout_ms } = reading;
    const { state } = await api.info(stream, timeout_ms, subject);
    if ((state.subjects?.[subject] ?? 0) <= (typeof keep === "number" ? keep : 0)) return;
    const bucket = await names.bucket();
    const key = ["removed", this.#tenant_id];
    await bucket.put(key, encoder.encode(String(Number.MAX_SAFE_INTEGER)));
    await api.purge(stream, subject, keep, timeout_ms);
    const after = await api.info(stream, timeout_ms);
    await bucket.put(key, encoder.encode(String(after.state.last_seq)));
  }

  /** Logs once that the tenant's classes need a longer retention than its stream has. */
  tell({ common, history_size, history_ttl_seconds }: Retention): void {
    if (common === undefined || this.#is_logged) return;
    const is_more = history_size > common.history_size ||
      history_ttl_seconds > common.history_ttl_seconds;
    if (!is_more) return;
    this.#is_logged = true;
    this.#log.warn("a tenant's classes ask for more than the stream keeps that it shares", {
      tenant_id: this.#tenant_id,
      history_size: common.history_size,
      history_ttl_seconds: common.history_ttl_seconds,
    });
  }

  /** Restores a missing entry: the bucket is older than the stream, or the entry was deleted. */
  async #lost(log: StreamLog): Promise<SharedEntry> {
    const { bytes } = await log.ask((reading) => countStored(reading, this.#place.pattern));
    return { shared: this.#shard, held: bytes };
  }

  async #removed(): Promise<number> {
    const entry = await (await this.#tools.names.bucket()).get(["removed", this.#tenant_id]);
    return entry === undefined ? 0 : Number(decoder.decode(entry.value));
  }

  /** The next grant and the counter that it adds to; messages are counted if the counter leaves no room. */
  async #grant(
    log: StreamLog,
    held: number,
    size_bytes: number,
  ): Promise<{ held: number; grant: number }> {
    const { link } = this.#tools;
    const bounds = this.#bounds;
    const room = async (held: number) => {
      const sure = grantOf(held, size_bytes, bounds, false);
      return sure > 0 ? sure : grantOf(held, size_bytes, bounds, await this.#hasPool(log));
    };
    const grant = await room(held);
    if (grant > 0) return { held, grant };
    const counted = await log.ask(async (reading) => {
      const { count } = await countFrom(reading, this.#place.pattern, 1);
      const before = this.#full?.counted;
      const is_known = before !== undefined && count >= before.messages &&
        link.monotonic() - before.at_ms < COUNT_AGAIN_MS;
      return is_known ? undefined : await countStored(reading, this.#place.pattern);
    });
    // One grant more: messages under the grants of other processes may be under way.
    const least = counted === undefined
      ? held
      : Math.min(held, counted.bytes + grantOf(0, 0, bounds, true));
    const again = counted === undefined ? 0 : await room(least);
    if (again > 0) return { held: least, grant: again };
    link.assertConnected();
    const at_ms = link.monotonic();
    const last = counted === undefined ? this.#full?.counted : undefined;
    const now = { messages: counted?.messages ?? 0, at_ms };
    this.#full = { until_ms: at_ms + FULL_MS, counted: last ?? now };
    throw this.#refusal();
  }

  /** Half of a shared stream is reserved for guaranteed bytes. */
  async #hasPool(log: StreamLog): Promise<boolean> {
    const { api } = this.#tools;
    const { max_bytes } = log.place;
    const { state } = await log.ask(({ stream, timeout_ms }) => api.info(stream, timeout_ms));
    return state.bytes <= max_bytes / 2;
  }

  #refusal(): ArqonError {
    const { most, sure } = this.#bounds;
    const why = `the tenant's log is full: it shares a stream, which guarantees it ${sure} bytes ` +
      `(durable.shared_tenant_bytes) and gives it at most ${most}; raise [durable] log_bytes or ` +
      "shared_bytes, or keep less with history_size and history_ttl_seconds";
    return new ArqonError("log-unavailable", why);
  }
}
