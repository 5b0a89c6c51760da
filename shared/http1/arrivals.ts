/**
 * Connections of which nobody knows yet whose they are, and those that speak plain HTTP: how many
 * there may be, in all and from one address, and how long each may take for what it does. Who is over
 * a bound costs the oldest stranger its place, never whoever is known. No sockets but the closing of them.
 */
import { closeQuietly } from "./byte_stream.ts";

/** What a connection is doing; each has its time. */
export type Phase = "proxy" | "tls" | "head" | "body" | "handler" | "answer" | "idle" | "closing";

/** How many, and how long; times in ms. */
export interface ArrivalLimits {
  /** Connections without a token, in all. */
  readonly strangers: number;
  /** The same, of one address (of one /64 for IPv6). */
  readonly strangers_per_address: number;
  /** The PROXY header, the TLS handshake, and a request's head, each. */
  readonly head_ms: number;
  readonly body_ms: number;
  /** Between two requests. */
  readonly idle_ms: number;
  /** Until the peer has taken an answer, or an orderly end. */
  readonly answer_ms: number;
}

/** What happened, for metrics. */
export interface ArrivalStats {
  /** Connections without a token now. */
  strangers: number;
  /** Ended to make room, by the bound that was reached. */
  readonly evicted: { address: number; total: number };
  /** Ended because they took too long, by what they did. */
  readonly timeouts: Record<Phase, number>;
}

/** Between two looks at the clock. */
const SWEEP_MS = 250;

/** One connection, from its accept until it has ended or become a WebSocket. */
export class Arrival {
  /** What ends it. */
  stream: { close(): void };
  /** What counts as its address. */
  group: string;
  phase: Phase = "head";
  due_ms = 0;
  stranger = true;

  constructor(stream: { close(): void }, address: string) {
    this.stream = stream;
    this.group = groupOf(address);
  }
}

/** All of one listener. */
export class Arrivals {
  readonly stats: ArrivalStats = {
    strangers: 0,
    evicted: { address: 0, total: 0 },
    timeouts: { proxy: 0, tls: 0, head: 0, body: 0, handler: 0, answer: 0, idle: 0, closing: 0 },
  };
  readonly #limits: ArrivalLimits;
  readonly #now: () => number;
  /** Oldest first, as all sets here. */
  readonly #all = new Set<Arrival>();
  readonly #strangers = new Set<Arrival>();
  readonly #by_group = new Map<string, Set<Arrival>>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** `now` in ms, of a clock that nobody sets. */
  constructor(limits: ArrivalLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Takes a new connection in, and ends the oldest stranger when there are too many. */
  add(arrival: Arrival): void {
    const { strangers, strangers_per_address } = this.#limits;
    const group = this.#by_group.get(arrival.group) ?? new Set();
    if (group.size >= strangers_per_address) this.#evict(group, "address");
    else if (this.#strangers.size >= strangers) this.#evict(this.#strangers, "total");
    group.add(arrival);
    // Again, too: with its last member a group is gone.
    this.#by_group.set(arrival.group, group);
    this.#strangers.add(arrival);
    this.#all.add(arrival);
    this.stats.strangers = this.#strangers.size;
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS);
  }

  /** Its client is at another address than it seemed: behind a proxy. */
  move(arrival: Arrival, address: string): void {
    this.remove(arrival);
    arrival.group = groupOf(address);
    arrival.stranger = true;
    this.add(arrival);
  }

  /** Ends the oldest stranger, whoever it is; false when there is none. */
  makeRoom(): boolean {
    if (this.#strangers.size === 0) return false;
    this.#evict(this.#strangers, "total");
    return true;
  }

  /** Ends the oldest strangers until no more than so many are left. */
  keep(strangers: number): void {
    while (this.#strangers.size > strangers) this.#evict(this.#strangers, "total");
  }

  /** Its time begins anew, for what it does now. A handler has its own limits. */
  enter(arrival: Arrival, phase: Phase): void {
    arrival.phase = phase;
    arrival.due_ms = phase === "handler" ? Infinity : this.#now() + this.#timeOf(phase);
  }

  /** Its token was taken: it is a stranger no more. */
  know(arrival: Arrival): void {
    if (!arrival.stranger) return;
    arrival.stranger = false;
    this.#strangers.delete(arrival);
    this.stats.strangers = this.#strangers.size;
    const group = this.#by_group.get(arrival.group);
    group?.delete(arrival);
    if (group?.size === 0) this.#by_group.delete(arrival.group);
  }

  /** It has ended, or is somebody else's now. */
  remove(arrival: Arrival): void {
    this.know(arrival);
    this.#all.delete(arrival);
    if (this.#all.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends all that wait for a next request; the others when they are `all`. */
  end(all: boolean): void {
    for (const arrival of this.#all) {
      if (all || arrival.phase === "idle" || arrival.phase === "head") this.#close(arrival);
    }
  }

  /** Ends whoever is late. */
  sweep(): void {
    const now_ms = this.#now();
    for (const arrival of this.#all) {
      if (arrival.due_ms > now_ms) continue;
      this.stats.timeouts[arrival.phase]++;
      this.#close(arrival);
    }
  }

  #evict(from: Set<Arrival>, bound: "address" | "total"): void {
    const [oldest] = from;
    if (oldest === undefined) return;
    this.stats.evicted[bound]++;
    this.#close(oldest);
  }

  #close(arrival: Arrival): void {
    this.remove(arrival);
    closeQuietly(arrival.stream);
  }

  #timeOf(phase: Exclude<Phase, "handler">): number {
    const { head_ms, body_ms, idle_ms, answer_ms } = this.#limits;
    if (phase === "body") return body_ms;
    if (phase === "idle") return idle_ms;
    return phase === "answer" || phase === "closing" ? answer_ms : head_ms;
  }
}

/** What counts as one address: of IPv6 the first 64 bits, which one host may have all of. */
export function groupOf(address: string): string {
  if (!/^[\da-f.:]*:[\da-f.:]*$/i.test(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [front = "", back] = address.split("::");
  const head = front === "" ? [] : front.split(":");
  const tail = back === undefined || back === "" ? [] : back.split(":");
  const missing = back === undefined ? 0 : Math.max(0, 8 - head.length - tail.length);
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  return groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}
