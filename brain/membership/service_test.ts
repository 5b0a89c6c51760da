/**
 * The journals of a Brain whose rooms and owners change while it lists the occupied rooms, or while that listing fails:
 * every member is written. The log is real.
 */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { readStored } from "../../shared/membership/entry.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { until } from "../../shared/testing/until.ts";
import { FollowedClasses } from "../classes/followed_classes.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { StaysView } from "./kept_stays.ts";
import { startMembership } from "./service.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const quiet = QUIET;
const MEMBER: WrittenEntry = {
  writer: { node_id: "s1", incarnation: 1 },
  entry: {
    counter: 1,
    tenant_id: "t",
    room_id: "stage",
    connection_id: "c1",
    user_id: "u",
    issuer: "i",
    meta: "",
    joined_ms: 1,
    changed_ms: 1,
  },
};
/** Nothing happens on its own within this time: every room is compared once a minute. */
const SOON_MS = 30_000;

/** One room, its owner, and its members. */
class World implements ClusterView, StaysView {
  readonly brain_id = "brain:b1";
  readonly brains = ["brain:b1", "brain:b2"];
  owner = "brain:b2";
  member: WrittenEntry | undefined;
  onTurn: (was_away: boolean) => void = () => {};

  ownerOf = () => this.owner;
  suspect = () => {};
  members = () => this.member === undefined ? [] : [this.member.entry];
  count = () => ({ connections: this.members().length, users: this.members().length });
  memberOf = () => this.member;
  isUp = () => true;
  /** How often all rooms were compared. */
  surveys = 0;
  occupied = () => {
    this.surveys++;
    return this.members();
  };
  isFresh = () => true;
  onMembers = () => () => {};
  onStays = () => () => {};
  onStaysWritten = () => () => {};
  shareStays = () => {};
  confirmStays = () => {};
  onOwnership(listener: (was_away: boolean) => void): () => void {
    this.onTurn = listener;
    return () => {};
  }
}

/** The same Spine, whose list of occupied rooms passes through `read`. */
function listedBy(spine: Spine, read: <T>(keys: () => Promise<T>) => Promise<T>): Spine {
  return overriding(spine, {
    async keyValue(...args) {
      const bucket = await spine.keyValue(...args);
      if (args[0] !== "ARQON_MEMBERS") return bucket;
      const keys = bucket.keys.bind(bucket);
      return Object.assign(bucket, { keys: () => read(keys) });
    },
  });
}

async function journalOf(spine: Spine): Promise<readonly string[]> {
  const retention = { history_size: 5_000, history_ttl_seconds: 3_600, replicas: undefined };
  const log = await spine.log("t", retention);
  const { messages } = await log.readBack("stage~members", {
    before: Number.MAX_SAFE_INTEGER,
    limit: 100,
    max_bytes: 1_048_576,
  });
  return messages.map(({ payload }) => readStored(payload)?.type ?? "");
}

/** Runs a Brain whose list of rooms is read by `read`; `act` adds the member to its room. */
async function run(
  read: (world: World, reading: number, keys: () => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  const config = configFrom({ rooms: [{ room: "stage", membership: "journal" }] });
  const spine = await openSpine(config, { log: quiet, now: Date.now });
  const world = new World();
  let readings = 0;
  const service = await startMembership({
    spine: listedBy(
      spine,
      <T>(keys: () => Promise<T>) => read(world, ++readings, keys) as Promise<T>,
    ),
    view: world,
    openClasses: () => FollowedClasses.open({ config, spine, log: quiet }),
    monotonic_ms: () => performance.now(),
    registry: createMetrics({ node_id: "b1", version: "0" }),
    log: quiet,
    now: Date.now,
    random: Math.random,
  });
  await until("a journal", async () => (await journalOf(spine)).length === 2, SOON_MS);
  assert.deepEqual(await journalOf(spine), ["joined", "occupied"]);
  await service.drain();
  await spine.drain();
}

Deno.test("a room that becomes this Brain's while it reads which rooms there are is written", async () => {
  await run(async (world, reading, keys) => {
    const noted = await keys();
    if (reading > 1) return noted;
    world.owner = world.brain_id;
    world.onTurn(false);
    // Only the next survey can find it.
    setTimeout(() => world.member = MEMBER, 0);
    return noted;
  });
});

Deno.test("which rooms there are is read again soon when that fails", async () => {
  await run((world, reading, keys) => {
    world.owner = world.brain_id;
    world.member = MEMBER;
    return reading === 1 ? Promise.reject(new Error("nobody answers")) : keys();
  });
});

Deno.test("rooms are not compared each time that it cannot be read which there are", async () => {
  const surveys: number[] = [];
  await run((world, reading, keys) => {
    surveys.push(world.surveys);
    if (reading < 3) return Promise.reject(new Error("nobody answers"));
    world.owner = world.brain_id;
    world.member = MEMBER;
    setTimeout(() => world.onTurn(false), 0);
    return keys();
  });
  assert.deepEqual(surveys.slice(0, 3), [1, 1, 1]);
});

Deno.test("members are journaled although nothing lists the existing rooms", async () => {
  await run((world) => {
    setTimeout(() => {
      world.owner = world.brain_id;
      world.member = MEMBER;
      world.onTurn(false);
    }, 0);
    return new Promise(() => {});
  });
});
