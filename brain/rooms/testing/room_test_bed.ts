/**
 * For tests: rooms on an embedded Spine, and a cluster whose members, owners and freshness the test sets. Presence has
 * its own tests; not part of the Brain.
 */
import { configFrom } from "../../../shared/config/load.ts";
import { keptLog, QUIET } from "../../../shared/testing/logs.ts";
import { createMetrics, type Registry } from "../../../shared/metrics/metrics.ts";
import type { Entry } from "../../../shared/presence/types.ts";
import { memberOf } from "../../../shared/presence/testing/members.ts";
import { openEmbedded } from "../../../shared/spine/embedded/embedded.ts";
import type { KeyValue, Spine } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { ALL_COMMANDS } from "../../../shared/subjects/subject.ts";
import { subjectPattern } from "../../../shared/spine/testing/subjects.ts";
import type { ClusterView, LeaveCause, MemberChange } from "../../cluster_view.ts";
import { startDesk } from "../../desk/desk.ts";
import type { OwnCommands } from "../../desk/request.ts";
import { memberCommands } from "../../presence/capability.ts";
import { createRoomMetrics } from "../metrics.ts";
import { type RoomService, type RoomServiceOptions, startRooms } from "../capability.ts";

/** A member as a Shield would announce it. */
export function entry(connection_id: string, more: Partial<Entry> = {}): Entry {
  const member = memberOf(connection_id, { user_id: `of ${connection_id}`, issuer: "issuer" });
  return { counter: 1, ...member, joined_ms: 1_000, changed_ms: 1_000, ...more };
}

/** The state that several Brains agree on; a test changes it. */
export class ProbeCluster {
  #members = new Map<string, Entry[]>();
  readonly #onMembers = new Set<(change: MemberChange) => void>();
  readonly #onOwnership = new Set<(was_away: boolean) => void>();
  fresh = true;
  /** Suspected Brains. */
  readonly suspected: string[] = [];
  /** Undefined: every Brain owns every room. */
  owner: ((room_id: string) => string) | undefined;

  /** The cluster as that Brain sees it. */
  view(brain_id: string): ClusterView {
    const of = (tenant_id: string, room_id: string) =>
      this.#members.get(`${tenant_id}.${room_id}`) ?? [];
    return {
      brain_id,
      brains: [brain_id],
      ownerOf: (_tenant_id, room_id) => this.owner?.(room_id) ?? brain_id,
      suspect: (suspected) => void this.suspected.push(suspected),
      members: of,
      count: (tenant_id, room_id) => {
        const members = of(tenant_id, room_id);
        const users = new Set(members.map(({ user_id }) => user_id));
        return { connections: members.length, users: users.size };
      },
      memberOf: (tenant_id, room_id, connection_id) => {
        const entry = of(tenant_id, room_id).find((one) => one.connection_id === connection_id);
        return entry && { writer: { node_id: "s1", incarnation: 1 }, entry };
      },
      isUp: () => true,
      occupied: () =>
        [...this.#members.values()].flatMap((members) => members.slice(0, 1))
          .map(({ tenant_id, room_id }) => ({ tenant_id, room_id })),
      isFresh: () => this.fresh,
      onMembers: (listener) => {
        this.#onMembers.add(listener);
        return () => this.#onMembers.delete(listener);
      },
      onOwnership: (listener) => {
        this.#onOwnership.add(listener);
        return () => this.#onOwnership.delete(listener);
      },
    };
  }

  /** Joins and leaves of one room, reported to every Brain. */
  change(joins: readonly Entry[], leaves: readonly Entry[] = [], cause: LeaveCause = "reported") {
    const [first] = [...joins, ...leaves];
    if (first === undefined) return;
    const { tenant_id, room_id } = first;
    const id = `${tenant_id}.${room_id}`;
    const gone = new Set([...leaves, ...joins].map(({ connection_id }) => connection_id));
    const kept = (this.#members.get(id) ?? [])
      .filter(({ connection_id }) => !gone.has(connection_id));
    const members = [...kept, ...joins];
    if (members.length > 0) this.#members.set(id, members);
    else this.#members.delete(id);
    const change = { tenant_id, room_id, joins, leaves, left: [], cause };
    for (const listener of this.#onMembers) listener(change);
  }

  /** Sets another owner for the rooms, and notifies every Brain. */
  handOver(owner: (room_id: string) => string): void {
    this.owner = owner;
    for (const listener of this.#onOwnership) listener(false);
  }

  /** Every Brain detects that it was unreachable, so that others may have published for its rooms. */
  wasAway(): void {
    for (const listener of this.#onOwnership) listener(true);
  }
}

/** One Brain's rooms. */
export interface RoomNode {
  readonly rooms: Pick<RoomService, "drain">;
  /** Handles a command as if it came from the Spine, in the same turn. */
  handle(message: SpineMessage): void;
  readonly lines: string[];
  /** The value of a metric, over all labels or with that one: `name` or `name{label="value"}`. */
  metric(name: string): Promise<number>;
}

/** The environment of a test. */
export interface RoomTestBed {
  readonly spine: Spine;
  readonly cluster: ProbeCluster;
  /** `ARQON_ROOMS`. */
  readonly bucket: KeyValue;
  /** Starts another Brain's rooms; all are drained in the end. */
  start(brain_id: string, options?: TestBedOptions): Promise<RoomNode>;
  /** Everything that is published on the pattern from now on. */
  subscribe(pattern: string): Promise<SpineMessage[]>;
}

/** The options of the rooms. */
export interface TestBedOptions {
  /** As in config.toml. */
  readonly config?: Record<string, unknown>;
  readonly now?: () => number;
  /** Absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** Replaces `ARQON_ROOMS`. */
  readonly wrap?: (bucket: KeyValue) => KeyValue;
  /** Publications for which it is true are lost. */
  readonly isLost?: (subject: string) => boolean;
  /** The connection is cut: publications vanish, and no flush succeeds. */
  readonly isCut?: () => boolean;
  readonly apply?: RoomServiceOptions["apply"];
  /** Commands beside those of members. */
  readonly own?: OwnCommands;
  /** Versions begin by the clock, as on a bus; absent: at 0, so that a test can count. */
  readonly has_versions?: true;
  /** Created on the Brain's Spine, with its faults. */
  readonly reporting?: (
    parts: Pick<RoomServiceOptions, "spine" | "log" | "now" | "random"> & {
      readonly registry: Registry;
    },
  ) => Promise<RoomServiceOptions["reportRooms"]>;
}

/** A Spine with the test's faults, and the handler of its commands. */
export function faulty(
  spine: Spine,
  { wrap, isLost, isCut }: Pick<TestBedOptions, "wrap" | "isLost" | "isCut"> = {},
  isFed = true,
): { spine: Spine; handle: (message: SpineMessage) => void } {
  let commands: (message: SpineMessage) => void = () => {};
  const faults: Spine = {
    get status() {
      return spine.status;
    },
    payload_bytes_max: spine.payload_bytes_max,
    onEvent: (listener) => spine.onEvent(listener),
    publish: (subject, payload, headers) => {
      if (isCut?.() === true) return;
      if (isLost?.(subject) !== true) return spine.publish(subject, payload, headers);
      throw new Error("lost");
    },
    give: (subject, payload, headers) => faults.publish(subject, payload, headers),
    flush: () => isCut?.() === true ? Promise.reject(new Error("cut")) : spine.flush(),
    subscribe: (pattern, handler, options) => {
      if (pattern !== ALL_COMMANDS) return spine.subscribe(pattern, handler, options);
      commands = handler;
      return isFed
        ? spine.subscribe(pattern, handler, options)
        : { pattern, unsubscribe: () => {}, drain: () => Promise.resolve() };
    },
    request: (subject, payload, options) => spine.request(subject, payload, options),
    keyValue: async (name) => {
      const bucket = await spine.keyValue(name);
      return name === "ARQON_ROOMS" ? wrap?.(bucket) ?? bucket : bucket;
    },
    objects: (bucket) => spine.objects(bucket),
    log: (tenant_id, retention) => spine.log(tenant_id, retention),
    existingLog: (tenant_id) => spine.existingLog(tenant_id),
    blocks: (name, retention) => spine.blocks(name, retention),
    storage: () => spine.storage(),
    proveStorage: (size_bytes) => spine.proveStorage(size_bytes),
    drain: () => spine.drain(),
  };
  return { spine: faults, handle: (message) => commands(message) };
}

/** Starts rooms, and the desk that passes them their commands. Its drain is idempotent. */
export async function serveRooms(
  options: Omit<RoomServiceOptions, "metrics" | "monotonic_ms"> & {
    readonly registry: Registry;
    readonly monotonic_ms?: () => number;
  },
  more: OwnCommands = {},
): Promise<Pick<RoomService, "drain">> {
  const { monotonic_ms = () => performance.now(), registry } = options;
  const parts = { ...options, monotonic_ms, metrics: createRoomMetrics(registry) };
  const rooms = await startRooms(parts);
  const own = { ...rooms.commands, ...more };
  const desk = await startDesk({ ...parts, own, stop: rooms.stop });
  const drain = async () => {
    await desk.drain();
    await rooms.drain();
  };
  let drained: Promise<void> | undefined;
  return { drain: () => drained ??= drain() };
}

async function startNode(
  spine: Spine,
  view: ClusterView,
  options: TestBedOptions,
): Promise<RoomNode> {
  const now = options.now ?? Date.now;
  const { log, lines } = keptLog({ now });
  const registry = createMetrics({ node_id: view.brain_id, version: "0" });
  const { spine: faults, handle } = faulty(spine, options);
  const config = configFrom(options.config ?? {});
  const parts = { spine: faults, registry, log, now, random: () => 0 };
  const rooms = await serveRooms({
    ...parts,
    config,
    view,
    reportRooms: await options.reporting?.(parts),
    ...(options.monotonic_ms === undefined ? {} : { monotonic_ms: options.monotonic_ms }),
    ...(options.has_versions === true ? {} : { firstVersion: () => 0 }),
    ...(options.apply === undefined ? {} : { apply: options.apply }),
  }, { ...memberCommands({ view, spine: faults, config }), ...options.own });
  const metric = async (name: string): Promise<number> => {
    const found = (await registry.metrics()).split("\n")
      .filter((line) => line.startsWith(name) && "{ ".includes(line[name.length] ?? "?"));
    return found.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  };
  return { rooms, handle, lines, metric };
}

/** Runs `body` with an embedded Spine and no Brain yet. */
export async function withTestBed(body: (bed: RoomTestBed) => Promise<void>): Promise<void> {
  const now = Date.now;
  const log = QUIET;
  const spine = openEmbedded({ log, now });
  const cluster = new ProbeCluster();
  const nodes: RoomNode[] = [];
  try {
    await body({
      spine,
      cluster,
      bucket: await spine.keyValue("ARQON_ROOMS"),
      start: async (brain_id, options = {}) => {
        const node = await startNode(spine, cluster.view(brain_id), options);
        nodes.push(node);
        return node;
      },
      subscribe: async (pattern) => {
        const received: SpineMessage[] = [];
        spine.subscribe(subjectPattern(pattern), (message) => void received.push(message));
        await spine.flush();
        return received;
      },
    });
  } finally {
    for (const { rooms } of nodes) await rooms.drain();
    await spine.drain();
  }
}

/** Runs `body` with one Brain that owns every room. */
export function withRooms(
  options: TestBedOptions,
  body: (bed: RoomTestBed & RoomNode) => Promise<void>,
): Promise<void> {
  return withTestBed(async (bed) => {
    await body({ ...bed, ...await bed.start("b1", options) });
  });
}
