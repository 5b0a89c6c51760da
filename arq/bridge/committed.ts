/** What `arqon.publish` has put into the log of the database, as a message of the bus. Pure. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Committed } from "./bus.ts";
import { lsnText } from "./wal.ts";
import type { Lsn } from "./wal.ts";

const Emitted = z.object({
  room: z.string(),
  type: z.string(),
  /** The data as PostgreSQL has it: read and written anew, its long numbers would be others. */
  json: z.string(),
  message_id: z.string().nullable(),
});

/** Where in the log of the database a message stands. */
export interface Place {
  /** Of its commit. */
  readonly lsn: Lsn;
  /** Among the messages of its transaction, from 0 on. */
  readonly number: number;
  readonly xid: number;
  /** Unix ms; the database counts microseconds. */
  readonly commit_ms: number;
  /** Which database's log that is. */
  readonly source: string;
}

const SIGNATURE_BYTES = 32;
/** What `arqon.refused` shows of a message that is not signed. */
const SHOWN_BYTES = 1_000;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads it; undefined: `arqon.publish` has not written it in this transaction. */
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
    ...{ room, type, place, commit_ms, data: json },
    message_id: message_id ?? ownId(place, commit_ms),
    headers: {
      ...{ "pg-lsn": place.lsn, "pg-number": String(number), "pg-source": source },
      ...{ "pg-xid": String(xid), "pg-commit-ms": String(commit_ms) },
    },
  };
}

/** With the time: after a failover or a restore, another transaction may be at the same place. */
function ownId({ lsn, number }: Committed["place"], commit_ms: number): string {
  return `pg-${lsn.replace("/", "-")}-${number}-${Math.round(commit_ms * 1_000)}`;
}

/** The messages of a transaction that are not signed, as one that is refused. */
export function unsignedOf(
  first: Uint8Array,
  count: number,
  { lsn, number, xid, commit_ms }: Omit<Place, "source">,
): Committed {
  // What is there may be no text, or none of this database.
  const shown = String.fromCharCode(...first.subarray(0, SHOWN_BYTES)).replace(/[^ -~]/g, "?");
  const messages = count === 1 ? "1 message" : `${count} messages`;
  return {
    ...{ room: "", type: "", message_id: "", headers: {}, data: JSON.stringify(shown) },
    ...{ commit_ms, place: { lsn: lsnText(lsn), number } },
    refusal: `${messages} without the signature of arqon.publish, of transaction ${xid}`,
  };
}

/** What `arqon.publish` writes before the JSON of a message of that transaction. */
export function signatureOf(json: Uint8Array, key: Uint8Array, xid: number): Uint8Array {
  return createHmac("sha256", key).update(`${xid} `).update(json).digest();
}

function signedJson(content: Uint8Array, key: Uint8Array, xid: number): unknown {
  const json = content.subarray(SIGNATURE_BYTES);
  const signature = content.subarray(0, SIGNATURE_BYTES);
  if (signature.length < SIGNATURE_BYTES) return undefined;
  if (!timingSafeEqual(signature, signatureOf(json, key, xid))) return undefined;
  try {
    return JSON.parse(utf8.decode(json));
  } catch {
    return undefined;
  }
}
