/**
 * A message that grows, as it is kept until it is stored in its room's log: the whole text so far, and how far
 * its producer has come. Pure; where records are kept is `records.ts`, what is asked of them `requests.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";

/** How a message ended. */
export const OUTCOMES = ["finished", "stopped", "aborted"] as const;
/** One of `OUTCOMES`. */
export type Outcome = typeof OUTCOMES[number];

const Ending = z.strictObject({
  outcome: z.enum(OUTCOMES),
  /** Why, for people; "": nobody said. */
  reason: z.string(),
  /** The user who ended it; "": the bus. */
  by: z.string(),
  /** False: what there is of it is thrown away. */
  is_kept: z.boolean(),
  /** Unix ms. */
  at_ms: z.int().min(0),
});
/** How it ends: from then on nothing is added. */
export type Ending = z.output<typeof Ending>;

const GrowingRecord = z.strictObject({
  format: z.literal(1),
  type: z.string(),
  content_type: z.string(),
  /** Who writes it. */
  producer: z.strictObject({
    user_id: z.string(),
    user_key: z.string(),
    issuer: z.string(),
    role: z.enum(["user", "service", "admin"]),
  }),
  /** Everything so far. */
  text: z.string(),
  /** The number of the last piece; 0: there is none. */
  seq: z.int().min(0),
  started_ms: z.int().min(0),
  /** When its producer was last heard, Unix ms. */
  active_ms: z.int().min(0),
  /** Null: it still grows. */
  ending: Ending.nullable(),
});
/** A message that grows. */
export type GrowingRecord = z.output<typeof GrowingRecord>;

/** The value under which it is kept. */
export const encodeRecord = (record: GrowingRecord): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(record));

/** Reads a value; undefined: it is none. */
export function decodeRecord(value: Uint8Array): GrowingRecord | undefined {
  try {
    return GrowingRecord.safeParse(JSON.parse(new TextDecoder().decode(value))).data;
  } catch {
    return undefined;
  }
}

/**
 * The id that the message has in its room's log: a repetition of its end is stored once, and another message
 * that takes its id later is another one.
 */
export const messageIdOf = (id: string, started_ms: number | ""): string =>
  `growing:${id}:${started_ms}`;

/** What one message may be. */
export interface GrowingBounds {
  readonly message_bytes: number;
  readonly pieces: number;
}

/** A piece: its number, from 1, and its text. */
export interface Piece {
  readonly seq: number;
  readonly text: string;
}

const utf8 = new TextEncoder();

/** The record with one piece more. Throws `growing-conflict` or `message-too-large`. */
export function withPiece(
  record: GrowingRecord,
  { seq, text }: Piece,
  { message_bytes, pieces }: GrowingBounds,
  now_ms: number,
): GrowingRecord {
  const next = record.seq + 1;
  if (seq !== next) throw new ArqonError("growing-conflict", `piece ${seq}; expected ${next}`);
  if (next > pieces) {
    const detail = `${next} pieces; a growing message may have ${pieces}`;
    throw new ArqonError("message-too-large", detail);
  }
  const whole = record.text + text;
  const size_bytes = utf8.encode(whole).length;
  if (size_bytes > message_bytes) {
    const detail = `${size_bytes} bytes; a growing message may have ${message_bytes}`;
    throw new ArqonError("message-too-large", detail);
  }
  return { ...record, text: whole, seq: next, active_ms: now_ms };
}

/** The record, which ends so. */
export const withEnding = (record: GrowingRecord, ending: Ending): GrowingRecord => ({
  ...record,
  ending,
});
