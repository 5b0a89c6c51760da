/**
 * The life of one NATS connection: connected, disconnected, connected again, closed. nats.js silently drops publishes
 * while it is disconnected, so every caller checks here first. Requests that are pending when the connection drops are
 * rejected.
 */
import { ArqonError } from "@arqon/proto";
import { errors, type NatsConnection, type Status } from "@nats-io/transport-deno";
import type { Env } from "../../../env.ts";
import type { Logger } from "../../../logs/log.ts";
import { Listeners } from "../../../containers/listeners.ts";
import type { SpineEvent, SpineState } from "../../contract/spine.ts";
import { within } from "../../../within.ts";

/**
 * Deadline in ms for opening a bucket or stream, and for every operation of a process that is starting: a server that
 * writes slowly must not end it. Meanwhile readiness reports the missing answer.
 */
export const START_MS = 30_000;
/** Time between two log lines about denied publishes, in ms. */
const DENIAL_LOG_MS = 1_000;

interface LinkOptions extends Pick<Env, "log" | "now"> {
  readonly connection: NatsConnection;
  /** Monotonic milliseconds, for deadlines. */
  readonly monotonic: () => number;
  /** How long one answer may take, in ms. */
  readonly request_timeout_ms: number;
  /** True while the process is starting; absent: never. */
  readonly isStarting?: (() => boolean) | undefined;
}

/** One connection, through all its reconnects. */
export class Link {
  readonly connection: NatsConnection;
  readonly log: Logger;
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly request_timeout_ms: number;
  readonly isStarting: () => boolean;
  readonly listeners: Listeners<SpineEvent>;
  /** Called at once when the connection is lost, before any listener. */
  onLost: () => void = () => {};
  /** Called at once when the connection is restored, before any listener. */
  onBack: () => void = () => {};
  onState: () => void = () => {};
  /** Called when the server accepts subscriptions that it had refused; undefined: any. */
  onAccepted: (subjects: readonly (string | undefined)[]) => void = () => {};
  /** Called when an attempt to reconnect begins. */
  onAttempt: () => void = () => {};
  #state: SpineState = "connected";
  #since_ms: number;
  /** The same, monotonic. */
  #changed_ms: number;
  #reconnects = 0;
  #slow_consumers = 0;
  /** Messages denied since the last log line about them, and its time by `monotonic`. */
  #denials = 0;
  #denial_logged_ms = -Infinity;
  /** Callbacks for when the connection drops. */
  readonly #interrupts = new Set<(error: ArqonError) => void>();
  /** Callbacks for when it is restored (true) or closed finally (false). */
  readonly #waiting = new Set<(connected: boolean) => void>();
  readonly #relisters = new Set<() => void>();

  constructor(options: LinkOptions) {
    this.connection = options.connection;
    this.log = options.log;
    this.now = options.now;
    this.monotonic = options.monotonic;
    this.request_timeout_ms = options.request_timeout_ms;
    this.isStarting = options.isStarting ?? (() => false);
    this.listeners = new Listeners(options.log, "a Spine listener threw");
    this.#since_ms = options.now();
    this.#changed_ms = options.monotonic();
    void this.#follow();
  }

  get state(): SpineState {
    return this.#state;
  }

  /** Time since the last change of state, in ms. */
  get state_ms(): number {
    return this.monotonic() - this.#changed_ms;
  }

  get since_ms(): number {
    return this.#since_ms;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  get slow_consumers(): number {
    return this.#slow_consumers;
  }

  /** Address and version of the server, without credentials. */
  get server(): string {
    return `${this.connection.getServer()} ${this.connection.info?.version ?? ""}`.trim();
  }

  get payload_bytes_max(): number {
    return this.connection.info?.max_payload ?? 1_048_576;
  }

  /** Replicas of a stream that asks for no number. */
  get replicas(): number {
    return this.connection.info?.cluster === undefined ? 1 : 3;
  }

  unavailable(): ArqonError {
    return new ArqonError("spine-unavailable", `the connection to NATS is ${this.#state}`);
  }

  /** Throws `spine-unavailable` unless connected. */
  assertConnected(): void {
    if (this.#state !== "connected") throw this.unavailable();
  }

  /** How long an operation may take that begins now, in ms. */
  get patience_ms(): number {
    return this.isStarting()
      ? Math.max(START_MS, this.request_timeout_ms)
      : this.request_timeout_ms;
  }

  /** As `promise`, but rejects with `spine-unavailable` as soon as the connection is lost. */
  guard<T>(promise: Promise<T>): Promise<T> {
    const { promise: guarded, resolve, reject } = Promise.withResolvers<T>();
    this.#interrupts.add(reject);
    promise.then(resolve, reject).finally(() => this.#interrupts.delete(reject));
    return guarded;
  }

  /** Resolves with true once connected, with false after `timeout_ms` or when it closes. */
  connected(timeout_ms: number): Promise<boolean> {
    if (this.#state === "connected") return Promise.resolve(true);
    if (this.#state !== "disconnected" || timeout_ms <= 0) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const settle = (connected: boolean) => {
      clearTimeout(timer);
      this.#waiting.delete(settle);
      resolve(connected);
    };
    const timer = setTimeout(() => settle(false), timeout_ms);
    this.#waiting.add(settle);
    return promise;
  }

  /** Calls `relist` after every reconnect, until the returned function is called. */
  onReconnect(relist: () => void): () => void {
    this.#relisters.add(relist);
    return () => void this.#relisters.delete(relist);
  }

  /**
   * Closes the connection: drains it while it is up, at once otherwise or without an answer. New work is refused from
   * now on; `underWay` resolves when pending requests have their answers.
   */
  async close(underWay: () => Promise<void>): Promise<void> {
    const up = this.#state === "connected";
    this.#turnTo("draining");
    if (up) {
      // A failed drain changes nothing: the connection is closed either way.
      const drained = underWay().then(() => this.connection.drain()).catch(() => {});
      await within(this.request_timeout_ms, drained, () => {});
    }
    await this.connection.close();
    this.#end();
    this.listeners.clear();
  }

  async #follow(): Promise<void> {
    void this.connection.closed().then((error) => {
      if (error) this.log.error("the connection to NATS is closed for good", { error });
      this.#end();
    });
    for await (const status of this.connection.status()) this.#receive(status);
  }

  #receive(status: Status): void {
    switch (status.type) {
      case "disconnect":
        return this.#lost();
      case "reconnecting":
        return this.onAttempt();
      case "reconnect":
        return this.#back();
      case "error":
        return this.#serverError(status.error);
      case "staleConnection":
        return this.log.warn("NATS does not answer pings", { server: this.server });
      case "ldm":
        return this.log.warn("the NATS server is going away", { server: this.server });
      default:
        return;
    }
  }

  #lost(): void {
    if (this.#state !== "connected") return;
    this.log.warn("the connection to NATS is lost", { server: this.server });
    this.#turnTo("disconnected");
  }

  #back(): void {
    if (this.#state !== "disconnected") return;
    this.#reconnects++;
    const down_ms = this.state_ms;
    this.log.info("the connection to NATS is back", { server: this.server, down_ms });
    const version = this.connection.info?.version ?? "unknown";
    if (!isSupportedNats(version)) {
      this.log.error("the NATS server is too old", { version, oldest: OLDEST_NATS });
    }
    this.onBack();
    this.#turnTo("connected");
    for (const settle of [...this.#waiting]) settle(true);
    for (const relist of [...this.#relisters]) relist();
    void this.#tellGap();
  }

  /** Emits the gap event: the end of the gap is known only when the server has the subscriptions again. */
  async #tellGap(): Promise<void> {
    try {
      await this.guard(this.connection.flush());
    } catch {
      return; // Lost again: the next reconnect emits it.
    }
    this.listeners.emit({ type: "gap", pattern: undefined, reason: "reconnect" });
  }

  #serverError(error: Error): void {
    if (error instanceof errors.PermissionViolationError) return; // See `nats_refusals.ts`.
    this.log.error("the NATS server reports an error", { error });
    if (!/slow consumer/i.test(error.message)) return;
    this.#slow_consumers++;
    this.listeners.emit({ type: "gap", pattern: undefined, reason: "slow-consumer" });
  }

  /** Counts a denied message; a sender of many must not fill the log. */
  denied(error: Error & { readonly subject: string }): void {
    this.listeners.emit({ type: "denied", subject: error.subject });
    this.#denials++;
    const now_ms = this.monotonic();
    if (now_ms - this.#denial_logged_ms < DENIAL_LOG_MS) return;
    this.log.error("NATS denies this process to publish", { error, messages: this.#denials });
    this.#denial_logged_ms = now_ms;
    this.#denials = 0;
  }

  /** As `onAccepted`. */
  accepted(subjects: readonly (string | undefined)[]): void {
    const [pattern] = subjects;
    this.log.info("NATS accepts subscriptions again", { subscriptions: subjects.length, pattern });
    this.onAccepted(subjects);
    // Of a room only its subscribers are notified; what else was lost is not known.
    const lost = subjects.map((one = "") => /^(in|out)\.[^*>]+$/.test(one) ? one : undefined);
    for (const pattern of new Set(lost)) {
      this.listeners.emit({ type: "gap", pattern, reason: "reconnect" });
    }
  }

  #end(): void {
    if (this.#state !== "closed") this.#turnTo("closed");
  }

  #turnTo(state: SpineState): void {
    this.#state = state;
    this.#since_ms = this.now();
    this.#changed_ms = this.monotonic();
    if (state === "disconnected" || state === "closed") {
      this.onLost();
      const error = this.unavailable();
      for (const interrupt of [...this.#interrupts]) interrupt(error);
      this.#interrupts.clear();
    }
    if (state !== "connected" && state !== "disconnected") {
      for (const settle of [...this.#waiting]) settle(false);
    }
    this.onState();
  }
}

/** Servers before 2.11 accept concurrent winners of a compare-and-set and ignore the expiry of single keys. */
export const OLDEST_NATS = "2.11.0";

function numbers(version: string): readonly number[] | undefined {
  const found = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(version);
  return found?.slice(1).map(Number);
}

/** True if a server with this `version` ("2.15.2", "2.12.0-RC.1") is supported. */
export function isSupportedNats(version: string): boolean {
  const have = numbers(version);
  const oldest = numbers(OLDEST_NATS);
  if (have === undefined || oldest === undefined) return false;
  const differs = have.findIndex((number, at) => number !== oldest[at]);
  return differs === -1 || (have[differs] ?? 0) > (oldest[differs] ?? 0);
}

/** The longest pause between two attempts to reconnect, in ms; the shortest is 100 ms. */
const PAUSE_MS_MAX = 5_000;
/** A connection that ends sooner than this, in ms, does not reset the back-off. */
const STEADY_MS = 5_000;

/** Pause in ms before attempt `attempt` (0 is the first): exponential, half of it random. */
export function reconnectDelay_ms(attempt: number, random: () => number): number {
  const whole = Math.min(PAUSE_MS_MAX, 100 * 2 ** Math.min(attempt, 16));
  return whole / 2 + random() * whole / 2;
}

/** The pauses of one connection. */
export class ReconnectPauses {
  /** The present pause, in ms. It is drawn once an attempt, because nats.js reads it repeatedly while it waits. */
  now_ms: number;
  readonly #monotonic: () => number;
  readonly #random: () => number;
  #attempt = 0;
  #connected_ms: number;

  /** Create it when connected. `monotonic` in ms, `random` in [0, 1). */
  constructor(monotonic: () => number, random: () => number) {
    this.#monotonic = monotonic;
    this.#random = random;
    this.#connected_ms = monotonic();
    this.now_ms = reconnectDelay_ms(0, random);
  }

  tried(): void {
    this.now_ms = reconnectDelay_ms(++this.#attempt, this.#random);
  }

  receive(state: SpineState): void {
    if (state === "connected") this.#connected_ms = this.#monotonic();
    if (state !== "disconnected") return;
    if (this.#monotonic() - this.#connected_ms < STEADY_MS) return;
    this.#attempt = 0;
    this.now_ms = reconnectDelay_ms(0, this.#random);
  }
}
