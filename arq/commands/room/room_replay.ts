/**
 * `arq room replay`: publishes again, into another room, what a durable room keeps: in order, each
 * acknowledged, and stored once however often it is run.
 */
import { plural } from "../../../shared/plural.ts";
import type { Message, Room } from "@arqon/sdk";
import { Acknowledged, swappedText } from "../../rooms/acknowledged.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { dueAfter, pause, Window } from "../../rooms/flow.ts";
import { checkEpoch, historyPages, patient } from "../../rooms/history.ts";
import type { HistorySource, Place } from "../../rooms/history.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { isKnownPlace } from "../../rooms/known_place.ts";
import { createProgress } from "../../terminal/progress.ts";
import type { Progress } from "../../terminal/progress.ts";
import { clientHeaders, resumeCommand } from "../../rooms/replay.ts";
import { openConnection } from "../../bus/target.ts";
import type { ConnectionFlags } from "../../bus/target.ts";

/** The command's options. */
export interface ReplayFlags extends ConnectionFlags {
  /** The room that gets the messages. */
  readonly to: string;
  /** Begin after this offset; default 0, the oldest message that is kept. */
  readonly from?: number;
  /** Of the room that is read; refuse another one. */
  readonly epoch?: string;
  /** The last offset; default where the room stands at the beginning. */
  readonly until?: number;
  /** Messages a second; undefined: as fast as they are acknowledged. */
  readonly rate?: number;
  /** Unacknowledged messages at a time. */
  readonly window: number;
  readonly json?: boolean;
}

/** Long enough for a bus that restarts under us. */
const PUBLISH_TIMEOUT_MS = 30_000;

/** One replay under way. */
interface Replay {
  readonly io: Io;
  readonly source: HistorySource;
  readonly target: Room;
  readonly flags: ReplayFlags;
  /** Of the first page. */
  readonly epoch: string;
  /** What the messages' ids name, so that a run that goes on with another one stores none twice. */
  readonly ids_epoch: string;
  readonly isKnown: (place: Place) => Promise<boolean>;
  readonly until: number;
  readonly done: Acknowledged;
  readonly progress: Progress;
}

async function send(
  { target, ids_epoch, done, progress }: Replay,
  message: Message,
): Promise<void> {
  const offset = Number(message.offset);
  const { type, data, content_type, schema_id, headers } = message;
  const ack = await target.publish(type, data, {
    content_type,
    message_id: `replay:${ids_epoch}:${offset}`,
    headers: clientHeaders(headers),
    ...(schema_id === "" ? {} : { schema_id }),
    timeout_ms: PUBLISH_TIMEOUT_MS,
  });
  done.add(offset, Number(ack.offset));
  progress.update(done.count);
}

async function publishAll(replay: Replay): Promise<void> {
  const { io, source, flags, epoch, until, done, isKnown } = replay;
  const window = new Window(flags.window);
  const started_ms = io.now();
  const from = flags.from ?? 0;
  let sent = 0;
  // With the message before: as long as that is there, nothing after it has gone.
  let is_whole = from === 0;
  const query = {
    after: Math.max(0, from - 1),
    before: until + 1,
    total: Infinity,
    epoch,
    isKnown,
  };
  for await (const page of historyPages(source, query)) {
    for (const message of page.messages) {
      const offset = Number(message.offset);
      if (offset <= from) {
        is_whole = true;
        continue;
      }
      if (!is_whole) {
        is_whole = true;
        await print(io.stderr, `arq: messages after ${from} may be gone; beginning at ${offset}\n`);
      }
      // A word of the system was for those who were there.
      if (message.signal !== undefined) continue;
      if (flags.rate !== undefined) {
        await pause(started_ms + dueAfter(sent, flags.rate) - io.now(), io.signal);
      }
      io.signal.throwIfAborted();
      done.begin(offset);
      await window.run(() => send(replay, message));
      sent += 1;
    }
  }
  await window.drained();
}

/**
 * The epoch that was named when it has every message up to the last one, else the present one. Throws
 * when the room began anew since the one that was named.
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

/** Publishes; on a failure says up to where it came and how to go on. */
export async function roomReplay(io: Io, room_id: string, flags: ReplayFlags): Promise<number> {
  const { to, from = 0, json } = flags;
  if (to === room_id) throw usageError("--to is the room itself: it would never end");
  await using connection = await openConnection(io, flags, { window: flags.window });
  const room = connection.room(room_id);
  const source = patient(room, io);
  const isKnown = (place: Place) => isKnownPlace(room, place);
  const { offset, epoch } = await source.history({ after: from, limit: 1 });
  const until = Math.min(flags.until ?? Infinity, Number(offset));
  const ids_epoch = await epochOfIds(room_id, flags, { offset: until, epoch }, isKnown);
  const done = new Acknowledged(from);
  const is_tty = io.stderr.is_tty && json !== true;
  const progress = createProgress({ is_tty, total: undefined, now: io.now });
  const target = connection.room(to);
  const started_ms = io.now();
  try {
    if (until > from) {
      await publishAll({
        ...{ io, source, target, flags, epoch, until, done },
        progress,
        ids_epoch,
        isKnown,
      });
    }
  } catch (error) {
    progress.stop();
    const command = resumeCommand(room_id, { ...flags, epoch: ids_epoch, until, from: done.upTo });
    await print(
      io.stderr,
      `arq: stopped after ${done.count} acknowledged messages, up to offset ${done.upTo}\n` +
        `     go on with: ${printable(command)}\n`,
    );
    throw error;
  } finally {
    progress.stop();
  }
  const duration_ms = io.now() - started_ms;
  await print(io.stderr, swappedText(done));
  const { count: published } = done;
  if (json === true) {
    const result = { room: room_id, to, published, offset: done.upTo, epoch, duration_ms };
    await print(io.stdout, `${JSON.stringify(result)}\n`);
  } else {
    const seconds = (duration_ms / 1_000).toFixed(1);
    const messages = plural(published, "message");
    const what = `${messages} of ${room_id}, up to offset ${done.upTo},`;
    await print(io.stderr, `Replayed ${what} to ${to} in ${seconds} s\n`);
  }
  return EXIT.ok;
}
