/**
 * Brains that take a room from each other, die during an append and sometimes know too little, on a real embedded log:
 * each join and each leave is written once, and the final members are right.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import { QUIET } from "../../shared/testing/logs.ts";
import { MembersAt } from "../../shared/membership/book.ts";
import { readStored } from "../../shared/membership/entry.ts";
import type { MembershipEntry, RecordedMember } from "../../shared/membership/entry.ts";
import type { Stay } from "../../shared/presence/messages.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { configFrom } from "../../shared/config/load.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import { turn } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { RoomRecorder } from "./room_recorder.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const ROOM = "stage~members";
const RETENTION = { history_size: 5_000, history_ttl_seconds: 3_600, replicas: undefined };

const WRITER = { node_id: "s1", incarnation: 1 };
const member = (connection_id: string, joined_ms = 1): RecordedMember => ({
  user_id: "u",
  issuer: "i",
  connection_id,
  ...WRITER,
  joined_ms,
});

/** The true members, the owner of the room, and the log's faults. */
interface World {
  readonly log: DurableLog;
  readonly present: Set<string>;
  owner: number;
  /** The number of next appends that are stored but reported as failed. */
  lost_answers: number;
  /** How often the room was recorded as open. */
  opened: number;
  /** Join times of the members that did not join at 1. */
  readonly joined_ms?: ReadonlyMap<string, number>;
  /** Stays that a Shield need not report any longer. */
  readonly settled?: Stay[];
}

function recorderOf(
  world: World,
  brain: number,
  openLog?: () => Promise<DurableLog>,
  now: () => number = Date.now,
): RoomRecorder {
  const { log } = world;
  const shaky = overriding(log, {
    async append(...args) {
      const appended = await log.append(...args);
      if (world.lost_answers > 0) {
        world.lost_answers--;
        throw new ArqonError("log-unavailable", "it may have been stored");
      }
      return appended;
    },
  });
  return new RoomRecorder({
    tenant_id: "t",
    room_id: "stage",
    members_room_id: ROOM,
    openLog: openLog ?? (() => Promise.resolve(shaky)),
    owns: () => world.owner === brain,
    isCertain: () => true,
    memberOf: (id) => world.present.has(id) ? member(id, world.joined_ms?.get(id)) : undefined,
    isUp: () => true,
    connections: () => [...world.present],
    deletions: new TenantDeletions({ get: () => Promise.resolve(undefined) }, () => {}),
    noteOpen: () => Promise.resolve(void world.opened++),
    noteClosed: () => Promise.resolve(),
    encode: ({ type, data }) => {
      const bytes = new TextEncoder().encode(JSON.stringify(data));
      return writeEnvelope({ room_id: ROOM, event: { type, data: bytes } });
    },
    onWritten: () => {},
    onFailure: () => {},
    onSettled: (one) => {
      if ("entry" in one) world.settled?.push(one);
    },
    onThere: () => {},
    log: QUIET,
    now,
    retry_ms: 1,
  });
}

async function entriesOf(log: DurableLog): Promise<MembershipEntry[]> {
  const { messages } = await log.read(ROOM, { after: 0, limit: 5_000, max_bytes: 50_000_000 });
  return messages.map(({ payload }) => readStored(payload) ?? assert.fail("no entry"));
}

/** A real log of a room with these members; it ends with the scope. */
async function worldOf(...present: string[]) {
  const spine = await openSpine(configFrom({}), { log: QUIET, now: Date.now });
  const log = await spine.log("t", RETENTION);
  const world: World = { log, present: new Set(present), owner: 0, lost_answers: 0, opened: 0 };
  return { log, world, [Symbol.asyncDispose]: () => spine.drain() };
}

/** Plays a journal; throws on an impossible entry. Returns the final members. */
function play(entries: readonly MembershipEntry[]): Set<string> {
  const inside = new Set<string>();
  let sequence = 0;
  for (const { type, data } of entries) {
    if (type === "present" || type === "missed") continue;
    assert.equal(data.sequence, ++sequence, "each sequence once");
    if (type === "joined") {
      assert.ok(!inside.has(data.connection_id), "one join");
      inside.add(data.connection_id);
    }
    if (type === "left") assert.ok(inside.delete(data.connection_id), "one leave for each join");
  }
  return inside;
}

type Step = { toggle: number } | { owner: number } | { lose: number } | { both: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ toggle: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ owner: fc.integer({ min: 0, max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ lose: fc.integer({ min: 1, max: 3 }) }) },
);

Deno.test("whatever the room's owners, each join and leave is journaled once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const spine = await openSpine(configFrom({}), { log: QUIET, now: Date.now });
      const log = await spine.log("t", RETENTION);
      const world: World = { log, present: new Set(), owner: 0, lost_answers: 0, opened: 0 };
      const brains = [recorderOf(world, 0), recorderOf(world, 1)];
      brains[0]?.compare();
      for (const one of steps) {
        if ("owner" in one) {
          world.owner = one.owner;
          brains[one.owner]?.compare();
        } else if ("lose" in one) world.lost_answers = one.lose;
        else if ("toggle" in one) {
          const id = `c${one.toggle}`;
          if (!world.present.delete(id)) world.present.add(id);
          for (const brain of brains) brain.touch(id, "closed");
          if (one.toggle === 0) await turn();
        }
      }
      world.lost_answers = 0;
      const same = async () => {
        const inside = play(await entriesOf(log));
        return inside.size === world.present.size &&
          [...inside].every((id) => world.present.has(id));
      };
      await until("the journal has the members", same);
      for (const brain of brains) await brain.close();
      await spine.drain();
    }),
    { numRuns: 40, endOnFailure: true },
  );
});

let counter = 0;
const stayOf = (connection_id: string, joined_ms: number): Stay => ({
  writer: WRITER,
  entry: {
    counter: ++counter,
    tenant_id: "t",
    room_id: "stage",
    connection_id,
    user_id: "u",
    issuer: "i",
    meta: "",
    joined_ms,
    changed_ms: Date.now(),
  },
  cause: "closed",
});

type StayStep = { toggle: number; is_touched: boolean } | { owner: number } | { lose: number };
const stayStep: fc.Arbitrary<StayStep> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ toggle: fc.integer({ min: 0, max: 5 }), is_touched: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ owner: fc.integer({ min: 0, max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ lose: fc.integer({ min: 1, max: 3 }) }) },
);

Deno.test("each stay that a Shield reports until acknowledged is journaled once, whichever Brain received it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stayStep, { maxLength: 60 }), async (steps) => {
      const spine = await openSpine(configFrom({}), { log: QUIET, now: Date.now });
      const log = await spine.log("t", RETENTION);
      const joined_ms = new Map<string, number>();
      const settled: Stay[] = [];
      const world: World = {
        log,
        present: new Set(),
        owner: 0,
        lost_answers: 0,
        opened: 0,
        joined_ms,
        settled,
      };
      const brains = [recorderOf(world, 0), recorderOf(world, 1)];
      const stays: Stay[] = [];
      const tell = () => {
        for (const stay of stays) {
          if (!settled.includes(stay)) { for (const brain of brains) brain.stay(stay); }
        }
      };
      brains[0]?.compare();
      let now_ms = 1_000;
      for (const one of steps) {
        if ("owner" in one) {
          world.owner = one.owner;
          brains[one.owner]?.compare();
          tell();
        } else if ("lose" in one) world.lost_answers = one.lose;
        else {
          // Each comes once, as connections do.
          const id = `c${one.toggle}-${joined_ms.get(`n${one.toggle}`) ?? 0}`;
          if (world.present.delete(id)) {
            stays.push(stayOf(id, joined_ms.get(id) ?? 0));
            joined_ms.set(`n${one.toggle}`, (joined_ms.get(`n${one.toggle}`) ?? 0) + 1);
          } else {
            world.present.add(id);
            joined_ms.set(id, now_ms++);
          }
          if (one.is_touched) { for (const brain of brains) brain.touch(id, "closed"); }
          if (one.toggle === 0) await turn();
        }
      }
      world.lost_answers = 0;
      await until("every stay is settled", () => {
        tell();
        return stays.every((stay) => settled.includes(stay));
      });
      for (const brain of brains) brain.compare();
      const inside = async () => [...play(await entriesOf(log))].toSorted().join();
      await until(
        "the members",
        async () => await inside() === [...world.present].toSorted().join(),
      );
      for (const brain of brains) await brain.close();
      const entries = await entriesOf(log);
      for (const { entry: { connection_id } } of stays) {
        const its = entries.filter(({ data }) =>
          "connection_id" in data && data.connection_id === connection_id
        );
        assert.deepEqual(its.map(({ type }) => type), ["joined", "left"], connection_id);
      }
      assert.ok(entries.every(({ type }) => type !== "missed"));
      await spine.drain();
    }),
    { numRuns: 40, endOnFailure: true },
  );
});

for (const which of ["all that name a user", "the last entry"] as const) {
  Deno.test(`after an erasure of ${which} the members are listed, and nobody joins again`, async () => {
    await using made = await worldOf("ann", "bob");
    const { log, world } = made;
    const one = recorderOf(world, 0);
    one.compare();
    await until("both have joined", async () => (await entriesOf(log)).length === 3);
    world.present.add("cat");
    one.touch("cat", "unknown");
    await until("the third has", async () => play(await entriesOf(log)).size === 3);
    const { messages } = await log.read(ROOM, { after: 0, limit: 100, max_bytes: 1_000_000 });
    const gone = messages.filter(({ payload }, at) => {
      const { data } = readStored(payload) ?? assert.fail();
      return which === "the last entry"
        ? at === messages.length - 1
        : "connection_id" in data && data.connection_id === "ann";
    });
    assert.equal(await log.erase(ROOM, gone.map(({ offset }) => offset)), 1);
    world.present.add("dan");
    // The first is found by a comparison, which happens each minute, the other by the next entry, too.
    if (which === "the last entry") one.touch("dan", "unknown");
    else one.compare();
    const listed = async () =>
      (await entriesOf(log)).filter(({ type }) => type === "present").at(-1)?.data;
    await until("a list", async () => await listed() !== undefined);
    await until(
      "the fourth",
      async () =>
        (await entriesOf(log)).some(({ data }) =>
          "connection_id" in data && data.connection_id === "dan"
        ),
    );
    await one.close();
    const joined = (await entriesOf(log)).flatMap(({ type, data }) =>
      type === "joined" ? data.connection_id : []
    );
    const left = ["ann", "bob", "cat", "dan"].filter((id) =>
      id !== (which === "the last entry" ? "cat" : "ann")
    );
    assert.deepEqual(joined.toSorted(), left);
    const then = new MembersAt(Infinity);
    for (const entry of await entriesOf(log)) then.read(entry);
    assert.deepEqual(
      then.members?.map(({ connection_id }) => connection_id).toSorted(),
      ["ann", "bob", "cat", "dan"],
    );
  });
}

for (const hours of [2, -2]) {
  Deno.test(`a stay is journaled once, though the clock of its Shield is set by ${hours} h`, async () => {
    const spine = await openSpine(configFrom({}), { log: QUIET, now: Date.now });
    const log = await spine.log("t", RETENTION);
    const settled: Stay[] = [];
    const world: World = { log, present: new Set(), owner: 0, lost_answers: 0, opened: 0, settled };
    const one = recorderOf(world, 0);
    one.compare();
    const ids = ["first", ...Array.from({ length: 600 }, (_, at) => `c${at}`)];
    for (const id of ids) world.present.add(id);
    one.compare();
    await until("all have joined", async () => play(await entriesOf(log)).size === ids.length);
    for (const id of ids) {
      world.present.delete(id);
      one.touch(id, "closed");
      if (id === "first") {
        await until("it has left", async () => !play(await entriesOf(log)).has(id));
      }
    }
    await until("all have left", async () => play(await entriesOf(log)).size === 0);
    await one.close();
    world.owner = 1;
    const other = recorderOf(world, 1);
    other.compare();
    const stay = stayOf("first", 1);
    const changed_ms = Date.now() + hours * 3_600_000;
    other.stay({ ...stay, entry: { ...stay.entry, changed_ms } });
    await until("it is settled", () => settled.length > 0);
    await other.close();
    const its = (await entriesOf(log)).filter(({ data }) =>
      "connection_id" in data && data.connection_id === "first"
    );
    assert.deepEqual(its.map(({ type }) => type), ["joined", "left"]);
    await spine.drain();
  });
}

Deno.test("stays that a Shield could not keep are journaled as a number, once", async () => {
  await using own = await worldOf("a");
  const { log, world } = own;
  const one = recorderOf(world, 0);
  one.compare();
  await until("a", async () => (await entriesOf(log)).length === 2);
  const missed = {
    tenant_id: "t",
    room_id: "stage",
    node_id: "s1",
    count: 3,
    from_ms: 5,
    to_ms: 9,
  };
  const missedEntries = async () => (await entriesOf(log)).filter(({ type }) => type === "missed");
  for (let round = 0; round < 2; round++) {
    one.missed(missed);
    await until("it", async () => (await missedEntries()).length > 0);
  }
  one.missed({ ...missed, node_id: "s2" });
  await until("another Shield's", async () => (await missedEntries()).length > 1);
  await one.close();
  assert.deepEqual(
    (await missedEntries()).map(({ data }) =>
      "count" in data && [data.node_id, data.count, data.sequence]
    ),
    [["s1", 3, 2], ["s2", 3, 2]],
  );
});

Deno.test("a fenced Brain writes nothing more: it reads, and agrees", async () => {
  await using own = await worldOf("a");
  const { log, world } = own;
  const one = recorderOf(world, 0);
  one.compare();
  await until("a", async () => (await entriesOf(log)).length === 2);
  const stale: World = { ...world, present: world.present };
  const other = recorderOf(stale, 0);
  other.compare();
  world.present.add("b");
  one.touch("b", "unknown");
  other.touch("b", "unknown");
  await until("b", async () => (await entriesOf(log)).length >= 3);
  world.present.delete("a");
  other.touch("a", "lost");
  one.touch("a", "lost");
  await until("a leaves", async () => play(await entriesOf(log)).size === 1);
  await one.close();
  await other.close();
  const types = (await entriesOf(log)).map(({ type }) => type);
  assert.deepEqual(types, ["joined", "occupied", "joined", "left"]);
});

Deno.test("a Brain whose room another one has written meanwhile re-reads it when it compares", async () => {
  await using own = await worldOf("a", "b");
  const { log, world } = own;
  const one = recorderOf(world, 0);
  one.compare();
  await until("a and b", async () => play(await entriesOf(log)).size === 2);
  // Another one believes that it owns the room and that its members have left: it has received nothing of either.
  const mistaken = recorderOf({ ...world, present: new Set(), owner: 1 }, 1);
  mistaken.compare();
  await until("nobody", async () => play(await entriesOf(log)).size === 0);
  await mistaken.close();
  one.compare();
  await until("a and b again", async () => play(await entriesOf(log)).size === 2);
  await one.close();
});

Deno.test("a room whose journal was erased while it has members is recorded as open again", async () => {
  await using own = await worldOf("a");
  const { log, world } = own;
  const one = recorderOf(world, 0);
  one.compare();
  await until("a", async () => play(await entriesOf(log)).size === 1);
  assert.equal(world.opened, 1);
  // `arq room erase` also removes the record of open rooms.
  await log.trim(ROOM, 0);
  one.compare();
  await until("a again", async () => play(await entriesOf(log)).size === 1);
  assert.equal(world.opened, 2);
  await one.close();
});

Deno.test("all members are listed after many changes, and a new owner reads no more than that", async () => {
  await using own = await worldOf();
  const { log, world } = own;
  for (let at = 0; at < 400; at++) world.present.add(`c${at}`);
  const one = recorderOf(world, 0);
  one.compare();
  await until("all", async () => play(await entriesOf(log)).size === 400);
  await until("a list", async () => (await entriesOf(log)).some(({ type }) => type === "present"));
  await one.close();
  // Entries before the list may be trimmed.
  await log.trim(ROOM, 180);
  world.present.delete("c7");
  world.present.add("new");
  const next = recorderOf(world, 0);
  next.compare();
  const fresh = async () => (await entriesOf(log)).slice(180);
  await until("the differences", async () => (await fresh()).length >= 2);
  await next.close();
  assert.deepEqual(
    (await fresh()).map(({ type, data }) => [type, "connection_id" in data && data.connection_id]),
    [["left", "c7"], ["joined", "new"]],
  );
});

Deno.test("while the log refuses writes, joins and leaves do not pile up", async () => {
  await using own = await worldOf("a");
  const { log, world } = own;
  let is_away = true;
  const one = recorderOf(world, 0, () => {
    const away = new ArqonError("log-unavailable", "it is away");
    return is_away ? Promise.reject(away) : Promise.resolve(log);
  });
  let most = 0;
  for (let at = 0; at < 25_000; at++) {
    one.touch(`gone-${at}`, "closed");
    most = Math.max(most, one.waiting);
  }
  assert.equal(most, 10_000);
  one.touch("a", "unknown");
  is_away = false;
  await until("the members", async () => play(await entriesOf(log)).has("a"));
  await one.close();
  assert.deepEqual((await entriesOf(log)).map(({ type }) => type), ["joined", "occupied"]);
});

Deno.test("a wall clock that was set back delays no list until the last one is removed", async () => {
  await using own = await worldOf("a");
  const { log, world } = own;
  let ahead_ms = 0;
  const one = recorderOf(world, 0, undefined, () => Date.now() + ahead_ms);
  one.compare();
  await until("a", async () => (await entriesOf(log)).length === 2);
  // More than a quarter of the hour for which messages are retained.
  ahead_ms = -901_000;
  one.sweep();
  await until("a list", async () => (await entriesOf(log)).at(-1)?.type === "present");
  await one.close();
});

Deno.test("a list is rewritten in time, also by a Brain that has just taken over", async () => {
  await using own = await worldOf("a");
  const { log, world } = own;
  const one = recorderOf(world, 0);
  one.compare();
  await until("a", async () => (await entriesOf(log)).length === 2);
  await one.close();
  // A quarter of the hour for which messages are retained has passed.
  const later = () => Date.now() + 901_000;
  const next = recorderOf(world, 0, undefined, later);
  next.compare();
  await until("a list", async () => (await entriesOf(log)).at(-1)?.type === "present");
  next.sweep();
  await next.close();
  const third = recorderOf(world, 0, undefined, later);
  third.compare();
  world.present.add("b");
  third.touch("b", "unknown");
  await until("b", async () => (await entriesOf(log)).at(-1)?.type === "joined");
  await third.close();
  const lists = (await entriesOf(log)).filter(({ type }) => type === "present");
  assert.equal(lists.length, 1, "not more often than that");
});
