/**
 * Rooms on a Spine: opens the buckets, connects the components, and gives the commands of rooms. It uses the cluster
 * through a `ClusterView`.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { BANS_BUCKET } from "../../shared/records/bans.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { everyTenant } from "../../shared/subjects/subject.ts";
import type { ReportRooms } from "../capability.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";
import { pageBytesMax } from "../desk/page.ts";
import type { AnswerOwn, OwnCommands } from "../desk/request.ts";
import { createAnnouncer } from "./room/announcer.ts";
import type { Announcer } from "./room/announcer.ts";
import { BanBook } from "./ban_book.ts";
import { banCommands } from "./ban_query.ts";
import { Caretaker } from "./caretaker.ts";
import type { EffectCommand, RoomCommand } from "./commands/command.ts";
import { applyCommands } from "./commands/apply.ts";
import { roomCommands } from "./commands/room_commands.ts";
import type { RoomDocument } from "./store/document.ts";
import { isRoomKey } from "./store/command_pages.ts";
import { FirstVersions, inLife } from "./store/life.ts";
import { tellLifeChange } from "./lives/life_change.ts";
import { LastUse } from "./room/last_use.ts";
import { Leases } from "./locks/leases.ts";
import { LiveLocks } from "./locks/live_locks.ts";
import { LiveRooms } from "./room/live_rooms.ts";
import type { RoomMetrics } from "./metrics.ts";
import type { RoomContext } from "./room/room.ts";
import { roomLimits } from "./room/room_limits.ts";
import { openRoomLives } from "./lives/room_lives.ts";
import type { RoomLives } from "./lives/room_lives.ts";
import { loadRoom, roomKey } from "./store/room_store.ts";
import { RoomTable } from "./room/room_table.ts";
import { RoomTally } from "./room/room_tally.ts";
import { startPublisher } from "./lives/change_publisher.ts";
import { decodeDocument } from "./store/stored_document.ts";
import { TenantBytes } from "./store/tenant_bytes.ts";

/** The Brain's parts that rooms need. */
export interface RoomServiceOptions extends Pick<Env, "spine" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "brain" | "limits">;
  readonly view: ClusterView;
  readonly metrics: RoomMetrics;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Applies commands; absent: `applyCommands`. */
  readonly apply?: typeof applyCommands;
  /** As in `StoreContext`; absent: that of `life.ts`. */
  readonly firstVersion?: (now_ms: number) => number;
  /** Starts the reports of created and ended rooms; undefined: there are none. Rejects with `spine-unavailable`. */
  readonly reportRooms?: ReportRooms | undefined;
}

/** The running rooms of a Brain. */
export interface RoomService {
  readonly commands: OwnCommands;
  /** Ends the background work; commands that wait for a version are refused from now on. Idempotent. Never rejects. */
  stop(): Promise<void>;
  /** Ends it after the last command was answered. Leaves the Spine open. Call it once. */
  drain(): Promise<void>;
  /**
   * A room's stored document, for operators; undefined: none. Rejects with `spine-unavailable`, or `internal` for a
   * damaged one.
   */
  documentOf(tenant_id: string, room_id: string): Promise<RoomDocument | undefined>;
}

async function perform(
  at: RoomAddress,
  command: EffectCommand,
  announcer: Announcer,
  bans: BanBook,
): Promise<void> {
  switch (command.kind) {
    case "kick":
      return announcer.kick(at, command);
    case "ban":
      return await bans.ban(at, command);
    case "unban":
      return await bans.unban(at, command);
    default:
      command satisfies never;
  }
}

/** Opens the buckets with their present limits: a Brain without them would admit too much. */
async function openBuckets(options: RoomServiceOptions) {
  const { config: { brain }, spine, view, now, monotonic_ms, log } = options;
  const rooms: KeyValue = await spine.keyValue(ROOMS_BUCKET, { unwatched: true });
  const bytes = new TenantBytes({
    room_bytes_per_tenant: brain.room_bytes_per_tenant,
    bucketBytes: () => rooms.limit_bytes,
    list: (prefix) => rooms.sizes(prefix),
    brains: () => view.brains.length,
    monotonic: monotonic_ms,
  });
  const listKeys = async () => (await bytes.recount()).map(({ key }) => key);
  const tally = new RoomTally(brain.rooms_per_tenant);
  await tally.recount(listKeys);
  const bucket = await spine.keyValue(BANS_BUCKET);
  const { bans_per_tenant } = brain;
  const bans = new BanBook({ bucket, bans_per_tenant, now, monotonic_ms, log });
  await bans.ready;
  return { rooms, bytes, listKeys, tally, bans, ...await openLives(options, rooms) };
}

/** The lives of the stored rooms; a listener added later is notified of an earlier change. */
async function openLives({ spine, log, now, random }: RoomServiceOptions, bucket: KeyValue) {
  const versions = new FirstVersions();
  let listener: (() => void) | undefined;
  let is_late = false;
  const onChange = () => {
    if (listener === undefined) is_late = true;
    else listener();
  };
  const lives = await openRoomLives({ bucket, spine, versions, log, now, random, onChange });
  const follow = (listen: () => void) => {
    listener = listen;
    if (is_late) listen();
  };
  return { lives, follow, versions };
}

function documentReader(rooms: KeyValue, lives: RoomLives): RoomService["documentOf"] {
  return async (tenant_id, room_id) => {
    await lives.prove();
    const entry = await rooms.get(roomKey({ tenant_id, room_id }));
    return entry && inLife(decodeDocument(entry.value, entry.revision), lives.present);
  };
}

/** Called when another life has begun: drops the cached rooms, and notifies their subscribers. */
function onLife(
  { log, view }: RoomServiceOptions,
  { listKeys, tally, table, context, last_use }: Awaited<ReturnType<typeof openRooms>>,
): void {
  const known = [...table.rooms(), ...tally.rooms(), ...view.occupied()];
  table.forgetAll();
  last_use.clear();
  tellLifeChange({
    stored: () => tally.recount(listKeys),
    known: () => known,
    isOwner: context.isOwner,
    tell: (at) => void context.announcer.changed(at),
    isStopping: context.isStopping,
  }).catch((error) => log.warn("not every room was told of its other epoch", { error }));
}

/** Passes on each document that is read or written; the last use is not tracked if rooms never end. */
function seenBy(
  { leases, locks, last_use, versions, isOwner, idle_timeout_ms }: {
    leases: Leases;
    locks: LiveLocks;
    last_use: LastUse;
    versions: FirstVersions;
    isOwner: (at: RoomAddress) => boolean;
    idle_timeout_ms: number;
  },
): RoomContext["onSeen"] {
  return (at, stored) => {
    if (stored !== undefined) versions.note(stored.document.version);
    for (const each of [leases, locks]) each.see(at, stored?.document.lock);
    if (idle_timeout_ms > 0 && isOwner(at)) last_use.see(at, stored?.revision);
  };
}

/** Executes a command in its room. */
function runner(
  table: RoomTable,
  { metrics }: RoomServiceOptions,
  onUsed: (at: RoomAddress) => void,
): (command: RoomCommand) => AnswerOwn {
  return (command) => (at, { deadline_ms }) => {
    onUsed(at);
    let unlock = () => {};
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const answer = (outcome: string | ArqonError) => {
      unlock();
      if (outcome instanceof ArqonError) reject(outcome);
      else resolve(outcome);
    };
    table.add(at, { command, deadline_ms, answer });
    metrics.rooms_in_memory.set(table.size);
    const { connection_id } = command.from;
    if (command.kind === "lock" && connection_id !== "") {
      unlock = table.noteLocking(at, connection_id);
    }
    return promise;
  };
}

/** Starts the reports of created and ended rooms; undefined: there are none. */
async function startReports({ reportRooms }: RoomServiceOptions, context: RoomContext) {
  const { bucket, isOwner } = context;
  return await reportRooms?.({
    isOwner,
    load: (at) => loadRoom(at, context),
    keysOf: async (tenant_id) => (await bucket.keys([tenant_id])).filter(isRoomKey),
  });
}

/** Ends the background work; from then on no command waits. */
async function stopParts(
  parts: readonly ({ stop(): Promise<void> } | undefined)[],
  table: RoomTable,
): Promise<void> {
  await Promise.all(parts.map((part) => part?.stop()));
  table.wakeAll();
}

/** Ends the rest, once the rooms are at rest. A failure is logged and does not stop it. */
async function endParts(
  { spine, log }: RoomServiceOptions,
  table: RoomTable,
  parts: readonly { stop(): void }[],
  stopSaying: () => Promise<void>,
): Promise<void> {
  await table.settled();
  for (const part of parts) part.stop();
  await stopSaying();
  await spine.flush().catch((error) => log.warn("no flush in a drain", { error }));
}

/** Opens the stored rooms, and what they share. */
async function openRooms(options: RoomServiceOptions, isStopping: () => boolean) {
  const { config, spine, view, metrics, log, now, monotonic_ms, random } = options;
  const { brain_id } = view;
  const clocks = { now, monotonic_ms };
  const limits = roomLimits(config, spine, log);
  const { rooms_in_memory } = config.brain;
  const { command_timeout_ms } = config.limits;
  const opened = await openBuckets(options);
  const { rooms, bytes, tally, bans, lives, versions } = opened;
  const onUpdate = (kind: "first" | "again") => metrics.room_updates.inc({ kind });
  const announcer = createAnnouncer({ spine, now, random, log, onUpdate, brain_id });
  const locks = new LiveLocks(clocks, rooms_in_memory);
  const leases = new Leases(clocks);
  const live = new LiveRooms({ view, tally });
  const last_use = new LastUse(monotonic_ms);
  tally.follow((at) => live.look(at), () => live.survey());
  const isOwner = (at: RoomAddress) => view.ownerOf(at.tenant_id, at.room_id) === brain_id;
  const { saying, doubts, stop: stopSaying } = startPublisher({
    spine,
    announcer,
    rooms_in_memory,
    now,
    monotonic: monotonic_ms,
    isOwner,
    look: (at) => loadRoom(at, context).then(() => {}),
    isBusy: (at) => table.isBusy(at),
  });
  const context: RoomContext = {
    ...clocks,
    bucket: rooms,
    bytes,
    lives,
    announcer,
    saying,
    random,
    leases,
    command_timeout_ms,
    isOwner,
    isStopping,
    metrics,
    log,
    limits: limits.document,
    apply: options.apply ?? applyCommands,
    firstVersion: options.firstVersion ?? ((now_ms) => versions.at(now_ms)),
    onSeen: seenBy({ leases, locks, last_use, versions, isOwner, ...config.brain }),
    birthRefusal: (tenant_id) => tally.refusal(tenant_id),
    perform: (at, command) => perform(at, command, announcer, bans),
    onCreated: (at) => {
      metrics.rooms_created.inc();
      tally.note(at, true);
      reports?.look(at);
    },
  };
  const table = new RoomTable(limits.table, context);
  const reports = await startReports(options, context);
  const shared = { limits, locks, leases, live, last_use, doubts, stopSaying };
  return { ...opened, ...shared, context, table, reports };
}

/** Starts rooms, which serve commands from then on. Rejects with `spine-unavailable` if a bucket cannot be read. */
export async function startRooms(options: RoomServiceOptions): Promise<RoomService> {
  const { config: { brain: { idle_timeout_ms, rooms_per_tenant } }, spine, view, now } = options;
  const stopping = new AbortController();
  const opened = await openRooms(options, () => stopping.signal.aborted);
  const { table, reports, rooms, tally, bans, lives, last_use, limits, stopSaying } = opened;
  const care = new Caretaker({ ...opened, view, idle_timeout_ms, waiting_max: rooms_per_tenant });
  const note = (message: SpineMessage) =>
    opened.versions.note(tally.receive(message, view.brain_id));
  const subscription = spine.subscribe(everyTenant("rooms"), note);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping.abort();
    subscription.unsubscribe();
    return stopped ??= stopParts([care, reports], table);
  };
  const drain = () => stop().then(() => endParts(options, table, [bans, lives], stopSaying));
  opened.follow(() => onLife(options, opened));
  try {
    await spine.flush();
  } catch (error) {
    await drain();
    throw error;
  }
  const run = runner(table, options, (at) => last_use.note(at));
  return {
    commands: {
      ...roomCommands(limits.request, run),
      ...banCommands(bans, pageBytesMax(spine), now),
    },
    stop,
    drain,
    documentOf: documentReader(rooms, lives),
  };
}
