/**
 * Limits unauthenticated connections (strangers) and those that speak plain HTTP: their number, in all and from one
 * address, and the time of each phase. Beyond a limit a stranger is rejected, never a connection with a token. Its
 * request is answered 503, and as many may wait for that as there are places. Does nothing with sockets except closing
 * them.
 */
import { nextTurn } from "../turns/next_turn.ts";
import { PIECE_MS, slice, STRANGERS } from "../turns/slices.ts";
import { closeQuietly } from "./byte_stream.ts";

/** The phase of a connection; each has its time limit. */
export type Phase = "proxy" | "tls" | "head" | "body" | "handler" | "answer" | "idle" | "closing";

/** Why a stranger is rejected: the limit of its address, the limit of all, or no free descriptors. */
export type Away = "address" | "total" | "files";

/** Limits of connections, in number and in ms. */
export interface ArrivalLimits {
  readonly strangers: number;
  /** Strangers from one address (one /64 for IPv6). */
  readonly strangers_per_address: number;
  /** Time limit of the PROXY header, of the TLS handshake and of a request's head, each. */
  readonly head_ms: number;
  readonly body_ms: number;
  readonly idle_ms: number;
  /** Time limit for the peer to read an answer, or to close. */
  readonly answer_ms: number;
}

/** Counters for metrics. */
export interface ArrivalStats {
  /** Connected strangers, the rejected ones included. */
  strangers: number;
  /** Connections whose first request was answered. */
  answered: number;
  /** Connections closed for others, by the limit that was reached. */
  readonly evicted: { address: number; total: number };
  /** Connections closed by timeout, by phase. */
  readonly timeouts: Record<Phase, number>;
}

/** Time limit of everything on a connection with a reserved descriptor, in ms. */
const SPARE_MS = 1_000;
/**
 * After this many turns, bytes that a connection sent earlier have arrived: in the first turn its socket may not have
 * been read.
 */
const LOOKS = 2;
/** Interval of the timeout checks. */
const SWEEP_MS = 250;

/** One connection, from its accept until it has ended or become a WebSocket. */
export class Arrival {
  /** For closing the connection. */
  stream: { close(): void };
  /** The address for counting. */
  group: string;
  phase: Phase = "head";
  due_ms = 0;
  stranger = true;
  answered = false;
  /** True once a limit closed it: further work for it is in vain. */
  ended = false;
  /** Its request has arrived and is queued. */
  queued = false;
  /** Why it is rejected; undefined: it is served. With "files" it has a reserved descriptor, which others wait for. */
  away: Away | undefined;

  /** The turn of the event loop in which it was accepted. */
  turn: number | undefined;

  constructor(stream: { close(): void }, address: string, spare: boolean) {
    this.stream = stream;
    this.away = spare ? "files" : undefined;
    this.group = groupOf(address);
  }
}

/** The connections of one listener. */
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
  /** The rejected strangers whose request is awaited for the answer. */
  readonly #away = new Set<Arrival>();
  readonly #tells: boolean;
  /** Rejected connections are being closed to make room. */
  #clears = false;
  /** Timed-out connections are being closed. */
  #sweeps = false;
  /** The current turn, counted while connections arrive. */
  #turn = 0;
  #turns_asked = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** `now`: monotonic ms. `tells`: rejected connections get an answer; otherwise they are closed at once. */
  constructor(limits: ArrivalLimits, now: () => number, tells: boolean) {
    this.#limits = limits;
    this.#now = now;
    this.#tells = tells;
  }

  /** Adds a connection; rejects a stranger if there are too many. */
  add(arrival: Arrival): void {
    arrival.turn ??= this.#enter();
    this.#all.add(arrival);
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS);
    const { strangers, strangers_per_address } = this.#limits;
    const group = this.#by_group.get(arrival.group) ?? new Set();
    const bound = group.size >= strangers_per_address
      ? "address"
      : this.#strangers.size >= strangers
      ? "total"
      : undefined;
    let chosen: Arrival | undefined;
    if (bound !== undefined) {
      const from = bound === "address" ? group : this.#strangers;
      chosen = this.#tells
        ? givesWay(from, arrival, this.#enter() - LOOKS)
        : oldestOf(from) ?? arrival;
      this.stats.evicted[bound]++;
      this.#turnAway(chosen, bound);
    }
    if (chosen !== arrival) {
      group.add(arrival);
      // The group is set again here, since it is removed with its last member.
      this.#by_group.set(arrival.group, group);
      this.#strangers.add(arrival);
    }
    this.#count();
  }

  /** Moves a connection to another address: its client is behind a proxy. */
  move(arrival: Arrival, address: string): void {
    this.remove(arrival);
    arrival.group = groupOf(address);
    arrival.stranger = true;
    this.add(arrival);
  }

  /**
   * Closes a connection to make room: a rejected one whose request has not come, else the oldest stranger that neither
   * waits for us nor is in its first turns; false if there is none. Other rejected ones are closed in slices, for later
   * connections: closing a thousand takes 40 ms.
   */
  makeRoom(): boolean {
    const turn = this.#enter() - LOOKS;
    const oldest = oldestIdle(this.#away, turn) ?? oldestIdle(this.#strangers, turn);
    if (oldest === undefined) return false;
    this.#evict(oldest);
    if (this.#clears || this.#away.size === 0) return true;
    this.#clears = true;
    void this.#endAll(() => oldestIdle(this.#away, turn), (one) => this.#evict(one))
      .then(() => this.#clears = false);
    return true;
  }

  /** Closes the oldest strangers until no more than `strangers` are left, rejected ones first. */
  keep(strangers: number): void {
    while (this.stats.strangers > strangers) {
      const oldest = oldestOf(this.#away) ?? oldestOf(this.#strangers);
      if (oldest === undefined) return;
      this.#evict(oldest);
    }
  }

  /** Starts the time limit of the next phase. A handler has limits of its own. */
  enter(arrival: Arrival, phase: Phase): void {
    arrival.phase = phase;
    const time_ms = phase === "handler" ? Infinity : this.#timeOf(phase);
    arrival.due_ms = this.#now() +
      (arrival.away === "files" ? Math.min(time_ms, SPARE_MS) : time_ms);
  }

  /** A connection's token was accepted: it is no longer a stranger. */
  know(arrival: Arrival): void {
    if (!arrival.stranger) return;
    arrival.stranger = false;
    this.#leavePlace(arrival);
    this.#away.delete(arrival);
    if (arrival.away !== "files") arrival.away = undefined;
    this.#count();
  }

  noteAnswer(arrival: Arrival): void {
    if (!arrival.answered) this.stats.answered++;
    arrival.answered = true;
  }

  /** Removes a connection that has ended, or that was taken over. */
  remove(arrival: Arrival): void {
    this.know(arrival);
    this.#all.delete(arrival);
    if (this.#all.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Closes the connections between two requests; with `all` every connection. */
  end(all: boolean): void {
    for (const arrival of this.#all) {
      if (all || arrival.phase === "idle" || arrival.phase === "head") this.#close(arrival);
    }
  }

  /** Closes timed-out connections in slices: a thousand may have arrived at the same moment. */
  sweep(): void {
    if (this.#sweeps) return;
    this.#sweeps = true;
    const now_ms = this.#now();
    const late = this.#all.values().filter(({ due_ms }) => due_ms <= now_ms);
    const end = (arrival: Arrival) => {
      this.stats.timeouts[arrival.phase]++;
      this.#close(arrival);
    };
    void this.#endAll(() => late.next().value, end).then(() => this.#sweeps = false);
  }

  /** Closes all that `next` returns, in slices. */
  async #endAll(next: () => Arrival | undefined, end: (arrival: Arrival) => void): Promise<void> {
    for (let arrival: Arrival | undefined, more = true; more;) {
      await slice(STRANGERS);
      const until_ms = this.#now() + PIECE_MS;
      do {
        arrival = next();
        more = arrival !== undefined;
        if (arrival !== undefined) end(arrival);
      } while (more && this.#now() < until_ms);
    }
  }

  #enter(): number {
    if (this.#turns_asked === 0) nextTurn(this.#onTurn);
    this.#turns_asked = LOOKS;
    return this.#turn;
  }

  readonly #onTurn = () => {
    this.#turn++;
    if (--this.#turns_asked > 0) nextTurn(this.#onTurn);
  };

  /** Gives a stranger's place to others; if it waits for an answer, it still gets that. */
  #turnAway(arrival: Arrival, bound: Away): void {
    // Between two requests every client has to expect a close.
    if (!this.#tells || arrival.phase === "idle") return this.#close(arrival);
    arrival.away ??= bound;
    this.#leavePlace(arrival);
    this.#away.add(arrival);
    // Beyond the limit of these the oldest is closed.
    if (this.#away.size <= this.#limits.strangers) return;
    const oldest = oldestOf(this.#away);
    if (oldest !== undefined) this.#close(oldest);
  }

  #leavePlace(arrival: Arrival): void {
    this.#strangers.delete(arrival);
    const group = this.#by_group.get(arrival.group);
    group?.delete(arrival);
    if (group?.size === 0) this.#by_group.delete(arrival.group);
  }

  #count(): void {
    this.stats.strangers = this.#strangers.size + this.#away.size;
  }

  #evict(arrival: Arrival): void {
    this.stats.evicted.total++;
    this.#close(arrival);
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

function oldestOf(from: Set<Arrival>): Arrival | undefined {
  for (const arrival of from) return arrival;
}

/** The oldest accepted until `turn` that neither waits for us nor is in its first turns. */
function oldestIdle(from: Set<Arrival>, turn: number): Arrival | undefined {
  for (const arrival of from) {
    if (arrival.phase !== "handler" && hasComeUntil(arrival, turn)) return arrival;
  }
}

const hasComeUntil = ({ turn = Infinity }: Arrival, last: number) => turn <= last;

/**
 * Which connection of `from` gives way to a newcomer: the oldest accepted until `turn` whose bytes we wait for; else
 * one that is being served, and still gets its answer: their number is limited where they are served. If all others are
 * queued, or are as new, the newcomer has no place.
 */
function givesWay(from: Set<Arrival>, newcomer: Arrival, turn: number): Arrival {
  let served: Arrival | undefined;
  for (const arrival of from) {
    if (!hasComeUntil(arrival, turn)) break;
    if (arrival.phase !== "handler") return arrival;
    if (!arrival.queued) served ??= arrival;
  }
  return served ?? newcomer;
}

/** The address for counting. For IPv6 the first 64 bits, since one host may have all addresses that share them. */
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
