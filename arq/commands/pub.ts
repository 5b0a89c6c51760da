/**
 * `arq pub`: publishes one event, or one event per line of NDJSON, acknowledged and pipelined.
 */
import type { Room } from "@arqon/sdk";
import { Acknowledged, swappedText } from "../acknowledged.ts";
import { CommandError, EXIT, usageError } from "../exit.ts";
import { dueAfter, pause, Window } from "../flow.ts";
import { print, resolvePath } from "../io.ts";
import type { Io } from "../io.ts";
import { readNdjson } from "../ndjson.ts";
import { createProgress } from "../progress.ts";
import { openConnection } from "../target.ts";
import type { ConnectionFlags } from "../target.ts";

/** The command's options. */
export interface PubFlags extends ConnectionFlags {
  readonly type: string;
  readonly ndjson?: string;
  /** Messages a second; undefined: as fast as they are acknowledged. */
  readonly rate?: number;
  /** Unacknowledged messages at a time. */
  readonly window: number;
  readonly json?: boolean;
}

/** Long enough for a bus that restarts under us. */
const PUBLISH_TIMEOUT_MS = 30_000;

interface Source {
  readonly name: string;
  open(): Promise<AsyncIterable<Uint8Array>>;
  /** Lines in it; undefined when it can be read only once. */
  readonly total: number | undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A file is read twice: nothing of it is sent unless every line is good. */
async function openSource(io: Io, ndjson: string): Promise<Source> {
  if (ndjson === "-") {
    return { name: "stdin", open: () => Promise.resolve(io.stdin()), total: undefined };
  }
  const path = resolvePath(io.cwd, ndjson);
  const open = async () => {
    try {
      return await io.files.open(path);
    } catch (error) {
      throw new CommandError(
        `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
      );
    }
  };
  let total = 0;
  for await (const _ of readNdjson(await open(), path)) total += 1;
  return { name: path, open, total };
}

async function publishLines(io: Io, room: Room, source: Source, flags: PubFlags): Promise<number> {
  const progress = createProgress({
    is_tty: io.stderr.is_tty && flags.json !== true,
    total: source.total,
    now: io.now,
  });
  const window = new Window(flags.window);
  const started_ms = io.now();
  const done = new Acknowledged();
  let sent = 0;
  const send = async (line: number, bytes: Uint8Array) => {
    try {
      const ack = await room.publish(flags.type, bytes, {
        content_type: "application/json",
        message_id: crypto.randomUUID(),
        timeout_ms: PUBLISH_TIMEOUT_MS,
      });
      done.add(line, Number(ack.offset));
      progress.update(done.count);
    } catch (error) {
      if (error instanceof Error) error.message = `${source.name}, line ${line}: ${error.message}`;
      throw error;
    }
  };
  try {
    for await (const { line, bytes } of readNdjson(await source.open(), source.name)) {
      if (flags.rate !== undefined) {
        await pause(started_ms + dueAfter(sent, flags.rate) - io.now(), io.signal);
      }
      io.signal.throwIfAborted();
      await window.run(() => {
        done.begin(line);
        return send(line, bytes);
      });
      sent += 1;
    }
    await window.drained();
    progress.stop();
    await print(io.stderr, swappedText(done));
    return done.count;
  } catch (error) {
    progress.stop();
    await print(io.stderr, `arq: stopped after ${done.count} acknowledged messages\n`);
    throw error;
  } finally {
    progress.stop();
  }
}

async function publishOne(room: Room, data: string, flags: PubFlags): Promise<number> {
  await room.publish(flags.type, data, {
    content_type: isJson(data) ? "application/json" : "text/plain",
    message_id: crypto.randomUUID(),
    timeout_ms: PUBLISH_TIMEOUT_MS,
  });
  return 1;
}

/** Publishes to one room; says on stderr (`--json`: on stdout) how much was acknowledged. */
export async function pub(
  io: Io,
  room_id: string,
  data: string | undefined,
  flags: PubFlags,
): Promise<number> {
  if (data !== undefined && flags.ndjson !== undefined) {
    throw usageError("give either DATA or --ndjson, not both");
  }
  if (data === undefined && flags.ndjson === undefined) {
    throw usageError("nothing to publish: give DATA, or --ndjson FILE (- is stdin)");
  }
  const source = flags.ndjson === undefined ? undefined : await openSource(io, flags.ndjson);
  await using connection = await openConnection(io, flags, { window: flags.window });
  const room = connection.room(room_id);
  const started_ms = io.now();
  const published = source === undefined
    ? await publishOne(room, data ?? "", flags)
    : await publishLines(io, room, source, flags);
  const duration_ms = io.now() - started_ms;
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify({ room: room_id, published, duration_ms })}\n`);
  } else if (source !== undefined) {
    const rate = Math.round(published * 1_000 / Math.max(1, duration_ms));
    const seconds = (duration_ms / 1_000).toFixed(1);
    await print(
      io.stderr,
      `Published ${published} messages to ${room_id} in ${seconds} s (${rate}/s)\n`,
    );
  }
  return EXIT.ok;
}
