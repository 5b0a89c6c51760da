/**
 * Sessions one after another for as long as the program wants the connection. The loop opens them,
 * does what each end asks for, waits, moves before a Shield stops, and keeps token and clock. What
 * is sent over them is `requests.ts`, what is heard `subscriptions.ts`.
 */
import { ArqonError, type PlainEnvelope, type Welcome } from "@arqon/proto";
import { backoffDelay, ServerClock, sleep } from "../time/clock.ts";
import { GOOD_SESSION_MS, REFUSALS_MAX } from "../wire/bounds.ts";
import { closeReaction, closeText, type Reaction, refusalReaction } from "./close_reaction.ts";
import { handOver } from "./hand_over.ts";
import { offlineWait, type Settings, type Status } from "../options/options.ts";
import type { Requests } from "../request/requests.ts";
import { openSession, Session } from "./session.ts";
import type { Subscriptions } from "../subscription/subscriptions.ts";
import { TokenKeeper } from "../token/token_keeper.ts";
import { asLost, placedError } from "../wire/wire_error.ts";

/** What the loop needs of its connection, and the callbacks that it calls. */
export interface SessionLoopOptions {
  readonly settings: Settings;
  readonly requests: Requests;
  readonly subscriptions: Subscriptions;
  nextId(): number;
  /** Aborted as soon as nobody wants the connection any longer: no callback is called after that. */
  readonly over: AbortSignal;
  /** Aborted when nothing may stay behind: ends every wait and the session. */
  readonly signal: AbortSignal;
  readonly onStatus: (status: Status) => void;
  /** Called for a refusal that answers no request. */
  readonly onErr: (error: ArqonError) => void;
  /** Renews the locks that are held, after a move. */
  readonly renewals: ReadonlySet<() => Promise<void>>;
  /** Called when a token could not be refreshed. */
  readonly onError: (error: ArqonError) => void;
}

/** The sessions of one connection; `run` is called once. */
export class SessionLoop {
  readonly #options: SessionLoopOptions;
  readonly #settings: Settings;
  /** The clock of the bus. */
  readonly clock: ServerClock;
  readonly #tokens: TokenKeeper;
  /** The session that is open now. */
  session: Session | undefined;
  /** The WELCOME of the present or last session. */
  welcome: Welcome | undefined;
  /** The move away from the present session; gives the session moved to, if there is one. */
  #moving: Promise<Session | undefined> | undefined;
  /** Ends the present wait, if it may be cut short. */
  #hurry: AbortController | undefined;

  constructor(options: SessionLoopOptions) {
    const { settings } = options;
    this.#options = options;
    this.#settings = settings;
    this.clock = new ServerClock(settings.now, settings.elapsed);
    this.#tokens = new TokenKeeper({ ...settings, ...options, now: this.clock.now });
  }

  /**
   * Runs sessions. Resolves with the error that ended the connection for good; with undefined when
   * nobody wants it any longer.
   */
  async run(): Promise<ArqonError | undefined> {
    const stop = this.#settings.events?.listen((event) => {
      this.#hurry?.abort();
      if (event === "visible") this.session?.probe();
    });
    try {
      return await this.#sessions();
    } finally {
      this.#tokens.stop();
      stop?.();
    }
  }

  async #sessions(): Promise<ArqonError | undefined> {
    const { over, onStatus } = this.#options;
    let failures = 0;
    let refusals = 0;
    let refused: ArqonError | undefined;
    let next: Session | undefined;
    for (let first = true; !over.aborted;) {
      if (!next) onStatus({ state: "connecting", attempt: failures });
      const opened: Session | ArqonError = next ?? await this.#open(refused);
      if (over.aborted) break;
      let reaction: Reaction;
      if (opened instanceof ArqonError) {
        reaction = refusalReaction(opened);
        failures += 1;
        if (reaction.action === "reconnect" && reaction.new_token) refusals += 1;
        const renewing = refusals === 1 && this.#tokens.renewable;
        const spent = failures >= this.#settings.initial_attempts && !renewing;
        if ((first && spent) || refusals > REFUSALS_MAX) return opened;
      } else {
        first = false;
        refusals = 0;
        const since_ms = this.#settings.elapsed();
        const outcome = await this.#live(opened, next !== undefined)
          .catch((error) => this.#broken(opened, asLost(error)));
        next = outcome instanceof Session ? outcome : undefined;
        if (outcome instanceof Session) continue;
        reaction = outcome;
        failures = this.#settings.elapsed() - since_ms >= GOOD_SESSION_MS ? 1 : failures + 1;
      }
      if (reaction.action === "stop" || (reaction.new_token && !this.#tokens.renewable)) {
        return reaction.error;
      }
      refused = reaction.new_token ? reaction.error : undefined;
      // A refused token is replaced at once, but only once: after that it is waited like for the rest.
      await this.#pause(reaction, refusals === 1 ? 0 : failures);
    }
    return undefined;
  }

  /** Tries once to open a session; else gives the reason why there is none. */
  async #open(refused: ArqonError | undefined): Promise<Session | ArqonError> {
    const { requests, onErr, signal, over } = this.#options;
    try {
      const token = await this.#tokens.current(refused);
      if (over.aborted) return new ArqonError("connection-closed");
      const session = await openSession({
        ...this.#settings,
        token,
        // On another Shield, when the former one stops, it stays the same connection for others.
        resume: this.welcome?.connection_id,
        signal,
        onEnvelope: (envelope, from) => this.#hear(envelope, from),
        onAck: (ack) => {
          requests.outbox.answer(ack);
          requests.schedule();
        },
        onErr,
      });
      this.clock.set(session.welcome.server_time_ms);
      return session;
    } catch (error) {
      return asLost(error);
    }
  }

  /**
   * Serves a session from its WELCOME, or from the move to it, to its end or the move to the next.
   */
  async #live(session: Session, moved: boolean): Promise<Reaction | Session> {
    const { subscriptions, requests, onStatus } = this.#options;
    const { welcome } = session;
    this.session = session;
    this.welcome = welcome;
    onStatus({ state: "open", welcome });
    if (!moved) {
      subscriptions.attach(session);
      requests.outbox.connected(session);
    }
    requests.schedule();
    this.#tokens.plan(session);
    const { code, reason, last_error } = await session.ended;
    this.#tokens.stop();
    const next = await this.#moving;
    this.#moving = undefined;
    this.session = undefined;
    const { connection_id } = welcome;
    const error = new ArqonError("connection-lost", closeText(code, reason), { connection_id });
    requests.outbox.disconnected(session, error);
    if (next) return next;
    subscriptions.detach();
    const reaction = closeReaction(code, reason, last_error);
    if (reaction.error === undefined) return reaction;
    return { ...reaction, error: placedError(reaction.error, { connection_id }) };
  }

  /** Leaves a session that an error of this side has ended. */
  #broken(session: Session, error: ArqonError): Reaction {
    const { subscriptions, requests } = this.#options;
    session.close(1000, "", true);
    this.#tokens.stop();
    this.session = this.#moving = undefined;
    requests.outbox.disconnected(session, error);
    subscriptions.detach();
    return refusalReaction(error);
  }

  #hear(envelope: PlainEnvelope, session: Session): void {
    const { subscriptions, requests, renewals, signal: stop } = this.#options;
    if (envelope.room_id !== "") return subscriptions.deliver(envelope, session);
    const { signal, sender_id } = envelope;
    if (signal?.kind !== "DRAIN" || sender_id !== "" || session !== this.session) return;
    this.#moving ??= handOver(session, Number(signal.until_ms) - this.clock.now(), {
      outbox: requests.outbox,
      subscriptions,
      renewals,
      open: async () => {
        const opened = await this.#open(undefined);
        if (opened instanceof Session) return opened;
        const reaction = refusalReaction(opened);
        return { retry_ms: reaction.action === "stop" ? Infinity : reaction.floor_ms };
      },
      ...this.#settings,
      signal: stop,
    });
  }

  /** Waits as the reaction says, else by the number of failures in a row; with 0 not at all. */
  async #pause(reaction: Reaction & { action: "reconnect" }, failures: number): Promise<void> {
    const { random, backoff, events } = this.#settings;
    const { over, onStatus, requests } = this.#options;
    const { floor_ms, spread_ms } = reaction;
    let retry_in_ms = floor_ms;
    if (spread_ms > 0) retry_in_ms += Math.floor(random() * spread_ms);
    else if (failures > 0) retry_in_ms += backoffDelay(failures - 1, backoff, random);
    if (over.aborted) return;
    onStatus({ state: "waiting", error: reaction.error, retry_in_ms });
    requests.schedule();
    // What the Shield asks for is waited, whatever the network does.
    await this.#wait(retry_in_ms, floor_ms === 0 && spread_ms === 0);
    const offline_ms = offlineWait(events, retry_in_ms);
    if (offline_ms > 0) await this.#wait(offline_ms, true);
  }

  async #wait(ms: number, may_hurry: boolean): Promise<void> {
    const hurry = new AbortController();
    if (may_hurry) this.#hurry = hurry;
    await sleep(ms, this.#options.signal, hurry.signal);
    this.#hurry = undefined;
  }
}
