/**
 * Programs that publish and hear while nodes restart under them: every publisher numbers its messages,
 * every subscriber writes down what it is given. What is right is `checker.ts`.
 */
import { connect } from "../../sdk/typescript/mod.ts";
import type { Connection, Subscription } from "../../sdk/typescript/mod.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import type { Heard, Sent, Sight } from "./checker.ts";

/** How many there are. */
export interface CrowdSize {
  readonly rooms: number;
  /** So many of the rooms are durable. */
  readonly durable: number;
  /** Of each room, each with a connection of its own. */
  readonly publishers: number;
  readonly subscribers: number;
  /** Messages a second, all publishers together. */
  readonly rate: number;
}

/** What the crowd needs. */
export interface CrowdOptions extends CrowdSize {
  readonly url: string;
  readonly tokenFor: (claims: Record<string, unknown>) => Promise<string>;
}

interface Publisher {
  readonly sender: string;
  readonly room: string;
  readonly connection: Connection;
  readonly failed: Set<number>;
  readonly pending: Set<Promise<void>>;
  count: number;
}

interface Listener extends Heard {
  readonly sights: Sight[];
  readonly connection: Connection;
  readonly messages: Subscription;
}

const TICK_MS = 10;
/** A message that waits for a node may wait as long as a restart takes. */
const PATIENCE_MS = 60_000;

async function listen({ messages, sights }: Listener): Promise<void> {
  for await (const message of messages) {
    const { signal } = message;
    if (signal?.kind === "GAP") sights.push({ kind: "gap", reason: signal.reason });
    else sights.push({ kind: "message", sender: message.sender, number: Number(message.text()) });
  }
}

/** All of them. */
export class Crowd implements AsyncDisposable {
  readonly #publishers: Publisher[] = [];
  readonly #listeners: Listener[] = [];
  readonly #errors: string[] = [];
  #moves = 0;
  #latest_ms = 0;

  /** Connects everybody; resolves when every subscription stands. */
  static async open(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd();
    for (let index = 0; index < options.rooms; index++) {
      const room = `${index < options.durable ? "log" : "plain"}-${index}`;
      for (let n = 0; n < options.subscribers; n++) {
        const connection = await crowd.#connect(options, `hears-${index}-${n}`);
        const messages = connection.room(room).subscribe();
        const name = `hears-${index}-${n}`;
        const listener: Listener = { name, room, connection, messages, sights: [] };
        crowd.#listeners.push(listener);
        listen(listener).catch((error) => crowd.#errors.push(`${name}: ${error}`));
        await messages.ready;
      }
      for (let n = 0; n < options.publishers; n++) {
        const sender = `says-${index}-${n}`;
        const connection = await crowd.#connect(options, sender);
        const more = { failed: new Set<number>(), pending: new Set<Promise<void>>(), count: 0 };
        crowd.#publishers.push({ sender, room, connection, ...more });
      }
    }
    return crowd;
  }

  /** Opened connections so far beyond the first of each. */
  get moves(): number {
    return this.#moves - this.#publishers.length - this.#listeners.length;
  }

  /** What went wrong that is no message: connections that ended, loops that broke. */
  get errors(): readonly string[] {
    return this.#errors;
  }

  /** The longest wait of a publish for its ACK, in ms. */
  get latest_ms(): number {
    return this.#latest_ms;
  }

  get published(): number {
    return this.#publishers.reduce((sum, { count }) => sum + count, 0);
  }

  async #connect(options: CrowdOptions, sub: string): Promise<Connection> {
    const connection = await connect({
      url: options.url,
      token: await options.tokenFor({ sub }),
      initial_attempts: 20,
      onStatus: (status) => {
        if (status.state === "open") this.#moves++;
        if (status.state === "closed" && status.error) this.#errors.push(`${sub}: ${status.error}`);
      },
    });
    return connection;
  }

  /** Everybody publishes at the given rate until `signal` is aborted; resolves when all is answered. */
  async publish(rate: number, signal: AbortSignal): Promise<void> {
    const began_ms = performance.now();
    let due = 0;
    for (let turn = 0; !signal.aborted;) {
      due = (performance.now() - began_ms) / 1_000 * rate;
      for (; turn < due; turn++) this.#say(this.#publishers[turn % this.#publishers.length]!);
      await pace(TICK_MS);
    }
    await Promise.all(this.#publishers.flatMap(({ pending }) => [...pending]));
  }

  #say(publisher: Publisher): void {
    const { room, connection, pending, failed, sender } = publisher;
    const number = publisher.count++;
    const began_ms = performance.now();
    const said = connection.room(room).publish("n", String(number), {
      message_id: String(number),
      timeout_ms: PATIENCE_MS,
    }).then(() => {
      this.#latest_ms = Math.max(this.#latest_ms, performance.now() - began_ms);
    }, (error) => {
      failed.add(number);
      this.#errors.push(`${sender}/${number}: ${error}`);
    });
    pending.add(said);
    void said.finally(() => pending.delete(said));
  }

  /** What was sent and heard, once everything has come or `patience_ms` are over. */
  async result(
    patience_ms: number,
  ): Promise<{ readonly sent: readonly Sent[]; readonly heard: readonly Heard[] }> {
    const wanted = new Map<string, number>();
    for (const { room, count, failed } of this.#publishers) {
      wanted.set(room, (wanted.get(room) ?? 0) + count - failed.size);
    }
    const isAll = () =>
      this.#listeners.every(({ room, sights }) => sights.length >= (wanted.get(room) ?? 0));
    await becomes(isAll, patience_ms);
    // What is too much may come a little later.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return { sent: this.#publishers, heard: this.#listeners };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#publishers, ...this.#listeners];
    await Promise.all(all.map(({ connection }) => connection.close()));
  }
}
