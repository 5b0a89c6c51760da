/**
 * Waits of tests for a condition: it polls, and gives up after a limit that only a missing event reaches. Not for
 * benchmarks, whose pauses are part of the measurement, and not as a load, because polls become rarer. No product code
 * polls with it.
 */
import { inspect } from "node:util";
import { pace } from "./pace.ts";

const POLL_MS = 10;
const POLL_MAX_MS = 1_000;
/** The share of the elapsed wait that passes before the next poll, so that a long wait causes no load. */
const POLL_SHARE = 0.1;
const POLL_SHARE_MAX_MS = 250;
const LIMIT_MS = 60_000;
/** A value that has been unchanged for this long is stable. */
const STILL_MS = 500;

/** The members of an answer that request a retry: a code, a reason, a wait. */
const COME_AGAIN = /\b(?:408|409|429|502|503|504)\b|unavailable|retry_after/;

type Condition = () => boolean | Promise<boolean>;
type What = string | (() => string);

const textOf = (what: What) => typeof what === "string" ? what : what();

/**
 * Whether a failed poll was only too early: the answer requests a retry, nothing listens yet, or a member does not
 * exist yet.
 */
function isTooEarly(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof SyntaxError) return true;
  const { code, status } = Object(error);
  return COME_AGAIN.test(`${error} ${code} ${status}`);
}

/** The error of the last poll, if any, if `condition` was not true within the limit. */
async function vain(
  condition: Condition,
  limit_ms: number,
  isPassing: (error: unknown) => boolean = isTooEarly,
): Promise<{ readonly thrown?: unknown } | undefined> {
  const begun_ms = performance.now();
  for (;;) {
    const looked_ms = performance.now();
    let last = {};
    try {
      if (await condition()) return undefined;
    } catch (error) {
      if (!isPassing(error)) throw error;
      last = { thrown: error };
    }
    const now_ms = performance.now();
    if (now_ms - begun_ms > limit_ms) return last;
    const share_ms = Math.min(POLL_SHARE * (now_ms - begun_ms), POLL_SHARE_MAX_MS);
    // A slow poll leaves the machine as much time for the awaited event.
    await pace(Math.min(Math.max(POLL_MS, now_ms - looked_ms, share_ms), POLL_MAX_MS));
  }
}

/** Whether `condition` becomes true within the limit, for callers that report the failure themselves. */
export async function becomes(condition: Condition, limit_ms: number): Promise<boolean> {
  return await vain(condition, limit_ms) === undefined;
}

/**
 * Resolves once `condition` is true; rejects with `what` after the limit. A poll that is too early (see `isTooEarly`)
 * may throw; the error of the last one is reported.
 */
export async function until(
  what: What,
  condition: Condition,
  limit_ms: number = LIMIT_MS,
  isPassing: (error: unknown) => boolean = isTooEarly,
): Promise<void> {
  const last = await vain(condition, limit_ms, isPassing);
  if (last === undefined) return;
  const threw = "thrown" in last ? `; the last poll threw ${last.thrown}` : "";
  throw new Error(`not within ${limit_ms} ms: ${textOf(what)}${threw}`, { cause: last.thrown });
}

/** Resolves with the first value of `find` that is not undefined; rejects as `until` does. */
export async function found<T>(
  what: What,
  find: () => T | undefined | Promise<T | undefined>,
  limit_ms: number = LIMIT_MS,
): Promise<T> {
  let value: T | undefined;
  await until(what, async () => (value = await find()) !== undefined, limit_ms);
  return value as T;
}

/** Resolves with the first value of `look` for which `isRight`; rejects as `until` does, with the last value. */
export async function seen<T>(
  what: What,
  look: () => T | Promise<T>,
  isRight: (value: T) => boolean,
  limit_ms: number = LIMIT_MS,
): Promise<T> {
  let last: T;
  await until(
    () => `${textOf(what)}; last seen: ${inspect(last, { depth: 6 })}`,
    async () => isRight(last = await look()),
    limit_ms,
  );
  return last!;
}

/**
 * Resolves with the result of `attempt` once it does not reject; rejects as `until` does, with the last error. An error
 * that is not `isPassing` is rethrown at once.
 */
export async function insist<T>(
  what: What,
  attempt: () => Promise<T>,
  isPassing: (error: unknown) => boolean = () => true,
  limit_ms: number = LIMIT_MS,
): Promise<T> {
  let value: T;
  await until(
    what,
    async () => {
      value = await attempt();
      return true;
    },
    limit_ms,
    isPassing,
  );
  return value!;
}

/**
 * Resolves once `value` has been unchanged for a while, for a sender whose output is no longer consumed. If the machine
 * stalls meanwhile, it resolves too early, and the test covers less.
 */
export async function standsStill(value: () => unknown): Promise<void> {
  let last = value();
  let since_ms = performance.now();
  await until(() => `${last} is stable`, () => {
    const now_ms = performance.now();
    if (value() !== last) [last, since_ms] = [value(), now_ms];
    return now_ms - since_ms > STILL_MS;
  });
}
