/**
 * Bounds connections that have shown no token yet, called strangers, and those that speak plain
 * HTTP: how many there may be, in all and from one address, and how long each may take for what it
 * does. Beyond a bound the oldest stranger is ended, never a connection with a token. Touches no
 * sockets except to close them.
 */
import { closeQuietly } from "./byte_stream.ts";

/** What a connection is doing; each phase has its time limit. */
export type Phase = "proxy" | "tls" | "head" | "body" | "handler" | "answer" | "idle" | "closing";

/** Bounds of connections: how many there may be, and for how long; times in ms. */
export interface ArrivalLimits {
  /** Strangers in all. */
  readonly strangers: number;
  /** Strangers from one address (from one /64 for IPv6). */
  readonly strangers_per_address: number;
  /** Time limit of the PROXY header, of the TLS handshake and of a request's head, each. */
  readonly head_ms: number;
  readonly body_ms: number;
  /** Time limit between two requests. */
  readonly idle_ms: number;
  /** Time limit for the peer to take an answer, or an orderly end. */
  readonly answer_ms: number;
}

/** Counts of what happened, for metrics. */
export interface ArrivalStats {
  /** Strangers that are connected now. */
  strangers: number;
  /** Connections whose first request has been answered. */
  answered: number;
  /** Connections that were ended to make room, by the bound that was reached. */
  readonly evicted: { address: number; total: number };
  /** Connections that were ended because they took too long, by phase. */
  readonly timeouts: Record<Phase, number>;
}

/** How long anything may take, at most, on a connection that has a reserved file; in ms. */
const SPARE_MS = 1_000;
/** Time between two looks at the clock. */
const SWEEP_MS = 250;

/** One connection, from its accept until it has ended or become a WebSocket. */
export class Arrival {
  /** The connection itself, for ending it. */
  stream: { close(): void };
  /** The text that counts as its address. */
  group: string;
  phase: Phase = "head";
  due_ms = 0;
  stranger = true;
  answered = false;
  /** True when a bound has ended it: whatever is still to be done for it is in vain. */
  ended = false;

  /** The turn of the event loop in which it came. */
  readonly turn: number;
  /** It has a reserved file, which others wait for. */
  readonly spare: boolean;

  constructor(stream: { close(): void }, address: string, turn: number, spare: boolean) {
    this.stream = stream;
    this.turn = turn;
    this.spare = spare;
    this.group = groupOf(address);
  }
}

/** The arriving connections of one listener. */
export class Arrivals {
  readonly stats: ArrivalStats = {
    strangers: 0,
    answered: 0,
    evicted: { address: 0, total: 0 },
    timeouts: { proxy: 0, tls: 0, head: 0, body: 0, handler: 0, answer: 0, idle: 0, closing: 0 },
  };
  readonly #limits: ArrivalLimits;
  readonly #now: () => number;
  /** All connections, oldest first, as in every set here. */
  readonly #all = new Set<Arrival>();
  readonly #strangers = new Set<Arrival>();
  readonly #by_group = new Map<string, Set<Arrival>>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Makes the set. `now` is in ms, of a clock that is never set. */
  constructor(limits: ArrivalLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Takes in a new connection; ends the oldest stranger when there are too many. */
  add(arrival: Arrival): void {
    const { strangers, strangers_per_address } = this.#limits;
    const group = this.#by_group.get(arrival.group) ?? new Set();
    if (group.size >= strangers_per_address) this.#evict(group, "address");
    else if (this.#strangers.size >= strangers) this.#evict(this.#strangers, "total");
    group.add(arrival);
    // The group is set again here, since it is removed with its last member.
    this.#by_group.set(arrival.group, group);
    this.#strangers.add(arrival);
    this.#all.add(arrival);
    this.stats.strangers = this.#strangers.size;
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS);
  }

  /** Moves a connection to another address: its client is behind a proxy. */
  move(arrival: Arrival, address: string): void {
    this.remove(arrival);
    arrival.group = groupOf(address);
    arrival.stranger = true;
    this.add(arrival);
  }

  /**
   * Ends the oldest stranger that waits neither for us nor for its first look, since it came before `turn`;
   * false when there is none.
   */
  makeRoom(turn: number): boolean {
    for (const arrival of this.#strangers) {
      if (arrival.turn === turn) return false;
      if (arrival.phase === "handler") continue;
      this.stats.evicted.total++;
      this.#close(arrival);
      return true;
    }
    return false;
  }

  /** Ends the oldest strangers until no more than `strangers` are left. */
  keep(strangers: number): void {
    while (this.#strangers.size > strangers) this.#evict(this.#strangers, "total");
  }

  /** Begins the time limit of the next phase. A handler has limits of its own. */
  enter(arrival: Arrival, phase: Phase): void {
    arrival.phase = phase;
    const time_ms = phase === "handler" ? Infinity : this.#timeOf(phase);
    arrival.due_ms = this.#now() + (arrival.spare ? Math.min(time_ms, SPARE_MS) : time_ms);
  }

  /** Takes note that a connection's token was accepted: it is a stranger no more. */
  know(arrival: Arrival): void {
    if (!arrival.stranger) return;
    arrival.stranger = false;
    this.#strangers.delete(arrival);
    this.stats.strangers = this.#strangers.size;
    const group = this.#by_group.get(arrival.group);
    group?.delete(arrival);
    if (group?.size === 0) this.#by_group.delete(arrival.group);
  }

  /** Takes note that a request was answered. */
  noteAnswer(arrival: Arrival): void {
    if (!arrival.answered) this.stats.answered++;
    arrival.answered = true;
  }

  /** Removes a connection that has ended, or that somebody else has taken over. */
  remove(arrival: Arrival): void {
    this.know(arrival);
    this.#all.delete(arrival);
    if (this.#all.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends the connections that wait for a next request; with `all` every connection. */
  end(all: boolean): void {
    for (const arrival of this.#all) {
      if (all || arrival.phase === "idle" || arrival.phase === "head") this.#close(arrival);
    }
  }

  /** Ends the connections whose time is over. */
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
    arrival.ended = true;
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

/**
 * The text that counts as one address. Of IPv6 it is the first 64 bits, since one host may have all
 * addresses that share them.
 */
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
