/**
 * The quota server: one connection to Valkey or Redis by `iovalkey`. Every call ends within its time
 * limit, nothing is queued while there is no connection, and it connects again by itself.
 */
import { Redis } from "iovalkey";
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

/** How to reach it. */
export interface ValkeyOptions {
  /** With user, password and database, if any. */
  readonly url: string;
  /** PEM of the authority of its certificate; undefined: the system's. */
  readonly tls_ca: string | undefined;
  /** For each call, and for a connection. */
  readonly timeout_ms: number;
  /** Between two attempts to connect. */
  readonly retry_ms: number;
  /** There is a connection. */
  readonly onConnected: () => void;
  /** The connection is gone, or could not be had: why, as the socket or the server said it. */
  readonly onLost: (why: string | undefined) => void;
}

/** Starts connecting; does not wait for it. */
export function connectValkey(options: ValkeyOptions): QuotaServer {
  const { url, tls_ca, timeout_ms, retry_ms } = options;
  const redis = new Redis(url, {
    ...(tls_ca === undefined ? {} : { tls: { ca: tls_ca } }),
    connectTimeout: timeout_ms,
    commandTimeout: timeout_ms,
    retryStrategy: () => retry_ms,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    // It waits for an answer without a limit.
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
  });
  let last: Error | undefined;
  redis.on("error", (error: Error) => last = error);
  redis.on("ready", options.onConnected);
  redis.on("close", () => options.onLost(last?.message));

  async function limited<T>(call: () => Promise<T>): Promise<T> {
    if (redis.status !== "ready") {
      throw new Error(last?.message ?? "not connected", { cause: last });
    }
    try {
      return await call();
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
