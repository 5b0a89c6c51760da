/** `arq pub`: publishes one event, or one for each line of NDJSON, acknowledged and pipelined. */
import { isJson, utf8OrUndefined } from "@arqon/proto";
import { type Ack, ArqonError, type Room } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { plural } from "../../../shared/plural.ts";
import { Acknowledged, type Outgoing, publishPaced } from "../../rooms/flow.ts";
import { failed, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print, resolvePath } from "../../terminal/io.ts";
import { LINE_BYTES_MAX, readNdjson } from "../../terminal/ndjson.ts";
import { openConnection } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";
import { openInput } from "../../terminal/input.ts";

/** Long enough for a bus that restarts meanwhile. */
const PUBLISH_TIMEOUT_MS = 30_000;

interface Source {
  readonly name: string;
  open(): Promise<AsyncIterable<Uint8Array>>;
  /** Number of lines; undefined when the input can be read only once. */
  readonly total: number | undefined;
}

/** Opens the NDJSON input. A file is read twice, so that nothing is sent unless every line is valid. */
async function openSource(io: Io, ndjson: string): Promise<Source> {
  if (ndjson === "-") {
    return { name: "stdin", open: () => Promise.resolve(io.stdin()), total: undefined };
  }
  const path = resolvePath(io.cwd, ndjson);
  const open = () => openInput(io, path);
  let total = 0;
  for await (const _ of readNdjson(await open(), path)) total += 1;
  return { name: path, open, total };
}

/** The number of acknowledged messages, and the last stored one in a durable room. */
interface Published {
  count: number;
  /** Offset of the last stored message; 0 when the room stores none. */
  offset: number;
  message_id: string;
}

const noneYet = (): Published => ({ count: 0, offset: 0, message_id: "" });

function add(published: Published, { offset }: Ack, message_id: string): void {
  published.count += 1;
  if (Number(offset) <= published.offset) return;
  published.offset = Number(offset);
  published.message_id = message_id;
}

async function* linesOf(
  room: Room,
  { name, open }: Source,
  { type }: Flags<"type">,
  published: Published,
): AsyncGenerator<Outgoing> {
  for await (const { line, bytes } of readNdjson(await open(), name)) {
    const message_id = crypto.randomUUID();
    const options = {
      content_type: "application/json",
      message_id,
      timeout_ms: PUBLISH_TIMEOUT_MS,
    };
    const publish = async () => {
      try {
        const ack = await room.publish(type, bytes, options);
        add(published, ack, message_id);
        return ack;
      } catch (error) {
        if (error instanceof Error) error.message = `${name}, line ${line}: ${error.message}`;
        throw error;
      }
    };
    yield { number: line, publish };
  }
}

async function publishLines(
  io: Io,
  room: Room,
  source: Source,
  flags: Flags<"type" | "window">,
): Promise<Published> {
  const done = new Acknowledged();
  const published = noneYet();
  const lines = linesOf(room, source, flags, published);
  await publishPaced(io, flags, lines, done, source.total).catch(async (error) => {
    await note(io, `stopped after ${done.count} acknowledged messages`);
    throw error;
  });
  return published;
}

interface Content {
  readonly data: string | Uint8Array;
  readonly content_type: string;
}

const textContent = (data: string): Content => ({
  data,
  content_type: isJson(data) ? "application/json" : "text/plain",
});

/** All of stdin as one event: JSON, else text without the line end that `echo` adds, else bytes. */
async function stdinContent(io: Io): Promise<Content> {
  const parts: Uint8Array[] = [];
  let size_bytes = 0;
  for await (const part of io.stdin()) {
    size_bytes += part.length;
    if (size_bytes > LINE_BYTES_MAX) {
      throw failed(
        `stdin has more than ${LINE_BYTES_MAX} bytes, more than an event may have`,
        "--ndjson - publishes an event for each line of it",
      );
    }
    parts.push(part);
  }
  const bytes = await new Blob(parts as BlobPart[]).bytes();
  if (bytes.length === 0) throw usageError("nothing to publish: stdin is empty", WAYS);
  const text = utf8OrUndefined(bytes);
  if (text === undefined) return { data: bytes, content_type: "application/octet-stream" };
  return textContent(text.replace(/\r?\n$/, ""));
}

async function publishOne(
  room: Room,
  content: Content,
  flags: Flags<"type" | "window">,
): Promise<Published> {
  const message_id = flags.messageId ?? crypto.randomUUID();
  const ack = await room.publish(flags.type, content.data, {
    content_type: content.content_type,
    message_id,
    timeout_ms: PUBLISH_TIMEOUT_MS,
  });
  const published = noneYet();
  add(published, ack, message_id);
  return published;
}

const WAYS = "give DATA, or --ndjson FILE (- is stdin), or pipe one event into stdin";

/** The content of DATA or stdin; undefined with `--ndjson`. Throws a usage error when there is no content. */
async function contentOf(
  io: Io,
  data: string | undefined,
  { ndjson, messageId }: Flags<"type" | "window">,
): Promise<Content | undefined> {
  if (messageId !== undefined && ndjson !== undefined) {
    throw usageError("--message-id names one event, and --ndjson publishes several");
  }
  if (data !== undefined && ndjson !== undefined) {
    throw usageError("give either DATA or --ndjson, not both");
  }
  if (ndjson !== undefined) return undefined;
  if (data !== undefined) return textContent(data);
  if (io.is_stdin_tty) throw usageError("nothing to publish, and stdin is a terminal", WAYS);
  return await stdinContent(io);
}

/**
 * The epoch of an offset. An acknowledgement does not have it, so the room is asked for the message at that
 * offset. Undefined when the message there is another one, or when the token may only publish.
 */
async function epochOf(room: Room, { offset, message_id }: Published): Promise<string | undefined> {
  try {
    const { messages, epoch } = await history(room, { after: offset - 1, limit: 1 });
    return messages[0]?.message_id === message_id ? epoch : undefined;
  } catch (error) {
    if (error instanceof ArqonError && error.code === 403) return undefined;
    throw error;
  }
}

/** The line of `--json`. In a durable room it has the position of the last message. */
async function resultLine(room: Room, published: Published, duration_ms: number): Promise<string> {
  const { count, offset } = published;
  const place = offset > 0 ? { offset, epoch: await epochOf(room, published) } : {};
  return `${JSON.stringify({ room: room.id, published: count, ...place, duration_ms })}\n`;
}

/** Publishes to one room. Reports the number of acknowledged messages: on stderr, with `--json` on stdout. */
export async function pub(
  io: Io,
  room_id: string,
  data: string | undefined,
  flags: Flags<"type" | "window">,
): Promise<Ended> {
  const content = await contentOf(io, data, flags);
  const what = content ?? await openSource(io, flags.ndjson ?? "-");
  await using connection = await openConnection(io, flags, { window: flags.window });
  const room = connection.room(room_id);
  const started_ms = io.monotonic_ms();
  const published = "open" in what
    ? await publishLines(io, room, what, flags)
    : await publishOne(room, what, flags);
  const duration_ms = io.monotonic_ms() - started_ms;
  if (flags.json === true) {
    await print(io.stdout, await resultLine(room, published, duration_ms));
  } else if ("open" in what) {
    const rate = Math.round(published.count * 1_000 / Math.max(1, duration_ms));
    const seconds = (duration_ms / 1_000).toFixed(1);
    const messages = plural(published.count, "message");
    await print(io.stderr, `Published ${messages} to ${room_id} in ${seconds} s (${rate}/s)\n`);
  }
}
