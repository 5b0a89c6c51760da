/** The stored data that a change would make unreachable, as a plan shows it. Pure. */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

/** Rooms, and messages in them. */
interface Counted {
  readonly rooms: number;
  readonly messages: number;
}

/** The room data that would become unreadable, as the bus reports it. */
export interface RoomLosses {
  /** Rooms that would become unreadable as a whole. */
  readonly hidden: Counted;
  /** Rooms whose history would become shorter. */
  readonly cut: Counted;
  readonly named: readonly { readonly room: string; readonly messages: number }[];
  /** The count stopped at its limit, so there may be more. */
  readonly more: boolean;
}

/** Everything that would be lost. */
export interface Losses extends RoomLosses {
  readonly dead_letters: readonly { readonly hook: string; readonly count: number }[];
}

/** The value for no loss. */
export const NO_ROOM_LOSSES: RoomLosses = {
  hidden: { rooms: 0, messages: 0 },
  cut: { rooms: 0, messages: 0 },
  named: [],
  more: false,
};

/** Whether anything is lost. */
export const isLoss = ({ hidden, cut, dead_letters = [] }: Partial<Losses>): boolean =>
  (hidden?.rooms ?? 0) + (cut?.rooms ?? 0) + dead_letters.length > 0;

const count = (number: number, what: string): string => plural(number, what);

/** A line for each kind of loss; "" when nothing is lost. */
export function lossesText(
  { hidden, cut, named, more, dead_letters = [] }: Partial<Losses>,
): string {
  const least = more === true ? "at least " : "";
  const rooms = (named ?? []).map(({ room, messages }) => `  ${printable(room)} ${messages}\n`);
  const total = (hidden?.rooms ?? 0) + (cut?.rooms ?? 0);
  const others = total > rooms.length ? `  … and ${total - rooms.length} more\n` : "";
  const lines = [
    hidden === undefined || hidden.rooms === 0
      ? ""
      : `unreachable: ${least}${count(hidden.messages, "message")} in ${
        count(hidden.rooms, "room")
      } would be stored, and nobody could read them\n`,
    cut === undefined || cut.rooms === 0
      ? ""
      : `deleted: ${least}${count(cut.messages, "message")} of ${
        count(cut.rooms, "room")
      } would be beyond the new history\n`,
    ...rooms,
    others,
    ...dead_letters.map((one) =>
      `deleted: ${count(one.count, "dead letter")} of hook ${printable(one.hook)}\n`
    ),
  ];
  return lines.join("");
}
