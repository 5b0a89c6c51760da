/**
 * A client of `deno task bench sdk` on Deno. It receives or publishes so many messages with the platform's
 * WebSocket alone, with that and the decoder of frames, or with the SDK, and prints the CPU time that it
 * took. Its argument is a `ClientPlan`.
 */
import process from "node:process";
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { WINDOW } from "./plan.ts";
import type { ClientPlan, ClientResult } from "./plan.ts";

const plan: ClientPlan = JSON.parse(Deno.args[0] ?? "");
const TOTAL = plan.warmup + plan.messages;
const say = (word: unknown) => console.log(JSON.stringify(word));

/** Counts messages. `done` resolves with the cost of those after the warm-up. */
class Meter {
  #count = 0;
  #frames = 0;
  #from: { count: number; frames: number; wall_ms: number; cpu: NodeJS.CpuUsage } | undefined;
  readonly #done = Promise.withResolvers<ClientResult>();

  get done(): Promise<ClientResult> {
    return this.#done.promise;
  }

  get count(): number {
    return this.#count;
  }

  add(messages: number, frames = 1): void {
    this.#count += messages;
    this.#frames += frames;
    if (this.#from === undefined && this.#count >= plan.warmup) {
      const [count, frames] = [this.#count, this.#frames];
      this.#from = { count, frames, wall_ms: performance.now(), cpu: process.cpuUsage() };
    }
    if (this.#count < TOTAL || this.#from === undefined) return;
    const { user, system } = process.cpuUsage(this.#from.cpu);
    this.#done.resolve({
      messages: this.#count - this.#from.count,
      frames: this.#frames - this.#from.frames,
      cpu_us: user + system,
      wall_us: (performance.now() - this.#from.wall_ms) * 1_000,
    });
  }
}

/** The number of envelopes in the body of a BATCH, each after its length. */
function countOf(frame: Uint8Array): number {
  let count = 0;
  for (let at = 1; at < frame.length; count++) {
    let size_bytes = 0;
    for (let shift = 0;; shift += 7) {
      const byte = frame[at++] ?? 0;
      size_bytes |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    at += size_bytes;
  }
  return count;
}

/** Opens a socket of the platform. `onFrame` gets the frames that are neither WELCOME nor PING. */
async function openSocket(onFrame: (frame: Uint8Array) => void): Promise<WebSocket> {
  const socket = new WebSocket(plan.url, ["arqon.v1", `arqon.token.${plan.token}`]);
  socket.binaryType = "arraybuffer";
  const { promise: welcomed, resolve, reject } = Promise.withResolvers<void>();
  socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  socket.onmessage = ({ data }) => {
    const frame = new Uint8Array(data);
    if (frame[0] === Opcode.WELCOME) resolve();
    else if (frame[0] === Opcode.PING) {
      socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
    } else onFrame(frame);
  };
  await welcomed;
  socket.onclose = ({ code }) => {
    throw new Error(`closed with ${code}`);
  };
  return socket;
}

/** Receives frames; `countMessages` gives the number of messages in a frame. */
async function receiveFrames(countMessages: (frame: Uint8Array) => number): Promise<ClientResult> {
  const meter = new Meter();
  const socket = await openSocket((frame) => {
    if (frame[0] === Opcode.ACK) say({ ready: true });
    else meter.add(countMessages(frame));
  });
  socket.send(encodeSub({ room_id: plan.room_id, request_id: 1, batch: true }));
  return await meter.done;
}

/**
 * The number of messages in a frame, each decoded to an object with its fields, which is the cost of a
 * decoder.
 */
function decodedCount(bytes: Uint8Array): number {
  const frame = decodeServerFrame(bytes);
  if (frame.kind === "msg") return 1;
  if (frame.kind !== "batch") throw new Error(`a frame of kind ${frame.kind}`);
  return frame.envelopes.length;
}

async function receiveMessages(): Promise<ClientResult> {
  const meter = new Meter();
  const bus = await connect(plan);
  const messages = bus.room(plan.room_id).subscribe();
  await messages.ready;
  say({ ready: true });
  for await (const { signal, data } of messages) {
    if (signal !== undefined || data.length !== plan.size_bytes) throw new Error("messages lost");
    meter.add(1, 0);
    if (meter.count === TOTAL) break;
  }
  return await meter.done;
}

/** Publishes the same frame again and again, with `WINDOW` of them unanswered at any time. */
async function publishFrames(isAck: (frame: Uint8Array) => boolean): Promise<ClientResult> {
  const meter = new Meter();
  const data = new Uint8Array(plan.size_bytes);
  const event = { type: "bench", data, content_type: "application/octet-stream" };
  const envelope = { room_id: plan.room_id, event, ack_requested: true, request_id: 1 };
  const frame = encodePub(writeEnvelope(envelope));
  const socket = await openSocket((answer) => {
    if (!isAck(answer)) throw new Error("refused");
    meter.add(1);
    if (meter.count <= TOTAL - WINDOW) socket.send(frame);
  });
  say({ ready: true });
  for (let sent = 0; sent < WINDOW; sent++) socket.send(frame);
  return await meter.done;
}

function isDecodedAck(bytes: Uint8Array): boolean {
  const frame = decodeServerFrame(bytes);
  return frame.kind === "ack" && frame.ack.code === 0;
}

async function publishMessages(): Promise<ClientResult> {
  const meter = new Meter();
  const bus = await connect({ ...plan, window: WINDOW });
  const room = bus.room(plan.room_id);
  say({ ready: true });
  const data = new Uint8Array(plan.size_bytes);
  const publishOn = async () => {
    for (let sent = 0; sent < TOTAL / WINDOW; sent++) {
      await room.publish("bench", data);
      meter.add(1);
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, publishOn));
  return await meter.done;
}

const RECEIVE = {
  raw: () => receiveFrames((frame) => frame[0] === Opcode.BATCH ? countOf(frame) : 1),
  decoded: () => receiveFrames(decodedCount),
  sdk: receiveMessages,
};
const PUBLISH = {
  raw: () => publishFrames((frame) => frame[0] === Opcode.ACK),
  decoded: () => publishFrames(isDecodedAck),
  sdk: publishMessages,
};

const result = await (plan.load === "publish" ? PUBLISH : RECEIVE)[plan.part]();
say(result);
Deno.exit(0);
