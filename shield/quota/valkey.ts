/**
 * The quota server: one connection to Valkey or Redis by `iovalkey`. Every call has a time limit, nothing is queued
 * without a connection, and a lost connection is reopened.
 */
import { Redis, type RedisOptions } from "iovalkey";
import type { Grant, Reservation } from "./bucket.ts";

/** The server that answers reservations. */
export interface QuotaServer {
  /**
   * Resolves to one grant per reservation, in order. Rejects if the server is unreachable, late or gives an invalid
   * answer.
   */
  reserve(reservations: readonly Reservation[]): Promise<Grant[]>;
  /** Resolves if the server takes reservations; rejects as `reserve` does. */
  ping(): Promise<void>;
  /** Whether an attempt to connect has ended, so that there is a reason. */
  tried(): boolean;
  close(): void;
}

/** The login and the certificates for the server. */
export interface ValkeySecrets {
  readonly password?: string;
  /** PEM texts; undefined: the system's authorities, and no client certificate. */
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
  /** Called when the connection is lost or failed; `why` is the error of the socket or the server. */
  readonly onLost: (why: string | undefined) => void;
}

const NONE = { messages: 0, bytes: 0 };
/** A reservation of nobody. */
const NOTHING: Reservation = {
  tenant_id: "~",
  rate: { messages: 1, bytes: 1 },
  debt: NONE,
  wish: NONE,
};
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
  return { ...(password === undefined ? {} : { password }), ...(tls === undefined ? {} : { tls }) };
}

/** Starts connecting; does not wait for it. */
export function connectValkey(options: ValkeyOptions): QuotaServer {
  const { url, secrets, timeout_ms, retry_ms, random } = options;
  /** Pauses since the server last answered. A connection alone does not count, as the server may refuse the login. */
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
    // The client's own check would wait for an answer without a timeout.
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
  });
  // The client reads its options for each connection; an empty password in the URL would override this one.
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
      // A hanging server keeps received commands. A new connection has an empty queue.
      if (isTimeout(error)) redis.disconnect(true);
      throw error;
    }
  }

  const reserve = (all: readonly Reservation[]) =>
    limited(async () => {
      const keys = all.map(({ tenant_id }) => bucketKey(tenant_id));
      const answer = await redis.eval(SCRIPT, keys.length, ...keys, ...scriptArguments(all));
      return readGrants(answer, all.length);
    });
  return {
    reserve,
    // A server whose disk or memory is full, a replica, and a user without rights answer a PING, too.
    ping: async () => void await reserve([NOTHING]),
    tried: () => last !== undefined || redis.status === "ready",
    close: () => redis.disconnect(),
  };
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === "Command timed out";
}

// This file also packs the script's arguments and reads its answer.

/** Arguments of the script for each tenant. */
const WIDTH = 6;

/**
 * The script. KEYS: one bucket for each tenant. ARGV, for each: rate, debt and wish, each in messages
 * and bytes. Answers three numbers for each: messages, bytes, ms to wait. A bucket that has filled up
 * is deleted.
 */
export const SCRIPT = `
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local answer = {}
local function fill(level, rate, elapsed_us)
  local now = math.min(rate, level + rate * elapsed_us / 1000000)
  return math.floor(now * 1000000 + 0.5) / 1000000
end
local function part(level, wish)
  return math.max(0, math.min(wish, math.floor(level)))
end
local function wait(level, rate)
  return math.max(0, math.ceil((1 - level) * 1000 / rate))
end
for i, key in ipairs(KEYS) do
  local at = (i - 1) * ${WIDTH}
  local rate_m, rate_b = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local debt_m, debt_b = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local wish_m, wish_b = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local held = redis.call('HMGET', key, 'm', 'b', 't')
  local elapsed_us = math.max(0, now_us - (tonumber(held[3]) or now_us))
  local m = fill(tonumber(held[1]) or rate_m, rate_m, elapsed_us) - debt_m
  local b = fill(tonumber(held[2]) or rate_b, rate_b, elapsed_us) - debt_b
  local got_m, got_b = part(m, wish_m), part(b, wish_b)
  m, b = m - got_m, b - got_b
  local full_ms = math.max((rate_m - m) * 1000 / rate_m, (rate_b - b) * 1000 / rate_b)
  redis.call('HSET', key, 'm', string.format('%.6f', m), 'b', string.format('%.6f', b),
    't', string.format('%.0f', now_us))
  redis.call('PEXPIRE', key, math.ceil(full_ms) + 1000)
  local wait_ms = 0
  if got_m < wish_m then wait_ms = wait(m, rate_m) end
  if got_b < wish_b then wait_ms = math.max(wait_ms, wait(b, rate_b)) end
  answer[#answer + 1] = got_m
  answer[#answer + 1] = got_b
  answer[#answer + 1] = wait_ms
end
return answer
`;

/** The key of a tenant's bucket. Tenant ids need no escaping. */
export function bucketKey(tenant_id: string): string {
  return `arqon:quota:${tenant_id}`;
}

/** The script's ARGV for these reservations. */
export function scriptArguments(reservations: readonly Reservation[]): number[] {
  return reservations.flatMap(({ rate, debt, wish }) => [
    rate.messages,
    rate.bytes,
    debt.messages,
    debt.bytes,
    wish.messages,
    wish.bytes,
  ]);
}

/** Reads the answer to `count` reservations. Throws TypeError for anything else. */
export function readGrants(answer: unknown, count: number): Grant[] {
  if (!Array.isArray(answer) || answer.length !== count * 3 || !answer.every(isCount)) {
    throw new TypeError("the quota server's answer is not that of our script");
  }
  const numbers: number[] = answer;
  return Array.from({ length: count }, (_, index) => {
    const [messages = 0, bytes = 0, retry_after_ms = 0] = numbers.slice(index * 3, index * 3 + 3);
    return { granted: { messages, bytes }, retry_after_ms };
  });
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
