/**
 * The client's connection for as long as the program wants it: opens sessions one after another,
 * obeys what each end says, moves before a Shield stops, keeps subscriptions and requests over
 * reconnects, refreshes the token.
 */
import { ArqonError } from "@arqon/proto";
import type { Ack, PlainEnvelope, Welcome } from "@arqon/proto";
import { backoffDelay } from "./backoff.ts";
import { closeReaction, refusalReaction } from "./close_reaction.ts";
import type { Reaction } from "./close_reaction.ts";
import { handOver } from "./hand_over.ts";
import { settingsFrom } from "./options.ts";
import type { ConnectOptions, Settings, Status } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { Room } from "./room.ts";
import type { PortRequest } from "./room.ts";
import { openSession, Session } from "./session.ts";
import { sleep } from "./sleep.ts";
import { Subscriptions } from "./subscriptions.ts";
import { TokenKeeper } from "./token_keeper.ts";
import { TokenRefresh } from "./token_refresh.ts";
import { asArqonError } from "./wire_error.ts";

/** A session that lived this long was a good one: the backoff starts anew after it. */
const GOOD_SESSION_MS = 5_000;
/** New tokens that may be refused in a row before the connection gives up. */
const REFUSALS_MAX = 5;
/** How long an orderly close waits for the peer, in ms. */
const CLOSE_TIMEOUT_MS = 2_000;

/**
 * Connects and resolves once the Shield has said WELCOME. Rejects with the refusal
 * (`token-expired`, `too-many-connections`, …) or `unreachable`; throws TypeError for a wrong URL.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const connection = new Connection(settingsFrom(options), options.signal);
  await connection.opened;
  return connection;
}

/**
 * What `connect` gives. It outlives its WebSockets: rooms and loops stay good over reconnects, until
 * `close()` or an error that no other attempt would change (`closed` tells which).
 */
export class Connection {
  readonly #settings: Settings;
  readonly #abort = new AbortController();
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<ArqonError | undefined>();
  readonly #outbox: Outbox;
  readonly #subscriptions: Subscriptions;
  readonly #tokens: TokenKeeper;
  #session: Session | undefined;
  #status: Status = { state: "connecting", attempt: 0 };
  #welcome: Welcome | undefined;
  #clock_ahead_ms = 0;
  #request_id = 0;
  #wake_timer: ReturnType<typeof setTimeout> | undefined;
  #wake_at_ms = Infinity;
  readonly #refresh: TokenRefresh;
  /** The move away from the present session: to which one, if there is one. */
  #moving: Promise<Session | undefined> | undefined;

  /** Use `connect`. */
  constructor(settings: Settings, signal: AbortSignal | undefined) {
    const { now, random, backoff, window, queue_max, queue_bytes_max } = settings;
    this.#settings = settings;
    this.#tokens = new TokenKeeper({
      token: settings.token,
      getToken: settings.getToken,
      timeout_ms: settings.handshake_timeout_ms,
      signal: this.#abort.signal,
      now,
    });
    const renewable = this.#tokens.renewable;
    this.#outbox = new Outbox({ window, queue_max, queue_bytes_max, renewable, now, random });
    this.#subscriptions = new Subscriptions({
      nextId: () => ++this.#request_id,
      now,
      random,
      backoff,
    });
    this.#refresh = new TokenRefresh({
      tokens: this.#tokens,
      nextId: () => ++this.#request_id,
      now,
      random,
      onError: (error) => {
        if (!this.#over) this.#callBack(() => settings.onError(asArqonError(error)));
      },
    });
    const onAbort = () => void this.close();
    signal?.addEventListener("abort", onAbort, { once: true });
    this.closed.then(() => signal?.removeEventListener("abort", onAbort));
    if (signal?.aborted) this.#end(undefined);
    else this.#run().catch((error) => this.#end(asArqonError(error)));
  }

  /** Resolves with the first WELCOME. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Resolves at the end: with the error that ended the connection, or undefined after `close()`. */
  get closed(): Promise<ArqonError | undefined> {
    return this.#closed.promise;
  }

  get status(): Status {
    return this.#status;
  }

  /** What the Shield said at the start of the present or last session. */
  get welcome(): Welcome {
    if (this.#welcome === undefined) throw new TypeError("the connection was never open");
    return this.#welcome;
  }

  /** Throws `invalid-room` for an id that no room can have. */
  room(id: string): Room {
    return new Room(id, {
      request: (request) => this.#request(request),
      subscribe: (room, options) => {
        if (this.#status.state === "closed") throw this.#closedError();
        return this.#subscriptions.subscribe(room, options);
      },
      published: (room, offset) => this.#subscriptions.published(room, offset),
      traceparent: this.#settings.traceparent,
    });
  }

  /** Ends it: loops finish, waiting requests reject with `connection-closed`. Calling it twice is harmless. */
  async close(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return this.#end(undefined);
    this.#settle(undefined);
    session.close(1000, "");
    await Promise.race([session.ended, sleep(CLOSE_TIMEOUT_MS, this.#abort.signal)]);
    this.#abort.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Sessions, one after another, until something ends the connection. */
  async #run(): Promise<void> {
    let failures = 0;
    let refusals = 0;
    let refused: ArqonError | undefined;
    let next: Session | undefined;
    for (let first = true; !this.#over;) {
      if (next === undefined) this.#report({ state: "connecting", attempt: failures });
      const opened: Session | ArqonError = next ?? await this.#open(refused);
      if (this.#over) return;
      let reaction: Reaction;
      if (opened instanceof ArqonError) {
        reaction = refusalReaction(opened);
        failures += 1;
        if (reaction.action === "reconnect" && reaction.new_token) refusals += 1;
        const renewing = refusals === 1 && this.#tokens.renewable;
        const spent = failures >= this.#settings.initial_attempts && !renewing;
        if ((first && spent) || refusals > REFUSALS_MAX) return this.#end(opened);
      } else {
        first = false;
        refusals = 0;
        const since_ms = this.#settings.now();
        const outcome = await this.#live(opened, next !== undefined);
        next = outcome instanceof Session ? outcome : undefined;
        if (outcome instanceof Session) continue;
        reaction = outcome;
        failures = this.#settings.now() - since_ms >= GOOD_SESSION_MS ? 1 : failures + 1;
      }
      if (reaction.action === "stop" || (reaction.new_token && !this.#tokens.renewable)) {
        return this.#end(reaction.error);
      }
      refused = reaction.new_token ? reaction.error : undefined;
      // A refused token is replaced at once, but only once: after that it is waited like for the rest.
      await this.#pause(reaction, refusals === 1 ? 0 : failures);
    }
  }

  /** One attempt: a session, or why there is none. */
  async #open(refused: ArqonError | undefined): Promise<Session | ArqonError> {
    const { address, webSocket, handshake_timeout_ms, request_timeout_ms } = this.#settings;
    try {
      const token = await this.#tokens.current(refused, this.#clock_ahead_ms);
      if (this.#over) return new ArqonError("connection-closed");
      const session = await openSession({
        address,
        token,
        webSocket,
        handshake_timeout_ms,
        request_timeout_ms,
        signal: this.#abort.signal,
        onEnvelope: (envelope, from) => this.#hear(envelope, from),
        onAck: (ack) => {
          this.#outbox.answer(ack);
          this.#schedule();
        },
        onErr: (error) => this.#onErr(error),
      });
      this.#clock_ahead_ms = session.welcome.server_time_ms - this.#settings.now();
      return session;
    } catch (error) {
      return asArqonError(error);
    }
  }

  /** A session from its WELCOME, or from the move to it, to its end or the move to the next. */
  async #live(session: Session, moved: boolean): Promise<Reaction | Session> {
    const { welcome } = session;
    this.#session = session;
    this.#welcome = welcome;
    this.#report({ state: "open", welcome });
    if (!moved) {
      this.#subscriptions.attach(session);
      this.#outbox.connected(session);
    }
    this.#schedule();
    this.#refresh.plan(session, this.#clock_ahead_ms);
    this.#opened.resolve();
    const { code, reason, last_error } = await session.ended;
    this.#refresh.stop();
    const next = await this.#moving;
    this.#moving = undefined;
    this.#session = undefined;
    const detail = `closed with ${code}${reason && `: ${reason}`}`;
    this.#outbox.disconnected(session, new ArqonError("connection-lost", detail));
    if (next !== undefined) return next;
    this.#subscriptions.detach();
    return closeReaction(code, reason, last_error);
  }

  #hear(envelope: PlainEnvelope, session: Session): void {
    if (envelope.room_id !== "") return this.#subscriptions.deliver(envelope, session);
    const { signal, sender_id } = envelope;
    if (signal?.kind !== "DRAIN" || sender_id !== "" || session !== this.#session) return;
    const left_ms = Number(signal.until_ms) - this.#clock_ahead_ms - this.#settings.now();
    this.#moving ??= handOver(session, left_ms, {
      outbox: this.#outbox,
      subscriptions: this.#subscriptions,
      open: async () => {
        const opened = await this.#open(undefined);
        if (opened instanceof Session) return opened;
        const reaction = refusalReaction(opened);
        return { retry_ms: reaction.action === "stop" ? Infinity : reaction.floor_ms };
      },
      ...this.#settings,
      signal: this.#abort.signal,
    });
  }

  /** Waits as the reaction says, else by the number of failures in a row; 0 goes at once. */
  async #pause(reaction: Reaction & { action: "reconnect" }, failures: number): Promise<void> {
    const { random, backoff } = this.#settings;
    let retry_in_ms = reaction.floor_ms;
    if (reaction.spread_ms > 0) retry_in_ms += Math.floor(random() * reaction.spread_ms);
    else if (failures > 0) retry_in_ms += backoffDelay(failures - 1, backoff, random);
    if (this.#over) return;
    this.#report({ state: "waiting", error: reaction.error, retry_in_ms });
    this.#schedule();
    await sleep(retry_in_ms, this.#abort.signal);
  }

  #request(request: PortRequest): Promise<Ack | undefined> {
    if (this.#status.state === "closed") return Promise.reject(this.#closedError());
    const id = ++this.#request_id;
    const frame = request.frame(id);
    const max_bytes = this.#welcome?.max_frame_bytes ?? Infinity;
    if (frame.length > max_bytes) {
      const detail = `a frame of ${frame.length} bytes; the Shield takes ${max_bytes}`;
      return Promise.reject(new ArqonError("message-too-large", detail));
    }
    return new Promise((resolve, reject) => {
      const timeout_ms = request.timeout_ms ?? this.#settings.request_timeout_ms;
      const deadline_ms = this.#settings.now() + timeout_ms;
      const { room, answered, repeatable } = request;
      const settle = { resolve, reject };
      const bounds = { deadline_ms, timeout_ms };
      this.#outbox.add({ id, room, answered, frame, repeatable, ...bounds, ...settle });
      this.#schedule();
    });
  }

  /** One timer for the whole outbox, armed for the next moment it has something to do. */
  #schedule(): void {
    const wake_ms = this.#outbox.nextWake();
    if (wake_ms === undefined || wake_ms >= this.#wake_at_ms) return;
    clearTimeout(this.#wake_timer);
    this.#wake_at_ms = wake_ms;
    this.#wake_timer = setTimeout(() => {
      this.#wake_at_ms = Infinity;
      this.#outbox.wake();
      this.#schedule();
    }, Math.max(0, wake_ms - this.#settings.now()));
  }

  #onErr(error: ArqonError): void {
    const [, action, room] = /(subscribe|presence) in ([^\s]+)$/.exec(error.message) ?? [];
    if (error.reason === "not-granted" && room !== undefined) {
      this.#subscriptions.revoked(room, error, action === "presence");
    }
    this.#callBack(() => this.#settings.onError(error));
  }

  /** The end without a peer to say goodbye to. */
  #end(error: ArqonError | undefined): void {
    this.#settle(error);
    this.#abort.abort();
  }

  /** Everything that waits hears of the end, once. */
  #settle(error: ArqonError | undefined): void {
    if (this.#over) return;
    this.#report(error === undefined ? { state: "closed" } : { state: "closed", error });
    clearTimeout(this.#wake_timer);
    this.#refresh.stop();
    this.#subscriptions.close(error);
    this.#outbox.close(error ?? new ArqonError("connection-closed"));
    this.#opened.promise.catch(() => {});
    this.#opened.reject(error ?? new ArqonError("connection-closed"));
    this.#closed.resolve(error);
  }

  get #over(): boolean {
    return this.#status.state === "closed";
  }

  #closedError(): ArqonError {
    const error = this.#status.state === "closed" ? this.#status.error : undefined;
    return new ArqonError("connection-closed", error === undefined ? "" : `: ${error.message}`);
  }

  #report(status: Status): void {
    this.#status = status;
    this.#callBack(() => this.#settings.onStatus(status));
  }

  /** A callback of the program must not break the connection: what it throws surfaces as uncaught. */
  #callBack(call: () => void): void {
    try {
      call();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
