/**
 * Messages that JetStream (2.12 or newer) stores together or not at all, where the stream says `allow_atomic`:
 * each names the batch and its place, and only the last one is answered. Knows no connection.
 */
import { BLOCK_BYTES, headerBlock } from "../connection/nats_headers.ts";
import type { Outgoing } from "../connection/nats_out.ts";
import type { Appended } from "../../contract/durable_log.ts";
import type { AppendInput } from "./nats_log_append.ts";

/** Codes of JetStream with which it has stored nothing of a batch, and that say nothing of its messages. */
const REFUSED = new Set([10174, 10175, 10176, 10177, 10179, 10199, 10200, 10201, 10210]);
/** Messages of one batch at most; servers take 1,000. */
const BATCH_MESSAGES = 256;
/** Bytes that the lines of a batch take of a message. */
export const BATCH_HEADER_BYTES = 192;
/** Since 2.12. */
const API_LEVEL = 2;

/** A batch was not stored because it is one. */
export class BatchRefused extends Error {}

/** The error of a batch that was refused; undefined when the code says something else. */
export function batchRefusal(err_code: number, description: string): BatchRefused | undefined {
  return REFUSED.has(err_code) ? new BatchRefused(description) : undefined;
}

/** Whether a server that says this of itself may store batches. */
export const takesBatches = (info: { readonly api_lvl?: number } | undefined): boolean =>
  (info?.api_lvl ?? 0) >= API_LEVEL;

/** A message of a batch, before its last one. */
export type BatchMember = Pick<AppendInput, "payload" | "lines" | "lines_bytes">;

const place = (batch: string, sequence: number): string =>
  `Nats-Batch-Id: ${batch}\r\nNats-Batch-Sequence: ${sequence}\r\n`;

/** The lines of the last message of a batch. */
export function lastLines(batch: string, sequence: number): string {
  return `${place(batch, sequence)}Nats-Batch-Commit: 1\r\n`;
}

/** What goes out before the last message. `own` are the lines of each, `first` more lines of the first. */
export function* membersOf(
  { before = [], subject }: AppendInput,
  batch: string,
  own: string,
  first: string,
): Generator<Outgoing> {
  for (const [at, { payload, lines, lines_bytes }] of before.entries()) {
    const all = `${own}${place(batch, at + 1)}${at === 0 ? first : ""}`;
    yield {
      ...{ subject, reply: "", payload, block: headerBlock(all + lines) },
      block_bytes: BLOCK_BYTES + all.length + lines_bytes,
    };
  }
}

/** Whether the answer to a batch's last message says that all are stored. */
export const isWhole = (count: number | undefined, { before }: AppendInput): boolean =>
  before === undefined || count === before.length + 1;

/** Parts of at most `BATCH_MESSAGES` messages, each behind the last of the one before. */
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
