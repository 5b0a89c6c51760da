/**
 * A raw text client for tests of durable rooms: requests with their answers, and the messages in between in order. Not
 * the SDK, which hides duplicates and reconnects automatically.
 */
import assert from "node:assert/strict";
import { seen } from "../../shared/testing/until.ts";
import { openText, type RawClient } from "./raw_client.ts";

/** An ACK. */
export interface Answer {
  readonly id: number;
  readonly code: number;
  readonly reason?: string;
  readonly message?: string;
  readonly offset?: number;
  // deno-lint-ignore no-explicit-any -- the tests say what is in it
  readonly result?: any;
}

/** A message or signal. */
export interface Received {
  readonly room: string;
  readonly type?: string;
  readonly data?: unknown;
  readonly offset?: number;
  readonly message_id?: string;
  readonly signal?: { readonly kind: string; readonly target: string; readonly reason: string };
}

/** A client's position. */
export interface Place {
  readonly after_offset?: number;
  readonly epoch?: string;
}

const PENDING_MAX = 30;

/** One connection. */
export class DurableClient implements Disposable {
  readonly raw: RawClient;
  readonly #received: Received[] = [];
  readonly #answers = new Map<number, Answer>();
  #last_id = 0;

  private constructor(raw: RawClient) {
    this.raw = raw;
  }

  static async open(url: string, token: string): Promise<DurableClient> {
    return new DurableClient(await openText(url, token));
  }

  /** Sends a request and resolves with its answer, accepted or refused; messages before it are kept. */
  async ask(frame: object): Promise<Answer> {
    return await this.answer(this.send(frame));
  }

  /** Sends a request; returns its id, for `answer`. */
  send(frame: object): number {
    const id = ++this.#last_id;
    this.raw.send({ ...frame, id });
    return id;
  }

  async answer(id: number): Promise<Answer> {
    while (!this.#answers.has(id)) await this.#take();
    const answer = this.#answers.get(id) as Answer;
    this.#answers.delete(id);
    return answer;
  }

  /** SUB; discards earlier messages, so that `told` begins with the first one after the answer. */
  async sub(room: string, more: object = {}): Promise<Answer> {
    this.#received.length = 0;
    return await this.ask({ op: "sub", room, ...more });
  }

  /** SUB that must be accepted, possibly after some retries that the bus asks for; returns its result. */
  async join(room: string, more: object = {}): Promise<Answer["result"]> {
    const isAnswer = ({ code }: Answer) => code !== 503;
    const answer = await seen(`a SUB of ${room}`, () => this.sub(room, more), isAnswer);
    assert.equal(answer.code, 0, JSON.stringify(answer));
    assert.equal(answer.offset ?? 0, answer.result?.offset ?? 0);
    return answer.result;
  }

  async pub(room: string, data: unknown, more: object = {}): Promise<Answer> {
    return await this.ask({ op: "pub", room, type: "t", data, ...more });
  }

  /** Publishes each and waits for its acknowledgement; returns the offsets. */
  async fill(room: string, all: readonly unknown[]): Promise<number[]> {
    const offsets: number[] = [];
    const ids: number[] = [];
    for (let next = 0; offsets.length < all.length;) {
      // At most as many in flight as a connection may have.
      while (next < all.length && ids.length < PENDING_MAX) {
        ids.push(this.send({ op: "pub", room, type: "t", data: all[next++] }));
      }
      const answer = await this.answer(ids.shift() as number);
      assert.equal(answer.code, 0, JSON.stringify(answer));
      assert.ok((answer.offset ?? 0) > (offsets.at(-1) ?? 0), "offsets ascend");
      offsets.push(answer.offset as number);
    }
    return offsets;
  }

  /** What was read and not yet returned. */
  get waiting(): readonly Received[] {
    return this.#received;
  }

  /** The next message or signal. */
  async next(): Promise<Received> {
    while (this.#received.length === 0) await this.#take();
    return this.#received.shift() as Received;
  }

  /** The data of the next messages, which must have these offsets. */
  async receives(offsets: readonly number[]): Promise<unknown[]> {
    const all: Received[] = [];
    while (all.length < offsets.length) all.push(await this.next());
    assert.deepEqual(all.map(({ offset }) => offset), offsets);
    return all.map(({ data }) => data);
  }

  /** Fails unless the next message is the one that is published in the room now. */
  async nothing(room: string, publisher: DurableClient): Promise<void> {
    const { offset } = await publisher.pub(room, "marker");
    const next = await this.next();
    assert.deepEqual([next.data, next.offset], ["marker", offset], JSON.stringify(next));
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }

  async #take(): Promise<void> {
    const frame = await this.raw.json();
    if (frame.op === "ack") this.#answers.set(frame.id, frame);
    else if (frame.op === "msg") this.#received.push(frame);
    else if (frame.op === "err") throw new Error(`refused without an id: ${JSON.stringify(frame)}`);
  }
}

/** `count` numbers from `first` on. */
export function numbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
