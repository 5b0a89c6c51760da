/**
 * The simulated Spine: the subscribers of a subject, and the delay or loss of each message. As with NATS, a process
 * receives its own messages, and messages of one link stay in order under normal conditions. It does not know the
 * machines.
 */
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import { HELLO, type Subject } from "../../shared/subjects/subject.ts";
import type { Life } from "./life.ts";
import type { Random } from "../../shared/testing/seeded.ts";
import { FAIR, type Weather } from "./schedule.ts";
import type { Timeline } from "./timeline.ts";

/**
 * Replaces a message in transit, or drops it by undefined. Injects faults that the protocol does not tolerate: the
 * simulation must detect them.
 */
export type Tamper = (message: ClusterMessage, to: Life) => ClusterMessage | undefined;

/** The inputs of a network. */
export interface NetworkOptions {
  readonly timeline: Timeline;
  readonly random: Random;
  /** Each message is encoded and decoded. */
  readonly wire: boolean;
  /** Each message is frozen. */
  readonly frozen: boolean;
  readonly tamper: Tamper | undefined;
  /** Delivers a message to its receiver. */
  readonly deliver: (from: Life, to: Life, subject: string, message: ClusterMessage) => void;
}

function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) freeze(inner);
}

const ANNOUNCE = "sys.presence.announce.";
const DIRECT = "sys.presence.to.";
const BEAT = "sys.cluster.beat.";

/** Links between processes, by id: they outlive a process's incarnations. */
export class Network {
  weather: Weather = FAIR;
  /** Delivered messages, for reports. */
  delivered = 0;
  readonly #lives = new Map<string, Life>();
  readonly #rooms = new Map<string, Set<Life>>();
  /** Link → number of faults that block it. */
  readonly #blocked = new Map<string, number>();
  /** Link → arrival of its latest message. */
  readonly #latest = new Map<string, number>();

  constructor(readonly options: NetworkOptions) {}

  /** From now on this is the current incarnation of its id. */
  add(life: Life): void {
    this.#lives.set(life.id, life);
  }

  /** From now on it receives nothing. */
  remove(life: Life): void {
    if (this.#lives.get(life.id) === life) this.#lives.delete(life.id);
    for (const listeners of this.#rooms.values()) listeners.delete(life);
  }

  listen(life: Life, subject: Subject): () => void {
    let listeners = this.#rooms.get(subject);
    if (listeners === undefined) this.#rooms.set(subject, listeners = new Set());
    let open = true;
    // A cluster of servers propagates a subscription with a delay; earlier messages are missed.
    const { timeline, random } = this.options;
    timeline.after(random.next() * 3, () => {
      if (open && life.alive) listeners.add(life);
    });
    return () => {
      open = false;
      listeners.delete(life);
    };
  }

  /** Blocks one direction between two processes; `count` -1 removes one such fault. */
  block(from: string, to: string, count: 1 | -1): void {
    const link = `${from}>${to}`;
    this.#blocked.set(link, (this.#blocked.get(link) ?? 0) + count);
  }

  send(from: Life, subject: Subject, message: ClusterMessage): void {
    const { wire, frozen } = this.options;
    const sent = wire ? decodeMessage(encodeMessage(message)) : message;
    if (frozen) freeze(sent);
    for (const to of this.#receivers(subject)) this.#carry(from, to, subject, sent);
  }

  #receivers(subject: string): Iterable<Life> {
    if (subject.startsWith(DIRECT)) {
      const life = this.#lives.get(subject.slice(DIRECT.length));
      return life === undefined ? [] : [life];
    }
    if (subject.startsWith(BEAT) || subject === HELLO) return this.#lives.values();
    if (subject.startsWith(ANNOUNCE)) {
      return [...this.#lives.values()].filter(({ part }) => part === "brain");
    }
    return this.#rooms.get(subject) ?? [];
  }

  #carry(from: Life, to: Life, subject: string, message: ClusterMessage): void {
    const { random } = this.options;
    const { loss, duplicate } = this.weather;
    const link = `${from.id}>${to.id}`;
    if ((this.#blocked.get(link) ?? 0) > 0) return;
    if (loss > 0 && random.chance(loss)) return;
    const arriving = this.options.tamper === undefined ? message : this.options.tamper(message, to);
    if (arriving === undefined) return;
    const copies = duplicate > 0 && random.chance(duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.#travel(from, to, subject, arriving);
  }

  #travel(from: Life, to: Life, subject: string, message: ClusterMessage): void {
    const link = `${from.id}>${to.id}`;
    const { timeline, random } = this.options;
    const { delay_ms, reorder } = this.weather;
    let arrival_ms = timeline.now_ms + 0.2 + random.next() * delay_ms;
    if (!reorder) arrival_ms = Math.max(arrival_ms, this.#latest.get(link) ?? 0);
    this.#latest.set(link, Math.max(arrival_ms, this.#latest.get(link) ?? 0));
    timeline.after(arrival_ms - timeline.now_ms, () => {
      to.enter("message", () => {
        if (to.offline) return;
        this.delivered++;
        this.options.deliver(from, to, subject, message);
      });
    });
  }
}
