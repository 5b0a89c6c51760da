/**
 * A growing message, as stored until it is in its room's log: the end of its text, its producer's progress, and the
 * parts of the text that are stored apart, so that a piece costs its own size and not that of the whole text. Pure;
 * `records.ts` stores records, `requests.ts` parses commands.
 */
import { createHash } from "node:crypto";
import { ArqonError, utf8Size } from "@arqon/proto";
import { z } from "zod";
import { readStored } from "../../shared/records/stored.ts";

/** The outcomes of a growing message. */
export const OUTCOMES = ["finished", "stopped", "aborted"] as const;
/** One of `OUTCOMES`. */
export type Outcome = typeof OUTCOMES[number];

const Ending = z.strictObject({
  outcome: z.enum(OUTCOMES),
  /** The reason, for people; "": not given. */
  reason: z.string(),
  /** The user who ended it; "": the bus. */
  by: z.string(),
  /** False: its text is dropped. */
  is_kept: z.boolean(),
  /** Unix ms. */
  at_ms: z.int().min(0),
  /** UTF-16 units at the end of the text that were released with the end: another piece for readers. */
  tail: z.int().min(1).optional(),
  /** The process that took over the end from one that did not complete it; absent: none. */
  taken_by: z.string().optional(),
});
/** The end of a message: nothing can be added after it. */
export type Ending = z.output<typeof Ending>;

/** The outcome of a message for reports: `stored` if only its log knows. */
export interface EndingReason {
  readonly outcome: string;
  readonly reason: string;
}

/** The ending as text for people. Programs use `growing.outcome`. */
export const endingText = ({ outcome, reason }: EndingReason): string =>
  reason === "" ? outcome : `${outcome}: ${reason}`;

const GrowingRecord = z.strictObject({
  /** 2: parts are stored separately. */
  format: z.union([z.literal(1), z.literal(2)]),
  type: z.string(),
  content_type: z.string(),
  producer: z.strictObject({
    user_id: z.string(),
    user_key: z.string(),
    issuer: z.string(),
    role: z.enum(["user", "service", "admin"]),
  }),
  /** The whole text that its readers have, or may have; for a message with parts, the text after them. */
  text: z.string(),
  /** The parts before it, which no longer change; absent: none. */
  sealed: z.strictObject({
    parts: z.int().min(1),
    /** UTF-8. */
    bytes: z.int().min(1),
  }).optional(),
  /** The number of the last piece; 0: there is none. */
  seq: z.int().min(0),
  started_ms: z.int().min(0),
  /** When its producer was last active, Unix ms by the clock of the log. */
  active_ms: z.int().min(0),
  /** The policies' verdict on its last piece; absent: none. */
  judged: z.strictObject({
    /** Held-back text after the text: no reader has it. */
    held: z.string(),
    /** UTF-16 units released with the last piece. */
    said: z.int().min(0),
    /** SHA-256 of the last piece as its producer wrote it, in hex. */
    last: z.string(),
  }).optional(),
  /** Null: it is still growing. */
  ending: Ending.nullable(),
});
/** A message that grows. */
export type GrowingRecord = z.output<typeof GrowingRecord>;

/** The stored value of a record. */
export const encodeRecord = (record: GrowingRecord): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(record));

/** Decodes a value; undefined: it is invalid. Throws `incompatible-version`. */
export const decodeRecord = (value: Uint8Array): GrowingRecord | undefined =>
  readStored(value, GrowingRecord, "growing message", 2);

/**
 * The id that the message has in its room's log: a repetition of its end is stored once, and a later message with the
 * same id is distinct.
 */
export const messageIdOf = (id: string, started_ms: number | ""): string =>
  `growing:${id}:${started_ms}`;

/** The start time of a message, from such an id. */
export const startOf = (message_id: string): number =>
  Number(message_id.slice(message_id.lastIndexOf(":") + 1));

/** The limits of one message. */
export interface GrowingBounds {
  readonly message_bytes: number;
  readonly pieces: number;
}

/** A piece: its number, from 1, and its text. */
export interface Piece {
  readonly seq: number;
  readonly text: string;
}

/** UTF-16 units of text that each piece rewrites; beyond that a part is sealed. */
const PART_UNITS = 4_096;
/** The part of the text before a piece that policies see is never split off. */
const LAST_UNITS = 256;

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex");

/**
 * The record with another piece, of which readers have the `judged` part; absent: all of it, and earlier held-back
 * text. Throws `growing-conflict` or `message-too-large`.
 */
export function withPiece(
  record: GrowingRecord,
  { seq, text }: Piece,
  { message_bytes, pieces }: GrowingBounds,
  now_ms: number,
  judged?: { readonly released: string; readonly held: string },
): GrowingRecord {
  const next = record.seq + 1;
  if (seq !== next) throw new ArqonError("growing-conflict", `piece ${seq}; expected ${next}`);
  if (next > pieces) {
    const detail = `${next} pieces; a growing message may have ${pieces}`;
    throw new ArqonError("message-too-large", detail);
  }
  const { released, held } = judged ?? { released: heldOf(record) + text, held: "" };
  const whole = record.text + released;
  const size_bytes = sealedBytes(record) + utf8Size(whole) + utf8Size(held);
  if (size_bytes > message_bytes) {
    const detail = `${size_bytes} bytes; a growing message may have ${message_bytes}`;
    throw new ArqonError("message-too-large", detail);
  }
  const kept = judged && { held, said: released.length, last: hashOf(text) };
  return { ...record, text: whole, seq: next, active_ms: now_ms, judged: kept };
}

interface SealedPart {
  readonly index: number;
  readonly text: string;
}

/**
 * The stored record, and the part that must be stored before it. A record is split at its next piece, by its former
 * content: so a concurrent producer that loses has stored the same part.
 */
export function withSealed(
  before: GrowingRecord | undefined,
  after: GrowingRecord,
): { readonly record: GrowingRecord; readonly part?: SealedPart } {
  if (before === undefined || after.seq === before.seq || before.text.length < PART_UNITS) {
    return { record: after };
  }
  let cut = before.text.length - LAST_UNITS;
  // A surrogate pair is not split.
  if (/^[\uDC00-\uDFFF]/.test(before.text.slice(cut, cut + 1))) cut--;
  const text = before.text.slice(0, cut);
  const index = before.sealed?.parts ?? 0;
  const sealed = { parts: index + 1, bytes: sealedBytes(before) + utf8Size(text) };
  const record = { ...after, format: 2 as const, text: after.text.slice(cut), sealed };
  return { record, part: { index, text } };
}

/** Bytes of UTF-8 that are in parts. */
export const sealedBytes = ({ sealed }: GrowingRecord): number => sealed?.bytes ?? 0;

/** Whether the message has any text. */
export const hasText = ({ text, sealed }: GrowingRecord): boolean =>
  text !== "" || sealed !== undefined;

const heldOf = ({ judged }: GrowingRecord): string => judged?.held ?? "";

/** The text that readers receive of a repeated last piece. Throws `growing-conflict` if its text differs. */
export function releasedText({ text, judged }: GrowingRecord, piece: Piece): string {
  const is_same = judged === undefined
    ? text.endsWith(piece.text)
    : judged.last === hashOf(piece.text);
  if (!is_same) throw new ArqonError("growing-conflict", `piece ${piece.seq} is another text`);
  return judged === undefined ? piece.text : text.slice(text.length - judged.said);
}

/** The record with an end and this text appended. Held-back text is dropped. */
export const withEnding = (record: GrowingRecord, ending: Ending, tail = ""): GrowingRecord => ({
  ...record,
  text: record.text + tail,
  judged: undefined,
  ending: tail === "" ? ending : { ...ending, tail: tail.length },
});

/** The number of the last piece that readers received. */
export const lastOf = ({ seq, ending }: GrowingRecord): number =>
  ending?.tail === undefined ? seq : seq + 1;
