/** `arq room history`: prints what a durable room stores, and the room's position. */
import { plural } from "../../../shared/plural.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { checkEpoch, historyPages, patient, storedIn } from "../../rooms/history.ts";
import type { HistoryPage, Place } from "../../rooms/history.ts";
import { type Io, print } from "../../terminal/io.ts";
import { isKnownPlace } from "../../rooms/known_place.ts";
import { writeMessage } from "../../terminal/message_output.ts";
import { openConnection } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";

/** Most messages without `--limit` and `--all`. */
const LIMIT = 100;

function moreText({ messages, more }: HistoryPage, { reverse }: Flags): string {
  const last = messages.at(-1);
  if (!more || last === undefined) return "";
  return `; more with ${reverse === true ? "--before" : "--after"} ${last.offset}`;
}

/** The place that `--epoch` belongs to: the highest of the offsets that are given. */
function namedPlace({ after, before, epoch }: Flags): Place | undefined {
  if (epoch === undefined) return undefined;
  if (after === undefined && before === undefined) {
    throw usageError("--epoch needs --after or --before: it says what the offset is of");
  }
  return { offset: Math.max(after ?? 0, (before ?? 0) - 1), epoch };
}

/** Prints messages in order, or newest first with `--reverse`. The room's position goes to stderr. */
export async function roomHistory(io: Io, room_id: string, flags: Flags): Promise<number> {
  const { json, all, epoch: _named, ...bounds } = flags;
  const place = namedPlace(flags);
  await using connection = await openConnection(io, flags);
  const room = connection.room(room_id);
  const source = patient(storedIn(room), io);
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
      // A busy room would be read without end, so reading ends where the room stood at the beginning.
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
