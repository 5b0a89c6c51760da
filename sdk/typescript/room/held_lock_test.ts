// A lock with automatic renewal, with a simulated room and a clock that the test controls. `features_bus_test.ts` uses
// a real Brain.
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { type HoldLockOptions, keepLock, type LockRoom } from "./held_lock.ts";
import type { LockOptions } from "../state/room_state.ts";
import { CLEAN } from "../testing/counted.ts";

/** Small enough that a test need not wait, with the clock turned by hand: no answer depends on it. */
const TTL_MS = 30;

type Answer = "ok" | ArqonError;

function bench(...answers: Answer[]) {
  const state = { elapsed_ms: 0 };
  const requests: LockOptions[] = [];
  const unlocked: unknown[] = [];
  const last = Promise.withResolvers<void>();
  const room: LockRoom = {
    lock(options = {}) {
      requests.push(options);
      const answer = answers.shift() ?? "ok";
      if (answers.length === 0) last.resolve();
      if (answer !== "ok") return Promise.reject(answer);
      return Promise.resolve({
        version: 1,
        epoch: "e",
        fence: 7,
        until_ms: 1_000 + requests.length,
      });
    },
    unlock(fence) {
      unlocked.push(fence);
      return Promise.resolve({ version: 1, epoch: "e" });
    },
  };
  const life = new AbortController();
  const renewals = new Set<() => Promise<void>>();
  const elapsed = () => state.elapsed_ms;
  const keeping = { elapsed, random: () => 0.5, signal: life.signal, renewals };
  const hold = (options: HoldLockOptions = {}) =>
    keepLock(room, { ttl_ms: TTL_MS, ...options }, keeping);
  return { state, requests, unlocked, room, life, keeping, hold, last: last.promise };
}

const lost = (signal: AbortSignal): Promise<ArqonError> => {
  const { promise, resolve } = Promise.withResolvers<ArqonError>();
  signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  if (signal.aborted) resolve(signal.reason);
  return promise;
};

Deno.test(
  "it is renewed with its fence until it is released, and then unlocked once",
  CLEAN,
  async () => {
    const { requests, unlocked, hold, last } = bench("ok", "ok", "ok");
    const lock = await hold();
    assert.deepEqual([lock.fence, lock.until_ms], [7, 1_001]);
    await last;
    await Promise.all([lock.release(), lock.release(), lock[Symbol.asyncDispose]()]);
    assert.deepEqual([unlocked, lock.signal.aborted], [[7], false]);
    assert.equal(lock.until_ms, 1_003);
    const [first, second] = requests;
    assert.deepEqual([first?.ttl_ms, first?.fence, second?.ttl_ms, second?.fence], [
      30,
      undefined,
      30,
      7,
    ]);
    assert.match(first?.command_id ?? "", /^\d+-\d+$/);
    assert.equal(second?.timeout_ms, TTL_MS, "no longer than the lease");
  },
);

Deno.test(
  "when its connection has moved it is renewed at once, while it is held",
  CLEAN,
  async () => {
    const { keeping, hold, requests } = bench();
    const lock = await hold();
    const [moved] = keeping.renewals;
    await moved?.();
    assert.equal(requests.at(-1)?.fence, 7);
    assert.equal(lock.until_ms, 1_000 + requests.length);
    await lock.release();
    assert.equal(keeping.renewals.size, 0);
  },
);

Deno.test(
  "a waiting client asks again, each time with a new request, until it is free",
  CLEAN,
  async () => {
    const locked = new ArqonError("locked", "bob", { retry_after_ms: 5 });
    const { hold, requests } = bench(locked, locked, locked, "ok");
    const lock = await hold({ wait_ms: 60_000 });
    const ids = requests.slice(0, 4).map(({ command_id }) => command_id);
    assert.deepEqual([lock.fence, new Set(ids).size], [7, 4]);
    await lock.release();
  },
);

Deno.test(
  "after the wait the refusal is the last one, which names the holder: 'locked'",
  CLEAN,
  async () => {
    const { state, hold, room, requests } = bench();
    room.lock = (options = {}) => {
      requests.push(options);
      state.elapsed_ms += 40;
      return Promise.reject(new ArqonError("locked", `holder ${requests.length}`));
    };
    await assert.rejects(hold({ wait_ms: 100 }), /locked by holder 3/);
    assert.equal(requests.length, 3);
    // Other errors are not about another holder's lock.
    room.lock = () => Promise.reject(new ArqonError("not-granted", "x"));
    await assert.rejects(hold({ wait_ms: 60_000 }), { reason: "not-granted" });
    await assert.rejects(hold({ wait_ms: -1 }), TypeError);
  },
);

Deno.test("waiting ends at once when it is aborted, or with the connection", CLEAN, async () => {
  const locked = new ArqonError("locked", "bob", { retry_after_ms: 3_600_000 });
  for (const ending of ["signal", "life"] as const) {
    const { hold, life, room } = bench();
    const over = new AbortController();
    const why = new ArqonError("banned");
    room.lock = () => {
      setTimeout(() => (ending === "life" ? life : over).abort(why), 5);
      return Promise.reject(locked);
    };
    const holding = hold({ wait_ms: 3_600_000, signal: over.signal });
    // The first pause is at least 25 ms long.
    await assert.rejects(holding, (error) => error === why);
  }
});

Deno.test("temporary failures are retried while the lease lasts", CLEAN, async () => {
  const passing = ["connection-lost", "brain-unavailable", "answer-timeout"] as const;
  const { hold, last, requests } = bench(
    "ok",
    ...passing.map((reason) => new ArqonError(reason)),
    "ok",
  );
  const lock = await hold();
  await last;
  assert.deepEqual([requests.length, lock.signal.aborted], [5, false]);
  await lock.release();
});

Deno.test(
  "a lease that runs out unrenewed is lost by our own clock: 'fence-mismatch'",
  CLEAN,
  async () => {
    const { state, hold, room } = bench("ok");
    const lock = await hold();
    room.lock = () => {
      state.elapsed_ms += 13;
      return Promise.reject(new ArqonError("connection-lost", "x"));
    };
    const error = await lost(lock.signal);
    assert.deepEqual([error.reason, state.elapsed_ms], ["fence-mismatch", 39]);
  },
);

Deno.test(
  "the end of the connection is the loss at once, and nothing stays behind",
  CLEAN,
  async () => {
    const { life, hold, unlocked } = bench();
    const lock = await hold();
    const why = new ArqonError("banned");
    life.abort(why);
    assert.equal(lock.signal.reason, why);
    await lock.release();
    assert.deepEqual(unlocked, []);
    const late = await hold();
    assert.equal(late.signal.reason, why);
  },
);

Deno.test("release never rejects: a lock that cannot be unlocked is lost", CLEAN, async () => {
  const { hold, room } = bench();
  const lock = await hold();
  const error = new ArqonError("fence-mismatch", "gone");
  room.unlock = () => Promise.reject(error);
  await lock.release();
  assert.equal(lock.signal.reason, error);
});
