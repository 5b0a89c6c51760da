/**
 * A bare WebSocket client for tests: sends frames unchanged and returns the received ones in order. Deliberately not
 * the SDK, so that a test sees the wire.
 */
import { decodeServerFrame, type ServerFrame } from "@arqon/proto";

const WAIT_MS = 20_000;

/** The form of the upgrade request; without a token it will be refused. */
export interface RawClientOptions {
  token?: string;
  /** Offered besides the token item. Default: `arqon.v1`. */
  subprotocols?: string[];
  headers?: Record<string, string>;
  /** An HTTP client that trusts the certificate of a `wss:` URL. */
  client?: Deno.HttpClient;
}

/** The close event as the client saw it; 1006 if the connection broke. */
export interface Closed {
  code: number;
  reason: string;
}

/** One socket and what it received. Waits at most 20 s for anything. */
export class RawClient implements Disposable {
  readonly socket: WebSocket;
  readonly #frames: (Uint8Array | string)[] = [];
  #waiting: (() => void) | undefined;
  #closed: Closed | undefined;
  /** The runtime's words, which name the status of a refused upgrade. */
  #problem = "";

  constructor(url: string, options: RawClientOptions) {
    const { token, subprotocols = ["arqon.v1"] } = options;
    this.socket = new WebSocket(url, {
      protocols: token === undefined ? subprotocols : [...subprotocols, `arqon.token.${token}`],
      headers: options.headers ?? {},
      ...(options.client === undefined ? {} : { client: options.client }),
    });
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => {
      this.#frames.push(typeof data === "string" ? data : new Uint8Array(data));
      this.#waiting?.();
    };
    this.socket.onerror = (event) => this.#problem = (event as ErrorEvent).message;
    this.socket.onclose = ({ code, reason }) => {
      this.#closed = { code, reason };
      this.#waiting?.();
    };
  }

  send(frame: Uint8Array | string | object): void {
    if (frame instanceof Uint8Array) this.socket.send(new Uint8Array(frame));
    else this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The next frame, unparsed. Rejects if the connection ends first. */
  async raw(): Promise<Uint8Array | string> {
    await this.#until(() => this.#frames.length > 0 || this.#closed !== undefined);
    const frame = this.#frames.shift();
    if (frame !== undefined) return frame;
    throw new Error(`the connection ended: ${JSON.stringify(this.#closed)} ${this.#problem}`);
  }

  /** The next binary frame, decoded; skips heartbeats, of which a slow test may get some. */
  async frame(): Promise<ServerFrame> {
    for (;;) {
      const frame = await this.raw();
      if (typeof frame === "string") throw new Error(`a text frame: ${frame}`);
      const decoded = decodeServerFrame(frame);
      if (decoded.kind !== "ping") return decoded;
    }
  }

  /** The next text frame, parsed; skips heartbeats. */
  // deno-lint-ignore no-explicit-any
  async json(): Promise<any> {
    for (;;) {
      const frame = await this.raw();
      if (typeof frame !== "string") throw new Error(`a binary frame, opcode ${frame[0]}`);
      const parsed = JSON.parse(frame);
      if (parsed.op !== "ping") return parsed;
    }
  }

  /** Resolves if the next frame is a heartbeat; rejects otherwise. */
  async pinged(): Promise<void> {
    const frame = await this.raw();
    const kind = typeof frame === "string" ? JSON.parse(frame).op : decodeServerFrame(frame).kind;
    if (kind !== "ping") throw new Error(`not a PING but ${kind}`);
  }

  /** Resolves when the connection has ended; earlier frames can still be read. */
  async closed(): Promise<Closed> {
    await this.#until(() => this.#closed !== undefined);
    return this.#closed as Closed;
  }

  [Symbol.dispose](): void {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }

  async #until(condition: () => boolean): Promise<void> {
    const deadline_ms = Date.now() + WAIT_MS;
    while (!condition()) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      const left_ms = deadline_ms - Date.now();
      const timer = setTimeout(() => reject(new Error("nothing came from the server")), left_ms);
      await promise.finally(() => clearTimeout(timer));
    }
  }
}

/** Opens a binary client and reads its WELCOME. */
export async function openBinary(url: string, token: string): Promise<RawClient> {
  const client = new RawClient(url, { token });
  const frame = await client.frame();
  if (frame.kind !== "welcome") throw new Error(`expected WELCOME, got ${frame.kind}`);
  return client;
}

/** Opens a text client and reads its WELCOME. */
export async function openText(url: string, token: string): Promise<RawClient> {
  const client = new RawClient(url, { token, subprotocols: ["arqon.v1.json"] });
  const welcome = await client.json();
  if (welcome.op !== "welcome") throw new Error(`expected welcome, got ${welcome.op}`);
  return client;
}

/** Sends an operation of the text form and resolves with its ACK, accepted or refused. Skips what comes before. */
export async function answered(
  client: RawClient,
  operation: object,
): ReturnType<RawClient["json"]> {
  client.send({ ...operation, id: 1 });
  for (;;) {
    const frame = await client.json();
    if (frame.op === "ack") return frame;
  }
}

/** As `answered`, but rejects if it is refused. */
export async function ask(client: RawClient, operation: object): ReturnType<RawClient["json"]> {
  const answer = await answered(client, operation);
  if (answer.code !== 0) throw new Error(`refused: ${answer.code} ${answer.message}`);
  return answer;
}
