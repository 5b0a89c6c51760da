/**
 * The ArqonBus wire for load processes: binary frames, with the least work per message that a client can do. It does
 * not validate received data.
 */
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { Asked } from "../../measure/asked.ts";
import { connectSocket, type LoadSocket } from "../../measure/socket.ts";
import type { Wire, WireConnection, WireOptions } from "../targets/target.ts";

const FIELD = { event: 21, data: 2 } as const;
/** The byte that fills the body of a template, which marks the body's position. */
const FILL = 0xa5;

let cursor = 0;

function varint(bytes: Uint8Array): number {
  let value = 0;
  for (let scale = 1;; scale *= 128) {
    const byte = bytes[cursor++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
}

/** Reads the length of a length-delimited field at the cursor, before `end`; undefined for another type of field. */
function enter(bytes: Uint8Array, end: number, field: number): number | undefined {
  while (cursor < end) {
    const tag = varint(bytes);
    const type = tag & 7;
    if (type === 0) varint(bytes);
    else if (type === 2) {
      const size = varint(bytes);
      if (Math.floor(tag / 8) === field) return size;
      cursor += size;
    } else cursor += type === 1 ? 8 : 4;
  }
  return undefined;
}

/** The data of an envelope's event; undefined without data. */
export function eventData(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
  cursor = start;
  const event_bytes = enter(bytes, end, FIELD.event);
  if (event_bytes === undefined) return undefined;
  const data_bytes = enter(bytes, cursor + event_bytes, FIELD.data);
  return data_bytes === undefined ? undefined : bytes.subarray(cursor, cursor + data_bytes);
}

/** The bytes of a PUB frame, with space for a body. */
interface Template {
  readonly frame: Uint8Array;
  /** Offset of the body. */
  readonly at: number;
}

/** The template for bodies of this size in bytes. */
function templateOf(room_id: string, body_bytes: number): Template {
  const data = new Uint8Array(body_bytes).fill(FILL);
  const content_type = "application/octet-stream";
  const event = { type: "bench", data, content_type, schema_id: "" };
  const frame = encodePub(writeEnvelope({ room_id, event }));
  const place = eventData(frame, 1, frame.length);
  if (place?.length !== data.length) throw new Error("the body of a template is not found");
  return { frame, at: place.byteOffset - frame.byteOffset };
}

/** Templates of all connections in this process; names are far fewer than messages. */
const templates = new Map<string, Map<number, Template>>();

function publication(room_id: string, body: Uint8Array): Uint8Array {
  let of_room = templates.get(room_id);
  if (of_room === undefined) templates.set(room_id, of_room = new Map());
  let template = of_room.get(body.length);
  if (template === undefined) {
    of_room.set(body.length, template = templateOf(room_id, body.length));
  }
  template.frame.set(body, template.at);
  return template.frame;
}

class ArqonConnection implements WireConnection {
  readonly #socket: LoadSocket;
  readonly #options: WireOptions;
  readonly #asked: Asked;
  #request_id = 0;

  constructor(socket: LoadSocket, options: WireOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.onmessage = (frame) => this.#onFrame(frame);
    this.#asked = new Asked(options.onProblem);
    socket.onend = (why) => this.#asked.fail(why);
  }

  subscribe(room_id: string): Promise<void> {
    const request_id = ++this.#request_id;
    const accepted = this.#asked.ask(request_id);
    this.#socket.send(encodeSub({ room_id, request_id, batch: this.#options.batch }));
    return accepted;
  }

  publish(room_id: string, body: Uint8Array): void {
    this.#socket.send(publication(room_id, body));
  }

  close(): void {
    this.#socket.close();
  }

  #onFrame(frame: Uint8Array): void {
    switch (frame[0]) {
      case Opcode.MSG:
        this.#onEnvelope(frame, 1, frame.length);
        break;
      case Opcode.BATCH:
        for (let at = 1; at < frame.length;) {
          cursor = at;
          const size = varint(frame);
          const start = cursor;
          at = start + size;
          this.#onEnvelope(frame, start, at);
        }
        break;
      case Opcode.PING:
        this.#socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
        break;
      default:
        this.#onAnswer(frame);
    }
  }

  #onEnvelope(frame: Uint8Array, start: number, end: number): void {
    const data = eventData(frame, start, end);
    if (data !== undefined) this.#options.onMessage(data);
  }

  #onAnswer(bytes: Uint8Array): void {
    const frame = decodeServerFrame(bytes);
    if (frame.kind === "err") this.#options.onProblem(`${frame.code}: ${frame.message}`);
    if (frame.kind !== "ack") return;
    const { request_id, code, message } = frame.ack;
    if (code === 0) this.#asked.answer(Number(request_id));
    else this.#asked.refuse(Number(request_id), `refused with ${code}: ${message}`);
  }
}

/** The wire of ArqonBus. */
export const ARQON_WIRE: Wire = {
  async open(spec, options) {
    const token = spec.tokens[options.tenant % spec.tokens.length] ?? "";
    const ca = spec.ca === undefined ? {} : { ca: spec.ca };
    const socket = await connectSocket(spec.url, ["arqon.v1", `arqon.token.${token}`], ca);
    const greeted = Promise.withResolvers<void>();
    socket.onmessage = (frame) => {
      if (frame[0] === Opcode.WELCOME) greeted.resolve();
      else greeted.reject(new Error(`the first frame begins with ${frame[0]}`));
    };
    socket.onend = (why) => greeted.reject(new Error(why));
    await greeted.promise;
    return new ArqonConnection(socket, options);
  },
};
