/**
 * Reads and writes the messages of logical replication that the bridge needs (PostgreSQL: "Streaming Replication
 * Protocol" and "Logical Replication Message Formats", version 1 with messages), and turns what `arqon.publish` wrote
 * into messages of the bus. Pure.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Committed } from "./bus.ts";

/** A position in the log of a database: `16/B374D848` as one number. */
export type Lsn = bigint;

/** The text form. */
export const lsnText = (lsn: Lsn): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;

/** Reads the text form. Throws TypeError for anything else. */
export function parseLsn(text: string): Lsn {
  const [, high, low] = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text) ?? [];
  if (high === undefined || low === undefined) throw new TypeError(`no position: ${text}`);
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** The changes in a log that matter to the bridge. */
export type WalChange =
  | { readonly kind: "begin"; readonly lsn: Lsn; readonly commit_ms: number; readonly xid: number }
  | { readonly kind: "commit"; readonly end_lsn: Lsn }
  | { readonly kind: "message"; readonly prefix: string; readonly content: Uint8Array }
  | { readonly kind: "other" };
type WalMessage =
  | WalChange
  | { readonly kind: "alive"; readonly lsn: Lsn; readonly wants_reply: boolean };

/** PostgreSQL counts from 2000-01-01, in microseconds. */
const EPOCH_MS = 946_684_800_000;
const XLOG_HEAD = 25;
/** A database in SQL_ASCII takes any bytes as the prefix of another program's message. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads a copy-data message, of which at most `COPY_BYTES_MAX` were received. Throws RangeError for a cut one. */
export function readWal(chunk: Uint8Array): WalMessage {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const kind = String.fromCharCode(view.getUint8(0));
  if (kind === "k") {
    return { kind: "alive", lsn: view.getBigUint64(1), wants_reply: view.getUint8(17) !== 0 };
  }
  if (kind !== "w") return { kind: "other" };
  return readChange(chunk.subarray(XLOG_HEAD), chunk.length === COPY_BYTES_MAX);
}

/** Reads a change, also one that plain SQL returned, perhaps only its beginning. Throws as `readWal`. */
export function readChange(bytes: Uint8Array, is_cut = false): WalChange {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (String.fromCharCode(view.getUint8(0))) {
    case "B":
      return {
        kind: "begin",
        lsn: view.getBigUint64(1),
        commit_ms: EPOCH_MS + Number(view.getBigInt64(9)) / 1_000,
        xid: view.getUint32(17),
      };
    case "C":
      return { kind: "commit", end_lsn: view.getBigUint64(10) };
    case "M":
      return logicalMessage(bytes, view, 10, is_cut);
    default:
      return { kind: "other" };
  }
}

/** Reads from the prefix on, which ends with a zero byte. */
function logicalMessage(
  chunk: Uint8Array,
  view: DataView,
  from: number,
  is_cut: boolean,
): WalChange {
  const end = chunk.indexOf(0, from);
  // Any role chooses its prefix, however long.
  if (is_cut && (end < 0 || end > SHOWN_BYTES)) return { kind: "other" };
  if (end < 0) throw new RangeError("a message whose prefix has no end");
  const length = view.getUint32(end + 1);
  const content = chunk.subarray(end + 5, end + 5 + length);
  if (content.length !== length && !is_cut) throw new RangeError("a truncated message");
  return { kind: "message", prefix: utf8.decode(chunk.subarray(from, end)), content };
}

/** Confirms to the server that everything below this position is handled. */
export function statusUpdate(lsn: Lsn, now_ms: number): Uint8Array {
  const bytes = new Uint8Array(34);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, "r".charCodeAt(0));
  for (const at of [1, 9, 17]) view.setBigUint64(at, lsn);
  view.setBigInt64(25, BigInt(Math.round((now_ms - EPOCH_MS) * 1_000)));
  return bytes;
}

const Emitted = z.object({
  room: z.string(),
  type: z.string(),
  /** The data as PostgreSQL wrote it: parsing it and writing it again would change long numbers. */
  json: z.string(),
  message_id: z.string().nullable(),
});

/** Position of a message in the database's log. */
export interface Place {
  /** Position of the transaction's commit. */
  readonly lsn: Lsn;
  /** Index among the messages of its transaction, from 0. */
  readonly number: number;
  readonly xid: number;
  /** Unix ms; the database counts microseconds. */
  readonly commit_ms: number;
  /** The database and timeline of the log. */
  readonly source: string;
}

const SIGNATURE_BYTES = 32;
/** No message of `arqon.publish` is longer: its data has at most 200,000 bytes, in a JSON text within JSON. */
export const SIGNED_BYTES_MAX = 500_000;
/** Bytes of a copy-data message that are read: enough for each that `arqon.publish` writes. */
export const COPY_BYTES_MAX = XLOG_HEAD + SIGNED_BYTES_MAX;
/** Bytes of an unsigned message that `arqon.refused` shows. */
const SHOWN_BYTES = 1_000;
/** Bytes of an overlong change that are read: its head and what is shown of it. */
export const SHOWN_BYTES_MAX = 2_000;
const strict = new TextDecoder("utf-8", { fatal: true });

/** Reads a message; undefined when `arqon.publish` did not write it in this transaction. */
export function committedOf(
  content: Uint8Array,
  key: Uint8Array,
  at: Place,
): Committed | undefined {
  const { lsn, number, xid, commit_ms, source } = at;
  const emitted = Emitted.safeParse(signedJson(content, key, xid)).data;
  if (emitted === undefined) return undefined;
  const { room, type, json, message_id } = emitted;
  const place = { lsn: lsnText(lsn), number };
  return {
    room,
    type,
    place,
    commit_ms,
    data: json,
    message_id: message_id ?? ownId(place, commit_ms),
    headers: {
      "pg-lsn": place.lsn,
      "pg-number": String(number),
      "pg-source": source,
      "pg-xid": String(xid),
      "pg-commit-ms": String(commit_ms),
    },
  };
}

/** Includes the time: after a failover or a restore, another transaction may have the same position. */
function ownId({ lsn, number }: Committed["place"], commit_ms: number): string {
  return `pg-${lsn.replace("/", "-")}-${number}-${Math.round(commit_ms * 1_000)}`;
}

/** A copy of the beginning of an unsigned message, so that the rest of it can be freed. */
export const shownOf = (content: Uint8Array): Uint8Array => content.slice(0, SHOWN_BYTES);

/** The unsigned messages of a transaction as one refused message. */
export function unsignedOf(
  first: Uint8Array,
  count: number,
  { lsn, number, xid, commit_ms }: Omit<Place, "source">,
): Committed {
  // The bytes may be no text, or not valid in this database.
  const shown = String.fromCharCode(...shownOf(first)).replace(/[^ -~]/g, "?");
  const messages = count === 1 ? "1 message" : `${count} messages`;
  return {
    room: "",
    type: "",
    message_id: "",
    headers: {},
    data: JSON.stringify(shown),
    commit_ms,
    place: { lsn: lsnText(lsn), number },
    refusal: `${messages} without the signature of arqon.publish, of transaction ${xid}`,
  };
}

/** The signature that `arqon.publish` writes before the JSON of a message in that transaction. */
export function signatureOf(json: Uint8Array, key: Uint8Array, xid: number): Uint8Array {
  return createHmac("sha256", key).update(`${xid} `).update(json).digest();
}

function signedJson(content: Uint8Array, key: Uint8Array, xid: number): unknown {
  if (content.length > SIGNED_BYTES_MAX) return undefined;
  const json = content.subarray(SIGNATURE_BYTES);
  const signature = content.subarray(0, SIGNATURE_BYTES);
  if (signature.length < SIGNATURE_BYTES) return undefined;
  if (!timingSafeEqual(signature, signatureOf(json, key, xid))) return undefined;
  try {
    return JSON.parse(strict.decode(json));
  } catch {
    return undefined;
  }
}
