/** The judges of locks and of changes find each kind of error, and none in a correct record. */
import assert from "node:assert/strict";
import type { RoomEvent } from "@arqon/sdk/state";
import { judgeLocks } from "./lock_judge.ts";
import { LockLedger, type Write } from "./lock_ledger.ts";
import { ChangeRecord } from "./change_checker.ts";

type Change = Partial<RoomEvent> & Pick<RoomEvent, "op">;

const lock = (fence: number, at_ms: number, until_ms: number): Change => (
  { op: "lock", fence, holder: `u${fence}`, until_ms, at_ms }
);
const unlock = (fence: number, at_ms: number, cause = "released"): Change => (
  { op: "unlock", fence, cause, at_ms }
);
const set = (fence: number, at_ms: number, nonce = `${fence}-${at_ms}`): Change => (
  { op: "set", key: "guarded", value: { nonce, fence }, at_ms }
);

/** A room with these events, version by version. */
function ledgerOf(...events: Change[]): LockLedger {
  const ledger = new LockLedger("acme", "lock");
  for (const [index, event] of events.entries()) {
    const head = { epoch: "1", version: index + 1, by: "u", at_ms: 0 };
    ledger.add({ ...head, ...(index === 0 ? { first: true } : {}), ...event } as RoomEvent);
  }
  return ledger;
}

/** Exactly one violation, with this text. */
function wrong(ledger: LockLedger, text: RegExp): void {
  const { violations } = judgeLocks(ledger);
  assert.equal(violations.length, 1, violations.join("\n"));
  assert.match(violations[0] ?? "", text);
}

const written = (fence: number, nonce: string, outcome: Write["outcome"]): Write => (
  { user_id: "ann", fence, nonce, outcome }
);
const held = (user_id: string, fence: number, acked_ms: number, until_ms: number) => (
  { user_id, epoch: "1", fence, acked_ms, until_ms }
);

Deno.test("locks that follow each other, are renewed and lapse are right", () => {
  const ledger = ledgerOf(
    set(0, 1),
    lock(5, 10, 20),
    set(5, 11),
    lock(5, 12, 30),
    unlock(5, 13),
    lock(7, 14, 24),
    unlock(7, 24, "expired"),
    set(0, 25),
    lock(9, 30, 40),
  );
  ledger.granted(held("ann", 5, 10, 20));
  ledger.granted(held("ann", 5, 12, 30)).released_ms = 13;
  ledger.granted(held("bob", 7, 15, 24));
  ledger.writes.push(
    written(5, "5-11", { kind: "applied", epoch: "1", version: 3 }),
    written(5, "late", { kind: "refused", reason: "fence-mismatch" }),
    written(7, "lost", { kind: "unknown" }),
  );
  const { violations, locks, ends, writes, refused } = judgeLocks(ledger);
  assert.deepEqual(violations, []);
  assert.deepEqual({ locks, ends, writes, refused }, {
    locks: 3,
    ends: { released: 1, expired: 1 },
    writes: 3,
    refused: 1,
  });
});

Deno.test("two holders and fences that do not grow are found", () => {
  wrong(ledgerOf(lock(5, 1, 9), lock(7, 2, 9)), /a second holder: fence 5 had not ended/);
  wrong(ledgerOf(lock(5, 1, 9), unlock(5, 2), lock(4, 3, 9)), /the fence before was 5/);
  wrong(ledgerOf(lock(5, 1, 9), unlock(5, 2), lock(5, 3, 9)), /the fence before was 5/);
  wrong(ledgerOf(lock(5, 1, 9), unlock(4, 2)), /the lock was 5/);
  wrong(ledgerOf(lock(5, 1, 9), unlock(5, 8, "expired")), /its lease went on until 9/);
});

Deno.test("writes with an old fence, without one and after the lease are found", () => {
  wrong(ledgerOf(lock(5, 1, 9), unlock(5, 2), lock(7, 3, 9), set(5, 4)), /the lock was 7/);
  wrong(ledgerOf(lock(5, 1, 9), unlock(5, 2), set(5, 4)), /the lock was none/);
  wrong(ledgerOf(lock(5, 1, 9), set(0, 2)), /the lock was 5/);
  assert.deepEqual(judgeLocks(ledgerOf(lock(5, 1, 9), { ...set(0, 2), by: "u5" })).violations, []);
  // A lease of 8 ms may restart with each Brain that takes the room over.
  assert.deepEqual(judgeLocks(ledgerOf(lock(5, 1, 9), set(5, 40))).violations, []);
  const late = ledgerOf(lock(5, 1, 9), set(5, 41));
  wrong(late, /the lease had ended at 9/);
  late.is_timed = false;
  assert.deepEqual(judgeLocks(late).violations, [], "a clock was set");
});

Deno.test("answers that the room does not bear out are found", () => {
  const ledger = () => ledgerOf(lock(5, 1, 9), set(5, 2, "a"));
  const with_write = (outcome: Write["outcome"], nonce = "a") => {
    const made = ledger();
    made.writes.push(written(5, nonce, outcome));
    return made;
  };
  wrong(
    with_write({ kind: "refused", reason: "locked" }),
    /was refused \(locked\) and is version 2/,
  );
  wrong(
    with_write({ kind: "applied", epoch: "1", version: 9 }),
    /told to be version 9 and is 2 of/,
  );
  wrong(with_write({ kind: "applied", epoch: "1", version: 2 }, "b"), /version 2 and is nowhere/);
  wrong(ledgerOf(lock(5, 1, 9), set(5, 2, "a"), set(5, 3, "a")), /a was applied twice/);
  const stranger = ledger();
  stranger.granted(held("ann", 6, 1, 9));
  wrong(stranger, /fence 6 of epoch 1, of which the room says nothing/);
  const shared = ledger();
  shared.granted(held("ann", 5, 1, 2));
  shared.granted(held("bob", 5, 3, 4));
  wrong(shared, /fence 5 was given to ann and to bob/);
});

Deno.test("holders that both believe in their lock are found, except for one whose connection was lost", () => {
  const believers = (cause: string) => {
    const ledger = ledgerOf(lock(5, 1, 90), unlock(5, 2, cause), lock(7, 3, 90));
    ledger.granted(held("ann", 5, 1, 90));
    ledger.granted(held("bob", 7, 4, 90));
    return ledger;
  };
  wrong(believers("released"), /ann held fence 5 until 90, bob fence 7 from 4/);
  assert.deepEqual(judgeLocks(believers("holder-left")).violations, []);
});

Deno.test("versions that nobody received and versions with two contents are found", () => {
  const gap = ledgerOf(set(0, 1));
  gap.add({ epoch: "1", version: 4, by: "u", ...set(0, 4) } as RoomEvent);
  wrong(gap, /nobody ever heard of versions 2, 3/);
  const twofold = ledgerOf(set(0, 1, "a"));
  twofold.add({ epoch: "1", version: 1, by: "u", ...set(0, 1, "b") } as RoomEvent);
  wrong(twofold, /version 1 of epoch 1 is both/);
});

/** An event after the stored rooms were reopened, whose versions begin after 2,000. */
const later = (version: number, change: Change): RoomEvent =>
  ({ epoch: "8", version: 2_000 + version, by: "u", ...change }) as RoomEvent;

Deno.test("a room keeps its lock over a restart, and the end of an earlier one is not reported", () => {
  const ledger = ledgerOf(lock(5, 1, 90), set(5, 2));
  ledger.granted(held("ann", 5, 1, 90));
  // Both were answered, and the process ended before anybody received them.
  ledger.granted(held("bob", 6, 1, 1));
  ledger.writes.push(written(6, "6-2", { kind: "applied", epoch: "1", version: 4 }));
  for (
    const [index, change] of [set(5, 3), unlock(5, 4, "holder-left"), lock(7, 5, 95)].entries()
  ) {
    ledger.add(later(index + 1, change));
  }
  ledger.granted({ ...held("eve", 7, 6, 95), epoch: "8" });
  assert.deepEqual(judgeLocks(ledger).violations, []);
  ledger.granted({ ...held("zoe", 9, 95, 96), epoch: "8" });
  wrong(ledger, /zoe was given fence 9 of epoch 8, of which the room says nothing/);
});

Deno.test("the ledger knows up to where it is complete, also in a new epoch and after lost versions", () => {
  const ledger = ledgerOf(set(0, 1), set(0, 2));
  assert.equal(ledger.known_to, 2);
  ledger.add(later(2, set(0, 3)));
  assert.equal(ledger.known_to, 2_000);
  ledger.add(later(1, set(0, 3, "x")));
  assert.equal(ledger.known_to, 2_002);
  ledger.add(later(70, set(0, 4)));
  assert.equal(ledger.known_to, 2_002);
  ledger.giveUp();
  assert.equal(ledger.known_to, 2_070);
  ledger.giveUp();
  assert.equal(ledger.known_to, 2_070);
});

const change = (version: number, epoch = "7", op = "set", first = false) => ({
  epoch,
  version,
  op,
  first,
});

/** `-1` is a GAP, `0` a new subscription. */
function judged(
  received: readonly (number | ReturnType<typeof change>)[],
  now: number,
  epoch = "7",
) {
  const record = new ChangeRecord("ann");
  for (const item of received) {
    if (item === -1) record.gap();
    else if (item === 0) record.again();
    else record.receive(typeof item === "number" ? change(item) : item);
  }
  return record.judge({ epoch, version: now });
}

Deno.test("a correct record has no violations", () => {
  assert.deepEqual(judged([1, 2, 3], 3), []);
  assert.deepEqual(judged([5, 6], 6), [], "it came late");
  assert.deepEqual(judged([1, -1, 4], 4), []);
  assert.deepEqual(judged([1, -1], 4), [], "the end was told");
  assert.deepEqual(judged([1, 0, 5], 5), []);
  assert.deepEqual(judged([1, change(9, "7", "state"), 10], 10), []);
  assert.deepEqual(
    judged([3, change(9_001, "8", "set", true), change(9_002, "8")], 9_002, "8"),
    [],
  );
});

Deno.test("a repeat, a change that goes back, a hole and a missing end are found", () => {
  assert.match(judged([1, 2, 2], 2)[0] ?? "", /2 of epoch 7 came behind 2 of epoch 7/);
  assert.match(judged([1, -1, 3, 2], 3)[0] ?? "", /2 of epoch 7 came behind 3/);
  assert.match(judged([1, 3], 3)[0] ?? "", /3 of epoch 7 follows 1 of epoch 7 without a GAP/);
  assert.match(judged([1, -1, 3, 5], 5)[0] ?? "", /5 of epoch 7 follows 3/);
  assert.match(judged([1, change(3, "8")], 3, "8")[0] ?? "", /3 of epoch 8 follows/);
  assert.match(judged([1, 2], 3)[0] ?? "", /the room is at 3 of 7, and it heard of version 2/);
});
