/**
 * A client process with so many connections that hear one room and note how long each message took. Lines on
 * its standard input tell it what to do, and it answers each with one line of JSON; it ends with its input.
 * `fanout_load.ts` starts it.
 */
import { encodeSub, Opcode } from "@arqon/proto";
import { connectSocket } from "../measure/socket.ts";
import type { LoadSocket } from "../measure/socket.ts";
import { ownLines } from "../measure/text_lines.ts";

/** The order in the first line: which readers to be. */
export interface ReadersOrder {
  readonly url: string;
  readonly token: string;
  readonly room_id: string;
  readonly connections: number;
  readonly batch: boolean;
}

/** The report in answer to any later line: what came since the last one. Latencies are in ms, in no order. */
export interface ReadersReport {
  readonly received: number;
  /** Number of frames in which the messages came. */
  readonly frames: number;
  readonly latencies_ms: readonly number[];
}

/**
 * The number with which the data of each message begins; after it comes the due time in Unix ms, as a
 * float64.
 */
export const STAMP = 0xa7c3_51fe;
/** Length of number and time in bytes. */
export const STAMP_BYTES = 12;

/** Connections that are opened at a time: as many as a Shield answers well below its limits. */
const OPENING = 50;

const unixMs = () => performance.timeOrigin + performance.now();

let received = 0;
let frames = 0;
let latencies_ms: number[] = [];

/** Notes the message in these bytes; a message without a stamp is not ours. */
function note(envelope: Uint8Array): void {
  const view = new DataView(envelope.buffer, envelope.byteOffset, envelope.byteLength);
  // The data is near the end, and nothing after it is equal to that number.
  for (let at = envelope.length - STAMP_BYTES; at >= 0; at--) {
    if (envelope[at] !== 0xa7 || view.getUint32(at) !== STAMP) continue;
    received++;
    latencies_ms.push(Math.round((unixMs() - view.getFloat64(at + 4)) * 1_000) / 1_000);
    return;
  }
}

/** Calls `each` for each envelope in the body of a BATCH. */
function eachOf(body: Uint8Array, each: (envelope: Uint8Array) => void): void {
  for (let at = 0; at < body.length;) {
    let size_bytes = 0;
    for (let shift = 0;; shift += 7) {
      const byte = body[at++] ?? 0;
      size_bytes |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    each(body.subarray(at, at += size_bytes));
  }
}

async function open(order: ReadersOrder): Promise<LoadSocket> {
  const socket = await connectSocket(order.url, ["arqon.v1", `arqon.token.${order.token}`]);
  const { promise: subscribed, resolve } = Promise.withResolvers<void>();
  socket.onmessage = (frame) => {
    const opcode = frame[0];
    if (opcode === Opcode.MSG || opcode === Opcode.BATCH) {
      frames++;
      if (opcode === Opcode.MSG) note(frame.subarray(1));
      else eachOf(frame.subarray(1), note);
    } else if (opcode === Opcode.PING) {
      socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
    } else if (opcode === Opcode.ACK) resolve();
    else if (opcode === Opcode.ERR) throw new Error(`refused: ${new TextDecoder().decode(frame)}`);
  };
  const { room_id, batch } = order;
  socket.send(encodeSub({ room_id, batch, request_id: 1 }));
  await subscribed;
  return socket;
}

async function openAll(order: ReadersOrder): Promise<void> {
  for (let opened = 0; opened < order.connections; opened += OPENING) {
    const count = Math.min(OPENING, order.connections - opened);
    await Promise.all(Array.from({ length: count }, () => open(order)));
  }
}

function takeReport(): ReadersReport {
  const report = { received, frames, latencies_ms };
  [received, frames, latencies_ms] = [0, 0, []];
  return report;
}

if (import.meta.main) {
  const lines = ownLines();
  await openAll(JSON.parse((await lines.next()).value ?? ""));
  console.log("{}");
  for await (const line of lines) {
    // The count is asked often, the messages themselves only at the end.
    console.log(JSON.stringify(JSON.parse(line) === "count" ? { received } : takeReport()));
  }
  Deno.exit(0);
}
