/**
 * Centrifugo's client protocol in Protobuf, limited to the needs of a load generator. A room is a channel. A frame
 * contains complete messages, each after its length. Field numbers are those of `client.proto` in
 * github.com/centrifugal/protocol.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { connectSocket } from "../measure/socket.ts";
import type { Wire } from "../load/targets/target.ts";
import { Asked } from "../measure/asked.ts";

/** Callbacks for the content of a server's frame. */
interface CentrifugoEvents {
  /** Called with the data of a publication; the bytes are a view. */
  readonly onMessage: (body: Uint8Array) => void;
  /** Called for an empty reply, which is a ping. */
  readonly onPing: () => void;
  /** Called for the answer to the command `id`, with `error` if it was refused. */
  readonly onReply: (id: number, error?: string) => void;
  /** Called when the server ends the connection or the subscription. */
  readonly onEnd: (why: string) => void;
}

const COMMAND = { id: 1, connect: 4, subscribe: 5, publish: 7 } as const;
const REPLY = { id: 1, error: 2, push: 4 } as const;
/** Field numbers of `Push`. */
const PUSH = { pub: 4, unsubscribe: 7, disconnect: 11 } as const;
const ERROR_MESSAGE = 2;
const PUBLICATION_DATA = 4;
const END_REASON = { unsubscribe: 3, disconnect: 2 } as const;

/** The last field `wanted` of a message, as bytes; undefined if it is missing. */
function fieldOf(message: Uint8Array, wanted: number): Uint8Array | undefined {
  const reader = new BinaryReader(message);
  let found: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) found = reader.bytes();
    else reader.skip(type, field);
  }
  return found;
}

function textOf(message: Uint8Array, field: number): string {
  return new TextDecoder().decode(fieldOf(message, field));
}

function readPush(push: Uint8Array, { onMessage, onEnd }: CentrifugoEvents): void {
  const publication = fieldOf(push, PUSH.pub);
  if (publication !== undefined) {
    onMessage(fieldOf(publication, PUBLICATION_DATA) ?? new Uint8Array(0));
    return;
  }
  for (const kind of ["unsubscribe", "disconnect"] as const) {
    const end = fieldOf(push, PUSH[kind]);
    if (end !== undefined) onEnd(`${kind}: ${textOf(end, END_REASON[kind])}`);
  }
}

function readReply(reply: Uint8Array, events: CentrifugoEvents): void {
  if (reply.length === 0) return events.onPing();
  const reader = new BinaryReader(reply);
  let id = 0;
  let error: string | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === REPLY.id) id = reader.uint32();
    else if (field === REPLY.error) error = textOf(reader.bytes(), ERROR_MESSAGE);
    else if (field === REPLY.push) readPush(reader.bytes(), events);
    else reader.skip(type, field);
  }
  if (id !== 0) events.onReply(id, error);
}

/** Reads one frame. Throws if it is not valid Protobuf or not complete. */
function parseCentrifugo(frame: Uint8Array, events: CentrifugoEvents): void {
  const reader = new BinaryReader(frame);
  while (reader.pos < reader.len) readReply(reader.bytes(), events);
}

const framed = (command: Uint8Array) => new BinaryWriter().bytes(command).finish();

/** A frame with one command; `fields` writes the request. */
function encodeCommand(
  id: number,
  request: "connect" | "subscribe" | "publish",
  fields: (writer: BinaryWriter) => BinaryWriter,
): Uint8Array {
  const writer = new BinaryWriter().tag(COMMAND.id, WireType.Varint).uint32(id);
  writer.tag(COMMAND[request], WireType.LengthDelimited).fork();
  return framed(fields(writer).join().finish());
}

/** A frame with an empty command, the answer to a ping. */
const PONG = framed(new Uint8Array(0));
const TOKEN = 1;
const CHANNEL = 1;
const DATA = 2;

/** The wire of Centrifugo. Rooms are channels, so room names must not contain `:`, `#` or `$`. */
export const CENTRIFUGO_WIRE: Wire = {
  async open(spec, { onMessage, onProblem, tenant }) {
    const trust = spec.ca === undefined ? {} : { ca: spec.ca };
    const socket = await connectSocket(spec.url, ["centrifuge-protobuf"], trust);
    const requests = new Asked(onProblem);
    const events: CentrifugoEvents = {
      onMessage,
      onPing: () => socket.send(PONG),
      onReply: (id, error) =>
        error === undefined ? requests.answer(id) : requests.refuse(id, error),
      onEnd: (why) => requests.fail(why),
    };
    socket.onmessage = (frame) => parseCentrifugo(frame, events);
    socket.onend = (why) => requests.fail(why);
    let last_id = 1;
    const greeted = requests.ask(last_id);
    // Centrifugo's own protocol requests none here.
    const token = spec.tokens[tenant % spec.tokens.length] ?? "";
    const shown = (writer: BinaryWriter) =>
      token === "" ? writer : writer.tag(TOKEN, WireType.LengthDelimited).string(token);
    socket.send(encodeCommand(last_id, "connect", shown));
    await greeted;
    return {
      subscribe(room) {
        const id = ++last_id;
        const subscribed = requests.ask(id);
        const fields = (writer: BinaryWriter) =>
          writer.tag(CHANNEL, WireType.LengthDelimited).string(room);
        socket.send(encodeCommand(id, "subscribe", fields));
        return subscribed;
      },
      publish(room, body) {
        const fields = (writer: BinaryWriter) =>
          writer.tag(CHANNEL, WireType.LengthDelimited).string(room)
            .tag(DATA, WireType.LengthDelimited).bytes(body);
        socket.send(encodeCommand(++last_id, "publish", fields));
      },
      close: () => socket.close(),
    };
  },
};
