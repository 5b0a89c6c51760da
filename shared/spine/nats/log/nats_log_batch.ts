/**
 * Atomic batches of messages on JetStream (2.12 or newer) for streams with `allow_atomic`: each message names the batch
 * and its sequence in it, and only the last one is answered. Independent of connections.
 */
import { BLOCK_BYTES, headerBlock } from "../connection/nats_headers.ts";
import type { Outgoing } from "../connection/nats_out.ts";
import type { Appended } from "../../contract/durable_log.ts";

/** The message to store. */
export interface AppendInput {
  readonly subject: string;
  /** Not copied here. */
  readonly payload: Uint8Array;
  /** The caller's headers, checked, as lines of a header block, and their bytes. */
  readonly lines: string;
  readonly lines_bytes: number;
  /** For the server's deduplication; undefined: none. */
  readonly message_id: string | undefined;
  /** Expected sequence of the subject's newest message, 0 for none; undefined: any. */
  readonly expected_last?: number | undefined;
  /** Messages stored directly before it, atomically with it; `expected_last` applies to the first of them. */
  readonly before?: readonly BatchMember[];
  /** Approximate bytes on the wire. */
  readonly wire_bytes: number;
}

/** JetStream's error codes that refuse a whole batch, independent of its messages. */
const REFUSED = new Set([10174, 10175, 10176, 10177, 10179, 10199, 10200, 10201, 10210]);
/** The most messages of one batch; servers accept 1,000. */
const BATCH_MESSAGES = 256;
/** Bytes of the batch headers of a message. */
export const BATCH_HEADER_BYTES = 192;
/** JetStream's API level since 2.12. */
const API_LEVEL = 2;

/** The server refused the batch as such, not its messages. */
export class BatchRefused extends Error {}

/** The error of a refused batch; undefined for other codes. */
export function batchRefusal(err_code: number, description: string): BatchRefused | undefined {
  return REFUSED.has(err_code) ? new BatchRefused(description) : undefined;
}

/** Whether a server with this info can store batches. */
export const takesBatches = (info: { readonly api_lvl?: number } | undefined): boolean =>
  (info?.api_lvl ?? 0) >= API_LEVEL;

/** A message of a batch, other than the last. */
type BatchMember = Pick<AppendInput, "payload" | "lines" | "lines_bytes">;

const place = (batch: string, sequence: number): string =>
  `Nats-Batch-Id: ${batch}\r\nNats-Batch-Sequence: ${sequence}\r\n`;

/** The lines of the last message of a batch. */
export function lastLines(batch: string, sequence: number): string {
  return `${place(batch, sequence)}Nats-Batch-Commit: 1\r\n`;
}

/**
 * The messages that are sent before the last one. `own` are the header lines of each, `first` further lines of the
 * first.
 */
export function* membersOf(
  { before = [], subject }: AppendInput,
  batch: string,
  own: string,
  first: string,
): Generator<Outgoing> {
  for (const [at, { payload, lines, lines_bytes }] of before.entries()) {
    const all = `${own}${place(batch, at + 1)}${at === 0 ? first : ""}`;
    yield {
      subject,
      reply: "",
      payload,
      block: headerBlock(all + lines),
      block_bytes: BLOCK_BYTES + all.length + lines_bytes,
    };
  }
}

/** Whether the answer to a batch's last message confirms that all are stored. */
export const isWhole = (count: number | undefined, { before }: AppendInput): boolean =>
  before === undefined || count === before.length + 1;

/** Appends parts of at most `BATCH_MESSAGES` messages, each after the last of the previous part. */
export async function inBatches<Message>(
  messages: readonly Message[],
  expected_last: number,
  store: (part: readonly Message[], expected_last: number) => Promise<Appended>,
): Promise<Appended> {
  let last: Appended | undefined;
  for (let at = 0; at < messages.length; at += BATCH_MESSAGES) {
    const part = messages.slice(at, at + BATCH_MESSAGES);
    last = await store(part, last?.offset ?? expected_last);
  }
  if (last === undefined) throw new TypeError("no message to append");
  return last;
}
