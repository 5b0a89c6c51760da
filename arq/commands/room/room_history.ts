/** `arq room history`: prints what a durable room keeps, and says where it stands. */
import { plural } from "../../../shared/plural.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { checkEpoch, historyPages, patient } from "../../rooms/history.ts";
import type { HistoryPage, Place } from "../../rooms/history.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { isKnownPlace } from "../../rooms/known_place.ts";
import { writeMessage } from "../../terminal/message_output.ts";
import { openConnection } from "../../bus/target.ts";
import type { ConnectionFlags } from "../../bus/target.ts";

/** The command's options. */
export interface HistoryFlags extends ConnectionFlags {
  /** Offset; what comes after it. */
  readonly after?: number;
  /** Offset; what comes before it. */
  readonly before?: number;
  /** Of these two; refuse a room that began anew since. */
  readonly epoch?: string;
  readonly limit?: number;
  /** The newest first. */
  readonly reverse?: boolean;
  /** Without a limit. */
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Messages without `--limit` and `--all`. */
const LIMIT = 100;

function moreText({ messages, more }: HistoryPage, { reverse }: HistoryFlags): string {
  const last = messages.at(-1);
  if (!more || last === undefined) return "";
  return `; more with ${reverse === true ? "--before" : "--after"} ${last.offset}`;
}

/** The place that `--epoch` is about: the highest of those that are named. */
function namedPlace({ after, before, epoch }: HistoryFlags): Place | undefined {
  if (epoch === undefined) return undefined;
  if (after === undefined && before === undefined) {
    throw usageError("--epoch needs --after or --before: it says what the offset is of");
  }
  return { offset: Math.max(after ?? 0, (before ?? 0) - 1), epoch };
}

/** Prints messages in order, with `--reverse` the newest first; the position is on stderr. */
export async function roomHistory(io: Io, room_id: string, flags: HistoryFlags): Promise<number> {
  const { json, all, epoch: _named, ...bounds } = flags;
  const place = namedPlace(flags);
  await using connection = await openConnection(io, flags);
  const room = connection.room(room_id);
  const source = patient(room, io);
  const isKnown = (place: Place) => isKnownPlace(room, place);
  if (place !== undefined && !await isKnown(place)) {
    const { epoch } = await source.history({ limit: 1 });
    checkEpoch(room_id, epoch, place.epoch);
  }
  const total = all === true ? Infinity : flags.limit ?? LIMIT;
  let first: HistoryPage | undefined;
  let last: HistoryPage | undefined;
  let count = 0;
  for await (const page of historyPages(source, { ...bounds, total, isKnown })) {
    first ??= page;
    last = page;
    for (const message of page.messages) {
      // A busy room would be read without end: it ends where the room stood at the beginning.
      if (Number(message.offset) > Number(first.offset)) break;
      count += 1;
      await writeMessage(io, message, json === true);
    }
    if (Number(page.messages.at(-1)?.offset ?? 0) >= Number(first.offset) && !flags.reverse) break;
  }
  if (first === undefined || last === undefined) return EXIT.ok;
  const { offset } = first;
  const { epoch } = last;
  const messages = plural(count, "message");
  const more = moreText(last, flags);
  await print(
    io.stderr,
    printable(`${room_id}: ${messages}; the room is at offset ${offset}, epoch ${epoch}${more}`) +
      "\n",
  );
  return EXIT.ok;
}
