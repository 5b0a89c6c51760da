/** Queries of a tenant's journal, and positions in it. Pure. */
import { createHash } from "node:crypto";
import { SEQUENCE_PATTERN } from "./block_sequence.ts";
import { isHole, type JournalLine } from "../../../shared/journal/record.ts";

/** The outcomes of a query. `fault`: a policy could not decide. */
export const OUTCOMES = ["allowed", "refused", "fault"] as const;

/** A query; an absent member matches everything. Gaps match every query except by time. */
export interface JournalQuery {
  readonly tenant: string;
  readonly room?: string | undefined;
  /** After an erasure nothing matches a user, a connection, a trace or a message. */
  readonly user?: string | undefined;
  readonly connection?: string | undefined;
  readonly trace?: string | undefined;
  readonly message_id?: string | undefined;
  /** The name of a policy that ran. */
  readonly policy?: string | undefined;
  readonly outcome?: typeof OUTCOMES[number] | undefined;
  /** Unix ms, both inclusive. */
  readonly since_ms?: number | undefined;
  readonly until_ms?: number | undefined;
  readonly after?: JournalPlaceText | undefined;
  /** The most lines in an answer. */
  readonly limit: number;
}

/** The distinction of blocks with the same cursor, of another tenant or in another store. */
interface BlockMark {
  /** The tenant's mark, from `tenantMark`. */
  readonly tenant: string;
  /** When it was stored, Unix ms. */
  readonly stored_ms: number;
}

/** A position in the journal: everything up to this block, or only its first `lines` lines. */
export interface JournalPlaceText {
  readonly block: number;
  readonly lines: number | undefined;
  /** Absent: there is no block, or the position is of an earlier version. */
  readonly mark?: BlockMark | undefined;
  /** The last block of each writer, in the form of `block_sequence.ts`; absent: none. */
  readonly seen?: string;
}

const MARK_BYTES = 6;

/** A short mark of a tenant, for positions. */
export const tenantMark = (tenant_id: string): string =>
  createHash("sha256").update(tenant_id).digest().subarray(0, MARK_BYTES).toString("base64url");

/** The position as text, `7` or `7.3`, with `seen` and the mark of the block. */
export function placeText({ block, lines, mark, seen = "" }: JournalPlaceText): string {
  const place = lines === undefined ? block : `${block}.${lines}`;
  const marked = mark === undefined ? "" : `~${mark.tenant}.${mark.stored_ms.toString(36)}`;
  return `${place}${seen}${marked}`;
}

/** The position in a text; undefined for any other text. */
export function parsePlace(text: string): JournalPlaceText | undefined {
  const found = /^(\d{1,15})(?:\.(\d{1,7}))?(~.*?)??(?:~([\w-]{8})\.([0-9a-z]{1,11}))?$/.exec(text);
  const [, block, lines, seen = "", tenant, stored] = found ?? [];
  if (block === undefined || !SEQUENCE_PATTERN.test(seen)) return undefined;
  const mark = tenant === undefined || stored === undefined
    ? undefined
    : { tenant, stored_ms: parseInt(stored, 36) };
  const at = { block: Number(block), lines: lines === undefined ? undefined : Number(lines) };
  return { ...at, mark, seen };
}

/** Whether a line matches the query. */
export function isWanted(line: JournalLine, query: JournalQuery): boolean {
  const { since_ms = 0, until_ms = Infinity } = query;
  if (isHole(line)) return line.hole.to_ms >= since_ms && line.hole.from_ms <= until_ms;
  const { room, user, connection, trace, message_id, policy, outcome } = query;
  return line.time_ms >= since_ms && line.time_ms <= until_ms &&
    (room === undefined || line.room === room) &&
    (user === undefined || line.sender?.user === user) &&
    (connection === undefined || line.sender?.connection === connection) &&
    (trace === undefined || line.trace === trace) &&
    (message_id === undefined || line.message_id === message_id) &&
    (policy === undefined || line.policies.some(({ name }) => name === policy)) &&
    (outcome === undefined || outcomeIs(line, outcome));
}

function outcomeIs(
  { allowed, policies }: Exclude<JournalLine, { hole: unknown }>,
  outcome: typeof OUTCOMES[number],
): boolean {
  switch (outcome) {
    case "allowed":
      return allowed;
    case "refused":
      return !allowed;
    case "fault":
      return policies.some(({ fault }) => fault !== null);
    default:
      return outcome satisfies never;
  }
}
