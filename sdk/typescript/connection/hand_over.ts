/** Moves from a stopping Shield to another one (docs/protocol.md, When a node stops). */
import type { Settings } from "../options/options.ts";
import { backoffDelay, sleep } from "../time/clock.ts";
import { BEGIN_MS, LINGER_MS, POLL_MS, RENEW_MS, SETTLE_MS } from "../wire/bounds.ts";
import { WINDOW_MS_MAX } from "../wire/bounds.ts";
import type { Outbox } from "../request/outbox.ts";
import type { Session } from "./session.ts";
import type { Subscriptions } from "../subscription/subscriptions.ts";

/** What a move needs of its connection. */
export interface HandOverOptions extends Pick<Settings, "backoff" | "random"> {
  readonly outbox: Pick<Outbox, "pause" | "connected" | "underWay">;
  readonly subscriptions: Pick<Subscriptions, "begin" | "abandon" | "cross" | "settle">;
  /** Tries once to open a session; on failure resolves with the minimum wait before a retry, in ms. */
  readonly open: () => Promise<Session | { readonly retry_ms: number }>;
  /** See `LockKeeping`. */
  readonly renewals: ReadonlySet<() => Promise<void>>;
  /** Aborted when the connection ends. */
  readonly signal: AbortSignal;
}

/**
 * Moves within `window_ms`. Resolves with the next session, which has all subscriptions then, or with undefined if
 * there is none. The old session may end at any time; never rejects.
 */
export async function handOver(
  old: Session,
  window_ms: number,
  options: HandOverOptions,
): Promise<Session | undefined> {
  const { backoff, random } = options;
  const { signal, stop } = until(options.signal, old);
  // All clients were notified at once, so each waits a random time. The second half of the window is for retries.
  let wait_ms = random() * Math.max(0, Math.min(window_ms, WINDOW_MS_MAX)) / 2;
  try {
    for (let attempt = 0;; attempt++) {
      await sleep(wait_ms, signal);
      if (signal.aborted) return undefined;
      wait_ms = backoffDelay(attempt, backoff, random);
      const opened = await options.open();
      if ("retry_ms" in opened) {
        if (opened.retry_ms === Infinity) return undefined;
        wait_ms += opened.retry_ms;
      } else if (await move(old, opened, options)) {
        return opened;
      }
    }
  } finally {
    stop();
  }
}

/** A signal for when the connection or one of the sessions ends, or `stop` is called. */
function until(
  connection: AbortSignal,
  ...sessions: readonly Session[]
): { readonly signal: AbortSignal; readonly stop: () => void } {
  const own = new AbortController();
  const stop = () => own.abort();
  for (const { ended } of sessions) void ended.then(stop);
  return { signal: AbortSignal.any([connection, own.signal]), stop };
}

/** Moves to the next session. False if it was lost or unusable before the move was complete. */
async function move(old: Session, next: Session, options: HandOverOptions): Promise<boolean> {
  const { outbox, subscriptions } = options;
  const { signal, stop } = until(options.signal, old, next);
  outbox.pause();
  for (let waited_ms = 0; waited_ms < SETTLE_MS && !signal.aborted; waited_ms += POLL_MS) {
    if (outbox.underWay(old) === 0) break;
    await sleep(POLL_MS, signal);
  }
  const begun = subscriptions.begin(next).then(() => true);
  const stands = await Promise.race([begun, sleep(BEGIN_MS, signal)]) === true;
  if (stands) await sleep(LINGER_MS, signal);
  const lossless = stands && await Promise.race([old.echo(), next.ended]) === true;
  if (!old.over && (next.over || !stands)) {
    stop();
    subscriptions.abandon();
    outbox.connected(old);
    next.close(1000, "");
    return false;
  }
  subscriptions.cross(lossless);
  outbox.connected(next);
  const renew = () =>
    Promise.race([
      Promise.all([...options.renewals].map((renewal) => renewal())),
      sleep(RENEW_MS, signal),
    ]);
  await renew();
  if (outbox.underWay(old) > 0) {
    while (!signal.aborted && outbox.underWay(old) > 0) await sleep(POLL_MS, signal);
    // Locks that were granted on the old session meanwhile.
    await renew();
  }
  stop();
  void settle(next, options);
  old.close(1000, "");
  return true;
}

/** Ends the overlap once the next session has delivered everything that the old one did. */
async function settle(next: Session, { subscriptions, signal }: HandOverOptions): Promise<void> {
  await sleep(LINGER_MS, signal);
  if (await next.echo()) subscriptions.settle();
}
