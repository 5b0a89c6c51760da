/** Finds messages in a ledger by their ids, or all of a room. Pure over the ledger. */
import type { WhyFind, WhyFound, WhyMessage, WhyRoom } from "../../shared/cluster/cluster_why.ts";
import { WHY_MESSAGES_MAX, WHY_ROOM_MAX } from "../../shared/cluster/cluster_why.ts";
import { isWanted, KIND, packedId, packedMessageId, readMessage } from "./row_form.ts";
import type { WantedIds } from "./row_form.ts";
import { type Breathe, type LedgerSource, scan } from "./scan.ts";

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
