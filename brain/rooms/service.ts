/**
 * Rooms on a Spine: opens the buckets, puts the parts together and listens for commands. What each
 * part does is in the part; the cluster is seen through a `ClusterView`.
 */
import { BANS_BUCKET } from "../../shared/bans.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/log.ts";
import type { KeyValue, Spine, Subscription } from "../../shared/spine/spine.ts";
import { ALL_COMMANDS, everyTenant, processSubject } from "../../shared/subject.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { BrainMetrics } from "../metrics.ts";
import { createAnnouncer } from "./announcer.ts";
import type { Announcer } from "./announcer.ts";
import { BanBook } from "./ban_book.ts";
import { BirthQueue } from "./births.ts";
import { Caretaker } from "./caretaker.ts";
import type { EffectCommand, RoomAddress } from "./command.ts";
import { createCommandDesk } from "./commands.ts";
import { applyCommands } from "./apply.ts";
import type { RoomDocument } from "./document.ts";
import { Hearings } from "./hearings.ts";
import { LastUse } from "./last_use.ts";
import { LiveLocks } from "./live_locks.ts";
import { LiveRooms } from "./live_rooms.ts";
import type { RoomContext, RoomObserver } from "./room.ts";
import { roomLimits } from "./room_limits.ts";
import { roomKey } from "./room_store.ts";
import { RoomTable } from "./room_table.ts";
import { RoomTally } from "./room_tally.ts";
import { decodeDocument } from "./stored_document.ts";

/** What rooms need of their Brain. */
export interface RoomServiceOptions {
  readonly config: Pick<Config, "brain" | "limits" | "presence">;
  readonly spine: Spine;
  readonly view: ClusterView;
  readonly metrics: BrainMetrics;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** How commands change documents; absent: as they should. */
  readonly apply?: typeof applyCommands;
}

/** Rooms that are being served. */
export interface RoomService {
  /**
   * Takes no new command from the Shields, then answers those it has, and those that other Brains
   * still send here. Call it when the others have been told. Leaves the Spine open. Idempotent.
   */
  drain(): Promise<void>;
  /**
   * A room's document as it is stored, for operators; undefined: it has none. Rejects with
   * `spine-unavailable`, or `internal` for one that is damaged.
   */
  documentOf(tenant_id: string, room_id: string): Promise<RoomDocument | undefined>;
}

/** All Brains share the work: each command comes to one of them first. */
const QUEUE = "brain";
const ROOMS_BUCKET = "ARQON_ROOMS";

/** What changes while rooms are served. */
interface Standing {
  term: { number: number; started_ms: number };
  stopping: boolean;
}

function observerOf(options: RoomServiceOptions, tally: RoomTally): RoomObserver {
  const { metrics, log } = options;
  return {
    onConflict: () => metrics.command_conflicts.inc(),
    onRetry: (commands) => metrics.command_retries.inc(commands),
    onRestart: ({ tenant_id, room_id }, error) => {
      metrics.room_restarts.inc();
      log.error("room restarted", { tenant_id, room: room_id, error });
    },
    onCreated: (at) => {
      metrics.rooms_created.inc();
      tally.note(at, true);
    },
    onFresh: (_at, fresh) => {
      for (const { fallen } of fresh) {
        if (fallen !== undefined) metrics.locks_fallen.inc({ cause: fallen });
      }
    },
  };
}

async function perform(
  at: RoomAddress,
  command: EffectCommand,
  announcer: Announcer,
  bans: BanBook,
): Promise<void> {
  if (command.kind === "kick") announcer.kick(at, command);
  else if (command.kind === "ban") await bans.ban(at, command);
  else await bans.unban(at, command);
}

/** The parts that look after rooms between commands. */
function caretaker(
  options: RoomServiceOptions,
  standing: Standing,
  parts: {
    context: RoomContext;
    table: RoomTable;
    tally: RoomTally;
    bans: BanBook;
    locks: LiveLocks;
    live: LiveRooms;
    last_use: LastUse;
  },
): Caretaker {
  const { config: { brain }, view, metrics, log, now } = options;
  const { context, table, tally, last_use } = parts;
  const births = new BirthQueue({
    context,
    waiting_max: brain.rooms_per_tenant,
    isWanted: (at) => context.isOwner(at) && view.count(at.tenant_id, at.room_id).connections > 0,
    refusal: (tenant_id) => tally.refusal(tenant_id),
    onCreated: (at) => context.observer.onCreated(at),
    onRefused: (reason) => metrics.lifecycle_refused.inc({ reason }),
    log,
  });
  const sweep = {
    ...{ context, view, births, tally, last_use, log },
    idle_timeout_ms: brain.idle_timeout_ms,
    isBusy: (at: RoomAddress) => table.isBusy(at),
    onEnded: (at: RoomAddress) => {
      metrics.rooms_ended.inc();
      tally.note(at, false);
      last_use.forget(at);
      table.forget(at);
    },
    onRefused: () => metrics.lifecycle_refused.inc({ reason: "failed" }),
    isStopping: () => standing.stopping,
  };
  const onTerm = () => {
    standing.term = { number: standing.term.number + 1, started_ms: now() };
  };
  return new Caretaker({ view, births, sweep, metrics, log, onTerm, ...parts });
}

/** The buckets as they are now: a Brain that does not know them would promise too much. */
async function openBuckets(options: RoomServiceOptions) {
  const { config: { brain }, spine, now, log } = options;
  const rooms: KeyValue = await spine.keyValue(ROOMS_BUCKET);
  const tally = new RoomTally(brain.rooms_per_tenant);
  await tally.recount(() => rooms.keys());
  const bucket = await spine.keyValue(BANS_BUCKET);
  const bans = new BanBook({ bucket, bans_per_tenant: brain.bans_per_tenant, now, log });
  await bans.ready;
  return { rooms, tally, bans };
}

function documentReader(rooms: KeyValue): RoomService["documentOf"] {
  return async (tenant_id, room_id) => {
    const entry = await rooms.get(roomKey({ tenant_id, room_id }));
    return entry && decodeDocument(entry.value, entry.revision);
  };
}

/**
 * Resolves once commands are taken. Rejects with `spine-unavailable` when a bucket cannot be opened
 * or read.
 */
export async function startRooms(options: RoomServiceOptions): Promise<RoomService> {
  const { config, spine, view, metrics, log, now, random } = options;
  const limits = roomLimits(config, spine, log);
  const { rooms_in_memory } = config.brain;
  const { rooms, tally, bans } = await openBuckets(options);
  const announcer = createAnnouncer({ spine, brain_id: view.brain_id, now, random, log });
  const locks = new LiveLocks(rooms_in_memory);
  const live = new LiveRooms({ view, tally });
  tally.follow((at) => live.look(at), () => live.survey());
  const last_use = new LastUse(rooms_in_memory);
  const standing: Standing = { term: { number: 1, started_ms: now() }, stopping: false };
  const { command_timeout_ms } = limits.desk;
  const context: RoomContext = {
    ...{ bucket: rooms, announcer, now, random, command_timeout_ms },
    hearings: new Hearings(rooms_in_memory),
    limits: limits.document,
    apply: options.apply ?? applyCommands,
    term: () => standing.term,
    isOwner: (at) => view.ownerOf(at.tenant_id, at.room_id) === view.brain_id,
    onSeen: (at, document) => locks.see(at, document?.lock),
    birthRefusal: (tenant_id) => tally.refusal(tenant_id),
    perform: (at, command) => perform(at, command, announcer, bans),
    observer: observerOf(options, tally),
    isStopping: () => standing.stopping,
  };
  const table = new RoomTable(limits.desk, context);
  const looked_after = { context, table, tally, bans, locks, live, last_use };
  const care = caretaker(options, standing, looked_after);
  const onUsed = (at: RoomAddress) => last_use.note(at, now());
  const parts = { spine, view, table, bans, metrics, log, now, command_timeout_ms, onUsed };
  const { tracing } = options;
  const desk = createCommandDesk({ ...parts, limits: limits.desk, tracing });
  const direct = processSubject("commands", view.brain_id);
  const forwarded = spine.subscribe(direct, desk.handleForwarded);
  const hear = spine.subscribe(
    everyTenant("rooms"),
    (message) => tally.hear(message, view.brain_id),
  );
  const commands = spine.subscribe(ALL_COMMANDS, desk.handle, { queue: QUEUE });
  const flush = () => spine.flush().catch((error) => log.warn("no flush in a drain", { error }));

  const served = (subscription: Subscription) =>
    subscription.drain().catch((error) => log.warn("commands may be lost in a drain", { error }));

  const drain = async (): Promise<void> => {
    standing.stopping = true;
    hear.unsubscribe();
    await Promise.all([care.stop(), served(commands)]);
    table.wakeAll();
    await desk.settled();
    // Those that were on their way here when the others heard that this Brain goes.
    await served(forwarded);
    await desk.settled();
    bans.stop();
    // The replies are out when this resolves.
    await flush();
  };
  let drained: Promise<void> | undefined;
  try {
    await spine.flush();
  } catch (error) {
    await drain();
    throw error;
  }
  return { drain: () => drained ??= drain(), documentOf: documentReader(rooms) };
}
