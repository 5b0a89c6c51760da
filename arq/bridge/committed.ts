/** What `arqon.publish` has put into the log of the database, as a message of the bus. Pure. */
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
  /** Unix ms. */
  readonly commit_ms: number;
  /** Which database's log that is. */
  readonly source: string;
}

/** Reads it; undefined: somebody else has written there what is no message. */
export function committedOf(content: Uint8Array, at: Place): Committed | undefined {
  const { lsn, number, xid, commit_ms, source } = at;
  const emitted = Emitted.safeParse(jsonOf(content)).data;
  if (emitted === undefined) return undefined;
  const { room, type, json, message_id } = emitted;
  const place = { lsn: lsnText(lsn), number };
  return {
    ...{ room, type, place, commit_ms, data: json },
    message_id: message_id ?? `pg-${place.lsn.replace("/", "-")}-${number}`,
    headers: {
      ...{ "pg-lsn": place.lsn, "pg-number": String(number), "pg-source": source },
      ...{ "pg-xid": String(xid), "pg-commit-ms": String(commit_ms) },
    },
  };
}

function jsonOf(content: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(content));
  } catch {
    return undefined;
  }
}
