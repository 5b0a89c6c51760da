/** The connection that `connect` returns: it runs sessions one after another, and reacts to the end of each. */
import { type Ack, ArqonError, type PlainEnvelope, type Welcome } from "@arqon/proto";
import { offlineWait, settingsFrom } from "../options/options.ts";
import type { ConnectOptions, Settings, Status } from "../options/options.ts";
import { Requests } from "../request/requests.ts";
import type { PortRequest } from "../request/room_request.ts";
import { Room, type RoomPort } from "../room/room.ts";
import { Subscriptions } from "../subscription/subscriptions.ts";
import { backoffDelay, onAbort, type ServerClock, serverClock, sleep } from "../time/clock.ts";
import { TokenKeeper } from "../token/token_keeper.ts";
import { CLOSE_TIMEOUT_MS, GOOD_SESSION_MS, REFUSALS_MAX } from "../wire/bounds.ts";
import { asLost, placedError, textOf } from "../wire/wire_error.ts";
import { closeReaction, type Reaction, refusalReaction } from "./refusal.ts";
import { handOver } from "./hand_over.ts";
import { openSession, Session } from "./session.ts";

/**
 * Connects and resolves at WELCOME. Rejects with the refusal, `unreachable`, or the reason of an aborted `signal`;
 * throws TypeError for an invalid URL.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { signal } = options;
  const connection = new Connection(settingsFrom(await loadWay(options)), signal);
  try {
    await connection.opened;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  return connection;
}

/**
 * The options with the socket class of their `transport`, whose code only connections over HTTP load. Rejects with
 * `unreachable` if it cannot be loaded, and with the reason of an aborted signal. Throws TypeError.
 */
async function loadWay(options: ConnectOptions): Promise<ConnectOptions> {
  const { transport = "websocket", signal } = options;
  if (transport === "websocket") return options;
  const aborted = Promise.withResolvers<never>();
  const stop = onAbort(signal, () => aborted.reject(signal?.reason));
  try {
    signal?.throwIfAborted();
    const loading = import("../http/fallback_socket.ts").catch((cause) => {
      throw new ArqonError("unreachable", textOf(cause), { cause });
    });
    return (await Promise.race([loading, aborted.promise])).over(options);
  } finally {
    stop();
  }
}

/**
 * A connection to the bus. It survives its WebSockets: rooms and loops stay valid over reconnects, until `close()` or a
 * permanent error (see `closed`).
 */
export class Connection {
  readonly #settings: Settings;
  /** Aborted when the program closes the connection, or it ends; the reason is the error that rooms receive. */
  readonly #life = new AbortController();
  readonly #abort = new AbortController();
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<ArqonError | undefined>();
  /** Resolves with the first WELCOME. */
  readonly opened: Promise<void> = this.#opened.promise;
  /** Resolves at the end: with the error that ended it, or with undefined after `close()`. */
  readonly closed: Promise<ArqonError | undefined> = this.#closed.promise;
  readonly #clock: ServerClock;
  readonly #tokens: TokenKeeper;
  readonly #requests: Requests;
  readonly #subscriptions: Subscriptions;
  readonly #renewals = new Set<() => Promise<void>>();
  readonly #port: RoomPort;
  #running: Promise<void> | undefined;
  #status: Status = { state: "connecting", attempt: 0 };
  #session: Session | undefined;
  #welcome: Welcome | undefined;
  /** The move from the present session to another one; resolves with the new session, if any. */
  #moving: Promise<Session | undefined> | undefined;
  /** Ends the present wait, if it may be shortened. */
  #hurry: AbortController | undefined;
  #request_id = 0;

  /** Use `connect`. */
  constructor(settings: Settings, signal: AbortSignal | undefined) {
    const nextId = () => ++this.#request_id;
    this.#settings = settings;
    this.#clock = serverClock(settings.now, settings.elapsed);
    const lent = { ...settings, nextId, now: this.#clock.now };
    this.#tokens = new TokenKeeper({
      ...lent,
      signal: this.#abort.signal,
      onError: (error) => {
        if (!this.#over) this.#fail(error);
      },
    });
    this.#requests = new Requests(settings, nextId);
    this.#subscriptions = new Subscriptions(lent);
    this.#port = {
      ...settings,
      request: (request) => this.#request(request),
      subscribe: (...args) => {
        if (this.#over) throw this.#closedError();
        return this.#subscriptions.subscribe(...args);
      },
      subscriptions: this.#subscriptions,
      report: (error) => this.#fail(error),
      signal: this.#life.signal,
      renewals: this.#renewals,
      tokens: this.#tokens,
      bus: this,
    };
    const end = (error?: ArqonError) => this.#end(error);
    this.closed.then(onAbort(signal, () => end()));
    if (signal?.aborted) end();
    else this.#running = this.#run().then(end, (error) => end(asLost(error)));
  }

  get status(): Status {
    return this.#status;
  }

  /** The WELCOME of the present or last session. */
  get welcome(): Welcome {
    if (!this.#welcome) throw new TypeError("never open");
    return this.#welcome;
  }

  /**
   * The room with that id, or all rooms that match a pattern such as `orders-*`. Throws `invalid-room` for an invalid
   * id.
   */
  room(id: string): Room {
    return new Room(id, this.#port);
  }

  /**
   * Closes the connection: loops finish, pending requests reject with `connection-closed`. Resolves when the peer has
   * closed, too, after 2 s at the latest, or when `ConnectOptions.signal` is aborted; no socket, timer or listener is
   * left then. Idempotent.
   */
  async close(): Promise<void> {
    const session = this.#session;
    if (session) {
      this.#settle(undefined);
      session.close(1000, "");
      await Promise.race([session.ended, sleep(CLOSE_TIMEOUT_MS, this.#abort.signal)]);
    }
    this.#end(undefined);
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #request(request: PortRequest): Promise<Ack | undefined> {
    try {
      if (this.#over) throw this.#closedError();
      // Only the SDK's own history reads have no deadline: a loop survives an outage.
      const may_wait = this.#settings.offline !== "refuse" || request.timeout_ms === Infinity;
      if (!may_wait && this.#status.state !== "open") {
        throw new ArqonError("connection-lost", `${this.#status.state}, and offline is "refuse"`);
      }
      return await this.#requests.send(request, this.#welcome);
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      const { trace_id } = request.envelope;
      throw placedError(error, { trace_id, connection_id: this.#welcome?.connection_id });
    }
  }

  #onErr(error: ArqonError): void {
    const { reason, room, action } = error;
    if (reason === "not-granted" && (action === "subscribe" || action === "presence")) {
      this.#subscriptions.revoked(room, error, action === "presence");
    }
    this.#fail(error);
  }

  /** Reports an error that no promise reports, including exceptions of handlers. */
  #fail(error: ArqonError): void {
    const { onError } = this.#settings;
    this.#callBack(() => {
      if (onError) onError(error);
      else if (error.reason === "handler-failed") throw error.cause;
    });
  }

  /** Ends the connection without waiting for the peer. */
  #end(error: ArqonError | undefined): void {
    this.#settle(error);
    this.#abort.abort();
  }

  /** Notifies all pending requests and loops of the end, once. */
  #settle(error: ArqonError | undefined): void {
    if (this.#over) return;
    this.#report(error === undefined ? { state: "closed" } : { state: "closed", error });
    const why = error ?? new ArqonError("connection-closed");
    this.#life.abort(why);
    this.#subscriptions.close(error);
    this.#requests.close(why);
    // After `connect` has returned nobody awaits it.
    this.#opened.promise.catch(() => {});
    this.#opened.reject(why);
    this.#closed.resolve(error);
  }

  get #over(): boolean {
    return this.#status.state === "closed";
  }

  #closedError(): ArqonError {
    const { error } = this.#status as { readonly error?: ArqonError };
    return new ArqonError("connection-closed", error?.message);
  }

  #report(status: Status): void {
    this.#status = status;
    this.#callBack(() => this.#settings.onStatus?.(status));
    if (status.state === "open") this.#opened.resolve();
  }

  /** Runs a callback of the program: its exceptions surface as uncaught errors and do not affect the connection. */
  #callBack(call: () => void): void {
    try {
      call();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** Runs sessions. Resolves with the error that ended the connection, if any. */
  async #run(): Promise<ArqonError | undefined> {
    const stop = this.#settings.events?.listen(() => {
      this.#hurry?.abort();
      // The device has slept or changed its network: the socket may be dead without a close.
      this.#session?.probe();
    });
    try {
      return await this.#sessions();
    } finally {
      this.#tokens.stop();
      stop?.();
    }
  }

  async #sessions(): Promise<ArqonError | undefined> {
    let failures = 0;
    let refusals = 0;
    let refused: ArqonError | undefined;
    let next: Session | undefined;
    for (let first = true; !this.#over;) {
      if (!next) this.#report({ state: "connecting", attempt: failures });
      const opened: Session | ArqonError = next ?? await this.#open(refused);
      if (this.#over) break;
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
      // A refused token is replaced at once, but only once: later refusals wait like other failures.
      await this.#pause(reaction, refusals === 1 ? 0 : failures);
    }
    return undefined;
  }

  /** Tries once to open a session; on failure resolves with the error. */
  async #open(refused: ArqonError | undefined): Promise<Session | ArqonError> {
    const requests = this.#requests;
    try {
      const token = await this.#tokens.current(refused);
      if (this.#over) return new ArqonError("connection-closed");
      const session = await openSession({
        ...this.#settings,
        token,
        // When a Shield stops, the connection keeps its identity on the next Shield.
        resume: this.#welcome?.connection_id,
        signal: this.#abort.signal,
        onEnvelope: (envelope, from) => this.#receive(envelope, from),
        onAck: (ack) => {
          requests.outbox.answer(ack);
          requests.schedule();
        },
        onErr: (error) => this.#onErr(error),
      });
      this.#clock.set(session.welcome.server_time_ms);
      return session;
    } catch (error) {
      return asLost(error);
    }
  }

  /** Runs a session from its WELCOME, or the move to it, until it ends or moves to the next. */
  async #live(session: Session, moved: boolean): Promise<Reaction | Session> {
    const { outbox } = this.#requests;
    const { welcome } = session;
    this.#session = session;
    this.#welcome = welcome;
    this.#report({ state: "open", welcome });
    if (!moved) {
      this.#subscriptions.attach(session);
      outbox.connected(session);
    }
    this.#requests.schedule();
    this.#tokens.plan(session);
    const { code, reason, last_error, lost } = await session.ended;
    this.#tokens.stop();
    const next = await this.#moving;
    this.#left(session, lost);
    if (next) return next;
    this.#subscriptions.detach();
    const reaction = closeReaction(code, reason, last_error);
    return reaction.error ? { ...reaction, error: placedError(reaction.error, welcome) } : reaction;
  }

  /** Closes a session after an error on this side. */
  #broken(session: Session, error: ArqonError): Reaction {
    session.close(1000, "", true);
    this.#left(session, error);
    this.#subscriptions.detach();
    return refusalReaction(error);
  }

  #left(session: Session, error: ArqonError): void {
    this.#tokens.stop();
    this.#session = this.#moving = undefined;
    this.#requests.outbox.disconnected(session, error);
  }

  #receive(envelope: PlainEnvelope, session: Session): void {
    if (envelope.room_id !== "") return this.#subscriptions.deliver(envelope, session);
    const { signal, sender_id } = envelope;
    if (signal?.kind !== "DRAIN" || sender_id !== "" || session !== this.#session) return;
    this.#moving ??= handOver(session, Number(signal.until_ms) - this.#clock.now(), {
      outbox: this.#requests.outbox,
      subscriptions: this.#subscriptions,
      renewals: this.#renewals,
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

  /** Waits as the reaction requires, otherwise by the number of consecutive failures; with 0 not at all. */
  async #pause(reaction: Reaction & { action: "reconnect" }, failures: number): Promise<void> {
    const { random, backoff, events } = this.#settings;
    const { floor_ms, spread_ms } = reaction;
    let retry_in_ms = floor_ms;
    if (spread_ms > 0) retry_in_ms += Math.floor(random() * spread_ms);
    else if (failures > 0) retry_in_ms += backoffDelay(failures - 1, backoff, random);
    if (this.#over) return;
    this.#report({ state: "waiting", error: reaction.error, retry_in_ms });
    this.#requests.schedule();
    // A wait that the Shield requested is not shortened by network events.
    await this.#wait(retry_in_ms, floor_ms === 0 && spread_ms === 0);
    const offline_ms = offlineWait(events, retry_in_ms);
    if (offline_ms > 0) await this.#wait(offline_ms, true);
  }

  async #wait(ms: number, may_hurry: boolean): Promise<void> {
    const hurry = new AbortController();
    if (may_hurry) this.#hurry = hurry;
    await sleep(ms, this.#abort.signal, hurry.signal);
    this.#hurry = undefined;
  }
}
