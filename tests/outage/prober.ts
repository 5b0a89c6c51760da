/**
 * One client that publishes numbers without a pause and writes down what it is answered, and one that
 * writes down what it hears; and the check of the two against each other. Raw frames, so that nothing is
 * repeated or hidden.
 */
import { until } from "../../shared/testing/until.ts";
import { openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";

/** A publish, in ms of the monotonic clock. */
export interface Attempt {
  readonly number: number;
  readonly sent_ms: number;
  answered_ms?: number;
  /** 0: acknowledged. */
  code?: number;
  reason?: string;
}

const EVERY_MS = 20;
/** Longest wait for what must come by itself while servers die and choose new leaders. */
export const OUTAGE_MS = 90_000;

/** Publishes into one room until it is stopped. */
export class Prober implements Disposable {
  readonly attempts: Attempt[] = [];
  readonly #client: RawClient;
  readonly #timer: ReturnType<typeof setInterval>;
  #ended: string | undefined;

  private constructor(client: RawClient, room: string, filler: string) {
    this.#client = client;
    this.#timer = setInterval(() => {
      const number = this.attempts.length;
      this.attempts.push({ number, sent_ms: performance.now() });
      const data = { number, filler };
      client.send({ op: "pub", room, type: "n", data, id: number + 1, message_id: String(number) });
    }, EVERY_MS);
    void this.#read();
  }

  /** `filler_bytes` make each message larger. */
  static async start(url: string, token: string, room: string, filler_bytes = 0): Promise<Prober> {
    return new Prober(await openText(url, token), room, "x".repeat(filler_bytes));
  }

  /** How the connection ended; undefined while it is open. */
  get ended(): string | undefined {
    return this.#ended;
  }

  get acknowledged(): Attempt[] {
    return this.attempts.filter(({ code }) => code === 0);
  }

  /** Refused ones, of those that were sent after `since_ms`. */
  refused(since_ms: number): Attempt[] {
    return this.attempts.filter(({ code, sent_ms }) => (code ?? 0) !== 0 && sent_ms >= since_ms);
  }

  /** No more publishes; resolves when every one is answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await until(
      "an answer to each",
      () => this.attempts.every(({ code }) => code !== undefined),
      OUTAGE_MS,
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#client[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    for (;;) {
      const frame = await next(this.#client);
      if (typeof frame === "string") return void (this.#ended = frame);
      const attempt = frame.op === "ack" ? this.attempts[Number(frame.id) - 1] : undefined;
      if (attempt === undefined) continue;
      attempt.answered_ms = performance.now();
      attempt.code = Number(frame.code);
      attempt.reason = String(frame.reason ?? "");
    }
  }
}

/** A frame, or why none comes any more. */
async function next(client: RawClient): Promise<Record<string, unknown> | string> {
  for (;;) {
    try {
      return await client.json();
    } catch (error) {
      const text = String(error);
      // Silence is no end.
      if (!text.includes("nothing came from the server")) return text;
    }
  }
}

/** What is heard: a number, or a GAP. */
export type Sight = number | "gap";

/** Hears one room. */
export class Listener implements Disposable {
  readonly sights: Sight[] = [];
  readonly #client: RawClient;
  #ended: string | undefined;
  #stands = false;

  private constructor(client: RawClient) {
    this.#client = client;
    void this.#read();
  }

  /** Resolves when the subscription stands. */
  static async start(url: string, token: string, room: string): Promise<Listener> {
    const listener = new Listener(await openText(url, token));
    listener.#client.send({ op: "sub", room, id: 1 });
    await until("a subscription", () => listener.#stands, OUTAGE_MS);
    return listener;
  }

  get ended(): string | undefined {
    return this.#ended;
  }

  get gaps(): number {
    return this.sights.filter((sight) => sight === "gap").length;
  }

  has(number: number): boolean {
    return this.sights.includes(number);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    for (;;) {
      const frame = await next(this.#client);
      if (typeof frame === "string") return void (this.#ended = frame);
      const { op, code, data, signal } = frame as {
        op: string;
        code?: number;
        data?: { number: number };
        signal?: { kind: string };
      };
      if (op === "ack" && code === 0) this.#stands = true;
      if (op !== "msg") continue;
      if (signal?.kind === "GAP") this.sights.push("gap");
      else if (data !== undefined) this.sights.push(data.number);
    }
  }
}

/**
 * What is wrong: acknowledged and not heard although no GAP says so, heard twice, or out of order. A
 * GAP counts for what is missing when it comes after the last that was heard before.
 */
export function falseAcks(attempts: readonly Attempt[], sights: readonly Sight[]): string[] {
  const wrong: string[] = [];
  const seen = new Set<number>();
  let last = -1;
  for (const sight of sights) {
    if (sight === "gap") continue;
    if (seen.has(sight)) wrong.push(`${sight} was heard twice`);
    else if (sight < last) wrong.push(`${sight} was heard after ${last}`);
    seen.add(sight);
    last = Math.max(last, sight);
  }
  for (const { number, code } of attempts) {
    if (code !== 0 || seen.has(number)) continue;
    const before = sights.findLastIndex((sight) => sight !== "gap" && sight < number);
    const excused = sights.slice(before + 1).includes("gap");
    if (!excused) wrong.push(`${number} was acknowledged and is missing`);
  }
  return wrong;
}
