/**
 * `arq sub`: prints what is published to rooms until `--count` is reached or Ctrl-C.
 */
import type { Json, Message, SubscribeOptions, Subscription } from "@arqon/sdk";
import { EXIT, printable, usageError } from "../exit.ts";
import { humanLine, jsonLine, rawLine } from "../format.ts";
import { print } from "../io.ts";
import type { Io } from "../io.ts";
import { openConnection } from "../target.ts";
import type { ConnectionFlags } from "../target.ts";

/** The command's options. */
export interface SubFlags extends ConnectionFlags {
  /** End after so many messages. */
  readonly count?: number;
  /** Be a member of the rooms meanwhile. */
  readonly presence?: boolean;
  /** JSON of the member's metadata. */
  readonly meta?: Json;
  readonly json?: boolean;
}

/** A slow reader of our output may fall this far behind before messages are dropped (and said so). */
const BUFFER_MESSAGES = 65_536;
const BUFFER_BYTES = 268_435_456;

/** Counts over all rooms; `stop` ends the loops. */
interface Run {
  left: number;
  stop(): void;
}

async function show(io: Io, message: Message, flags: SubFlags): Promise<void> {
  if (flags.json === true) return await io.stdout.write(jsonLine(message));
  if (io.stdout.is_tty) return await print(io.stdout, humanLine(message));
  await io.stdout.write(rawLine(message));
}

async function follow(io: Io, room: Subscription, flags: SubFlags, run: Run): Promise<void> {
  for await (const message of room) {
    if (message.signal !== undefined) {
      const { kind, reason } = message.signal;
      const why = reason === "" ? "" : `: ${printable(reason)}`;
      await print(io.stderr, `arq: ${kind} in ${message.room}${why}\n`);
      if (flags.json === true) await show(io, message, flags);
      continue;
    }
    // Two rooms may deliver in one turn: what comes after the last one counted is not printed.
    if (run.left === 0) return;
    run.left -= 1;
    await show(io, message, flags);
    if (run.left === 0) return run.stop();
  }
}

function optionsOf({ presence, meta }: SubFlags): SubscribeOptions {
  const buffers = { buffer: BUFFER_MESSAGES, buffer_bytes: BUFFER_BYTES };
  if (presence !== true && meta === undefined) return buffers;
  if (presence !== true) throw usageError("--meta needs --presence: only a member has metadata");
  return { ...buffers, presence, ...(meta === undefined ? {} : { member_meta: meta }) };
}

/** Prints messages; returns 0 once `--count` is reached. Ctrl-C ends it by the abort signal. */
export async function sub(io: Io, rooms: readonly string[], flags: SubFlags): Promise<number> {
  const names = [...new Set(rooms)];
  const options = optionsOf(flags);
  await using connection = await openConnection(io, flags);
  const subscriptions = names.map((room) => connection.room(room).subscribe(options));
  await Promise.all(subscriptions.map((subscription) => subscription.ready));
  await print(io.stderr, `Subscribed to ${names.join(", ")}\n`);
  const run = {
    left: flags.count ?? Infinity,
    stop: () => subscriptions.forEach((subscription) => subscription.close()),
  };
  await Promise.all(subscriptions.map((room) => follow(io, room, flags, run)));
  if (run.left > 0) {
    io.signal.throwIfAborted();
    return EXIT.failure;
  }
  await io.stdout.flush();
  return EXIT.ok;
}
