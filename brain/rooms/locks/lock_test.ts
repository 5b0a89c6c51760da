/**
 * Locks of a room: leases, fencing tokens, holders; and their properties against a model of one lock. Leases of locks
 * while the wall clock is changed, and between Brains whose clocks differ.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { answerJson, applyCommands } from "../commands/apply.ts";
import type { RoomCommand } from "../commands/command.ts";
import {
  afterwards,
  answer,
  applied,
  CONTEXT,
  get,
  lock,
  release,
  remove,
  set,
  unlock,
} from "../testing/command_samples.ts";
import { emptyDocument, type RoomDocument } from "../store/document.ts";
import { settleDocument } from "../store/stored_document.ts";
import { Leases } from "./leases.ts";
import type { Lock } from "./lock.ts";

const NOW = CONTEXT.now_ms;
const at = (now_ms: number) => ({ now_ms });
/** A room locked by c1 at revision 7 until NOW + 10 s. */
const locked = settleDocument(afterwards([lock("c1")]), 7);

Deno.test("a lock's fencing token is the revision of its grant, and everybody can read its holder", () => {
  const held = { holder: "of c1", connection_id: "c1", until_ms: NOW + 10_000, fence: 7 };
  assert.deepEqual(answer(locked, get()), { version: 1, epoch: "7", state: {}, lock: held });
  const empty = { ...emptyDocument(), epoch: "7" };
  // The samples answer as after a write at revision 99.
  assert.deepEqual(answer(empty, lock("c1")), {
    version: 1,
    epoch: "7",
    fence: 99,
    until_ms: NOW + 10_000,
  });
});

Deno.test("while it is locked, others can neither write nor lock, until the lease ends", () => {
  for (const other of ["c2", ""]) {
    const { from } = lock(other);
    for (const command of [set("k", 1, { from }), remove("k", { from }), lock(other)]) {
      assert.equal(answer(locked, command), "409 locked: The room is locked by of c1");
      const [refusal] = applied(locked, [command], at(NOW + 9_000)).outcomes;
      assert.ok(refusal instanceof ArqonError);
      assert.equal(refusal.retry_after_ms, 1_000);
      assert.equal(typeof answer(locked, command, at(NOW + 10_000)), "object");
    }
    assert.equal(answer(locked, unlock(other)), "409 locked: The room is locked by of c1");
  }
});

Deno.test("the holder writes with its connection or its fencing token, and never with a wrong token", () => {
  const accepted = [
    set("k", 1, { from: lock("c1").from }),
    set("k", 1, { from: lock("c2").from, fence: 7 }),
    set("k", 1, { fence: 7 }),
    remove("k", { fence: 7 }),
  ];
  for (const command of accepted) {
    assert.deepEqual(answer(locked, command), { version: 2, epoch: "7" });
  }
  for (const fence of [6, 8, 2n ** 60n]) {
    const { from } = lock("c1");
    for (
      const command of [set("k", 1, { from, fence }), get("k", { fence }), unlock("c1", { fence })]
    ) {
      const mismatch = "409 fence-mismatch: Fence mismatch: the lock of of c1 has fence 7";
      assert.equal(answer(locked, command), mismatch);
    }
  }
  assert.match(
    String(answer(emptyDocument(), set("k", 1, { fence: 7 }))),
    /^409 fence-mismatch: .* the room has no lock$/,
  );
});

Deno.test("the write after a lapsed lock ends that lock first, as a separate version", () => {
  const { document, outcomes, fresh } = applied(locked, [set("k", 1)], at(NOW + 20_000));
  assert.equal(document.version, 3);
  assert.equal(document.lock, undefined);
  assert.deepEqual(fresh.map(({ fallen }) => fallen), ["expired", undefined]);
  const [first] = outcomes;
  assert.ok(first !== undefined && first !== "later" && !(first instanceof ArqonError));
  assert.equal(first.version, 3);
  assert.match(fresh[0]?.event.body ?? "", /"op":"unlock","holder":"of c1","cause":"expired"/);
});

Deno.test("locking again extends the lease with the same fencing token and never shortens it", () => {
  const longer = settleDocument(afterwards([lock("c1", 60_000)], locked), 8);
  assert.deepEqual(longer.lock, { ...locked.lock, until_ms: NOW + 60_000 });
  const shorter = afterwards([lock("c1", 1)], longer);
  assert.equal(shorter.lock?.until_ms, NOW + 60_000);
  const moved = afterwards([lock("c9", 1, { fence: 7 })], locked);
  assert.deepEqual(moved.lock, { ...locked.lock, connection_id: "c9", user_id: "of c9" });
});

Deno.test("two grants never share a write", () => {
  const list = [lock("c1"), lock("c1"), unlock("c1"), lock("c2"), set("k", 1)];
  const { outcomes, document } = applied(emptyDocument(), list);
  assert.equal(outcomes.length, 3, "the second grant and what follows it wait");
  assert.equal(document.version, 3);
  const rest = applied(settleDocument(document, 7), list.slice(3));
  assert.equal(settleDocument(rest.document, 8).lock?.fence, 8);
});

Deno.test("a repeated lock command answers the same fence and lease", () => {
  const command = lock("c1", 500, { command_key: "x" });
  const document = settleDocument(afterwards([command]), 7);
  const first = { version: 1, epoch: "7", fence: 7, until_ms: NOW + 500 };
  assert.deepEqual(answer(document, command), first);
  const later = settleDocument(afterwards([unlock("c1"), lock("c2")], document), 8);
  assert.deepEqual(answer(later, command, at(NOW + 100)), first);
});

Deno.test("the Brain ends only the lock that it means", () => {
  assert.equal(afterwards([release("expired")], locked), locked, "its lease still runs");
  assert.equal(afterwards([release("holder-left", "c2")], locked), locked, "it is not c2's");
  assert.equal(afterwards([release("expired")], emptyDocument()).version, 0);
  for (
    const [command, now_ms] of [
      [release("expired"), NOW + 10_000],
      [release("holder-left", "c1"), NOW],
    ] as const
  ) {
    const { document, fresh } = applied(locked, [command], { now_ms });
    assert.equal(document.lock, undefined);
    assert.equal(document.version, 2);
    assert.equal(fresh[0]?.fallen, command.cause);
  }
});

type Step =
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "leave"; readonly client: number }
  | {
    readonly kind: "lock" | "unlock" | "set";
    readonly client: number;
    readonly ttl_ms: number;
    readonly fenced: boolean;
  };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 80 }) }),
  fc.record({ kind: fc.constant("leave" as const), client: fc.nat(2) }),
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom("lock" as const, "unlock" as const, "set" as const),
      client: fc.nat(2),
      ttl_ms: fc.integer({ min: 1, max: 100 }),
      fenced: fc.boolean(),
    }),
  },
);

/** What the clients know, and the expected lock. */
interface Model {
  now_ms: number;
  holder: number | undefined;
  until_ms: number;
  fence: number;
  /** The last fence that each client received; 0: none. */
  readonly known: number[];
}

function commandOf(one: Exclude<Step, { kind: "wait" }>, model: Model): RoomCommand {
  const connection_id = `c${one.client}`;
  if (one.kind === "leave") return release("holder-left", connection_id);
  const more = { fence: one.fenced ? model.known[one.client] ?? 0 : 0 };
  if (one.kind === "lock") return lock(connection_id, one.ttl_ms, more);
  if (one.kind === "unlock") return unlock(connection_id, more);
  return set("k", 1, { ...more, from: lock(connection_id).from });
}

/** Whether the model accepts the command; updates the model if so. */
function expected(one: Exclude<Step, { kind: "wait" }>, model: Model, revision: number): boolean {
  const live = model.holder !== undefined && model.now_ms < model.until_ms;
  if (one.kind === "leave") {
    if (model.holder === one.client) model.holder = undefined;
    return true;
  }
  const fence = one.fenced ? model.known[one.client] ?? 0 : 0;
  const right_fence = live && fence === model.fence;
  if (fence !== 0 && !right_fence) return false;
  if (live && fence === 0 && model.holder !== one.client) return false;
  if (one.kind === "unlock" && !live) return false;
  if (one.kind === "unlock") model.holder = undefined;
  if (one.kind === "lock") {
    const until_ms = model.now_ms + one.ttl_ms;
    model.until_ms = live ? Math.max(model.until_ms, until_ms) : until_ms;
    if (!live) model.fence = revision;
    model.holder = one.client;
    model.known[one.client] = model.fence;
  }
  return true;
}

Deno.test("fences grow, one client holds the room, and versions have no gaps, whatever is done", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model: Model = {
        now_ms: NOW,
        holder: undefined,
        until_ms: 0,
        fence: 0,
        known: [0, 0, 0],
      };
      let document: RoomDocument = emptyDocument();
      let revision = 0;
      let last_fence = 0;
      for (const one of steps) {
        if (one.kind === "wait") {
          model.now_ms += one.ms;
          continue;
        }
        const command = commandOf(one, model);
        const { version } = document;
        const fence_before = model.fence;
        const done = applyCommands(document, [command], { ...CONTEXT, now_ms: model.now_ms });
        if (done.fresh.length > 0) revision++;
        const [outcome] = done.outcomes;
        assert.ok(outcome !== undefined && outcome !== "later");
        assert.equal(!(outcome instanceof ArqonError), expected(one, model, revision));
        assert.equal(done.document.version, version + done.fresh.length);
        if (done.fresh.length > 0) document = settleDocument(done.document, revision);
        if (one.kind !== "lock" || outcome instanceof ArqonError) continue;
        const { fence } = JSON.parse(
          answerJson(outcome, { epoch: "1", fence: revision, start: 0 }),
        );
        assert.equal(fence, model.fence);
        if (fence !== fence_before) assert.ok(fence > last_fence);
        last_fence = fence;
      }
    }),
    { numRuns: 500 },
  );
});

const HOUR_MS = 3_600_000;
const AT = { tenant_id: "acme", room_id: "lobby" };

/** A Brain's two clocks, which the test moves. */
class Brain {
  wall_ms: number;
  monotonic_ms = 5;
  readonly leases: Leases;

  constructor(wall_ms = 1_700_000_000_000) {
    this.wall_ms = wall_ms;
    this.leases = new Leases({ now: () => this.wall_ms, monotonic_ms: () => this.monotonic_ms });
  }

  pass(ms: number): void {
    this.wall_ms += ms;
    this.monotonic_ms += ms;
  }

  grant(ttl_ms: number, fence = 7): Lock {
    const lock: Lock = {
      user_id: "u1",
      connection_id: "c1",
      since_ms: this.wall_ms,
      until_ms: this.wall_ms + ttl_ms,
      fence,
    };
    this.leases.see(AT, lock);
    return lock;
  }

  isLive(lock: Lock): boolean {
    return this.wall_ms < this.leases.current(AT, lock).until_ms;
  }
}

for (
  const [clock, by_ms] of [["ahead", HOUR_MS], ["behind", -HOUR_MS], ["right", 0]] as const
) {
  Deno.test(`a lease of another Brain begins again where it is first seen; that Brain's clock is ${clock}`, () => {
    const other = new Brain(1_700_000_000_000 + by_ms);
    const next = new Brain();
    const lock = other.grant(30_000);
    next.pass(10_000);
    next.leases.see(AT, lock);
    next.pass(15_000);
    next.leases.see(AT, lock);
    next.pass(14_999);
    assert.ok(next.isLive(lock), "not shorter");
    next.pass(1);
    assert.ok(!next.isLive(lock), "seeing it again does not begin it anew");
  });
}

Deno.test("an extension is a lease of its own", () => {
  const brain = new Brain();
  brain.grant(30_000);
  brain.wall_ms -= HOUR_MS;
  brain.pass(20_000);
  const extended = brain.grant(30_000);
  brain.pass(29_999);
  assert.ok(brain.isLive(extended));
  brain.pass(1);
  assert.ok(!brain.isLive(extended));
});

Deno.test("leases of unused rooms are dropped; a requested one restarts", () => {
  const brain = new Brain();
  const lock = brain.grant(30_000);
  brain.pass(10_000);
  brain.leases.known()(() => true);
  assert.equal(brain.leases.current(AT, lock), lock);
  brain.leases.known()(() => false);
  assert.equal(brain.leases.size, 0);
  assert.equal(brain.leases.current(AT, lock).until_ms, brain.wall_ms + 30_000);
  brain.pass(30_000);
  assert.ok(!brain.isLive(lock), "and ends");
});

Deno.test("reading an older document does not change the known lease", () => {
  const brain = new Brain();
  const older = brain.grant(30_000);
  brain.pass(10_000);
  const extended = brain.grant(30_000);
  brain.pass(10_000);
  brain.leases.current(AT, older);
  brain.leases.see(AT, extended);
  brain.pass(20_000);
  assert.ok(!brain.isLive(extended));
});

Deno.test("any steps of the clock, with any reads and writes between: never longer than granted", () => {
  const steps = fc.array(
    fc.record({
      pass_ms: fc.integer({ min: 0, max: 9_000 }),
      set_ms: fc.integer({ min: -2 * HOUR_MS, max: 2 * HOUR_MS }),
      does: fc.constantFrom("nothing", "read", "write"),
    }),
    { maxLength: 20 },
  );
  fc.assert(fc.property(steps, (list) => {
    const brain = new Brain();
    let lock = brain.grant(30_000);
    const ends_ms = brain.monotonic_ms + 30_000;
    for (const { pass_ms, set_ms, does } of list) {
      brain.pass(pass_ms);
      brain.wall_ms += set_ms;
      if (does === "write") lock = brain.leases.current(AT, lock);
      if (does !== "nothing") brain.leases.see(AT, lock);
      const rest_ms = ends_ms - brain.monotonic_ms;
      if (brain.isLive(lock)) assert.ok(rest_ms > -50, `${rest_ms}`);
      else assert.ok(rest_ms < 50, `${rest_ms}`);
    }
  }));
});
