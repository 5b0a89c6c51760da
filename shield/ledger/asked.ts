/** What a question names, as a ledger has it: rooms by number, messages by their packed ids. Pure. */
import type { AskedMessage, WhyUser } from "../../shared/cluster/cluster_why.ts";
import { packedId, packedMessageId } from "./row_form.ts";
import type { WantedIds } from "./row_form.ts";
import type { LedgerSource } from "./scan.ts";

/** The rooms that a question is about, by their numbers in the ledger. */
export function roomsOf(ledger: LedgerSource, asked: WhyUser): Map<number, string> {
  const rooms = new Map<number, string>();
  const ids = asked.messages.map(({ room_id }) => room_id);
  if (asked.room !== undefined) ids.push(asked.room);
  for (const room_id of ids) {
    if (asked.tenant === undefined) continue;
    for (const number of ledger.rooms.numbersOf(asked.tenant, room_id)) rooms.set(number, room_id);
  }
  return rooms;
}

/** The ids of a message, as rows have them; undefined where it has none. */
export function wantedOf(
  { offset, twist_id, trace_id, message_id }: AskedMessage,
): WantedIds | undefined {
  const wanted = {
    // An offset alone is not enough: after a loss of the log, another message may have it.
    offset: offset === 0 ? undefined : offset,
    twist: packedId(twist_id),
    trace: packedId(trace_id),
    // Of the longest ids rows have the beginning, which may end within a character.
    id: message_id === "" || message_id.endsWith("\ufffd")
      ? undefined
      : packedMessageId(message_id),
  };
  return Object.values(wanted).every((one) => one === undefined) ? undefined : wanted;
}
