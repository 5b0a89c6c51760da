/** The stored data that a change would make unreachable, as a plan shows it. Pure. */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

/** Rooms, and messages in them. */
interface Counted {
  readonly rooms: number;
  readonly messages: number;
}

/** What of rooms could no longer be read, as the bus says it. */
export interface RoomLosses {
  /** Rooms of which nothing could be read. */
  readonly hidden: Counted;
  /** Rooms with a shorter history. */
  readonly cut: Counted;
  readonly named: readonly { readonly room: string; readonly messages: number }[];
  /** There is more than was counted. */
  readonly more: boolean;
}

/** All of it. */
export interface Losses extends RoomLosses {
  /** Of hooks that are removed, those that have some. */
  readonly dead_letters: readonly { readonly hook: string; readonly count: number }[];
}

/** Nothing is lost. */
export const NO_ROOM_LOSSES: RoomLosses = {
  hidden: { rooms: 0, messages: 0 },
  cut: { rooms: 0, messages: 0 },
  named: [],
  more: false,
};

/** Whether anything is. */
export const isLoss = ({ hidden, cut, dead_letters = [] }: Partial<Losses>): boolean =>
  (hidden?.rooms ?? 0) + (cut?.rooms ?? 0) + dead_letters.length > 0;

const count = (number: number, what: string): string => plural(number, what);

/** A line for each kind of loss; "" when there is none. */
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
