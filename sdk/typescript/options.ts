/**
 * What `connect` takes, with every default and bound. Types and one function that fills defaults in.
 */
import type { ArqonError, Welcome } from "@arqon/proto";
import { parseAddress } from "./address.ts";
import type { Address } from "./address.ts";
import { DEFAULT_BACKOFF } from "./backoff.ts";
import type { Backoff } from "./backoff.ts";
import { assertToken } from "./token.ts";

/** The part of the platform's WebSocket that the SDK uses. */
export interface SocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
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
 * Where the connection stands; `onStatus` hears every change. `attempt` counts the failures in a row
 * before this attempt, `retry_in_ms` is the wait that begins now.
 */
export type Status =
  | { readonly state: "connecting"; readonly attempt: number }
  | { readonly state: "open"; readonly welcome: Welcome }
  | { readonly state: "waiting"; readonly error: ArqonError; readonly retry_in_ms: number }
  /** The end. `error` is there unless the program closed the connection. */
  | { readonly state: "closed"; readonly error?: ArqonError };

/**
 * What `connect` takes. Only `url` and one of `token` and `getToken` are needed. A number below 1
 * where one counts or bounds something is a TypeError.
 */
export interface ConnectOptions {
  /** `ws://host:4000`, `wss://…`, `http(s)://…` or `host:port`. */
  readonly url: string | URL;
  /** A token for as long as it lasts. */
  readonly token?: string;
  /** Asked for a token at the start (unless `token` is given), before one expires, and after a refusal. */
  readonly getToken?: (request: TokenRequest) => string | Promise<string>;
  /** Aborting closes the connection. */
  readonly signal?: AbortSignal;
  /** Default: the platform's. */
  readonly webSocket?: WebSocketConstructor;
  readonly backoff?: Partial<Backoff>;
  /** How often `connect` tries before it rejects; default 1. Once open it reconnects without end. */
  readonly initial_attempts?: number;
  /** Upgrade, WELCOME and `getToken` each within this; default 10,000 ms. */
  readonly handshake_timeout_ms?: number;
  /** Default of `timeout_ms` of publish and command; default 10,000 ms. */
  readonly request_timeout_ms?: number;
  /** Unanswered publishes and commands at a time; default 256. */
  readonly window?: number;
  /** Requests that wait for the window or for a connection; default 8,192. */
  readonly queue?: number;
  /** Their bytes; default 64 MiB. */
  readonly queue_bytes?: number;
  readonly onStatus?: (status: Status) => void;
  /** Refusals that answer no request, for example of a publish without ACK. */
  readonly onError?: (error: ArqonError) => void;
  /**
   * The `traceparent` of the span that is active when the program publishes or sends a command, for
   * example from an OpenTelemetry propagator; undefined: none is.
   */
  readonly traceparent?: () => string | undefined;
  /** Unix ms; default `Date.now`. */
  readonly now?: () => number;
  /** Numbers in [0, 1); default `Math.random`. */
  readonly random?: () => number;
}

/** `ConnectOptions` with every default filled in, as `Connection` uses them. */
export interface Settings {
  readonly address: Address;
  readonly token: string | undefined;
  readonly getToken: ((request: TokenRequest) => string | Promise<string>) | undefined;
  readonly webSocket: WebSocketConstructor;
  readonly backoff: Backoff;
  readonly initial_attempts: number;
  readonly handshake_timeout_ms: number;
  readonly request_timeout_ms: number;
  readonly window: number;
  readonly queue_max: number;
  readonly queue_bytes_max: number;
  readonly onStatus: (status: Status) => void;
  readonly onError: (error: ArqonError) => void;
  readonly traceparent: (() => string | undefined) | undefined;
  readonly now: () => number;
  readonly random: () => number;
}

function atLeastOne(name: string, value: number): number {
  if (value >= 1) return value;
  throw new TypeError(`${name} is ${value}; expected a number of at least 1`);
}

/** Throws TypeError for options that cannot work and `token-malformed` for such a token. */
export function settingsFrom(options: ConnectOptions): Settings {
  if (options.token === undefined && options.getToken === undefined) {
    throw new TypeError("connect needs `token` or `getToken`");
  }
  if (options.token !== undefined) assertToken(options.token);
  return {
    address: parseAddress(options.url),
    token: options.token,
    getToken: options.getToken,
    webSocket: options.webSocket ?? (WebSocket as unknown as WebSocketConstructor),
    backoff: { ...DEFAULT_BACKOFF, ...options.backoff },
    initial_attempts: atLeastOne("initial_attempts", options.initial_attempts ?? 1),
    handshake_timeout_ms: atLeastOne(
      "handshake_timeout_ms",
      options.handshake_timeout_ms ?? 10_000,
    ),
    request_timeout_ms: atLeastOne("request_timeout_ms", options.request_timeout_ms ?? 10_000),
    window: atLeastOne("window", options.window ?? 256),
    queue_max: atLeastOne("queue", options.queue ?? 8_192),
    queue_bytes_max: atLeastOne("queue_bytes", options.queue_bytes ?? 67_108_864),
    onStatus: options.onStatus ?? (() => {}),
    onError: options.onError ?? (() => {}),
    traceparent: options.traceparent,
    now: options.now ?? Date.now,
    random: options.random ?? Math.random,
  };
}
