/**
 * One active room: its queue of commands, which are applied batch by batch to the stored document by compare-and-set.
 * The room's owner serves it, but several Brains may believe that they own it: the bucket decides. The table of rooms
 * is `room_tally.ts`, requests are in `room_commands.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import { answerJson, type Applied, type applyCommands } from "../commands/apply.ts";
import { isEffect } from "../commands/command.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { EffectCommand, RoomCommand } from "../commands/command.ts";
import type { RoomDocument, RoomLimits } from "../store/document.ts";
import type { Leases } from "../locks/leases.ts";
import {
  addPages,
  CommandClock,
  encodePages,
  findCommand,
  readPages,
  removePages,
  shed,
} from "../store/command_pages.ts";
import type { MemoryLimits, PageTable } from "../store/command_pages.ts";
import { loadRoom, writeRoom } from "../store/room_store.ts";
import type { StoreContext, Stored } from "../store/room_store.ts";
import type { RoomMetrics } from "../metrics.ts";
import type { FreshEvent, WriteMark } from "../store/room_event.ts";
import { encodeDocument } from "../store/stored_document.ts";
import { ENTRY_BYTES } from "../../../shared/spine/bucket_shares.ts";
import { within } from "../../../shared/within.ts";

/** The most commands in one compare-and-set; it bounds how long a batch blocks the process. */
const BATCH_MAX = 256;
/** Lost races after which a batch is refused. Each lost race is another Brain's progress. */
const ATTEMPTS_MAX = 64;
/** After a lost race a Brain waits a random time up to 2^n ms; this is the largest n. */
const BACKOFF_EXPONENT_MAX = 6;
const CONTENDED_RETRY_MS = 250;
/** Interval between reads of a room while commands wait for a version from another Brain, in ms. */
const REREAD_MS = 250;

/** A command in its room's queue. */
export interface WaitingCommand {
  readonly command: RoomCommand;
  /** Deadline of the answer, in monotonic ms. */
  readonly deadline_ms: number;
  /** Called once, with the result's JSON or the refusal. Must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

/** One room in memory. */
export interface Room {
  readonly at: RoomAddress;
  /** The possibly stale stored document: sufficient for trying a write, never for an answer. */
  cached: Stored | undefined;
  waiting: WaitingCommand[];
  /** The commands whose `after_version` the room has not reached. */
  parked: WaitingCommand[];
  /** Ends the pause between checks of the parked commands. */
  wake: () => void;
  readonly pages: PageTable;
  readonly command_clock: CommandClock;
  /** Connections with an unanswered lock command. */
  readonly locking: Set<string>;
}

/** Shared by all rooms of a Brain. */
export interface RoomContext extends StoreContext, Pick<Env, "log" | "monotonic_ms"> {
  readonly limits: RoomLimits & MemoryLimits;
  readonly leases: Pick<Leases, "current">;
  /** How long the Shield waits for an answer, in ms; in the text of `command-timeout`. */
  readonly command_timeout_ms: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** `applyCommands`; a test may pass one that fails. */
  readonly apply: typeof applyCommands;
  /** Why the tenant may not create another room; undefined: it may. */
  readonly birthRefusal: (tenant_id: string) => ArqonError | undefined;
  /** Performs a command's effect outside the document. Rejects with an ArqonError on failure. */
  readonly perform: (at: RoomAddress, command: EffectCommand) => Promise<void>;
  readonly metrics: RoomMetrics;
  readonly onCreated: (at: RoomAddress) => void;
  /** Whether the Brain is stopping: then no command waits. */
  readonly isStopping: () => boolean;
}

/** Thrown if `apply` threw: a bug, triggered by one command. */
class HandlerFault extends Error {
  override readonly name = "HandlerFault";
}

/** A new room without a cached document. */
export function restingRoom(at: RoomAddress): Room {
  return {
    at,
    cached: undefined,
    waiting: [],
    parked: [],
    wake: () => {},
    pages: new Map(),
    command_clock: new CommandClock(),
    locking: new Set(),
  };
}

/** Refuses commands past their deadline: an overloaded room must not work in vain. */
function stillAwaited(batch: readonly WaitingCommand[], context: RoomContext): WaitingCommand[] {
  const now_ms = context.monotonic_ms();
  return batch.filter((waiting) => {
    if (now_ms < waiting.deadline_ms) return true;
    waiting.answer(new ArqonError("command-timeout", `${context.command_timeout_ms} ms`));
    return false;
  });
}

function backOff(attempt: number, random: () => number): Promise<void> {
  const wait_ms = random() * 2 ** Math.min(attempt, BACKOFF_EXPONENT_MAX);
  return new Promise((resolve) => setTimeout(resolve, wait_ms));
}

/** Waits until the room is woken, at most REREAD_MS. */
async function rest(room: Room): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  room.wake = resolve;
  await within(REREAD_MS, promise, () => {});
  room.wake = () => {};
}

function leased({ at }: Room, document: RoomDocument, { leases }: RoomContext): RoomDocument {
  const lock = document.lock && leases.current(at, document.lock);
  return lock === document.lock ? document : { ...document, lock };
}

function apply(
  room: Room,
  { document, revision }: Stored,
  commands: readonly RoomCommand[],
  context: RoomContext,
  is_full: boolean,
): Applied {
  const { at } = room;
  const refusal = revision === 0 ? context.birthRefusal(at.tenant_id) : undefined;
  try {
    const now_ms = context.now();
    return context.apply(leased(room, document, context), commands, {
      now_ms,
      steady_ms: room.command_clock.now(document, context),
      older: (key) => findCommand(room.pages, key),
      limits: context.limits,
      first_version: context.firstVersion(now_ms),
      ...(refusal === undefined ? {} : { birth_refusal: refusal }),
      ...(is_full ? { growth_refusal: context.bytes.refusal() } : {}),
    });
  } catch (cause) {
    throw new HandlerFault(`${commands.map(({ kind }) => kind)}`, { cause });
  }
}

/** Reads the newest document and its pages. */
async function load(room: Room, context: RoomContext): Promise<Stored> {
  const stored = await loadRoom(room.at, context);
  await readPages(room.at, stored.document, room.pages, context.bucket);
  return stored;
}

/** Nothing was written: the tenant's byte quota would be exceeded. */
const FULL = "full";

/**
 * Writes `document`, derived from `base`; unless `is_due`, only within the tenant's byte quota. Undefined: another
 * Brain was faster. Rejects with `spine-unavailable` when the outcome is unknown.
 */
async function writeChange(
  { at, pages: table, command_clock }: Room,
  base: Stored,
  document: RoomDocument,
  context: RoomContext,
  is_due: boolean,
): Promise<Stored | undefined | typeof FULL> {
  const { bucket, bytes, limits, metrics } = context;
  const lean = shed(base.document, document, limits, command_clock.now(base.document, context));
  const value = encodeDocument(lean.document);
  const pages = encodePages(lean);
  const beside_bytes = pages.reduce((sum, page) => sum + page.value.length + ENTRY_BYTES, 0);
  const born_bytes = base.revision === 0 ? ENTRY_BYTES : 0;
  const grown_bytes = value.length - base.size_bytes + born_bytes + beside_bytes;
  if (is_due) bytes.add(at.tenant_id, grown_bytes);
  else if (!await bytes.take(at.tenant_id, grown_bytes)) return FULL;
  await addPages(at, pages, table, bucket);
  const stored = await writeRoom(at, lean.document, base.revision, context, value);
  if (stored === undefined) {
    bytes.add(at.tenant_id, -grown_bytes);
    return undefined;
  }
  if (lean.forgotten > 0) metrics.command_ids_forgotten.inc(lean.forgotten);
  for (const { name } of lean.removed) table.delete(name);
  // Not awaited: it never rejects.
  if (lean.removed.length > 0) void removePages(at, lean.removed, bucket);
  return stored;
}

/** The progress of the attempts at one batch. */
interface Progress {
  /** The effect outside the document has been performed. */
  performed: boolean;
  /** The tenant's rooms have reached their byte quota: growth is refused. */
  full: boolean;
}

interface Answered {
  readonly outcomes: Applied["outcomes"];
  readonly mark: WriteMark;
  readonly wrote: boolean;
}

/** The document's epoch, and the fence of the lock that the last write granted, if any. */
function markOf({ document: { epoch, last_fence, start } }: Stored): WriteMark {
  return { epoch, fence: last_fence, start };
}

function tell(
  room: Room,
  fresh: readonly FreshEvent[],
  stored: Stored,
  born: boolean,
  context: RoomContext,
) {
  if (born) context.onCreated(room.at);
  context.saying.wrote(room.at, stored.document, fresh, markOf(stored), born);
  for (const { fallen } of fresh) {
    if (fallen !== undefined) context.metrics.locks_fallen.inc({ cause: fallen });
  }
}

/**
 * Tries to answer commands at one revision that was the newest at some moment after the last of them arrived. Either
 * the compare-and-set on that revision succeeds, or, without a write, the document is read again. So neither a refusal
 * nor a read comes from a stale copy. Undefined: another Brain was faster, and nothing happened.
 */
async function attempt(
  room: Room,
  commands: readonly RoomCommand[],
  context: RoomContext,
  progress: Progress,
): Promise<Answered | undefined> {
  const [first] = commands;
  const effect = first !== undefined && isEffect(first) ? first : undefined;
  // An effect outside the document must not be based on a stale document.
  const guess = effect === undefined && commands.some(({ kind }) => kind !== "get");
  const cached = guess ? room.cached : undefined;
  let base = cached ?? await load(room, context);
  let applied = apply(room, base, commands, context, progress.full);
  if (applied.fresh.length === 0 && cached !== undefined) {
    base = await load(room, context);
    applied = apply(room, base, commands, context, progress.full);
  }
  const { outcomes, fresh, document } = applied;
  if (fresh.length === 0) {
    room.cached = base;
    return { outcomes, mark: markOf(base), wrote: false };
  }
  if (effect !== undefined && !progress.performed) {
    await context.perform(room.at, effect);
    progress.performed = true;
  }
  const is_due = effect !== undefined || progress.full;
  const stored = await writeChange(room, base, document, context, is_due);
  room.cached = stored === FULL ? undefined : stored;
  if (stored === FULL) {
    progress.full = true;
    return await attempt(room, commands, context, progress);
  }
  if (stored === undefined) return undefined;
  tell(room, fresh, stored, base.revision === 0, context);
  return { outcomes, mark: markOf(stored), wrote: true };
}

function answerBatch(
  room: Room,
  batch: readonly WaitingCommand[],
  { outcomes, mark, wrote }: Answered,
  { metrics }: RoomContext,
): void {
  for (const [index, waiting] of batch.entries()) {
    const outcome = outcomes[index];
    if (outcome === "later") room.parked.push(waiting);
    else if (outcome instanceof ArqonError) {
      if (outcome.reason === "room-bytes-limit") metrics.room_bytes_refused.inc();
      waiting.answer(outcome);
    } else if (outcome !== undefined) waiting.answer(answerJson(outcome, mark));
  }
  // Commands left over for another write go first, and parked commands may find their version now.
  room.waiting.unshift(...batch.slice(outcomes.length), ...(wrote ? room.parked.splice(0) : []));
}

function refuseAll(batch: readonly WaitingCommand[], refusal: ArqonError): void {
  for (const { answer } of batch) answer(refusal);
}

/** The command without its conditions once its effect was performed: the effect cannot be undone. */
function afterEffect(command: RoomCommand, done: boolean): RoomCommand {
  return done ? { ...command, expect_version: 0, after_version: 0, epoch: "", fence: 0 } : command;
}

async function fail(
  room: Room,
  batch: readonly WaitingCommand[],
  error: unknown,
  context: RoomContext,
): Promise<void> {
  room.cached = undefined;
  if (!(error instanceof HandlerFault)) {
    const known = error instanceof ArqonError;
    return refuseAll(batch, known ? error : new ArqonError("internal", "", { cause: error }));
  }
  if (batch.length > 1) {
    context.metrics.command_retries.inc(batch.length);
    for (const waiting of batch) await serveBatch(room, [waiting], context);
    return;
  }
  const { tenant_id, room_id } = room.at;
  context.metrics.room_restarts.inc();
  context.log.error("room restarted", { tenant_id, room: room_id, error: error.cause });
  refuseAll(batch, new ArqonError("internal", "", { cause: error.cause }));
}

async function serveBatch(
  room: Room,
  taken: readonly WaitingCommand[],
  context: RoomContext,
): Promise<void> {
  let batch = taken;
  const progress = { performed: false, full: false };
  try {
    for (let tries = 0; tries < ATTEMPTS_MAX; tries++) {
      batch = stillAwaited(batch, context);
      if (batch.length === 0) return;
      if (tries > 0) context.metrics.command_retries.inc(batch.length);
      const commands = batch.map(({ command }) => afterEffect(command, progress.performed));
      const answered = await attempt(room, commands, context, progress);
      if (answered !== undefined) return answerBatch(room, batch, answered, context);
      context.metrics.command_conflicts.inc();
      await backOff(tries, context.random);
    }
  } catch (error) {
    return await fail(room, batch, error, context);
  }
  const detail = `other Brains won ${ATTEMPTS_MAX} races for this room`;
  const options = { retry_after_ms: CONTENDED_RETRY_MS };
  refuseAll(batch, new ArqonError("too-many-pending", detail, options));
}

/** The next commands for one write; a command with an effect has its own write. */
function takeBatch({ waiting }: Room): WaitingCommand[] {
  const effect = waiting.slice(0, BATCH_MAX).findIndex(({ command }) => isEffect(command));
  const size = effect < 0 ? BATCH_MAX : Math.max(effect, 1);
  return waiting.splice(0, size);
}

/**
 * Serves a room until its queue is empty. Never rejects: a failure is the answer to its batch. When the Brain stops,
 * parked commands get `brain-unavailable`.
 */
export async function serveRoom(room: Room, context: RoomContext): Promise<void> {
  while (room.waiting.length > 0 || room.parked.length > 0) {
    if (room.waiting.length === 0) {
      if (context.isStopping()) {
        refuseAll(room.parked.splice(0), new ArqonError("brain-unavailable"));
        return;
      }
      await rest(room);
      room.cached = undefined;
      room.waiting.push(...room.parked.splice(0));
    }
    await serveBatch(room, takeBatch(room), context);
    // A busy Brain that skips the read would win every race, and the others, which must read first, would starve.
    // Batching compensates for the extra read.
    if (room.waiting.length > 0) room.cached = undefined;
  }
}
