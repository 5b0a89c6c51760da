/**
 * A raw text client for tests of durable rooms: requests with their answers, and the messages that come
 * in between in their order. Not the SDK, which hides repeats and reconnects automatically.
 */
import assert from "node:assert/strict";
import { seen } from "../../shared/testing/until.ts";
import { openText } from "./raw_client.ts";
import type { RawClient } from "./raw_client.ts";

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
export interface Told {
  readonly room: string;
  readonly type?: string;
  readonly data?: unknown;
  readonly offset?: number;
  readonly message_id?: string;
  readonly signal?: { readonly kind: string; readonly target: string; readonly reason: string };
}

/** Where a client has been. */
export interface Place {
  readonly after_offset?: number;
  readonly epoch?: string;
}

const PENDING_MAX = 30;

/** One connection. */
export class DurableClient implements Disposable {
  readonly raw: RawClient;
  readonly #told: Told[] = [];
  readonly #answers = new Map<number, Answer>();
  #last_id = 0;

  private constructor(raw: RawClient) {
    this.raw = raw;
  }

  static async open(url: string, token: string): Promise<DurableClient> {
    return new DurableClient(await openText(url, token));
  }

  /** Sends a request and resolves with its answer, refused or not; messages before it are kept. */
  async ask(frame: object): Promise<Answer> {
    return await this.answer(this.send(frame));
  }

  /** Sends a request; its id, for `answer`. */
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

  /** SUB; everything that came before is forgotten, so that `told` begins with what the answer promises. */
  async sub(room: string, more: object = {}): Promise<Answer> {
    this.#told.length = 0;
    return await this.ask({ op: "sub", room, ...more });
  }

  /** SUB that has to be accepted, if need be after some that say "come again": its result. */
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

  /** Publishes each and has it acknowledged: the offsets. */
  async fill(room: string, all: readonly unknown[]): Promise<number[]> {
    const offsets: number[] = [];
    const ids: number[] = [];
    for (let next = 0; offsets.length < all.length;) {
      // As many at a time as any connection may have.
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

  /** What has been read and not been asked for. */
  get waiting(): readonly Told[] {
    return this.#told;
  }

  /** The next message or signal. */
  async told(): Promise<Told> {
    while (this.#told.length === 0) await this.#take();
    return this.#told.shift() as Told;
  }

  /** The data of the next so many, which have to have these offsets. */
  async hears(offsets: readonly number[]): Promise<unknown[]> {
    const all: Told[] = [];
    while (all.length < offsets.length) all.push(await this.told());
    assert.deepEqual(all.map(({ offset }) => offset), offsets);
    return all.map(({ data }) => data);
  }

  /** Fails when anything but the message that is now published in the room comes next. */
  async nothing(room: string, publisher: DurableClient): Promise<void> {
    const { offset } = await publisher.pub(room, "marker");
    const next = await this.told();
    assert.deepEqual([next.data, next.offset], ["marker", offset], JSON.stringify(next));
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }

  async #take(): Promise<void> {
    const frame = await this.raw.json();
    if (frame.op === "ack") this.#answers.set(frame.id, frame);
    else if (frame.op === "msg") this.#told.push(frame);
    else if (frame.op === "err") throw new Error(`refused without an id: ${JSON.stringify(frame)}`);
  }
}

/** Numbers from `first`, so many. */
export function numbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
