/**
 * Bounds connections that have shown no token yet, called strangers, and those that speak plain
 * HTTP: how many there may be, in all and from one address, and how long each may take for what it
 * does. Beyond a bound a stranger is turned away, never a connection with a token: its request is
 * answered 503, and as many may wait for that as have a place. Touches no sockets except to close them.
 */
import { nextTurn } from "../turns/next_turn.ts";
import { PIECE_MS, slice, STRANGERS } from "../turns/slices.ts";
import { closeQuietly } from "./byte_stream.ts";

/** What a connection is doing; each phase has its time limit. */
export type Phase = "proxy" | "tls" | "head" | "body" | "handler" | "answer" | "idle" | "closing";

/** Why a stranger is turned away: by the bound of its address, by the bound of all, or for lack of files. */
export type Away = "address" | "total" | "files";

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
  /** Strangers that are connected now, those that are turned away included. */
  strangers: number;
  /** Connections whose first request has been answered. */
  answered: number;
  /** Connections that lost their place to others, by the bound that was reached. */
  readonly evicted: { address: number; total: number };
  /** Connections that were ended because they took too long, by phase. */
  readonly timeouts: Record<Phase, number>;
}

/** How long anything may take, at most, on a connection that has a reserved file; in ms. */
const SPARE_MS = 1_000;
/** After so many turns whatever a connection had sent has come: in the first its socket may not have had its look. */
const LOOKS = 2;
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
  /** Its request has come and waits for its turn. */
  queued = false;
  /** Why it is turned away; undefined: it is served. With "files" it has a reserved file, which others wait for. */
  away: Away | undefined;

  /** The turn of the event loop in which it came. */
  turn: number | undefined;

  constructor(stream: { close(): void }, address: string, spare: boolean) {
    this.stream = stream;
    this.away = spare ? "files" : undefined;
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
  /** The strangers that have a place. */
  readonly #strangers = new Set<Arrival>();
  readonly #by_group = new Map<string, Set<Arrival>>();
  /** The strangers that are turned away, and whose request is awaited for that. */
  readonly #away = new Set<Arrival>();
  readonly #tells: boolean;
  /** Who is turned away is being ended, for those who come. */
  #clears = false;
  /** Who is late is being ended. */
  #sweeps = false;
  /** The present turn, as far as connections come. */
  #turn = 0;
  #turns_asked = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Makes the set. `now` is in ms, of a clock that is never set. `tells`: who is turned away is answered;
   * else its connection is ended at once.
   */
  constructor(limits: ArrivalLimits, now: () => number, tells: boolean) {
    this.#limits = limits;
    this.#now = now;
    this.#tells = tells;
  }

  /** Takes in a new connection; turns a stranger away when there are too many. */
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
   * Ends one to make room: one that is turned away and whose request has not come, else the oldest stranger that
   * waits neither for us nor for its first look; false when there is none. Others that are turned away end piece
   * by piece, for those who come next: ending a thousand takes 40 ms.
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

  /** Ends the oldest strangers until no more than `strangers` are left, first those that are turned away. */
  keep(strangers: number): void {
    while (this.stats.strangers > strangers) {
      const oldest = oldestOf(this.#away) ?? oldestOf(this.#strangers);
      if (oldest === undefined) return;
      this.#evict(oldest);
    }
  }

  /** Begins the time limit of the next phase. A handler has limits of its own. */
  enter(arrival: Arrival, phase: Phase): void {
    arrival.phase = phase;
    const time_ms = phase === "handler" ? Infinity : this.#timeOf(phase);
    arrival.due_ms = this.#now() +
      (arrival.away === "files" ? Math.min(time_ms, SPARE_MS) : time_ms);
  }

  /** Takes note that a connection's token was accepted: it is a stranger no more. */
  know(arrival: Arrival): void {
    if (!arrival.stranger) return;
    arrival.stranger = false;
    this.#leavePlace(arrival);
    this.#away.delete(arrival);
    if (arrival.away !== "files") arrival.away = undefined;
    this.#count();
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

  /** Ends the connections whose time is over, piece by piece: a thousand may have come at the same moment. */
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

  /** Ends, piece by piece, all that `next` gives. */
  async #endAll(
    next: () => Arrival | undefined,
    end: (arrival: Arrival) => void,
  ): Promise<void> {
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

  /** The number of the present turn. */
  #enter(): number {
    if (this.#turns_asked === 0) nextTurn(this.#onTurn);
    this.#turns_asked = LOOKS;
    return this.#turn;
  }

  readonly #onTurn = () => {
    this.#turn++;
    if (--this.#turns_asked > 0) nextTurn(this.#onTurn);
  };

  /** Takes its place from a stranger; what it waits for of us, if anything, it still gets. */
  #turnAway(arrival: Arrival, bound: Away): void {
    // Between two requests everybody has to expect an end.
    if (!this.#tells || arrival.phase === "idle") return this.#close(arrival);
    arrival.away ??= bound;
    this.#leavePlace(arrival);
    this.#away.add(arrival);
    // With too many of them the oldest is ended.
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

/** The oldest that waits neither for us nor for its first look, since it came until `turn`. */
function oldestIdle(from: Set<Arrival>, turn: number): Arrival | undefined {
  for (const arrival of from) {
    if (arrival.phase !== "handler" && hasComeUntil(arrival, turn)) return arrival;
  }
}

const hasComeUntil = ({ turn = Infinity }: Arrival, last: number) => turn <= last;

/**
 * Who of `from` gives its place to a newcomer: the oldest for whose bytes we wait, if it came until `turn`; else one
 * that is being served, and gets its answer all the same: how many of those there may be is bounded where they are
 * served. Where all others wait for their turn, or have just come too, the newcomer has no place.
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
