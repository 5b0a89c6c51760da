/**
 * NATS' client protocol over WebSocket, limited to the needs of a load generator. A room is a subject. The protocol is
 * a byte stream: message boundaries are independent of frame boundaries.
 */
import { concat } from "../../shared/containers/concat.ts";
import { connectSocket } from "../measure/socket.ts";
import type { Wire } from "../load/targets/target.ts";
import { Asked } from "../measure/asked.ts";

/** Callbacks for the content of a NATS stream. */
interface NatsEvents {
  /** Called for a `MSG`; the bytes are a view. */
  readonly onMessage: (body: Uint8Array) => void;
  /** Called for every other line, for example `PING`, without its line break. */
  readonly onLine: (line: string) => void;
}

const CR = 13, SPACE = 32, LETTER_M = 77, ZERO = 48;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Parses the complete messages at the start of `bytes`, and returns their length in bytes. */
function parseNats(bytes: Uint8Array, { onMessage, onLine }: NatsEvents): number {
  let at = 0;
  for (;;) {
    const end = bytes.indexOf(CR, at);
    if (end < 0 || end + 2 > bytes.length) return at;
    if (bytes[at] !== LETTER_M) {
      onLine(decoder.decode(bytes.subarray(at, end)));
      at = end + 2;
      continue;
    }
    // The size is the last word, after a subject, a number and an optional reply subject.
    let size_bytes = 0;
    for (let index = bytes.lastIndexOf(SPACE, end) + 1; index < end; index++) {
      size_bytes = size_bytes * 10 + bytes[index]! - ZERO;
    }
    const body = end + 2;
    if (body + size_bytes + 2 > bytes.length) return at;
    onMessage(bytes.subarray(body, body + size_bytes));
    at = body + size_bytes + 2;
  }
}

function encodePublish(subject: string, body: Uint8Array): Uint8Array {
  const head = encoder.encode(`PUB ${subject} ${body.length}\r\n`);
  const all = new Uint8Array(head.length + body.length + 2);
  all.set(head);
  all.set(body, head.length);
  all.set([CR, 10], head.length + body.length);
  return all;
}

const CONNECT = JSON.stringify({
  verbose: false,
  pedantic: false,
  echo: true,
  headers: false,
  no_responders: false,
  lang: "bench",
  version: "1",
});

/** The wire of NATS. Rooms are subjects, so room names must not contain blanks or wildcards. */
export const NATS_WIRE: Wire = {
  async open(spec, { onMessage, onProblem }) {
    const socket = await connectSocket(spec.url, [], spec.ca === undefined ? {} : { ca: spec.ca });
    const requests = new Asked(onProblem);
    let unread: Uint8Array = new Uint8Array();
    let sent = 0;
    let answered = 0;
    let subscriptions = 0;
    const say = (text: string) => socket.send(encoder.encode(`${text}\r\n`));
    // The server answers in order, so a PONG confirms everything before its PING.
    const settled = (text: string) => {
      const promise = requests.ask(++sent);
      say(`${text}\r\nPING`);
      return promise;
    };
    const onLine = (line: string) => {
      if (line === "PONG") requests.answer(++answered);
      else if (line === "PING") say("PONG");
      else if (line.startsWith("-ERR")) requests.fail(line);
    };
    const events = { onMessage, onLine };
    socket.onmessage = (chunk) => {
      // Without a rest nothing is copied: messages are views of the chunk.
      const bytes = unread.length === 0 ? chunk : concat([unread, chunk]);
      unread = bytes.slice(parseNats(bytes, events));
    };
    socket.onend = (why) => requests.fail(why);
    await settled(`CONNECT ${CONNECT}`);
    return {
      subscribe: (room) => settled(`SUB ${room} ${++subscriptions}`),
      publish: (room, body) => socket.send(encodePublish(room, body)),
      close: () => socket.close(),
    };
  },
};
