/**
 * Patterns of durable rooms that go on where they were: `@arqon/sdk/patterns`. A program that does not import
 * it does not load it. What the bus does for it is in docs/protocol.md.
 */
import { connect as connectWith } from "./connection/connection.ts";
import type { Connection } from "./connection/connection.ts";
import type { ConnectOptions, SocketLike, WebSocketConstructor } from "./options/options.ts";
import { PositionKeeper, PositionMemory } from "./pattern/position_keeper.ts";

/**
 * As `connect` of `@arqon/sdk`; but each pattern that the program hears keeps the position of its durable
 * rooms, 1,000 at most, and after a reconnect each of them goes on there: nothing is missing, and nothing
 * comes twice. Where that cannot be, the loop finds a GAP of that room, with the reason. A GAP of the
 * pattern itself, `message.room === "orders-*"`, is about the rest: rooms that are not durable, and those
 * that came to exist meanwhile. Needs a Shield that knows positions of patterns: an older one refuses
 * them with `unknown-field`.
 *
 * ```ts
 * import { connect } from "@arqon/sdk/patterns";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * for await (const message of bus.room("orders-*").subscribe()) console.log(message.room);
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { transport = "websocket", ...rest } = options;
  const { webSocket = globalThis.WebSocket as unknown as WebSocketConstructor } =
    transport === "websocket" ? rest : (await import("./http/way.ts")).over(options);
  const memory = new PositionMemory();
  return await connectWith({
    ...rest,
    webSocket: class extends PatternSocket {
      constructor(url: string, protocols: string[]) {
        super(new webSocket(url, protocols), memory);
      }
    },
  });
}

/** A socket in front of another; what it knows of positions outlives it. */
class PatternSocket implements SocketLike {
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly #socket: SocketLike;
  readonly #keeper: PositionKeeper;
  #onmessage: SocketLike["onmessage"] = null;

  constructor(socket: SocketLike, memory: PositionMemory) {
    this.#socket = socket;
    this.#keeper = new PositionKeeper(memory);
    socket.onmessage = (event) => this.#receive(event);
    socket.onerror = (event) => this.onerror?.(event);
    socket.onclose = (event) => {
      this.#keeper.end();
      this.onclose?.(event);
    };
  }

  get binaryType(): string {
    return this.#socket.binaryType;
  }

  set binaryType(type: string) {
    this.#socket.binaryType = type;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get onmessage(): SocketLike["onmessage"] {
    return this.#onmessage;
  }

  set onmessage(hear: SocketLike["onmessage"]) {
    this.#onmessage = hear;
    // Whoever hears no more has got nothing from here on.
    if (hear === null) this.#keeper.end();
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(this.#keeper.sent(data));
  }

  close(code?: number, reason?: string): void {
    this.#keeper.end();
    this.#socket.close(code, reason);
  }

  #receive(event: { readonly data: unknown }): void {
    if (!(event.data instanceof ArrayBuffer)) return this.#onmessage?.(event);
    const whole = new Uint8Array(event.data);
    const { frames, back } = this.#keeper.received(whole);
    if (back !== undefined) this.#socket.send(back);
    for (const frame of frames) {
      this.#onmessage?.(frame === whole ? event : { data: frame.slice().buffer });
    }
  }
}
