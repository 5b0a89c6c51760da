/**
 * Walks the rows of a ledger from the oldest to the newest, in slices, so that a request never delays messages.
 * `row_form.ts` defines rows.
 */
import { slice, STRANGERS } from "../../shared/turns/slices.ts";
import type { Segment } from "./ledger.ts";
import {
  HEAD_BYTES,
  isNumbered,
  isWanted,
  KIND,
  packedId,
  packedMessageId,
  readHead,
  readMessage,
  readPlace,
} from "./row_form.ts";
import type { RowHead, WantedIds } from "./row_form.ts";
import { WHY_MESSAGES_MAX, WHY_ROOM_MAX } from "../../shared/cluster/cluster_why.ts";
import type { WhyFind, WhyFound, WhyMessage, WhyRoom } from "../../shared/cluster/cluster_why.ts";

/** A row during a scan: one object for all rows. */
export interface Passed {
  readonly head: RowHead;
  segment: Segment;
  /** A message's own position; for other rows, that of the next message. */
  position: number;
  /** Unix ms. */
  time_ms: number;
}

/** A source of rows: a ledger in memory, or a stored one. */
export interface LedgerSource {
  /** The oldest first. */
  readonly segments: readonly Segment[];
  readonly rooms: {
    /** The numbers that a room had; usually one. */
    numbersOf(tenant_id: string, room_id: string): readonly number[];
    of(number: number): { readonly tenant_id: string; readonly room_id: string } | undefined;
  };
}

const decoder = new TextDecoder();

/** The facts of a row with text, after `behind` bytes. */
export function factsOf<F>({ head, segment }: Passed, behind = 0): F {
  const text = decoder.decode(segment.bytes.subarray(head.start + HEAD_BYTES + behind, head.end));
  return JSON.parse(text) as F;
}

/** Awaited before each piece of a request. */
export type Breathe = () => Promise<void> | undefined;

/** Bytes of one slice: a few hundred rows with text take a millisecond. */
const PIECE_BYTES = 32_768;

/** The slices of a request of a tenant, or of operators, among all other sliced work. */
export const piecesOf = (
  { tenant = STRANGERS }: { readonly tenant?: string | undefined },
): Breathe =>
() => slice(tenant);

/** Calls `visit` for each row, in the first segment from a row at a position on. */
export async function scan(
  ledger: Pick<LedgerSource, "segments">,
  visit: (row: Passed) => void,
  breathe: Breathe,
  from?: { readonly start: number; readonly position: number },
): Promise<void> {
  const segments = ledger.segments;
  const last = segments.at(-1);
  if (last === undefined) return;
  // Rows added meanwhile are skipped.
  const last_used = last.used;
  const head = { kind: 0, flags: 0, start: 0, end: 0, room: 0, after_ms: 0, connection: 0 };
  const row: Passed = { head, segment: last, position: 0, time_ms: 0 };
  for (const segment of segments) {
    const used = segment === last ? last_used : segment.used;
    row.segment = segment;
    const begin = segment === segments[0] ? from : undefined;
    let next = begin?.position ?? segment.first_position;
    let { start_ms } = segment;
    let piece_end = 0;
    for (let start = begin?.start ?? 0; start < used; start = head.end) {
      if (start >= piece_end) {
        await breathe();
        piece_end = start + PIECE_BYTES;
      }
      readHead(segment.view, start, head);
      if (head.kind === KIND.place) {
        ({ start_ms, position: next } = readPlace(segment.view, start));
        continue;
      }
      row.position = next;
      row.time_ms = start_ms + head.after_ms;
      if (isNumbered(head.kind)) next++;
      visit(row);
    }
  }
}

/** The requested ids in the form of rows; undefined if no row can have them. */
function wantedOf({ trace, twist, message_id, offset }: Omit<WhyFind, "tenant" | "room">):
  | WantedIds
  | undefined {
  const wanted = {
    trace: trace === undefined ? undefined : packedId(trace),
    twist: twist === undefined ? undefined : packedId(twist),
    id: message_id === undefined ? undefined : packedMessageId(message_id),
    offset,
  };
  const is_odd = trace !== undefined && wanted.trace === undefined ||
    twist !== undefined && wanted.twist === undefined;
  return is_odd ? undefined : wanted;
}

/** The messages of a tenant with these ids, oldest first; beyond the limit, only the newest. */
export async function findMessages(
  ledger: LedgerSource,
  query: WhyFind,
  breathe: Breathe,
): Promise<Pick<WhyFound, "rows" | "truncated">> {
  const wanted = wantedOf(query);
  const found: Found[] = [];
  if (wanted === undefined) return { rows: [] };
  const { tenant, room } = query;
  let truncated = false;
  await scan(ledger, ({ head, segment: { bytes, view }, time_ms }) => {
    const { kind } = head;
    if (kind !== KIND.message && kind !== KIND.duplicate && kind !== KIND.stored) return;
    if (!isWanted(bytes, view, head, wanted)) return;
    const place = ledger.rooms.of(head.room);
    if (place === undefined || place.tenant_id !== tenant) return;
    if (room !== undefined && place.room_id !== room) return;
    const facts = readMessage(bytes, view, head);
    const { room_id } = place;
    const duplicate = kind === KIND.duplicate;
    found.push({ kind, message: { room_id, ...facts, time_ms, duplicate } });
    if (found.length <= WHY_MESSAGES_MAX) return;
    found.shift();
    truncated = true;
  }, breathe);
  const rows = found.filter((one) => !isAgain(one, found)).map(({ message }) => message);
  return truncated ? { rows, truncated } : { rows };
}

/** A message, and the kind of its row. */
interface Found {
  readonly kind: number;
  readonly message: WhyMessage;
}

/** Whether the row of a stored message is about a received one, too: there was a subscriber at that time. */
function isAgain({ kind, message }: Found, all: readonly Found[]): boolean {
  if (kind !== KIND.stored) return false;
  const { room_id, offset, twist_id } = message;
  return all.some((one) =>
    one.kind === KIND.message && one.message.room_id === room_id &&
    one.message.offset === offset && one.message.twist_id === twist_id
  );
}

/** The messages of a room since a time, oldest first; beyond the limit, only the oldest. */
export async function roomMessages(
  ledger: LedgerSource,
  { tenant, room: room_id, since_ms }: {
    readonly tenant: string;
    readonly room: string;
    readonly since_ms: number;
  },
  breathe: Breathe,
): Promise<Pick<WhyRoom, "rows" | "truncated">> {
  const rows: WhyRoom["rows"] = [];
  const numbers = new Set(ledger.rooms.numbersOf(tenant, room_id));
  if (numbers.size === 0) return { rows };
  let truncated = false;
  await scan(ledger, ({ head, segment: { bytes, view }, time_ms }) => {
    if (head.kind !== KIND.message && head.kind !== KIND.duplicate) return;
    if (!numbers.has(head.room) || time_ms < since_ms) return;
    if (rows.length === WHY_ROOM_MAX) {
      truncated = true;
      return;
    }
    const { offset, twist_id } = readMessage(bytes, view, head);
    rows.push([time_ms, offset, twist_id, head.kind === KIND.duplicate]);
  }, breathe);
  return truncated ? { rows, truncated } : { rows };
}
