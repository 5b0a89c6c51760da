/**
 * `arq room history` and `replay`: print the messages of a durable room, or publish them again into another room in the
 * same order; each message is acknowledged and stored once however often the replay runs.
 */
import { plural } from "../../../shared/plural.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { checkEpoch, historyPages, isKnownPlace, patient, storedIn } from "../../rooms/history.ts";
import type { HistorySource, Place } from "../../rooms/history.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import { writeMessage } from "../../terminal/format.ts";
import { openConnection } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";
import type { Message, Room } from "@arqon/sdk";
import type { RoomHistory } from "@arqon/sdk/history";
import { Acknowledged, type Outgoing, publishPaced } from "../../rooms/flow.ts";

/** Most messages without `--limit` and `--all`. */
const LIMIT = 100;

function moreText({ messages, more }: RoomHistory, { reverse }: Flags): string {
  const last = messages.at(-1);
  if (!more || last === undefined) return "";
  return `; more with ${reverse === true ? "--before" : "--after"} ${last.offset}`;
}

/** The position that `--epoch` belongs to: the highest of the given offsets. */
function namedPlace({ after, before, epoch }: Flags): Place | undefined {
  if (epoch === undefined) return undefined;
  if (after === undefined && before === undefined) {
    throw usageError("--epoch needs --after or --before: an offset belongs to an epoch");
  }
  return { offset: Math.max(after ?? 0, (before ?? 0) - 1), epoch };
}

/** Prints messages in order, or newest first with `--reverse`. The room's position goes to stderr. */
export async function roomHistory(io: Io, room_id: string, flags: Flags): Promise<Ended> {
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
  let first: RoomHistory | undefined;
  let last: RoomHistory | undefined;
  let count = 0;
  for await (const page of historyPages(source, { ...bounds, total, isKnown })) {
    first ??= page;
    last = page;
    for (const message of page.messages) {
      // A busy room would be read without end, so reading stops at the position that the room had at the start.
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
  const where = `the room is at offset ${offset}, epoch ${epoch}${more}`;
  await print(io.stderr, `${printable(`${room_id}: ${messages}; ${where}`)}\n`);
}

/** The options of `arq room replay`. */
export type ReplayFlags = Omit<Flags<"window">, "to"> & { readonly to: string };

/** Long enough for a bus that restarts meanwhile. */
const PUBLISH_TIMEOUT_MS = 30_000;

/** What is read of the room, and where it goes. */
interface Replay {
  readonly io: Io;
  readonly source: HistorySource;
  readonly target: Room;
  readonly from: number;
  readonly until: number;
  /** Epoch of the first page. */
  readonly epoch: string;
  /** Epoch in the message ids. A resumed replay keeps it, so that nothing is stored twice. */
  readonly ids_epoch: string;
  readonly isKnown: (place: Place) => Promise<boolean>;
}

function again({ target, ids_epoch }: Replay, message: Message): Outgoing {
  const number = Number(message.offset);
  const { type, data, content_type, schema_id, headers } = message;
  const publish = () =>
    target.publish(type, data, {
      content_type,
      message_id: `replay:${ids_epoch}:${number}`,
      headers: clientHeaders(headers),
      ...(schema_id === "" ? {} : { schema_id }),
      timeout_ms: PUBLISH_TIMEOUT_MS,
    });
  return { number, publish };
}

async function* messagesOf(replay: Replay): AsyncGenerator<Outgoing> {
  const { io, source, from, until, epoch, isKnown } = replay;
  // The first page includes the previous message: while that exists, nothing after it is missing.
  let is_whole = from === 0;
  const bounds = { after: Math.max(0, from - 1), before: until + 1, total: Infinity };
  for await (const page of historyPages(source, { ...bounds, epoch, isKnown })) {
    for (const message of page.messages) {
      const offset = Number(message.offset);
      if (offset > from && !is_whole) {
        await note(io, `messages after ${from} may be gone; beginning at ${offset}`);
      }
      is_whole = true;
      // A signal was meant for the connections of that time.
      if (offset > from && message.signal === undefined) yield again(replay, message);
    }
  }
}

/**
 * The epoch for the message ids: the named one when it still has every message up to the last, else the room's. Throws
 * when the room has begun a new log since the named epoch.
 */
async function epochOfIds(
  room_id: string,
  { from = 0, epoch: named }: ReplayFlags,
  { offset, epoch }: Place,
  isKnown: (place: Place) => Promise<boolean>,
): Promise<string> {
  if (named === undefined || named === epoch) return epoch;
  if (!await isKnown({ offset: from, epoch: named })) checkEpoch(room_id, epoch, named);
  return await isKnown({ offset, epoch: named }) ? named : epoch;
}

/** Publishes the messages. After a failure it reports how far it came and how to resume. */
export async function roomReplay(io: Io, room_id: string, flags: ReplayFlags): Promise<Ended> {
  const { to, from = 0 } = flags;
  if (to === room_id) throw usageError("--to is the room itself: it would never end");
  await using connection = await openConnection(io, flags, { window: flags.window });
  const room = connection.room(room_id);
  const source = patient(storedIn(room), io);
  const isKnown = (place: Place) => isKnownPlace(room, place);
  const { offset, epoch } = await source.history({ after: from, limit: 1 });
  const until = Math.min(flags.until ?? Infinity, Number(offset));
  const ids_epoch = await epochOfIds(room_id, flags, { offset: until, epoch }, isKnown);
  const done = new Acknowledged(from);
  const started_ms = io.monotonic_ms();
  if (until > from) {
    const target = connection.room(to);
    const replay = { io, source, target, from, until, epoch, ids_epoch, isKnown };
    await publishPaced(io, flags, messagesOf(replay), done).catch(async (error) => {
      const resumed = { ...flags, epoch: ids_epoch, until, from: done.upTo };
      await print(
        io.stderr,
        `arq: stopped after ${done.count} acknowledged messages, up to offset ${done.upTo}\n` +
          `     continue with: ${printable(resumeCommand(room_id, resumed))}\n`,
      );
      throw error;
    });
  }
  const duration_ms = io.monotonic_ms() - started_ms;
  const { count: published } = done;
  const messages = plural(published, "message");
  const seconds = (duration_ms / 1_000).toFixed(1);
  const what = `${messages} of ${room_id}, up to offset ${done.upTo}, to ${to}`;
  return {
    json: { room: room_id, to, published, offset: done.upTo, epoch, duration_ms },
    text: "",
    note: `Replayed ${what} in ${seconds} s\n`,
  };
}

/** The headers that the publisher set. The Shield stamps all others again. */
export function clientHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(headers).filter(([name]) => {
    const lower = name.toLowerCase();
    return !lower.startsWith("x-arqon-") && lower !== "x-twist-id" && lower !== "x-timestamp";
  });
  // A header may have the name of a property that every object has.
  return Object.assign(Object.create(null), Object.fromEntries(own));
}

/** The command line that resumes a stopped replay; it contains no token. */
export function resumeCommand(room_id: string, flags: Omit<ReplayFlags, "json" | "token">): string {
  const { to, from, epoch, until, rate, window, context, url, tokenFile } = flags;
  const options = { to, from, epoch, until, rate, window, context, url, "token-file": tokenFile };
  const parts = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${value}`]
  );
  return `arq room replay ${room_id} ${parts.join(" ")}`;
}
