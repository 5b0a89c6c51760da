/**
 * The trees that a Shield keeps current: also those of tenants that only another Shield has served, and of a recreated
 * log.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { decodeCheckpoint } from "@arqon/proto";
import { PROOF_BUCKET } from "../../shared/proof/entry.ts";
import { DEFAULT_CLASS } from "../../shared/rooms/room_class.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { until } from "../../shared/testing/until.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { ProofKeys } from "./keys.ts";
import { ProofService, type ProofServiceOptions } from "./service.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const EMPTY = new Uint8Array();
const RETENTION = { history_size: 100, history_ttl_seconds: 3_600, replicas: undefined };

const PROVEN = { ...DEFAULT_CLASS, pattern: "*", durable: true, proof: true };
const EVERY = { of: () => PROVEN, list: () => [{ ...PROVEN, tenant: "*" }] };

/** Shields of one bus on which every room of a class has a tree; each look is `step_ms` later. */
async function world(step_ms = 10_000, classes: ProofServiceOptions["classes"] = EVERY) {
  const engine = testSpine();
  const kept = await engine.spine.log("acme", RETENTION);
  const current: { log: DurableLog } = { log: kept };
  const clock = { ms: 0 };
  const shield = (node_id: string, ...served: string[]) => {
    const tenants = new TenantTable();
    for (const tenant_id of served) tenants.of(tenant_id);
    return new ProofService({
      config: {
        proof: { records: [], origin: "bus.example", witnesses: [], public_records: false },
        audit: { retention_days: 1, log_bytes: 1_000_000 },
      } as unknown as ProofServiceOptions["config"],
      keys: new ProofKeys(engine.spine, undefined),
      spine: engine.spine,
      logs: {
        has: () => true,
        recent: () => [],
        of: (tenant_id) =>
          tenant_id === "torn" ? Promise.reject(new Error("torn")) : Promise.resolve(current.log),
      },
      classes,
      tenants,
      blocks: [],
      node_id,
      log: keptLog().log,
      monotonic_ms: () => clock.ms += step_ms,
    });
  };
  const bucket = await engine.spine.keyValue(PROOF_BUCKET);
  /** The number of entries in the newest checkpoint of a room. */
  const sizeOf = async (room: string) => {
    const head = await bucket.get(["acme", room, "head"]);
    const note = head && JSON.parse(new TextDecoder().decode(head.value)).checkpoint;
    return note ? decodeCheckpoint(note.split("\n\n")[0] + "\n").size : 0;
  };
  const append = (room: string, text: string) => kept.append(room, new TextEncoder().encode(text));
  return { engine, kept, current, clock, bucket, shield, sizeOf, append };
}

Deno.test("what a Shield has promised before it died is kept by one that has never served the tenant", async () => {
  const { engine, kept, clock, bucket, shield, sizeOf, append } = await world();
  await using _ = engine;
  const dead = shield("dead", "acme");
  const stored = await append("bets", "one");
  const receipt = await dead.receipt({ tenant_id: "acme", room_id: "bets" }, stored);
  assert(receipt !== undefined);
  // Within a minute by the clock of the log, whatever the Shield's shows.
  const { receipt: note } = JSON.parse(new TextDecoder().decode(receipt));
  const by_ms = Number(/\nby (\d+)\n/.exec(note)?.[1]);
  assert.ok(Math.abs(by_ms - 60_000 - kept.now()) < 30_000, `${by_ms}`);
  const other = shield("other");
  other.begin();
  await until("the other Shield has it in its tree", async () => await sizeOf("bets") === 1);
  assert.equal((await bucket.keys(["+lately"])).length, 1);
  await until("no Shield looks for it for ever", async () => {
    // An hour counts from when the Shield has seen the record, which may still be to come.
    clock.ms += 3_600_000;
    return (await bucket.keys(["+lately"])).length === 0;
  });
  await other.close();
});

Deno.test("an ACK says that a stored message could not be read back for its receipt", async () => {
  const { engine, kept, current, shield, append } = await world();
  await using _ = engine;
  const stored = await append("bets", "one");
  await append("bets", "two");
  current.log = overriding(kept, { read: () => Promise.reject(new Error("away")) });
  const result = await shield("one", "acme").receipt(
    { tenant_id: "acme", room_id: "bets" },
    stored,
  );
  const { receipt, reason, message } = JSON.parse(new TextDecoder().decode(result));
  assert.deepEqual([receipt, reason], [null, "log-unavailable"]);
  assert.match(message, /is stored/);
});

Deno.test("a tenant whose log cannot be read does not stop other tenants' trees", async () => {
  const { engine, bucket, shield, sizeOf, append } = await world();
  await using _ = engine;
  await append("bets", "one");
  const one = shield("one", "torn", "acme");
  one.begin();
  await until("the other tenant's tree", async () => await sizeOf("bets") === 1);
  await one.close();
  // The same applies to entries that another Shield has left.
  for (const tenant_id of ["torn", "acme"]) await bucket.put(["+lately", tenant_id], EMPTY);
  await append("bets", "two");
  const two = shield("two");
  two.begin();
  await until("it, too", async () => await sizeOf("bets") === 2);
  await two.close();
});

Deno.test("a recreated log whose newest message has the old log's offset gets a tree", async () => {
  const { engine, kept, current, shield, sizeOf, append } = await world();
  await using _ = engine;
  const one = shield("one", "acme");
  await append("bets", "one");
  one.begin();
  await until("its tree", async () => await sizeOf("bets") === 1);
  const stream = "anew";
  current.log = overriding(kept, {
    lives: [{ name: stream, first: 0 }],
    read: async (...given) => ({ ...await kept.read(...given), stream }),
    status: async (...given) => ({ ...await kept.status(...given), stream }),
  });
  await until(
    "it has the new log's message after the break",
    async () => await sizeOf("bets") === 3,
  );
  await one.close();
});

Deno.test("rooms that get a class with a tree have one, though nothing is published since", async () => {
  const proven = ["bets"];
  const { engine, shield, sizeOf, append } = await world(10_000, {
    of: (_, room_id) => ({ ...PROVEN, proof: proven.includes(room_id) }),
    list: () => proven.map((pattern) => ({ ...PROVEN, pattern, tenant: "*" })),
  });
  await using _ = engine;
  for (const room of ["bets", "odds"]) await append(room, "one");
  const one = shield("one", "acme");
  one.begin();
  await until("the tree of the first class", async () => await sizeOf("bets") === 1);
  proven.push("odds");
  await until("that of the second one", async () => await sizeOf("odds") === 1);
  await one.close();
});

Deno.test("a message that a lagging replica does not show yet is looked for again", async () => {
  const { engine, kept, current, shield, sizeOf, append } = await world();
  await using _ = engine;
  for (const text of ["one", "two"]) await append("bets", text);
  let late = 2;
  current.log = overriding(kept, {
    read: async (...given) => {
      const page = await kept.read(...given);
      return late-- > 0 ? { ...page, messages: page.messages.slice(0, 1) } : page;
    },
  });
  const one = shield("one", "acme");
  one.begin();
  await until("both messages", async () => await sizeOf("bets") === 2);
  await one.close();
});

Deno.test("looks at many tenants use the cache, let other work run in between, and forget tenants that no Shield records", async () => {
  const { engine, kept, current, clock, bucket, shield } = await world(0);
  await using _ = engine;
  const tenants = Array.from({ length: 2_100 }, (_, at) => `t${at}`);
  const counts = { looks: 0, lists: 0, before: 0, most: 0 };
  current.log = overriding(kept, {
    status: (...given) => (counts.looks++, kept.status(...given)),
    rooms: (...given) => (counts.lists++, kept.rooms(...given)),
  });
  let is_over = false;
  const tick = () => {
    counts.most = Math.max(counts.most, counts.looks - counts.before);
    counts.before = counts.looks;
    if (!is_over) setImmediate(tick);
  };
  tick();
  const one = shield("one", ...tenants);
  one.begin();
  await until("two looks", () => counts.looks >= 4_200);
  await one.close();
  is_over = true;
  assert.equal(counts.lists, 2_100);
  assert(counts.most < 100, `${counts.most} in one turn`);
  assert.equal((await bucket.keys(["+lately"])).length, 2_100);
  const other = shield("other");
  clock.ms = 10_000;
  other.begin();
  await until("the tenants that one has left", () => counts.looks >= 6_300);
  await other.close();
  clock.ms = 3_620_000;
  other.begin();
  await until("none is left", async () => (await bucket.keys(["+lately"])).length === 0);
  await other.close();
});

Deno.test("a reserved room has no tree, whatever the class of all rooms says", async () => {
  const { engine, shield } = await world();
  await using _ = engine;
  const service = shield("one", "acme");
  const found = ["bets", "~events", "bets~members"].map((room) => service.find(`acme.${room}`));
  assert.deepEqual(found.map((tree) => tree?.room_id), ["bets", undefined, undefined]);
});
