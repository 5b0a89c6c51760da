/**
 * Stays that a Brain keeps until they are written, on a real log that refuses writes for a while: even if their Shield
 * or Brain is gone before the log accepts anything, each is written once.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { readStored } from "../../shared/membership/entry.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { Stay } from "../../shared/presence/messages.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { Tag, Writer, WrittenEntry } from "../../shared/presence/types.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { markDeleted } from "../../shared/records/tenant_deletions.ts";
import { TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import { until } from "../../shared/testing/until.ts";
import type { ClusterView, LeaveCause, MemberChange } from "../cluster_view.ts";
import { FollowedClasses } from "../classes/followed_classes.ts";
import { KeptStays } from "./kept_stays.ts";
import type { ReportedStays, StaysView } from "./kept_stays.ts";
import { startMembership } from "./service.ts";
import { overriding } from "../../shared/testing/overriding.ts";

/** The most kept stays here: few enough that a busy machine writes them soon. */
const KEPT_MAX = 100;
const RETENTION = { history_size: 5_000, history_ttl_seconds: 3_600, replicas: undefined };
const quiet = QUIET;
const SHIELD: Writer = { node_id: "s1", incarnation: 1 };
const member = (counter: number, room_id = "stage"): WrittenEntry => ({
  writer: SHIELD,
  entry: {
    counter,
    tenant_id: "t",
    room_id,
    connection_id: `c${counter}`,
    user_id: "u",
    issuer: "i",
    meta: "",
    joined_ms: Date.now() - 5,
    changed_ms: Date.now() - 5,
  },
});
const stayOf = ({ writer, entry }: WrittenEntry): Stay => ({ writer, entry, cause: "closed" });
const tagOf = ({ writer, entry: { counter } }: WrittenEntry): Tag => ({ writer, counter });

/** One Brain's view of the cluster. */
class World implements ClusterView, StaysView {
  readonly brain_id = "brain:b1";
  readonly brains = ["brain:b1", "brain:b2"];
  owner = "brain:b1";
  shield_is_up = true;
  readonly present = new Map<string, WrittenEntry>();
  /** Stays confirmed as written, and the messages to the other Brains. */
  readonly confirmed: Tag[] = [];
  readonly shared: Stay[] = [];
  readonly #members = new Set<(change: MemberChange) => void>();
  readonly #stays = new Set<(stays: ReportedStays) => void>();
  readonly #written = new Set<(written: { stays: readonly Tag[] }) => void>();
  #onTurn: (was_away: boolean) => void = () => {};

  ownerOf = () => this.owner;
  suspect = () => {};
  members = () => [...this.present.values()].map(({ entry }) => entry);
  count = () => ({ connections: this.present.size, users: this.present.size });
  memberOf = (_tenant: string, _room: string, connection_id: string) =>
    this.present.get(connection_id);
  isUp = () => this.shield_is_up;
  occupied = () => this.members();
  isFresh = () => true;
  onMembers = (listener: (change: MemberChange) => void) => add(this.#members, listener);
  onStays = (listener: (stays: ReportedStays) => void) => add(this.#stays, listener);
  onStaysWritten = (listener: (written: { stays: readonly Tag[] }) => void) =>
    add(this.#written, listener);
  confirmStays = (_node: string, { stays }: { stays: readonly Tag[] }) =>
    void this.confirmed.push(...stays);
  shareStays = (stays: readonly Stay[]) => void this.shared.push(...stays);
  onOwnership(listener: (was_away: boolean) => void): () => void {
    this.#onTurn = listener;
    return () => {};
  }

  come(...some: WrittenEntry[]): void {
    for (const one of some) this.present.set(one.entry.connection_id, one);
    this.#change({ joins: some, left: [], cause: "reported" });
  }

  go(cause: LeaveCause, some: readonly WrittenEntry[], reason?: LeaveReason): void {
    for (const { entry: { connection_id } } of some) this.present.delete(connection_id);
    const reasons = reason && new Map(some.map(({ entry: { counter } }) => [counter, reason]));
    this.#change({ joins: [], left: some, cause, reasons });
  }

  tell(node_id: string | undefined, ...stays: Stay[]): void {
    for (const listener of this.#stays) listener({ node_id, stays, missed: [] });
  }

  /** Another Brain reports them as written. */
  written(...stays: Tag[]): void {
    for (const listener of this.#written) listener({ stays });
  }

  own(owner: string): void {
    this.owner = owner;
    this.#onTurn(false);
  }

  #change(
    { joins, left, cause, reasons }: {
      readonly joins: readonly WrittenEntry[];
      readonly left: readonly WrittenEntry[];
      readonly cause: LeaveCause;
      readonly reasons?: MemberChange["reasons"];
    },
  ): void {
    const entries = (some: readonly WrittenEntry[]) => some.map(({ entry }) => entry);
    const { tenant_id, room_id } = ([...joins, ...left][0] as WrittenEntry).entry;
    const at = { tenant_id, room_id, left, cause, reasons };
    for (const listener of this.#members) {
      listener({ ...at, joins: entries(joins), leaves: entries(left) });
    }
  }
}

function add<Listener>(all: Set<Listener>, listener: Listener): () => void {
  all.add(listener);
  return () => void all.delete(listener);
}

/** A Brain's journals, whose log refuses writes until told otherwise. */
async function startBrain() {
  const config = configFrom({ rooms: [{ room: "stage", membership: "journal" }] });
  const spine = await openSpine(config, { log: quiet, now: Date.now });
  const world = new World();
  let is_away = true;
  const away = () => Promise.reject(new ArqonError("log-unavailable", "it is away"));
  const stall = { reached: () => {}, resumed: Promise.resolve(), ended: () => {} };
  const shaky = overriding(spine, {
    async log(...given) {
      if (is_away) return await away();
      const log = await spine.log(...given);
      return overriding(log, {
        async append(...message) {
          const { reached, resumed, ended } = stall;
          reached();
          await resumed;
          return await log.append(...message).finally(ended);
        },
      });
    },
  });
  const monotonic_ms = () => performance.now();
  const kept = new KeptStays({ view: world, now: Date.now, monotonic_ms, max: KEPT_MAX });
  const start = async () =>
    await startMembership({
      spine: shaky,
      view: world,
      kept,
      monotonic_ms,
      openClasses: () => FollowedClasses.open({ config, spine: shaky, log: quiet }),
      registry: createMetrics({ node_id: "b1", version: "0" }),
      log: quiet,
      now: Date.now,
      random: Math.random,
    });
  return {
    world,
    kept,
    start,
    spine,
    logIsBack: () => void (is_away = false),
    /** Stops the next appends until `resume`. */
    stalled() {
      const [reached, resumed, ended] = [0, 1, 2].map(() => Promise.withResolvers<void>());
      Object.assign(stall, {
        reached: reached?.resolve,
        resumed: resumed?.promise,
        ended: ended?.resolve,
      });
      return { reached: reached?.promise, resume: () => resumed?.resolve(), ended: ended?.promise };
    },
    stands: (types: readonly string[]) =>
      until(`it has ${types}`, async () => (await journalOf(spine)).join() === types.join()),
  };
}

async function journalOf(spine: Spine): Promise<readonly string[]> {
  const log = await spine.log("t", RETENTION);
  const { messages } = await log.readBack("stage~members", {
    before: Number.MAX_SAFE_INTEGER,
    limit: 1_000,
    max_bytes: 1_048_576,
  });
  return messages.map(({ payload }) => {
    const entry = readStored(payload) ?? assert.fail("no entry");
    if (entry.type === "missed") return `missed ${entry.data.count}`;
    const cause = entry.type === "left" ? ` ${entry.data.cause}` : "";
    return "connection_id" in entry.data
      ? `${entry.type} ${entry.data.connection_id}${cause}`
      : entry.type;
  });
}

const ONE = ["joined c1", "occupied", "left c1 node-lost", "vacated"];

Deno.test("a member that joined and was lost with its Shield while the log refused writes is journaled", async () => {
  const { world, kept, start, spine, logIsBack, stands } = await startBrain();
  const journals = await start();
  world.come(member(1));
  world.shield_is_up = false;
  world.go("given-up", [...world.present.values()]);
  assert.equal(kept.size, 1);
  logIsBack();
  await stands(ONE);
  await until("nobody need keep it", () => world.confirmed.length === 1 && kept.size === 0);
  await journals.drain();
  await spine.drain();
});

Deno.test("a member of a tenant that is deleted before the log stores anything is not journaled", async () => {
  const { world, kept, start, spine, logIsBack, stands } = await startBrain();
  const journals = await start();
  world.come(member(1), member(2));
  world.shield_is_up = false;
  world.go("given-up", [...world.present.values()].slice(0, 1));
  assert.equal(kept.size, 1);
  await markDeleted(await spine.keyValue(TENANTS_BUCKET), "t", Date.now());
  logIsBack();
  await until("nobody need keep it", () => world.confirmed.length === 1 && kept.size === 0);
  const late = member(3);
  world.come({ ...late, entry: { ...late.entry, joined_ms: Date.now() + 1_000 } });
  await stands(["joined c3", "occupied"]);
  world.go("given-up", [...world.present.values()]);
  await stands(["joined c3", "occupied", "left c3 node-lost", "vacated"]);
  await journals.drain();
  await spine.drain();
});

Deno.test("what is journaled by a Brain that was stopped while its tenant was deleted does not stay", async () => {
  const { world, start, spine, logIsBack, stalled, stands } = await startBrain();
  logIsBack();
  const journals = await start();
  world.come(member(1));
  await stands(["joined c1", "occupied"]);
  const append = stalled();
  world.go("reported", [...world.present.values()], "kicked");
  await append.reached;
  const log = await spine.log("t", RETENTION);
  await log.trim("stage~members", 0);
  const early = member(2);
  await markDeleted(await spine.keyValue(TENANTS_BUCKET), "t", Date.now());
  append.resume();
  await append.ended;
  await stands([]);
  world.come(early);
  const late = member(3);
  world.come({ ...late, entry: { ...late.entry, joined_ms: Date.now() + 1_000 } });
  await stands(["joined c3", "occupied"]);
  await journals.drain();
  await spine.drain();
});

Deno.test("a member that left before the Brain could write anything is journaled", async () => {
  const { world, start, spine, logIsBack, stands } = await startBrain();
  const one = member(1);
  world.come(one, member(2, "elsewhere"));
  world.go("reported", [one], "kicked");
  world.go("reported", [...world.present.values()], "kicked");
  world.shield_is_up = false;
  const journals = await start();
  logIsBack();
  await stands(["joined c1", "occupied", "left c1 kicked", "vacated"]);
  await journals.drain();
  await spine.drain();
});

Deno.test("what a dead Shield reported is written by the room's current Brain", async () => {
  const { world, kept, start, spine, logIsBack, stands } = await startBrain();
  world.owner = "brain:b2";
  const journals = await start();
  const [one, two, three] = [member(1), member(2), member(3)] as const;
  world.tell("s1", stayOf(one), stayOf(two));
  world.tell("s2", stayOf(three));
  world.written(tagOf(two));
  assert.deepEqual([...kept.all()], [stayOf(one)], "a Shield speaks for itself");
  world.tell(undefined, stayOf(three));
  assert.equal(kept.size, 1, "nobody else speaks for a Shield that is up");
  world.shield_is_up = false;
  world.tell(undefined, stayOf(three));
  logIsBack();
  world.own("brain:b1");
  const stay = (
    id: string,
    ...between: string[]
  ) => [`joined ${id}`, ...between, `left ${id} closed`];
  await stands([...stay("c1", "occupied"), ...stay("c3"), "vacated"]);
  const tags = () => world.confirmed.map(({ counter }) => counter).toSorted().join();
  await until("the others are notified", () => tags() === "1,3");
  await journals.drain();
  await spine.drain();
});

Deno.test("other Brains are notified of members of dead Shields", async () => {
  const { world, start, spine } = await startBrain();
  world.owner = "brain:b2";
  const journals = await start();
  const [one, two] = [member(1), member(2)] as const;
  world.come(one);
  world.tell("s1", stayOf(two));
  world.shield_is_up = false;
  world.go("given-up", [one]);
  world.own("brain:b3");
  const ids = () => world.shared.map(({ entry: { connection_id } }) => connection_id).join();
  await until("of both", () => ids() === "c2,c1");
  await journals.drain();
  await spine.drain();
});

Deno.test("a member that has moved, or changed its metadata, has not left", async () => {
  const { world, kept, start, spine, logIsBack, stands } = await startBrain();
  logIsBack();
  const journals = await start();
  const one = member(1);
  world.come(one);
  const moved = { writer: { node_id: "s2", incarnation: 1 }, entry: one.entry };
  world.come(moved);
  world.present.set("c1", moved);
  // The former entry leaves, and the connection is present.
  const stayed = [...world.present];
  world.go("reported", [one], "lost");
  for (const [id, entry] of stayed) world.present.set(id, entry);
  world.shield_is_up = false;
  world.come(member(2));
  await stands(["joined c1", "occupied", "joined c2"]);
  await until("it is kept no longer", () => kept.size === 0);
  await journals.drain();
  await spine.drain();
});

Deno.test("a surplus is journaled as a number, if its Shield is dead", async () => {
  const { world, kept, start, spine, logIsBack } = await startBrain();
  const journals = await start();
  const all = Array.from({ length: KEPT_MAX + 3 }, (_, at) => member(at + 1));
  world.shield_is_up = false;
  world.go("given-up", all);
  assert.equal(kept.size, KEPT_MAX);
  logIsBack();
  await until("the number", async () => (await journalOf(spine)).includes("missed 3"));
  await journals.drain();
  await spine.drain();
});

Deno.test("a tenant with many who left pushes out nobody of another tenant", () => {
  const world = new World();
  const kept = new KeptStays({ view: world, now: Date.now, monotonic_ms: () => 0, max: KEPT_MAX });
  const dropped: Stay[] = [];
  kept.follow({
    isJournaled: () => true,
    onKept: () => {},
    onDropped: (stay) => void dropped.push(stay),
  });
  world.shield_is_up = false;
  const of = (tenant_id: string, first: number, count: number) =>
    Array.from({ length: count }, (_, at) => {
      const { writer, entry } = member(first + at);
      return { writer, entry: { ...entry, tenant_id } };
    });
  const some = 3;
  world.go("given-up", of("small", 1, some));
  world.go("given-up", of("large", 1_000, 2 * KEPT_MAX));
  world.go("given-up", of("late", 100_000, some));
  const count = (tenant_id: string) =>
    [...kept.all()].filter(({ entry }) => entry.tenant_id === tenant_id).length;
  assert.deepEqual(
    ["small", "large", "late"].map(count),
    [some, KEPT_MAX - 2 * some, some],
  );
  assert.ok(dropped.every(({ entry }) => entry.tenant_id === "large"));
  // The Brain drops its own oldest stays first.
  assert.equal(dropped[0]?.entry.counter, 1_000);
  assert.equal(kept.size, KEPT_MAX);
});
