/** `arq room history`: prints what a durable room keeps, and says where it stands. */
import { plural } from "../../shared/plural.ts";
import { EXIT, printable } from "../exit.ts";
import { historyPages, patient } from "../history.ts";
import type { HistoryPage } from "../history.ts";
import { print } from "../io.ts";
import type { Io } from "../io.ts";
import { writeMessage } from "../message_output.ts";
import { openConnection } from "../target.ts";
import type { ConnectionFlags } from "../target.ts";

/** The command's options. */
export interface HistoryFlags extends ConnectionFlags {
  /** Offset; what comes after it. */
  readonly after?: number;
  /** Offset; what comes before it. */
  readonly before?: number;
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

/** Prints messages in order, with `--reverse` the newest first; the position is on stderr. */
export async function roomHistory(io: Io, room_id: string, flags: HistoryFlags): Promise<number> {
  const { json, all } = flags;
  await using connection = await openConnection(io, flags);
  const source = patient(connection.room(room_id), io);
  const total = all === true ? Infinity : flags.limit ?? LIMIT;
  let first: HistoryPage | undefined;
  let last: HistoryPage | undefined;
  let count = 0;
  for await (const page of historyPages(source, { ...flags, total })) {
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
  const { offset, epoch } = first;
  const messages = plural(count, "message");
  const more = moreText(last, flags);
  await print(
    io.stderr,
    printable(`${room_id}: ${messages}; the room is at offset ${offset}, epoch ${epoch}${more}`) +
      "\n",
  );
  return EXIT.ok;
}
