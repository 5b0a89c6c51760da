/** The rooms capability of a Brain. */
import { totalOf } from "../../shared/cluster/cluster_node.ts";
import type { BrainCapability, ReportRooms } from "../capability.ts";
import { createRoomMetrics, type RoomMetrics } from "./metrics.ts";
import type { AnswerHandlers } from "../../shared/cluster/cluster_answerer.ts";
import {
  ROOM_KEYS_MAX,
  ROOM_MEMBERS_MAX,
  ROOM_META_BYTES,
  RoomQuestion,
  StateQuestion,
} from "../../shared/cluster/cluster_room.ts";
import type { RoomAnswer, RoomMember, StateAnswer } from "../../shared/cluster/cluster_room.ts";
import type { Env } from "../../shared/env.ts";
import type { Entry } from "../../shared/records/member.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";
import { ArqonError, utf8Size } from "@arqon/proto";
import type { RoomDocument } from "./store/document.ts";
import { liveLock } from "./locks/lock.ts";
import type { RoomEvent } from "./store/room_event.ts";
import { BANS_BUCKET } from "../../shared/records/bans.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { everyTenant } from "../../shared/subjects/subject.ts";
import { pageBytesMax } from "../desk/page.ts";
import type { AnswerOwn, OwnCommands } from "../desk/request.ts";
import { type Announcer, createAnnouncer } from "./room/announcer.ts";
import { BanBook, banCommands } from "./ban_book.ts";
import { Caretaker } from "./caretaker.ts";
import type { EffectCommand, RoomCommand } from "./commands/command.ts";
import { applyCommands } from "./commands/apply.ts";
import { roomCommands } from "./commands/room_commands.ts";
import { isRoomKey } from "./store/command_pages.ts";
import { FirstVersions, inLife } from "./store/life.ts";
import { openRoomLives, type RoomLives, tellLifeChange } from "./lives/room_lives.ts";
import { LastUse } from "./room/last_use.ts";
import { Leases } from "./locks/leases.ts";
import { LiveLocks } from "./locks/live_locks.ts";
import { LiveRooms } from "./room/live_rooms.ts";
import type { RoomContext } from "./room/room.ts";
import { roomLimits, RoomTable, RoomTally } from "./room/room_tally.ts";
import { loadRoom, roomKey } from "./store/room_store.ts";
import { startPublisher } from "./lives/change_publisher.ts";
import { decodeDocument } from "./store/stored_document.ts";
import { TenantBytes } from "./store/tenant_bytes.ts";

interface RoomAnswersOptions extends Pick<Env, "now"> {
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "members" | "count">;
  readonly documentOf: RoomService["documentOf"];
}

function parsedMeta(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return text;
  }
}

/** The first members to join that fit into an answer; the rest are only counted. */
function shownMembers(entries: Iterable<Entry>): RoomMember[] {
  const members: RoomMember[] = [];
  let bytes = 0;
  for (const { connection_id, user_id, meta, joined_ms } of entries) {
    bytes += meta.length;
    if (members.length === ROOM_MEMBERS_MAX || bytes > ROOM_META_BYTES) break;
    members.push({ connection_id, user_id, meta: parsedMeta(meta), joined_ms });
  }
  return members;
}

async function room(
  { view, documentOf }: RoomAnswersOptions,
  params: unknown,
): Promise<RoomAnswer> {
  const { tenant, room } = RoomQuestion.parse(params);
  if (view.ownerOf(tenant, room) !== view.brain_id) return null;
  const { connections, users } = view.count(tenant, room);
  const members = shownMembers(view.members(tenant, room));
  // Members can be listed even if the room's document is unreadable.
  const version = (await documentOf(tenant, room).catch(() => undefined))?.version;
  const counted = { member_count: connections, user_count: users };
  return { kind: "brain", members, ...counted, ...(version === undefined ? {} : { version }) };
}

async function roomState(
  { view, documentOf, now }: RoomAnswersOptions,
  params: unknown,
): Promise<StateAnswer> {
  const { tenant, room, key } = StateQuestion.parse(params);
  if (view.ownerOf(tenant, room) !== view.brain_id) return null;
  const document = await documentOf(tenant, room);
  return document === undefined ? {} : { document: stateReport(document, key, now()) };
}

const roomAnswers = (options: RoomAnswersOptions): AnswerHandlers => ({
  room: (params) => room(options, params),
  room_state: (params) => roomState(options, params),
});

/** The most bytes of keys in one answer, which has to fit into a message. */
const KEYS_BYTES = 1_048_576;

type Report = NonNullable<NonNullable<StateAnswer>["document"]>;

/** The version at which each key was last set, if the room's stored events contain it. */
function versionsOf(events: readonly RoomEvent[]): Map<string, number> {
  const versions = new Map<string, number>();
  for (const { version, body } of events) {
    const { op, key } = JSON.parse(`{${body}}`);
    if (op === "set" && typeof key === "string") versions.set(key, version);
  }
  return versions;
}

function shownKeys({ entries, events }: RoomDocument): Report["keys"] {
  const versions = versionsOf(events);
  const keys: Report["keys"] = [];
  let bytes = 0;
  for (const [key, value] of entries) {
    bytes += utf8Size(key);
    if (keys.length === ROOM_KEYS_MAX || bytes > KEYS_BYTES) break;
    const version = versions.get(key);
    const size_bytes = utf8Size(value);
    keys.push({ key, size_bytes, ...(version === undefined ? {} : { version }) });
  }
  return keys;
}

/** The report: all keys, or with `key` only its value. `now_ms` is Unix ms: an expired lock is left out. */
export function stateReport(
  document: RoomDocument,
  key: string | undefined,
  now_ms: number,
): Report {
  const { version, epoch, created_ms, entries, entries_bytes } = document;
  const lock = liveLock(document.lock, now_ms);
  const value = key === undefined ? undefined : entries.get(key);
  return {
    version,
    epoch,
    created_ms,
    ...(lock === undefined ? {} : { lock }),
    keys: key === undefined ? shownKeys(document) : [],
    key_count: entries.size,
    size_bytes: entries_bytes,
    ...(value === undefined ? {} : { value }),
  };
}

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
  const { config: { brain, limits }, spine, view, now, monotonic_ms, log } = options;
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
  const bans_max = limits.bans;
  const bans = new BanBook({ bucket, bans_per_tenant, bans_max, now, monotonic_ms, log });
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

/** The state, locks, kicks and bans of rooms. */
export const ROOMS: BrainCapability = {
  name: "rooms",
  title: "the state and locks of rooms, their kicks and bans",
  async open(env) {
    const { registry } = env;
    const rooms = await startRooms({ ...env, metrics: createRoomMetrics(registry) });
    const { commands, stop, drain } = rooms;
    return {
      commands,
      stop,
      drain,
      questions: roomAnswers({ ...env, documentOf: rooms.documentOf }),
      figures: () => async () => {
        const [rooms, rooms_in_memory] = await Promise.all([
          totalOf(registry, "brain_room_count"),
          totalOf(registry, "brain_rooms_in_memory"),
        ]);
        return { gauges: { rooms, rooms_in_memory } };
      },
    };
  },
};
