/**
 * How a test waits for what comes by itself: it looks again and again, and gives up after a limit that only what never
 * happens reaches. Not for benchmarks, whose pauses belong to what they measure. No product code polls with it.
 * Not for a load either: the looks become rarer.
 */
import { inspect } from "node:util";
import { pace } from "./pace.ts";

const POLL_MS = 10;
const POLL_MAX_MS = 1_000;
/** Of the time that was waited, the share that passes before the next look: a long wait is no load for the machine. */
const POLL_SHARE = 0.1;
const POLL_SHARE_MAX_MS = 250;
const LIMIT_MS = 60_000;
/** So long nothing has happened to what stands still. */
const STILL_MS = 500;

/** What an answer has that says "come again": a code, a reason, how long to wait. */
const COME_AGAIN = /\b(?:408|409|429|502|503|504)\b|unavailable|retry_after/;

type Condition = () => boolean | Promise<boolean>;
type What = string | (() => string);

const textOf = (what: What) => typeof what === "string" ? what : what();

/**
 * Whether a look that throws has only come too early: the answer says "come again", nobody listens, or a member that is
 * read is not there yet.
 */
function isTooEarly(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof SyntaxError) return true;
  const { code, status } = Object(error);
  return COME_AGAIN.test(`${error} ${code} ${status}`);
}

/** What the last look threw, if it did, when `condition` has not come to hold within the limit. */
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
    // A look that takes long leaves the machine as much time for what is waited for.
    await pace(Math.min(Math.max(POLL_MS, now_ms - looked_ms, share_ms), POLL_MAX_MS));
  }
}

/** Whether `condition` comes to hold within the limit: for a judge that tells itself what is missing. */
export async function becomes(condition: Condition, limit_ms: number): Promise<boolean> {
  return await vain(condition, limit_ms) === undefined;
}

/**
 * Resolves once `condition` holds; rejects with `what` when it has not within the limit. A look that comes too early
 * (see `isTooEarly`) may throw; what the last one threw is told.
 */
export async function until(
  what: What,
  condition: Condition,
  limit_ms: number = LIMIT_MS,
  isPassing: (error: unknown) => boolean = isTooEarly,
): Promise<void> {
  const last = await vain(condition, limit_ms, isPassing);
  if (last === undefined) return;
  const threw = "thrown" in last ? `; the last look threw ${last.thrown}` : "";
  throw new Error(`waited ${limit_ms} ms in vain: ${textOf(what)}${threw}`, { cause: last.thrown });
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
 * Resolves with what `attempt` gives once it does not reject; rejects as `until` does, with the last error. One that is
 * not `isPassing` goes through at once.
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
 * Resolves once `value` has been the same for a while: of a sender from whom nobody takes anything any more. For what
 * stands still for good: a machine that stops meanwhile makes it resolve too early, and then less is tested.
 */
export async function standsStill(value: () => unknown): Promise<void> {
  let [last, since_ms] = [value(), performance.now()];
  await until(() => `${last} stands still`, () => {
    const now_ms = performance.now();
    if (value() !== last) [last, since_ms] = [value(), now_ms];
    return now_ms - since_ms > STILL_MS;
  });
}
