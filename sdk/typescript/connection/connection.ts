/**
 * The client's connection for as long as the program wants it: what `connect` gives. It brings together
 * the sessions (`session_loop.ts`), what is sent (`requests.ts`) and what is heard
 * (`subscriptions.ts`), and ends all three.
 */
import { type Ack, ArqonError, type Welcome } from "@arqon/proto";
import { loadWay } from "../http/load_way.ts";
import { CLOSE_TIMEOUT_MS } from "../wire/bounds.ts";
import { settingsFrom } from "../options/options.ts";
import type { ConnectOptions, Settings, Status } from "../options/options.ts";
import { Requests } from "../request/requests.ts";
import { Room, type RoomPort } from "../room/room.ts";
import type { PortRequest } from "../request/room_request.ts";
import { SessionLoop } from "./session_loop.ts";
import { onAbort, sleep } from "../time/clock.ts";
import { Subscriptions } from "../subscription/subscriptions.ts";
import { asLost, placedError } from "../wire/wire_error.ts";

/**
 * Connects and resolves once the Shield has said WELCOME. Rejects with the refusal
 * (`token-expired`, `too-many-connections`, …), with `unreachable`, or, when `signal` is aborted, with
 * its reason; throws TypeError for a wrong URL.
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
 * What `connect` gives. It outlives its WebSockets: rooms and loops stay good over reconnects, until
 * `close()` or an error that no other attempt would change (`closed` tells which).
 */
export class Connection {
  readonly #settings: Settings;
  /** The program wants the connection until this is aborted; the reason is what rooms receive. */
  readonly #life = new AbortController();
  readonly #abort = new AbortController();
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<ArqonError | undefined>();
  /** Resolves with the first WELCOME. */
  readonly opened: Promise<void> = this.#opened.promise;
  /**
   * Resolves at the end: with the error that ended the connection, or with undefined after
   * `close()`.
   */
  readonly closed: Promise<ArqonError | undefined> = this.#closed.promise;
  readonly #requests: Requests;
  readonly #subscriptions: Subscriptions;
  readonly #loop: SessionLoop;
  readonly #port: RoomPort;
  #running: Promise<void> | undefined;
  #status: Status = { state: "connecting", attempt: 0 };
  #request_id = 0;

  /** Use `connect`. */
  constructor(settings: Settings, signal: AbortSignal | undefined) {
    const nextId = () => ++this.#request_id;
    const renewals = new Set<() => Promise<void>>();
    const { elapsed, random, traceparent } = settings;
    this.#settings = settings;
    this.#requests = new Requests(settings, nextId);
    this.#subscriptions = new Subscriptions({
      nextId,
      ...settings,
      now: () => this.#loop.clock.now(),
    });
    this.#loop = new SessionLoop({
      settings,
      requests: this.#requests,
      subscriptions: this.#subscriptions,
      nextId,
      renewals,
      over: this.#life.signal,
      signal: this.#abort.signal,
      onStatus: (status) => this.#report(status),
      onErr: (error) => this.#onErr(error),
      onError: (error) => {
        if (!this.#over) this.#fail(error);
      },
    });
    this.#port = {
      request: (request) => this.#request(request),
      subscribe: (...asked) => {
        if (this.#over) throw this.#closedError();
        return this.#subscriptions.subscribe(...asked);
      },
      mend: (mend) => this.#subscriptions.mend(mend),
      published: (room, offset) => this.#subscriptions.published(room, offset),
      report: (error) => this.#fail(error),
      keeping: { elapsed, random, signal: this.#life.signal, renewals },
      traceparent,
    };
    const end = () => this.#end(undefined);
    this.closed.then(onAbort(signal, end));
    if (signal?.aborted) end();
    else {
      this.#running = this.#loop.run().then(
        (error) => this.#end(error),
        (error) => this.#end(asLost(error)),
      );
    }
  }

  get status(): Status {
    return this.#status;
  }

  /** The WELCOME of the present or last session. */
  get welcome(): Welcome {
    const { welcome } = this.#loop;
    if (!welcome) throw new TypeError("never open");
    return welcome;
  }

  /** The room with that id, or all whose ids begin so: `orders-*`. Throws `invalid-room` for an id that no room can have. */
  room(id: string): Room {
    return new Room(id, this.#port);
  }

  /**
   * Closes the connection: loops finish, waiting requests reject with `connection-closed`. Resolves
   * when the peer has closed too, after 2 s at the latest, or when `ConnectOptions.signal` is
   * aborted; no socket, timer or listener is left then. Calling it twice is harmless.
   */
  async close(): Promise<void> {
    const { session } = this.#loop;
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
      return await this.#send(request);
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      const { trace_id } = request.envelope;
      throw placedError(error, { trace_id, connection_id: this.#loop.welcome?.connection_id });
    }
  }

  async #send(request: PortRequest): Promise<Ack | undefined> {
    if (this.#over) throw this.#closedError();
    // Without a deadline only the SDK's own reading of the history asks: a loop outlives an outage.
    const may_wait = this.#settings.offline !== "refuse" || request.timeout_ms === Infinity;
    if (!may_wait && this.#status.state !== "open") {
      throw new ArqonError("connection-lost", `${this.#status.state}, and offline is "refuse"`);
    }
    return await this.#requests.send(request, this.#loop.welcome);
  }

  #onErr(error: ArqonError): void {
    const { reason, room, action } = error;
    if (reason === "not-granted" && (action === "subscribe" || action === "presence")) {
      this.#subscriptions.revoked(room, error, action === "presence");
    }
    this.#fail(error);
  }

  /** Reports an error that no promise reports. What a handler threw does not go unheard. */
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

  /** Tells the end to everything that waits, once. */
  #settle(error: ArqonError | undefined): void {
    if (this.#over) return;
    this.#report(error === undefined ? { state: "closed" } : { state: "closed", error });
    const why = error ?? new ArqonError("connection-closed");
    this.#life.abort(why);
    this.#subscriptions.close(error);
    this.#requests.close(why);
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

  /**
   * Runs a callback of the program. It must not break the connection: what it throws surfaces as
   * uncaught.
   */
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
