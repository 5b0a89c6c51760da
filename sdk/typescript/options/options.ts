/**
 * What `connect` takes, with every default and bound. Types and one function that fills defaults in.
 */
import type { ArqonError, Welcome } from "@arqon/proto";
import { parseAddress } from "./address.ts";
import type { Address } from "./address.ts";
import { DEFAULT_BACKOFF } from "../time/backoff.ts";
import type { Backoff } from "../time/backoff.ts";
import { assertOptions, wrongOption } from "./check.ts";
import { browserEvents } from "./platform_events.ts";
import type { PlatformEvents } from "./platform_events.ts";
import type { Signer } from "../request/signing.ts";
import { assertToken } from "../token/token.ts";

/**
 * A callback for events that are an `Event` or more. It is a method type, since a method may also
 * take a class of its own.
 */
type Handler<Event> = { hear(event: Event): void }["hear"] | null;

/**
 * The part of a WebSocket that the SDK uses: of the platform's own, and of the npm package `ws`,
 * whose events are classes of its own.
 */
export interface SocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  /** What came before it opened, for an error that says so; absent where the platform does not tell. */
  readonly progress?: string;
  onmessage: Handler<{ readonly data: unknown }>;
  /** Called with an error; its `message` is shown, if there is one. */
  onerror: Handler<unknown>;
  onclose: Handler<{ readonly code: number; readonly reason: string }>;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** Makes sockets; its `protocols` carry the token, so it must not log them. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => SocketLike;

/** Why a token is asked for. */
export interface TokenRequest {
  /** The refusal of the token before, if there was one: do not give the same token again. */
  readonly refused?: ArqonError;
  /** Aborted when the answer is no longer wanted. */
  readonly signal: AbortSignal;
}

/**
 * The state of the connection; `onStatus` receives every change. `attempt` counts the failures in a
 * row before this attempt, `retry_in_ms` is the wait that begins now.
 */
export type Status =
  | { readonly state: "connecting"; readonly attempt: number }
  | { readonly state: "open"; readonly welcome: Welcome }
  | { readonly state: "waiting"; readonly error: ArqonError; readonly retry_in_ms: number }
  /** The connection has ended. `error` is there unless the program closed it. */
  | { readonly state: "closed"; readonly error?: ArqonError };

/**
 * What `connect` takes. Only `url` and one of `token` and `getToken` are needed. An option that cannot
 * work is a TypeError with its name, its value and what is expected: numbers are at least 1.
 */
export interface ConnectOptions {
  /** `ws://host:4000`, `wss://…`, `http(s)://…` or `host:port`. */
  readonly url: string | URL;
  /** A token, used for as long as it lasts. */
  readonly token?: string;
  /**
   * Gives a token: at the start (unless `token` is given), before one expires, and after a refusal.
   */
  readonly getToken?: (request: TokenRequest) => string | Promise<string>;
  /** Aborting closes the connection at once; a `connect` that still waits rejects with its reason. */
  readonly signal?: AbortSignal;
  /** The WebSocket class; default: the platform's. */
  readonly webSocket?: WebSocketConstructor;
  /**
   * "websocket", the default: nothing else. "http": requests and server-sent events alone. "auto":
   * WebSocket, and HTTP where that does not open, or breaks soon each time; what was found is remembered
   * for the host for 10 minutes, then a new connection tries WebSocket again. The code for both is
   * loaded when it is asked for; where that fails `connect` rejects with `unreachable`.
   */
  readonly transport?: "auto" | "websocket" | "http";
  readonly backoff?: Partial<Backoff>;
  /** How often `connect` tries before it rejects; default 1. Once open it reconnects without end. */
  readonly initial_attempts?: number;
  /** Time limit of the upgrade, of WELCOME and of `getToken` each, in ms; default 10,000. */
  readonly handshake_timeout_ms?: number;
  /** Default of `timeout_ms` of publish and command; default 10,000 ms. */
  readonly request_timeout_ms?: number;
  /** Publishes and commands that may be unanswered at a time; default 256. */
  readonly window?: number;
  /** Requests that wait for the window or for a connection; default 8,192. */
  readonly queue?: number;
  /** The bytes of those requests; default 64 MiB. */
  readonly queue_bytes?: number;
  /**
   * What happens to a publish or command while the connection is not open. "queue", the default: it
   * waits, `timeout_ms` at most. "refuse": it rejects at once with `connection-lost`, and is not
   * sent later. A request that was taken while the connection was open is not affected.
   */
  readonly offline?: "queue" | "refuse";
  /** Signs every publish and command. Default: they are not signed. */
  readonly signer?: Signer;
  /**
   * Follow what a browser tells: with a network again a wait is cut short, without one no attempt is
   * made for up to 30 s, and after the page was hidden or the device has slept the Shield is asked at
   * once whether it is still there. Default true; false turns all of it off.
   */
  readonly platform_events?: boolean | PlatformEvents;
  readonly onStatus?: (status: Status) => void;
  /**
   * Receives errors that no promise and no loop reports: refusals that answer no request (of a
   * publish without ACK), a token that cannot be refreshed, `handler-failed` and `schema-violation`
   * of messages.
   */
  readonly onError?: (error: ArqonError) => void;
  /**
   * The `traceparent` of the span that is active when the program publishes or sends a command, for
   * example from an OpenTelemetry propagator; undefined: none is.
   */
  readonly traceparent?: () => string | undefined;
  /** The device's clock in Unix ms, which may jump; default `Date.now`. */
  readonly now?: () => number;
  /** Numbers in [0, 1); default `Math.random`. */
  readonly random?: () => number;
}

/** The numeric options with their defaults; each is at least 1. */
const NUMBERS = {
  initial_attempts: 1,
  handshake_timeout_ms: 10_000,
  request_timeout_ms: 10_000,
  window: 256,
  queue: 8_192,
  queue_bytes: 67_108_864,
};

/** Options that `Connection` uses as they are given. */
type Given = Pick<
  ConnectOptions,
  | "token"
  | "getToken"
  | "offline"
  | "signer"
  | "onStatus"
  | "onError"
  | "traceparent"
>;

/** `ConnectOptions` with every default filled in, as `Connection` uses them. */
export interface Settings extends Given, Readonly<typeof NUMBERS> {
  readonly address: Address;
  readonly webSocket: WebSocketConstructor;
  readonly backoff: Backoff;
  readonly events: PlatformEvents | undefined;
  readonly watch_clock: boolean;
  readonly now: () => number;
  /** Milliseconds since some moment, by a clock that nobody sets. */
  readonly elapsed: () => number;
  readonly random: () => number;
}

/**
 * Numeric options with the defaults of those that are left out. Throws TypeError for one below 1.
 */
export function atLeastOne<Name extends string>(
  options: { readonly [Key in NoInfer<Name>]?: number },
  defaults: Readonly<Record<Name, number>>,
): Record<Name, number> {
  const numbers: Record<Name, number> = { ...defaults };
  for (const name in defaults) {
    const value = numbers[name] = options[name] ?? defaults[name];
    if (typeof value !== "number" || !(value >= 1)) {
      throw wrongOption(name, value, "at least 1");
    }
  }
  return numbers;
}

/**
 * The settings from the options. Throws TypeError for options that cannot work, and
 * `token-malformed` for such a token.
 */
export function settingsFrom(options: ConnectOptions): Settings {
  assertOptions(options);
  const { token, getToken, platform_events: events = true } = options;
  if (token === undefined && getToken === undefined) {
    throw new TypeError("no `token`, no `getToken`");
  }
  if (token !== undefined) assertToken(token);
  const { webSocket = globalThis.WebSocket } = options;
  // Browsers of 2024 have both, too.
  if (!webSocket || !Promise.withResolvers) {
    throw new TypeError("@arqon/sdk needs Node 22 or newer");
  }
  return {
    ...options,
    ...atLeastOne(options, NUMBERS),
    address: parseAddress(options.url),
    webSocket,
    backoff: {
      base_ms: options.backoff?.base_ms ?? DEFAULT_BACKOFF.base_ms,
      max_ms: options.backoff?.max_ms ?? DEFAULT_BACKOFF.max_ms,
    },
    events: events === true ? browserEvents() : events || undefined,
    watch_clock: events !== false,
    now: options.now ?? Date.now,
    elapsed: () => performance.now(),
    random: options.random ?? Math.random,
  };
}
