/** The options of `connect` with their defaults and bounds, and the events of the platform. */
import { type Backoff, DEFAULT_BACKOFF, TIMER_MS_MAX } from "../time/clock.ts";
import { OFFLINE_MS_MAX } from "../wire/bounds.ts";
import { ArqonError, type Welcome } from "@arqon/proto";
import type { PatternPositions } from "../durable/position.ts";
import type { Prove } from "../proof.ts";
import type { Signer } from "../request/signing.ts";

/** The two URLs of one bus; without query, fragment or credentials. */
export interface Address {
  /** `ws(s)://host/…/v1/socket` */
  readonly socket_url: string;
  /** `http(s)://host/…/v1/auth/check` */
  readonly check_url: string;
}

/** The addresses of `url`. Throws a TypeError with the problem and what is expected. */
export function parseAddress(url: string | URL): Address {
  const text = String(url).trim();
  const wrong = (what: string) => new TypeError(`${what}; expected "ws://host:port"`);
  let parsed: URL;
  try {
    parsed = new URL(text.includes("://") ? text : `ws://${text}`);
  } catch {
    throw wrong(`not a URL: ${JSON.stringify(text)}`);
  }
  const { protocol, host, username, password } = parsed;
  const [scheme, secure] = /^(?:ws|http)(s?):$/.exec(protocol) ?? [];
  if (scheme === undefined) throw wrong(`scheme "${protocol}"`);
  if (username || password) throw wrong("a URL with a password");
  const path = parsed.pathname.replace(/(\/v1\/socket)?\/*$/, "");
  const rest = `${secure}://${host}${path}`;
  return { socket_url: `ws${rest}/v1/socket`, check_url: `http${rest}/v1/auth/check` };
}

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

/** Throws `token-malformed` unless the text can be a subprotocol and a header. */
export function assertToken(token: unknown): asserts token is string {
  if (typeof token !== "string" || !COMPACT_JWS.test(token)) {
    throw new ArqonError("token-malformed", "expected a JWT");
  }
}

/** Options with a token; errors do not show their values. */
const SECRET = /token$/i;

function shown(name: string, value: unknown): string {
  if (SECRET.test(name)) return "not shown";
  const is_text = typeof value === "string" || (typeof value === "object" && value !== null);
  return (is_text ? JSON.stringify(value) : String(value)).slice(0, 100);
}

function wrongOption(name: string, value: unknown, expected: string): TypeError {
  return new TypeError(`${name} is ${shown(name, value)}; expected ${expected}`);
}

/** Throws unless the value is undefined or one of `words`. */
export function assertWord(name: string, value: unknown, words: readonly string[]): void {
  if (value === undefined || words.includes(value as string)) return;
  throw wrongOption(name, value, words.map((word) => `"${word}"`).join(" or "));
}

/** Options with another name in the Python SDK, or of another function. */
const ELSEWHERE = {
  headers: "none: WebSockets of browsers send none",
  on_overflow: "it at subscribe and listen",
  get_token: "getToken",
  on_status: "onStatus",
  on_error: "onError",
};
const FUNCTIONS = "getToken onStatus onError traceparent now random webSocket proof".split(" ");

/** The bounds of the waits, with defaults. Throws TypeError for a wrong one. */
function backoffOf(given: unknown = {}): Backoff {
  if (typeof given !== "object" || given === null) {
    throw wrongOption("backoff", given, "{ base_ms, max_ms }");
  }
  const backoff: Record<keyof Backoff, number> = { ...DEFAULT_BACKOFF };
  for (const [name, value] of Object.entries(given)) {
    const path = `backoff.${name}`;
    if (!Object.hasOwn(backoff, name)) throw wrongOption(path, value, "base_ms or max_ms");
    if (value === undefined) continue;
    // A timer with a longer wait would fire at once, repeatedly.
    if (typeof value !== "number" || !(value >= 0 && value <= TIMER_MS_MAX)) {
      throw wrongOption(path, value, `0 to ${TIMER_MS_MAX}`);
    }
    backoff[name as keyof Backoff] = value;
  }
  return backoff;
}

/** Throws TypeError for the first invalid option of `connect`. Numbers: `atLeastOne`. */
function assertOptions(options: object): void {
  const given = options as Readonly<Record<string, unknown>>;
  for (const [name, right] of Object.entries(ELSEWHERE)) {
    if (given[name] !== undefined) throw wrongOption(name, given[name], right);
  }
  for (const name of FUNCTIONS) {
    const value = given[name];
    if (value !== undefined && typeof value !== "function") {
      throw wrongOption(name, value, "a function");
    }
  }
  const { offline, signer } = given;
  assertWord("offline", offline, ["queue", "refuse"]);
  if (signer !== undefined && typeof (signer as { sign?: unknown } | null)?.sign !== "function") {
    throw wrongOption("signer", signer, "an object with sign(data)");
  }
}

/** Events of the platform, or of the program's own `platform_events`. */
export interface PlatformEvents {
  /** False when there certainly is no network. */
  readonly online: boolean;
  /** Calls back for a new network (`online`) and a page in view (`visible`), until stopped. */
  listen(hear: (event: "online" | "visible") => void): () => void;
}

/** The part of a browser's globals that has these events. */
interface PlatformScope {
  readonly navigator?: { readonly onLine?: boolean };
  readonly document?: EventTarget & { readonly visibilityState: string };
  readonly addEventListener?: EventTarget["addEventListener"];
}

/** How long an attempt waits for a network after a wait of `waited_ms`, in ms. */
export function offlineWait(events: PlatformEvents | undefined, waited_ms: number): number {
  return events?.online === false ? Math.max(0, OFFLINE_MS_MAX - waited_ms) : 0;
}

/** The events of a browser or one of its workers; undefined where there are none. */
export function browserEvents(
  scope: PlatformScope = globalThis as unknown as PlatformScope,
): PlatformEvents | undefined {
  const { navigator, document } = scope;
  if (typeof navigator?.onLine !== "boolean" || !scope.addEventListener) return undefined;
  return {
    get online() {
      return navigator.onLine !== false;
    },
    listen(hear) {
      const over = new AbortController();
      scope.addEventListener!("online", () => hear("online"), over);
      document?.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "visible") hear("visible");
      }, over);
      return () => over.abort();
    },
  };
}

/** A callback for `Event` or more. A method's type also takes callbacks for a class of events. */
type Handler<Event> = { hear(event: Event): void }["hear"] | null;

/** The part of a WebSocket, the platform's or that of the npm package `ws`, that the SDK uses. */
export interface SocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  /** What happened before it opened, for error texts; absent if the platform does not report it. */
  readonly progress?: string;
  onmessage: Handler<{ readonly data: unknown }>;
  /** Called with an error; its `message` is shown, if there is one. */
  onerror: Handler<unknown>;
  onclose: Handler<{ readonly code: number; readonly reason: string }>;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** Creates sockets; `protocols` contain the token, so it must not log them. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => SocketLike;

/** Why a token is requested. */
export interface TokenRequest {
  /** The refusal of the previous token, if any: do not return the same token again. */
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
  /** The connection has ended. `error` is set unless the program closed it. */
  | { readonly state: "closed"; readonly error?: ArqonError };

/**
 * The options of `connect`. Only `url` and one of `token` and `getToken` are required. An invalid option is a TypeError
 * with its name, its value and what is expected: numbers are at least 1.
 */
export interface ConnectOptions {
  /** `ws://host:4000`, `wss://…`, `http(s)://…` or `host:port`. */
  readonly url: string | URL;
  /** A token, used until it expires. */
  readonly token?: string;
  /** Returns a token: at the start (unless `token` is given), before the present one expires, and after a refusal. */
  readonly getToken?: (request: TokenRequest) => string | Promise<string>;
  /** Aborting closes the connection at once; a pending `connect` rejects with its reason. */
  readonly signal?: AbortSignal;
  /** The WebSocket class; default: the platform's. */
  readonly webSocket?: WebSocketConstructor;
  /**
   * "websocket", the default; "http": requests and server-sent events; "auto": WebSocket, or HTTP if that does not open
   * or repeatedly breaks soon, which is remembered for the host for 10 minutes. The code of "http" and "auto" is loaded
   * on demand; `unreachable` if that fails.
   */
  readonly transport?: "auto" | "websocket" | "http";
  readonly backoff?: Partial<Backoff>;
  /** How often `connect` tries before it rejects; default 1. An opened connection reconnects without a limit. */
  readonly initial_attempts?: number;
  /** Time limit of the upgrade, of WELCOME and of `getToken` each, in ms; default 10,000. */
  readonly handshake_timeout_ms?: number;
  /** Default of `timeout_ms` of publish and command; default 10,000 ms. */
  readonly request_timeout_ms?: number;
  /** The most unanswered publishes and commands; default 256. */
  readonly window?: number;
  /** The most requests that wait for the window or for a connection; default 8,192. */
  readonly queue?: number;
  /** The bytes of those requests; default 64 MiB. */
  readonly queue_bytes?: number;
  /**
   * Publishes and commands while disconnected. "queue", the default: they wait, at most `timeout_ms`. "refuse": they
   * reject at once with `connection-lost`.
   */
  readonly offline?: "queue" | "refuse";
  /** Signs every publish and command. Default: none. */
  readonly signer?: Signer;
  /** For `verify` of subscribe: `proof({ vkeys: [VKEY] })` of `@arqon/sdk/proof`. */
  readonly proof?: Prove;
  /**
   * Use the browser's network and visibility events: a new network ends a wait, without a network there are no attempts
   * for up to 30 s, and after sleep or on a new network the Shield is pinged at once. Default true; false turns it off.
   */
  readonly platform_events?: boolean | PlatformEvents;
  readonly onStatus?: (status: Status) => void;
  /**
   * Receives errors that no promise and no loop reports: refusals without a request, failed token refreshes, and
   * `handler-failed` and `schema-violation` of messages.
   */
  readonly onError?: (error: ArqonError) => void;
  /**
   * Returns the `traceparent` of the active span when the program publishes or sends a command, for example from an
   * OpenTelemetry propagator; undefined without one.
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

/** `ConnectOptions` with every default filled in, as `Connection` uses them. */
export interface Settings
  extends Omit<ConnectOptions, keyof typeof NUMBERS>, Readonly<typeof NUMBERS> {
  readonly address: Address;
  readonly webSocket: WebSocketConstructor;
  readonly backoff: Backoff;
  readonly events: PlatformEvents | undefined;
  /** True: ping the peer when the device has slept or its clock was set. */
  readonly watch_clock: boolean;
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly elapsed: () => number;
  readonly random: () => number;
  /** Of `connect` of `@arqon/sdk/patterns`: the positions of a new pattern. */
  readonly newPositions?: () => PatternPositions;
}

/** Numeric options with defaults for the omitted ones. Throws TypeError for one below 1. */
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

/** The settings of these options. Throws TypeError, and `token-malformed` for such a token. */
export function settingsFrom(options: ConnectOptions): Settings {
  assertOptions(options);
  const { token, getToken, platform_events: events = true } = options;
  if (token === undefined && getToken === undefined) {
    throw new TypeError("no `token`, no `getToken`");
  }
  if (token !== undefined) assertToken(token);
  const { webSocket = globalThis.WebSocket } = options;
  // Browsers since 2024 have both.
  if (!webSocket || !Promise.withResolvers) {
    throw new TypeError("@arqon/sdk needs Node 22 or newer");
  }
  return {
    ...options,
    ...atLeastOne(options, NUMBERS),
    address: parseAddress(options.url),
    webSocket,
    backoff: backoffOf(options.backoff),
    events: events === true ? browserEvents() : events || undefined,
    watch_clock: events !== false,
    now: options.now ?? Date.now,
    elapsed: () => performance.now(),
    random: options.random ?? Math.random,
  };
}
