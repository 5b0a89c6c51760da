/**
 * The producers' appends that this process knows to be complete. A record only says that an append has started, so
 * unknown appends are looked up in the log.
 */
import { createHash } from "node:crypto";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { type DurableLog, LOG_DEDUPLICATION_MS } from "../../shared/spine/contract/durable_log.ts";
import { readPage } from "../../shared/spine/contract/read_page.ts";
import { readRouted } from "@arqon/proto";
import type { ProducerState, ProducerTuple, StreamRecord } from "./record.ts";

const PRODUCERS_KNOWN_MAX = 10_000;
const PAGE_MESSAGES = 1_000;
const PAGE_BYTES = 4_194_304;
const ID_UNITS = 16;

/** The last complete append of each producer, if this process made it. */
export class AppendMemory {
  readonly #complete = new BoundedMap<string, string>(PRODUCERS_KNOWN_MAX);

  add(stream_id: string, { id, epoch, seq }: ProducerTuple): void {
    this.#complete.renew(`${stream_id}/${id}`, `${epoch}/${seq}`);
  }

  has(stream_id: string, { id, epoch, seq }: ProducerTuple): boolean {
    return this.#complete.get(`${stream_id}/${id}`) === `${epoch}/${seq}`;
  }
}

/** The message id of one message of a producer's append. A repeated message is stored once. */
export function messageIdOf(stream_id: string, tuple: ProducerTuple, index: number): string {
  const text = JSON.stringify([stream_id, tuple.id, tuple.epoch, tuple.seq, index]);
  return createHash("sha256").update(text).digest("base64url").slice(0, ID_UNITS);
}

/**
 * Which messages of a producer's append the log has, by their index; undefined: all, or it is unknown. A missing
 * message may have been removed since: storing it again would duplicate it, or undo its erasure. The log stores no
 * message again only while it detects repetitions. Rejects as the log does.
 */
export async function storedOf(
  log: DurableLog,
  room_id: string,
  { id }: Pick<StreamRecord, "id">,
  tuple: ProducerTuple,
  { open, at_ms }: ProducerState,
): Promise<Set<number> | undefined> {
  const wanted = new Map<string, number>();
  for (let index = 0; index < open.count; index++) wanted.set(messageIdOf(id, tuple, index), index);
  const found = new Set<number>();
  let { after } = open;
  let is_whole = true;
  for (let more = wanted.size > 0; more && found.size < wanted.size;) {
    const limits = { after, limit: PAGE_MESSAGES, max_bytes: PAGE_BYTES };
    const page = await readPage(log, room_id, limits);
    for (const { payload, offset } of page.messages) {
      after = offset;
      const index = wanted.get(messageId(payload));
      if (index !== undefined) found.add(index);
    }
    is_whole &&= page.complete;
    more = page.more;
  }
  if (found.size === wanted.size) return undefined;
  return is_whole || log.now() - at_ms < LOG_DEDUPLICATION_MS ? found : undefined;
}

function messageId(payload: Uint8Array): string {
  try {
    return readRouted(payload).message_id;
  } catch {
    return "";
  }
}
