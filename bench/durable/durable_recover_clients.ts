/**
 * A program with many clients of a Shield that come back to one room at once. Its argument is a plan as JSON.
 * It prints a line of JSON when all clients are connected. For each line on its standard input all clients
 * subscribe at the position in the plan; when each has what it missed, the program prints another line.
 */
import { decodeServerFrame, encodeSub, encodeUnsub, Opcode } from "@arqon/proto";
import { connectSocket, type LoadSocket } from "../measure/socket.ts";

/** The plan of the clients. */
export interface ClientsPlan {
  readonly url: string;
  readonly token: string;
  readonly clients: number;
  readonly room_id: string;
  readonly after_offset: number;
  readonly epoch: string;
  /** Number of messages that each client has missed. */
  readonly missed: number;
}

/** The result of one storm for these clients. */
export interface StormReport {
  /** Time in Unix ms when the last client had everything. */
  readonly ended_ms: number;
  /** Time of each client from its SUB to its last missed message, in ms. */
  readonly times_ms: readonly number[];
  /** What went wrong for each client that did not get exactly what it missed. */
  readonly wrong: readonly string[];
}

const unixMs = () => performance.timeOrigin + performance.now();
/** Handshakes that are under way at a time. */
const CONNECTING = 50;
const TAG_OFFSET = 0x48;

/** The offset that the Shield adds at the end of a MSG; 0 when there is none. */
function offsetOf(frame: Uint8Array): number {
  let start = frame.length - 1;
  while (start > 0 && frame[start - 1]! >= 0x80) start--;
  if (frame[start - 1] !== TAG_OFFSET) return 0;
  let offset = 0;
  for (let at = frame.length - 1; at >= start; at--) offset = offset * 128 + (frame[at]! & 0x7f);
  return offset;
}

/** A client that recovers. */
class Client {
  readonly #socket: LoadSocket;
  readonly #plan: ClientsPlan;
  #began_ms = 0;
  #count = 0;
  #last = 0;
  #recovered = false;
  #done: PromiseWithResolvers<string> | undefined;
  time_ms = 0;

  constructor(socket: LoadSocket, plan: ClientsPlan) {
    this.#socket = socket;
    this.#plan = plan;
    socket.onmessage = (frame) => this.#receive(frame);
  }

  /** Resolves with "" when the client has exactly what it missed, else with what is wrong. */
  recover(): Promise<string> {
    const { room_id, after_offset, epoch } = this.#plan;
    this.#count = 0;
    this.#last = after_offset;
    this.#recovered = false;
    this.#done = Promise.withResolvers();
    this.#began_ms = performance.now();
    this.#socket.send(encodeSub({ room_id, request_id: 1, after_offset, epoch }));
    return this.#done.promise;
  }

  leave(): void {
    this.#socket.send(encodeUnsub({ room_id: this.#plan.room_id, request_id: 0 }));
  }

  #receive(frame: Uint8Array): void {
    if (frame[0] === Opcode.PING) {
      this.#socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
    } else if (frame[0] === Opcode.MSG) {
      this.#message(offsetOf(frame));
    } else if (frame[0] === Opcode.ACK) {
      const decoded = decodeServerFrame(frame);
      if (decoded.kind !== "ack") return;
      const { code, message, result } = decoded.ack;
      if (code !== 0) return this.#done?.resolve(`${code} ${message}`);
      const text = new TextDecoder().decode(result);
      this.#recovered = JSON.parse(text).recovered === true;
      if (!this.#recovered) this.#done?.resolve(text);
    }
  }

  #message(offset: number): void {
    if (!this.#recovered) return this.#done?.resolve("a message before the ACK");
    if (offset <= this.#last) return this.#done?.resolve(`${offset} after ${this.#last}`);
    this.#last = offset;
    if (++this.#count < this.#plan.missed) return;
    this.time_ms = performance.now() - this.#began_ms;
    this.#done?.resolve("");
  }
}

async function connectAll(plan: ClientsPlan): Promise<Client[]> {
  const clients: Client[] = [];
  let left = plan.clients;
  const connect = async () => {
    while (left > 0) {
      left--;
      const protocols = ["arqon.v1", `arqon.token.${plan.token}`];
      clients.push(new Client(await connectSocket(plan.url, protocols), plan));
    }
  };
  await Promise.all(Array.from({ length: CONNECTING }, connect));
  return clients;
}

async function run(plan: ClientsPlan): Promise<void> {
  const clients = await connectAll(plan);
  console.log("{}");
  for await (const _line of Deno.stdin.readable) {
    const outcomes = await Promise.all(clients.map((client) => client.recover()));
    const report: StormReport = {
      ended_ms: unixMs(),
      times_ms: clients.map(({ time_ms }) => time_ms),
      wrong: outcomes.filter((outcome) => outcome !== "").slice(0, 5),
    };
    for (const client of clients) client.leave();
    console.log(JSON.stringify(report));
  }
}

if (import.meta.main) {
  await run(JSON.parse(Deno.args[0] ?? ""));
  Deno.exit(0);
}
