/**
 * The reservation of `bucket.ts` as a Lua script, for many tenants in one call: Valkey runs it as one
 * step, by its own clock. This file also packs the script's arguments and reads its answer.
 */
import type { Grant, Reservation } from "./bucket.ts";

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

/** The key of a tenant's bucket. Tenant ids have an alphabet without surprises. */
export function bucketKey(tenant_id: string): string {
  return `arqon:quota:${tenant_id}`;
}

/** The script's ARGV for these reservations. */
export function scriptArguments(asked: readonly Reservation[]): number[] {
  return asked.flatMap(({ rate, debt, wish }) => [
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
