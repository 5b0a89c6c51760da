/** `arq sub`: prints the messages of rooms, of durable ones also from an earlier position on. */
import type { Connection, SubscribeOptions, Subscription } from "@arqon/sdk";
import { EXIT, usageError } from "../../terminal/exit.ts";
import { hasStart, patient, type Start, startPlace, storedIn } from "../../rooms/history.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import { RoomReader } from "../../rooms/room_reader.ts";
import { openConnection } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";

/** Messages that may wait for a slow reader of our output; beyond that a loss is reported. */
const BUFFER_MESSAGES = 65_536;
const BUFFER_BYTES = 268_435_456;

/** The subscription of one room, and the place where it begins. */
interface SubscribedRoom {
  readonly name: string;
  readonly start: Start | undefined;
  readonly subscription: Subscription;
}

function optionsOf({ presence, meta, filter = "" }: Flags): SubscribeOptions {
  const buffers = { buffer: BUFFER_MESSAGES, buffer_bytes: BUFFER_BYTES, filter };
  if (presence !== true && meta === undefined) return buffers;
  if (presence !== true) throw usageError("--meta needs --presence: only a member has metadata");
  return { ...buffers, presence, ...(meta === undefined ? {} : { member_meta: meta }) };
}

function checkStart(rooms: readonly string[], { from, epoch }: Flags): void {
  if (epoch !== undefined && from === undefined) {
    throw usageError("--epoch needs --from: an offset belongs to an epoch");
  }
  if (from !== undefined && rooms.length > 1) {
    throw usageError(
      "--from is a position in one room; several are given",
      "run one arq sub for each room, or use --since or --last",
    );
  }
}

async function subscribe(
  io: Io,
  connection: Connection,
  name: string,
  flags: Flags,
): Promise<SubscribedRoom> {
  const room = connection.room(name);
  const options = optionsOf(flags);
  if (!hasStart(flags)) return { name, start: undefined, subscription: room.subscribe(options) };
  const now_ms = connection.welcome.server_time_ms;
  const start = await startPlace(patient(storedIn(room), io), flags, now_ms);
  const { offset, epoch } = start;
  const subscription = room.subscribe({ ...options, position: { offset, epoch } });
  return { name, start, subscription };
}

function subscribedText(subscribed: readonly SubscribedRoom[]): string {
  const names = subscribed.map(({ name, start }) =>
    start === undefined ? name : `${name} after offset ${start.offset}`
  );
  return `Subscribed to ${names.join(", ")}\n`;
}

/** Prints messages. Returns 0 after `--count` messages; Ctrl-C ends it by the abort signal. */
export async function sub(io: Io, rooms: readonly string[], flags: Flags): Promise<Ended> {
  const names = [...new Set(rooms)];
  optionsOf(flags);
  checkStart(names, flags);
  await using connection = await openConnection(io, flags);
  const subscribed = await Promise.all(names.map((name) => subscribe(io, connection, name, flags)));
  await Promise.all(subscribed.map(({ subscription }) => subscription.ready));
  await print(io.stderr, subscribedText(subscribed));
  const run = {
    left: flags.count ?? Infinity,
    stop: () => subscribed.forEach(({ subscription }) => subscription.close()),
  };
  await Promise.all(subscribed.map(({ name, ...options }) => {
    const room = { id: name, ...storedIn(connection.room(name)) };
    return new RoomReader({ io, room, json: flags.json === true, run, ...options }).run();
  }));
  if (run.left > 0) {
    io.signal.throwIfAborted();
    return EXIT.failure;
  }
  await io.stdout.flush();
}
