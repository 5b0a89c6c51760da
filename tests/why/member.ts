/**
 * A client of the script, text form over a real socket: it comes back until it is closed, and writes down
 * what it did and saw. It decides nothing and judges nothing.
 */
import { pace } from "../../shared/testing/pace.ts";
import type { Known, Said, Sitting, Stay } from "./known.ts";

/** Who it is and where. */
export interface MemberOptions {
  readonly known: Known;
  readonly tenant_id: string;
  readonly user_id: string;
  /** `ws://host:port` for the next connection; undefined: there is none now. */
  readonly url: () => string | undefined;
  readonly token: string;
}

const RETRY_MS = 200;
const HANDSHAKE_MS = 5_000;
/** An answer that has not come by then is not waited for. */
const ANSWER_MS = 4_000;
const NORMAL = 1000;

interface Answer {
  readonly code: number;
  readonly reason?: string;
  readonly result?: { readonly epoch?: string };
}

interface Message {
  readonly room: string;
  readonly message_id?: string;
  readonly offset?: number;
  readonly signal?: { readonly kind: string };
}

/** One client. */
export class Member {
  readonly #options: MemberOptions;
  readonly #running: Promise<void>;
  readonly #waiting = new Map<number, (answer: Answer | undefined) => void>();
  /** The last offset that it has seen of each durable room. */
  readonly #offsets = new Map<string, number>();
  readonly #epochs = new Map<string, string>();
  #socket: WebSocket | undefined;
  #sitting: Sitting | undefined;
  #request = 0;
  #published = 0;
  #over = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get user_id(): string {
    return this.#options.user_id;
  }

  get tenant_id(): string {
    return this.#options.tenant_id;
  }

  /** The present connection; undefined: there is none. */
  get sitting(): Sitting | undefined {
    return this.#sitting;
  }

  /** The room's subscription on the present connection. */
  stay(room_id: string): Stay | undefined {
    return this.#sitting?.stays.find((one) => one.room_id === room_id && one.left_ms === undefined);
  }

  async subscribe(room_id: string, no_echo: boolean): Promise<void> {
    const sitting = this.#sitting;
    if (sitting === undefined || this.stay(room_id) !== undefined) return;
    const stay: Stay = {
      ...{ room_id, no_echo, asked_ms: Date.now() },
      ...{ acked_ms: undefined, left_ms: undefined },
    };
    sitting.stays.push(stay);
    const after = this.#offsets.get(room_id);
    const more = after === undefined
      ? {}
      : { after_offset: after, epoch: this.#epochs.get(room_id) };
    const answer = await this.#ask({ op: "sub", room: room_id, no_echo, ...more });
    const epoch = answer?.result?.epoch;
    if (epoch !== undefined) this.#epochs.set(room_id, epoch);
    if (answer?.code === 0) stay.acked_ms = Date.now();
    else if (answer !== undefined) stay.left_ms = Date.now();
  }

  async unsubscribe(room_id: string): Promise<void> {
    const stay = this.stay(room_id);
    if (stay === undefined) return;
    stay.left_ms = Date.now();
    await this.#ask({ op: "unsub", room: room_id });
  }

  /** Publishes, and `times` over the same; returns when it was answered, or not for too long. */
  async publish(room_id: string, data: unknown, key = "", times = 1): Promise<void> {
    const { tenant_id, known } = this.#options;
    const sitting = this.#sitting;
    if (sitting === undefined) return;
    const said: Said = {
      id: `${sitting.connection_id}-${++this.#published}`,
      ...{ tenant_id, room_id, key, by: sitting.connection_id, number: this.#published },
      ...{ sent_ms: Date.now(), answered_ms: undefined, code: undefined, reason: "", offset: 0 },
    };
    known.said.set(said.id, said);
    const headers = key === "" ? {} : { headers: { "x-key": key } };
    const operation = {
      op: "pub",
      room: room_id,
      type: "t",
      data,
      message_id: said.id,
      ...headers,
    };
    for (let time = 0; time < times; time++) {
      const answer = await this.#ask(operation);
      if (answer === undefined || time > 0) continue;
      said.answered_ms = Date.now();
      [said.code, said.reason] = [answer.code, answer.reason ?? ""];
    }
  }

  /** Ends the connection; it comes back. */
  leave(): void {
    this.#socket?.close(NORMAL);
  }

  async close(): Promise<void> {
    this.#over = true;
    this.leave();
    await this.#running;
  }

  #ask(operation: object): Promise<Answer | undefined> {
    const id = ++this.#request;
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const timer = setTimeout(() => resolve(undefined), ANSWER_MS);
    this.#waiting.set(id, resolve);
    socket.send(JSON.stringify({ ...operation, id }));
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(id);
    });
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      const url = this.#options.url();
      if (url !== undefined) await this.#connection(url);
      if (!this.#over) await pace(RETRY_MS);
    }
  }

  /** One connection from its beginning to its end. */
  async #connection(url: string): Promise<void> {
    const token = `arqon.token.${this.#options.token}`;
    const socket = new WebSocket(`${url}/v1/socket`, ["arqon.v1.json", token]);
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      if (this.#sitting === undefined) socket.close();
    }, HANDSHAKE_MS);
    const sitting = () => this.#sitting;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onerror = () => {};
    socket.onclose = ({ code }) => {
      const present = sitting();
      if (present !== undefined) {
        present.ended_ms = Date.now();
        present.code = code === NORMAL ? 0 : code;
      }
      resolve();
    };
    await promise;
    clearTimeout(timer);
    this.#sitting = undefined;
    for (const answered of this.#waiting.values()) answered(undefined);
  }

  // deno-lint-ignore no-explicit-any -- whatever a Shield says
  #take(frame: any): void {
    if (frame.op === "welcome") this.#begin(frame.connection, frame.node_id);
    else if (frame.op === "ack") this.#waiting.get(frame.id)?.(frame);
    else if (frame.op === "err" && frame.id !== undefined) this.#waiting.get(frame.id)?.(frame);
    else if (frame.op === "ping") this.#socket?.send(JSON.stringify({ ...frame, op: "pong" }));
    else if (frame.op === "msg") this.#hear(frame);
  }

  #begin(connection_id: string, node_id: string): void {
    const { known, tenant_id, user_id } = this.#options;
    const sitting: Sitting = {
      ...{ tenant_id, user_id, connection_id, node_id, opened_ms: Date.now() },
      ...{ stays: [], got: new Map(), gaps: [], ended_ms: undefined, code: 0 },
    };
    known.sittings.push(sitting);
    this.#sitting = sitting;
    this.#published = 0;
  }

  #hear({ room, message_id = "", offset = 0, signal }: Message): void {
    const sitting = this.#sitting;
    if (sitting === undefined) return;
    const now_ms = Date.now();
    if (offset > 0) this.#offsets.set(room, offset);
    if (signal?.kind === "GAP") sitting.gaps.push({ room_id: room, at_ms: now_ms });
    else if (signal !== undefined && room !== "") {
      const stay = this.stay(room);
      if (stay !== undefined) stay.left_ms = now_ms;
    }
    const said = this.#options.known.said.get(message_id);
    if (said === undefined) return;
    if (offset > 0) said.offset = offset;
    if (!sitting.got.has(message_id)) sitting.got.set(message_id, now_ms);
  }
}
