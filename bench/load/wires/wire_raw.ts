/**
 * The wire of the bare servers (`bare_server.ts`). A frame of `/echo` is a body; a frame of `/rooms` is an
 * opcode, the length of a room's name, the name, and the body.
 */
import { connectSocket } from "../../measure/socket.ts";
import type { Wire, WireConnection } from "../targets/target.ts";

/** Opcodes, the first byte of a frame. The server answers `subscribe` with a frame of only that byte. */
export const RAW = { subscribe: 1, publish: 2 } as const;

const encoder = new TextEncoder();

/** Makes a frame of `/rooms`. Names have at most 255 bytes. */
export function rawFrame(opcode: number, room: string, body: Uint8Array): Uint8Array {
  const name = encoder.encode(room);
  const frame = new Uint8Array(2 + name.length + body.length);
  frame[0] = opcode;
  frame[1] = name.length;
  frame.set(name, 2);
  frame.set(body, 2 + name.length);
  return frame;
}

/** The wire of bare Deno and bare `ws`. */
export const RAW_WIRE: Wire = {
  async open(spec, options): Promise<WireConnection> {
    const path = options.echo === true ? "/echo" : "/rooms";
    const ca = spec.ca === undefined ? {} : { ca: spec.ca };
    const socket = await connectSocket(`${spec.url}${path}`, [], ca);
    socket.onend = options.onProblem;
    const close = () => socket.close();
    if (options.echo === true) {
      socket.onmessage = options.onMessage;
      return { subscribe: async () => {}, publish: (_room, body) => socket.send(body), close };
    }
    const waiting: (() => void)[] = [];
    socket.onmessage = (frame) => {
      if (frame[0] === RAW.publish) options.onMessage(frame.subarray(2 + frame[1]!));
      else waiting.shift()?.();
    };
    return {
      subscribe: (room) =>
        new Promise((resolve) => {
          waiting.push(resolve);
          socket.send(rawFrame(RAW.subscribe, room, new Uint8Array()));
        }),
      publish: (room, body) => socket.send(rawFrame(RAW.publish, room, body)),
      close,
    };
  },
};
