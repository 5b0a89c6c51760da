/**
 * A durable room in memory, in which the test controls each editor's connection: arrival times, losses, missing answers
 * to publishes, and trimming of the log. It covers more orders of events than the real bus of `tests/yjs_test.ts`.
 */
import { readHistoryQuery, writeEnvelope, writeHistory } from "@arqon/proto";
import type { Message, Room, Subscription } from "@arqon/sdk";

interface Entry {
  readonly id: string;
  readonly message_id: string;
  readonly type: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  offset: number;
}

const lost = (reason: string) => Object.assign(new Error(reason), { code: 503, reason });

function messageOf({ data, ...rest }: Entry): Message {
  const text = () => new TextDecoder().decode(data);
  const message = { ...rest, data, text, json: () => JSON.parse(text()), timestamp_ms: 1 };
  return message as unknown as Message;
}

const envelopeOf = ({ id, type, data, headers, message_id, offset }: Entry) =>
  writeEnvelope({
    room_id: "doc",
    sender_id: "somebody",
    message_id,
    offset,
    timestamp_ms: 1,
    headers: { ...headers, "X-Twist-ID": id },
    event: { type, data },
  });

const gap = (reason: string) =>
  ({ signal: { kind: "GAP", reason }, headers: {}, type: "" }) as unknown as Message;

/** The log of one room, and its subscribers. */
export class SimulatedLog {
  entries: Entry[] = [];
  readonly ways = new Set<SimulatedWay>();
  #offset = 0;
  #ids = 0;

  append(entry: Omit<Entry, "offset" | "id">): number {
    const before = this.entries.find(({ message_id }) => message_id === entry.message_id);
    if (before !== undefined) return before.offset;
    const stored = { ...entry, offset: ++this.#offset, id: `m${++this.#ids}` };
    this.entries.push(stored);
    for (const way of this.ways) way.hear(stored);
    return stored.offset;
  }

  /** Trims everything that the newest snapshot contains, by its mark. */
  trim(): void {
    const mark = this.entries.findLast(({ type }) => type === "yjs.mark");
    if (mark === undefined) return;
    const { upto } = JSON.parse(new TextDecoder().decode(mark.data));
    this.entries = this.entries.filter(({ offset }) => offset > upto.offset);
  }

  /** A power cut: the newest entries are lost, their offsets are reused, all subscribers are notified. */
  powerCut(count: number): void {
    this.entries.splice(Math.max(0, this.entries.length - count));
    this.#offset = this.entries.at(-1)?.offset ?? 0;
    for (const way of this.ways) way.lose("epoch-changed");
  }

  /** Answers a history request, both as bytes. */
  page(query: Uint8Array): Uint8Array {
    const { after, before, reverse, filter, limit } = readHistoryQuery(query);
    const wanted = this.entries.filter(({ offset, type }) =>
      offset > Number(after) && (Number(before) === 0 || offset < Number(before)) &&
      passes(filter, type)
    );
    const ordered = reverse ? wanted.reverse() : wanted;
    // Short pages, so that a reading needs several.
    const messages = ordered.slice(0, Math.min(limit || 100, 7)).map(envelopeOf);
    const more = messages.length < ordered.length;
    return writeHistory({ messages, offset: this.#offset, epoch: "e", more });
  }
}

function passes(filter: string, type: string): boolean {
  const [, operator, named] = /^type (==|!=) "(.*)"$/.exec(filter) ?? [];
  return operator === undefined || (type === named) === (operator === "==");
}

/** One editor's connection to the log. */
export class SimulatedWay {
  readonly #log: SimulatedLog;
  #coming: Message[] = [];
  #received: Message[] = [];
  #wake: (() => void) | undefined;
  /** The outcomes of the next publishes: each publish removes the last item. */
  readonly publishes: ("unanswered" | "unsent" | "ok")[] = [];

  constructor(log: SimulatedLog) {
    this.#log = log;
  }

  /** The part of a room that a provider needs. */
  get room(): Room {
    const room: Pick<Room, "id" | "publish" | "subscribe" | "command"> = {
      id: "doc",
      publish: (type, data, options) => this.#publish(type, data, options) as never,
      subscribe: () => this.#subscribe() as never,
      // deno-lint-ignore require-await
      command: async (_, query) => ({ bytes: this.#log.page(query as Uint8Array) }) as never,
    };
    return room as Room;
  }

  hear(entry: Entry): void {
    if (passes(`type != "yjs.snapshot"`, entry.type)) this.#coming.push(messageOf(entry));
  }

  /** Delivers this many messages. */
  deliver(count = Infinity): void {
    this.#received.push(...this.#coming.splice(0, count));
    this.#wake?.();
  }

  /** The number of messages under way. */
  get coming(): number {
    return this.#coming.length;
  }

  /** Loses the messages under way, and notifies the editor. */
  lose(reason = "history-trimmed"): void {
    this.#coming = [gap(reason)];
  }

  async #publish(type: string, data: unknown, options: unknown): Promise<{ offset: number }> {
    const { message_id, headers = {} } = options as Entry;
    const bytes = data instanceof Uint8Array
      ? data
      : new TextEncoder().encode(JSON.stringify(data));
    const fate = this.publishes.pop() ?? "ok";
    await Promise.resolve();
    if (fate === "unsent") throw lost("connection-lost");
    const offset = this.#log.append({ type, message_id, headers, data: bytes.slice() });
    if (fate === "unanswered") throw lost("answer-timeout");
    return { offset };
  }

  #subscribe(): Partial<Subscription> {
    this.#log.ways.add(this);
    return { ready: Promise.resolve(), [Symbol.asyncIterator]: () => this.#messages() as never };
  }

  async *#messages(): AsyncGenerator<Message> {
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) yield message;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Ends the connection. */
  leave(): void {
    this.#log.ways.delete(this);
  }
}
