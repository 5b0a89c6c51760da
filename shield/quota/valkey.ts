/**
 * The quota server: one connection to Valkey or Redis by `iovalkey`. Every call ends within its time
 * limit, nothing is queued while there is no connection, and a lost connection is made again.
 */
import { Redis } from "iovalkey";
import type { RedisOptions } from "iovalkey";
import type { Grant, Reservation } from "./bucket.ts";
import { bucketKey, readGrants, SCRIPT, scriptArguments } from "./script.ts";

/** The server that answers reservations. */
export interface QuotaServer {
  /**
   * Resolves with one grant for each reservation, in their order. Rejects when the server is unreachable, late
   * or says something else.
   */
  reserve(asked: readonly Reservation[]): Promise<Grant[]>;
  /** Resolves when the server answers; rejects as `reserve` does. */
  ping(): Promise<void>;
  close(): void;
}

/** The login and the certificates with which the server is reached. */
export interface ValkeySecrets {
  readonly password?: string;
  /** PEM texts; undefined: the system's authorities, and no certificate of our own. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** How to reach the server. */
export interface ValkeyOptions {
  /** The server's URL, with user, password and database, if any. */
  readonly url: string;
  /** Reads the secrets that are in files; called before each attempt to connect. */
  readonly secrets: () => ValkeySecrets;
  /** The time limit of each call and of connecting, in ms. */
  readonly timeout_ms: number;
  /** The first pause between two attempts to connect; the longest is eight times that. */
  readonly retry_ms: number;
  /** A random number in [0, 1), for the jitter of these pauses. */
  readonly random: () => number;
  /** Called when there is a connection. */
  readonly onConnected: () => void;
  /**
   * Called when the connection is lost or could not be made; `why` is what the socket or the server
   * said.
   */
  readonly onLost: (why: string | undefined) => void;
}

/** The longest pause, as a multiple of the first. */
const PAUSES_MAX = 8;

/**
 * The pause in ms before attempt `attempt` (1 is the first after a loss). It doubles with each attempt,
 * and one half of it is random.
 */
export function retryPause_ms(retry_ms: number, attempt: number, random: () => number): number {
  const whole = retry_ms * Math.min(PAUSES_MAX, 2 ** Math.min(attempt - 1, 16));
  return Math.round(whole / 2 + random() * whole / 2);
}

function loginOptions({ password, tls }: ValkeySecrets): RedisOptions {
  return {
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  };
}

/** Starts connecting; does not wait for it. */
export function connectValkey(options: ValkeyOptions): QuotaServer {
  const { url, secrets, timeout_ms, retry_ms, random } = options;
  /**
   * Pauses since the server last answered. A connection alone is no answer: it may refuse the login.
   */
  let pauses = 0;
  const redis = new Redis(url, {
    connectTimeout: timeout_ms,
    commandTimeout: timeout_ms,
    lazyConnect: true,
    retryStrategy() {
      takeSecrets();
      return retryPause_ms(retry_ms, ++pauses, random);
    },
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    // The client's own check would wait for an answer without a limit.
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
  });
  // The client reads its options anew for each connection; an empty password in the URL would win over
  // ours.
  const takeSecrets = () => Object.assign(redis.options, loginOptions(secrets()));
  let last: Error | undefined;
  redis.on("error", (error: Error) => last = error);
  redis.on("ready", options.onConnected);
  redis.on("close", () => options.onLost(last?.message));
  takeSecrets();
  // A failed attempt is reported by "close", and is tried again.
  redis.connect().catch(() => {});

  async function limited<T>(call: () => Promise<T>): Promise<T> {
    if (redis.status !== "ready") {
      throw new Error(last?.message ?? "not connected", { cause: last });
    }
    try {
      const answer = await call();
      pauses = 0;
      return answer;
    } catch (error) {
      // A server that hangs keeps what it was sent. On a new connection nothing is waiting.
      if (isTimeout(error)) redis.disconnect(true);
      throw error;
    }
  }

  return {
    reserve: (asked) =>
      limited(async () => {
        const keys = asked.map(({ tenant_id }) => bucketKey(tenant_id));
        const answer = await redis.eval(SCRIPT, keys.length, ...keys, ...scriptArguments(asked));
        return readGrants(answer, asked.length);
      }),
    ping: () => limited(async () => void await redis.ping()),
    close: () => redis.disconnect(),
  };
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === "Command timed out";
}
