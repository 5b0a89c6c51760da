/**
 * Socket.IO 4 over WebSocket only, limited to the needs of a load generator: `sub` joins a room, `pub` sends a binary
 * body to it, and bodies arrive as `msg`. socketio_server.mjs is the server side.
 */
import { connectSocket } from "../measure/socket.ts";
import type { Wire } from "../load/targets/target.ts";
import { Asked } from "../measure/asked.ts";

/** A text packet of Engine.IO that contains a Socket.IO packet, of the kinds that this client receives. */
type SocketIoPacket =
  | { readonly kind: "open" | "ping" | "connected" | "disconnected" | "other" }
  /** Announces that the next binary frame is the body of an event. */
  | { readonly kind: "attachment" }
  | { readonly kind: "ack"; readonly id: number }
  | { readonly kind: "refused"; readonly why: string };

const OPEN = 48, PING = 50, MESSAGE = 52;
const CONNECT = 48, DISCONNECT = 49, ACK = 51, CONNECT_ERROR = 52, BINARY_EVENT = 53;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function parseSocketIo(text: Uint8Array): SocketIoPacket {
  if (text[0] === OPEN) return { kind: "open" };
  if (text[0] === PING) return { kind: "ping" };
  if (text[0] !== MESSAGE) return { kind: "other" };
  switch (text[1]) {
    case BINARY_EVENT:
      return { kind: "attachment" };
    case CONNECT:
      return { kind: "connected" };
    case DISCONNECT:
      return { kind: "disconnected" };
    case ACK:
      return { kind: "ack", id: parseInt(decoder.decode(text.subarray(2)), 10) };
    case CONNECT_ERROR:
      return { kind: "refused", why: decoder.decode(text.subarray(2)) };
    default:
      return { kind: "other" };
  }
}

/** The text frame that precedes the binary frame with the body. */
function publishHead(room: string): Uint8Array {
  return encoder.encode(`451-["pub",${JSON.stringify(room)},{"_placeholder":true,"num":0}]`);
}

const NAMESPACE = encoder.encode("40");
const PONG = encoder.encode("3");
/** The number of the greeting; the numbers of `sub` start at 1. */
const GREETING = 0;

/** The wire of Socket.IO. Any room name is allowed. */
export const SOCKETIO_WIRE: Wire = {
  async open(spec, { onMessage, onProblem }) {
    const socket = await connectSocket(spec.url, [], spec.ca === undefined ? {} : { ca: spec.ca });
    const requests = new Asked(onProblem);
    const greeted = requests.ask(GREETING);
    socket.onmessage = onMessage;
    socket.ontext = (text) => {
      const packet = parseSocketIo(text);
      if (packet.kind === "open") socket.sendText(NAMESPACE);
      else if (packet.kind === "ping") socket.sendText(PONG);
      else if (packet.kind === "connected") requests.answer(GREETING);
      else if (packet.kind === "ack") requests.answer(packet.id);
      else if (packet.kind === "refused") requests.refuse(GREETING, packet.why);
      else if (packet.kind === "disconnected") requests.fail("the server left the namespace");
    };
    socket.onend = (why) => requests.fail(why);
    await greeted;
    let last_id = GREETING;
    let head = { room: "", text: publishHead("") };
    return {
      subscribe(room) {
        const subscribed = requests.ask(++last_id);
        socket.sendText(encoder.encode(`42${last_id}["sub",${JSON.stringify(room)}]`));
        return subscribed;
      },
      publish(room, body) {
        if (head.room !== room) head = { room, text: publishHead(room) };
        socket.sendText(head.text);
        socket.send(body);
      },
      close: () => socket.close(),
    };
  },
};
