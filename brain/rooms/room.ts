/**
 * One room at work: its queue of commands, batch by batch against the stored document by
 * compare-and-set. Its owner serves it, but several Brains may believe to be that: the bucket
 * decides. Not the table of rooms and not the wire: `commands.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { answerJson } from "./answer.ts";
import { isEffect } from "./command.ts";
import type { EffectCommand, RoomAddress, RoomCommand } from "./command.ts";
import type { Applied, applyCommands } from "./apply.ts";
import type { RoomLimits } from "./document.ts";
import { loadRoom, writeRoom } from "./room_store.ts";
import type { StoreContext, Stored } from "./room_store.ts";
import type { FreshEvent, WriteMark } from "./room_event.ts";

/** Commands that share one compare-and-set: bounds how long a batch blocks the process. */
const BATCH_MAX = 256;
/** Lost races after which a batch is refused. Each lost race is another Brain's progress. */
const ATTEMPTS_MAX = 64;
/** Between lost races a Brain waits a random time up to 2^n ms, n at most this. */
const BACKOFF_EXPONENT_MAX = 6;
const CONTENDED_RETRY_MS = 250;
/** How often a room is read again for those that wait for a version that another Brain may write. */
const REREAD_MS = 250;

/** A command in its room's queue. */
export interface WaitingCommand {
  readonly command: RoomCommand;
  /** Unix ms after which nobody waits for the answer any more. */
  readonly deadline_ms: number;
  /** Takes the result JSON or the refusal; called once; must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

/** One room in memory. */
export interface Room {
  readonly at: RoomAddress;
  /** What this Brain believes is stored: good enough to try a write, never to answer from. */
  cached: Stored | undefined;
  waiting: WaitingCommand[];
  /** Those whose `after_version` the room has not reached. */
  parked: WaitingCommand[];
  /** Ends the rest between two looks at the parked ones. */
  wake: () => void;
  /** Connections whose lock command is here and not yet answered. */
  readonly locking: Set<string>;
}

/** What the metrics and the tables of a Brain hear of its rooms. */
export interface RoomObserver {
  /** A compare-and-set that another Brain won. */
  onConflict(): void;
  /** Commands that run again, after a lost race or because another one of their batch failed. */
  onRetry(commands: number): void;
  /** A command's handler threw; the room starts anew from its document. */
  onRestart(at: RoomAddress, error: unknown): void;
  onCreated(at: RoomAddress): void;
  onFresh(at: RoomAddress, fresh: readonly FreshEvent[]): void;
}

/** What all rooms of a Brain share. */
export interface RoomContext extends StoreContext {
  readonly limits: RoomLimits;
  /** How long the Shield waits for an answer; named in `command-timeout`. */
  readonly command_timeout_ms: number;
  /** In [0, 1). */
  readonly random: () => number;
  /** `applyCommands`, unless a test has one that fails. */
  readonly apply: typeof applyCommands;
  /** Why the tenant may have no further room; undefined: it may. */
  readonly birthRefusal: (tenant_id: string) => ArqonError | undefined;
  /** Does what a command does outside the document. Rejects with an ArqonError when it cannot. */
  readonly perform: (at: RoomAddress, command: EffectCommand) => Promise<void>;
  readonly observer: RoomObserver;
  /** Nobody waits any more: the Brain is about to end. */
  readonly isStopping: () => boolean;
}

/** Thrown by `apply`, which must not: a bug, and that of one command. */
class HandlerFault extends Error {
  override readonly name = "HandlerFault";
}

/** A room that nothing is known of. */
export function restingRoom(at: RoomAddress): Room {
  return {
    at,
    cached: undefined,
    waiting: [],
    parked: [],
    wake: () => {},
    locking: new Set(),
  };
}

/** Refuses what nobody waits for any more, so that an overloaded room does not work for nobody. */
function stillAwaited(batch: readonly WaitingCommand[], context: RoomContext): WaitingCommand[] {
  const now_ms = context.now();
  return batch.filter((waiting) => {
    if (now_ms < waiting.deadline_ms) return true;
    waiting.answer(new ArqonError("command-timeout", String(context.command_timeout_ms)));
    return false;
  });
}

function backOff(attempt: number, random: () => number): Promise<void> {
  const wait_ms = random() * 2 ** Math.min(attempt, BACKOFF_EXPONENT_MAX);
  return new Promise((resolve) => setTimeout(resolve, wait_ms));
}

/** Until something comes for the room, at most REREAD_MS. */
async function rest(room: Room): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, REREAD_MS);
  room.wake = resolve;
  await promise;
  room.wake = () => {};
  clearTimeout(timer);
}

function apply(
  { at }: Room,
  { document, revision }: Stored,
  commands: readonly RoomCommand[],
  context: RoomContext,
): Applied {
  const refusal = revision === 0 ? context.birthRefusal(at.tenant_id) : undefined;
  try {
    return context.apply(document, commands, {
      now_ms: context.now(),
      limits: context.limits,
      ...(refusal === undefined ? {} : { birth_refusal: refusal }),
    });
  } catch (cause) {
    throw new HandlerFault(`${commands.map(({ kind }) => kind)}`, { cause });
  }
}

/** A try that came to an end. */
interface Answered {
  readonly outcomes: Applied["outcomes"];
  readonly mark: WriteMark;
  readonly wrote: boolean;
}

function tell(room: Room, fresh: readonly FreshEvent[], stored: Stored, context: RoomContext) {
  const { document: { epoch }, revision } = stored;
  const hearing = context.hearings.of(room.at);
  const born = epoch === String(revision);
  if (born) {
    context.observer.onCreated(room.at);
    hearing.doubt ||= !context.announcer.created(room.at, stored.document);
  }
  for (const { event, trace_id } of fresh) {
    const said = context.announcer.event(room.at, event, { epoch, revision }, trace_id);
    hearing.doubt ||= !said;
  }
  context.observer.onFresh(room.at, fresh);
}

/**
 * Tries to answer commands as of one revision that was the newest at some moment after the last of
 * them arrived: either the compare-and-set on it succeeds, or, when there is nothing to write, it is
 * read anew. So neither a refusal nor a read comes from a stale copy. Undefined: another Brain was
 * faster, and nothing happened.
 */
async function attempt(
  room: Room,
  commands: readonly RoomCommand[],
  context: RoomContext,
  performed: { done: boolean },
): Promise<Answered | undefined> {
  const [first] = commands;
  const effect = first !== undefined && isEffect(first) ? first : undefined;
  // What acts outside must not act on a guess.
  const guess = effect === undefined && commands.some(({ kind }) => kind !== "get");
  const cached = guess ? room.cached : undefined;
  let base = cached ?? await loadRoom(room.at, context);
  let applied = apply(room, base, commands, context);
  if (applied.fresh.length === 0 && cached !== undefined) {
    base = await loadRoom(room.at, context);
    applied = apply(room, base, commands, context);
  }
  const { outcomes, fresh, document } = applied;
  if (fresh.length === 0) {
    room.cached = base;
    const mark = { revision: base.revision, epoch: base.document.epoch };
    return { outcomes, mark, wrote: false };
  }
  if (effect !== undefined && !performed.done) {
    await context.perform(room.at, effect);
    performed.done = true;
  }
  const stored = await writeRoom(room.at, document, base.revision, context);
  room.cached = stored;
  if (stored === undefined) return undefined;
  tell(room, fresh, stored, context);
  const mark = { revision: stored.revision, epoch: stored.document.epoch };
  return { outcomes, mark, wrote: true };
}

function answerBatch(room: Room, batch: readonly WaitingCommand[], answered: Answered): void {
  const { outcomes, mark, wrote } = answered;
  for (const [index, waiting] of batch.entries()) {
    const outcome = outcomes[index];
    if (outcome === "later") room.parked.push(waiting);
    else if (outcome instanceof ArqonError) waiting.answer(outcome);
    else if (outcome !== undefined) waiting.answer(answerJson(outcome, mark));
  }
  // Another write's work comes first, and whoever waited for a version may have it now.
  room.waiting.unshift(...batch.slice(outcomes.length), ...(wrote ? room.parked.splice(0) : []));
}

function refuseAll(batch: readonly WaitingCommand[], refusal: ArqonError): void {
  for (const { answer } of batch) answer(refusal);
}

/** What its check let through and what it has done outside stands, whoever writes in between. */
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
    context.observer.onRetry(batch.length);
    for (const waiting of batch) await serveBatch(room, [waiting], context);
    return;
  }
  context.observer.onRestart(room.at, error.cause);
  refuseAll(batch, new ArqonError("internal", "", { cause: error.cause }));
}

async function serveBatch(
  room: Room,
  taken: readonly WaitingCommand[],
  context: RoomContext,
): Promise<void> {
  let batch = taken;
  const performed = { done: false };
  try {
    for (let tries = 0; tries < ATTEMPTS_MAX; tries++) {
      batch = stillAwaited(batch, context);
      if (batch.length === 0) return;
      if (tries > 0) context.observer.onRetry(batch.length);
      const commands = batch.map(({ command }) => afterEffect(command, performed.done));
      const answered = await attempt(room, commands, context, performed);
      if (answered !== undefined) return answerBatch(room, batch, answered);
      context.observer.onConflict();
      await backOff(tries, context.random);
    }
  } catch (error) {
    return await fail(room, batch, error, context);
  }
  const detail = `other Brains won ${ATTEMPTS_MAX} races for this room`;
  const options = { retry_after_ms: CONTENDED_RETRY_MS };
  refuseAll(batch, new ArqonError("too-many-pending", detail, options));
}

/** The next commands for one write. A command that acts outside has one of its own. */
function takeBatch({ waiting }: Room): WaitingCommand[] {
  const effect = waiting.slice(0, BATCH_MAX).findIndex(({ command }) => isEffect(command));
  const size = effect < 0 ? BATCH_MAX : Math.max(effect, 1);
  return waiting.splice(0, size);
}

/**
 * Serves a room until nothing waits. Never rejects: a failure is the answer to its batch. When the
 * Brain stops, those that wait for a version get `brain-unavailable`.
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
    // A Brain that always has more to do and skips the read wins every race: the others, who must
    // read first, would starve. Batches make up for the extra read.
    if (room.waiting.length > 0) room.cached = undefined;
  }
}
