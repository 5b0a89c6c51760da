/**
 * Walks the rows of a ledger from the oldest to the newest, in slices, so that a request never delays messages.
 * `row_form.ts` defines rows.
 */
import { slice, STRANGERS } from "../../shared/turns/slices.ts";
import type { Segment } from "./ledger.ts";
import { HEAD_BYTES, isNumbered, KIND, readHead, readPlace, type RowHead } from "./row_form.ts";

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

/** Calls `visit` for each row. */
export async function scan(
  ledger: Pick<LedgerSource, "segments">,
  visit: (row: Passed) => void,
  breathe: Breathe,
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
    let next = segment.first_position;
    let { start_ms } = segment;
    let piece_end = 0;
    for (let start = 0; start < used; start = head.end) {
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
