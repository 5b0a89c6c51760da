/** A text client that records messages, signals and refusals, for tests of subscriptions. Not the SDK. */
import assert from "node:assert/strict";
import { openText, type RawClient } from "./raw_client.ts";

/** A cluster for the scenarios. */
export interface Place {
  /** Where listeners connect, and where publishers connect. */
  readonly urls: readonly [string, string];
  readonly ops_url: string;
  tokenFor(user: string, claims?: Record<string, unknown>): Promise<string>;
}

/** A client that records what it received of rooms. */
export class RoomListener implements Disposable {
  readonly raw: RawClient;
  readonly received: { room: string; data: unknown; offset?: number }[] = [];
  readonly signals: { room: string; kind: string }[] = [];
  // deno-lint-ignore no-explicit-any
  readonly errors: any[] = [];
  #id = 0;

  constructor(raw: RawClient) {
    this.raw = raw;
  }

  /** Sends a request, and returns the answer; earlier messages are kept. */
  // deno-lint-ignore no-explicit-any
  async ask(operation: object): Promise<any> {
    const id = ++this.#id;
    this.raw.send({ ...operation, id });
    for (;;) {
      const frame = await this.#next();
      if (frame.op === "ack" && frame.id === id) return frame;
    }
  }

  async sub(room: string, options: object = {}): Promise<void> {
    const answer = await this.ask({ op: "sub", room, ...options });
    assert.equal(answer.code, 0, JSON.stringify(answer));
  }

  async pub(room: string, data: unknown): Promise<void> {
    assert.equal((await this.ask({ op: "pub", room, type: "t", data })).code, 0);
  }

  /** What was received since the last call, once it is `count` messages and signals. */
  async take(count: number): Promise<string[]> {
    while (this.received.length + this.signals.length + this.errors.length < count) {
      await this.#next();
    }
    const messages = this.received.splice(0).map(({ room, data }) => `${room} ${data}`);
    const signals = this.signals.splice(0).map(({ room, kind }) => `${kind} ${room}`);
    const errors = this.errors.splice(0).map(({ reason, room }) => `${reason} ${room}`);
    return [...messages, ...signals, ...errors];
  }

  // deno-lint-ignore no-explicit-any
  async #next(): Promise<any> {
    const frame = await this.raw.json();
    if (frame.op === "msg" && frame.signal !== undefined) {
      this.signals.push({ room: frame.room, kind: frame.signal.kind });
    } else if (frame.op === "msg" && !String(frame.type).startsWith("ROOM_")) {
      this.received.push(frame);
    } else if (frame.op === "err") this.errors.push(frame);
    return frame;
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }
}

/** A user's client at one of the two addresses. */
export async function joinRooms(
  { urls, tokenFor }: Place,
  user: string,
  at: 0 | 1,
  claims: Record<string, unknown> = {},
): Promise<RoomListener> {
  return new RoomListener(await openText(urls[at], await tokenFor(user, claims)));
}
