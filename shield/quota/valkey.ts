/**
 * The quota server: one connection to Valkey or Redis by `iovalkey`. Every call ends within its time
 * limit, nothing is queued while there is no connection, and it connects again by itself.
 */
import { Redis } from "iovalkey";
import type { RedisOptions } from "iovalkey";
import type { Grant, Reservation } from "./bucket.ts";
import { bucketKey, readGrants, SCRIPT, scriptArguments } from "./script.ts";

/** What answers reservations. */
export interface QuotaServer {
  /** One grant for each, in their order. Rejects when it is away, late or says something else. */
  reserve(asked: readonly Reservation[]): Promise<Grant[]>;
  /** Resolves when it answers; rejects as `reserve` does. */
  ping(): Promise<void>;
  close(): void;
}

/** As whom it is reached. */
export interface ValkeySecrets {
  /** Beside `password`; undefined: the one in the URL, or the server's default user. */
  readonly user?: string | undefined;
  readonly password?: string;
  /** PEM texts; undefined: the system's authorities, and no certificate of our own. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** How to reach it. */
export interface ValkeyOptions {
  /** With user, password and database, if any. */
  readonly url: string;
  /** What is in files, read again before each attempt to connect. */
  readonly secrets: () => ValkeySecrets;
  /** Time limit of each call, and of a connection, in ms. */
  readonly timeout_ms: number;
  /** The first pause between two attempts to connect; the longest is eight times that. */
  readonly retry_ms: number;
  /** For the jitter of these pauses, [0, 1). */
  readonly random: () => number;
  /** Called when there is a connection. */
  readonly onConnected: () => void;
  /** The connection is gone, or could not be had: why, as the socket or the server said it. */
  readonly onLost: (why: string | undefined) => void;
}

/** The longest pause, in first ones. */
const PAUSES_MAX = 8;

/** Pause in ms before attempt `attempt` (1 is the first after a loss): twice as long each time, a half by chance. */
export function retryPause_ms(retry_ms: number, attempt: number, random: () => number): number {
  const whole = retry_ms * Math.min(PAUSES_MAX, 2 ** Math.min(attempt - 1, 16));
  return Math.round(whole / 2 + random() * whole / 2);
}

function loginOptions({ user, password, tls }: ValkeySecrets): RedisOptions {
  return {
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  };
}

/** Starts connecting; does not wait for it. */
export function connectValkey(options: ValkeyOptions): QuotaServer {
  const { url, secrets, timeout_ms, retry_ms, random } = options;
  /** Pauses since the server last answered; a connection alone is none, it may refuse the login. */
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
    // It waits for an answer without a limit.
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
  });
  // It reads its options anew for each connection; an empty password in the URL would win over ours.
  const takeSecrets = () => Object.assign(redis.options, loginOptions(secrets()));
  let last: Error | undefined;
  redis.on("error", (error: Error) => last = error);
  redis.on("ready", options.onConnected);
  redis.on("close", () => options.onLost(last?.message));
  takeSecrets();
  // What goes wrong is told by "close", and tried again.
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
      // A server that hangs keeps what it was sent: a new connection has nothing waiting.
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
