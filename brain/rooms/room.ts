/**
 * One room at work: its queue of commands, batch by batch against the stored document by
 * compare-and-set. Several Brains may serve the same room; the bucket decides. Not the table of
 * rooms and not the wire: `commands.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { KeyValue, KvKey } from "../../shared/spine/spine.ts";
import {
  answerJson,
  applyCommands,
  decodeDocument,
  emptyDocument,
  encodeDocument,
} from "./document.ts";
import type { RoomAnswer, RoomCommand, RoomDocument } from "./document.ts";

/** Commands that share one compare-and-set: bounds how long a batch blocks the process. */
const BATCH_MAX = 256;
/** Lost races after which a batch is refused. Each lost race is another Brain's progress. */
const ATTEMPTS_MAX = 64;
/** Between lost races a Brain waits a random time up to 2^n ms, n at most this. */
const BACKOFF_EXPONENT_MAX = 6;
const CONTENDED_RETRY_MS = 250;

/** A command in its room's queue. */
export interface WaitingCommand {
  readonly command: RoomCommand;
  /** Unix ms after which nobody waits for the answer any more. */
  readonly deadline_ms: number;
  /** Takes the result JSON or the refusal; called once; must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

interface Stored {
  readonly document: RoomDocument;
  /** Of the bucket; 0: there is no document. */
  readonly revision: number;
}

/** One room in memory. */
export interface Room {
  readonly key: KvKey;
  /** What this Brain believes is stored: good enough to try a write, never to answer from. */
  cached: Stored | undefined;
  waiting: WaitingCommand[];
}

/** What all rooms of a Brain share. */
export interface RoomContext {
  readonly bucket: KeyValue;
  /** Bytes that the entries of one room may take. */
  readonly state_bytes: number;
  /** How long the Shield waits for an answer; named in `command-timeout`. */
  readonly command_timeout_ms: number;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Called for each lost race. */
  readonly onConflict: () => void;
}

async function load(room: Room, bucket: KeyValue): Promise<Stored> {
  const entry = await bucket.get(room.key);
  if (entry === undefined) return { document: emptyDocument(), revision: 0 };
  return { document: decodeDocument(entry.value, entry.revision), revision: entry.revision };
}

/** The stored document after the write, or undefined when another Brain was faster. */
async function write(
  room: Room,
  document: RoomDocument,
  revision: number,
  bucket: KeyValue,
): Promise<Stored | undefined> {
  try {
    const written = await bucket.update(room.key, encodeDocument(document), revision);
    const epoch = document.epoch === "" ? String(written) : document.epoch;
    return { document: { ...document, epoch }, revision: written };
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "version-conflict") return undefined;
    throw error;
  }
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

interface Answered {
  readonly answers: readonly (RoomAnswer | ArqonError)[];
  /** Of the room now. */
  readonly epoch: string;
}

/**
 * Tries to answer all commands as of one revision that was the newest at some moment after the last
 * of them arrived: either the compare-and-set on it succeeds, or, when there is nothing to write, it
 * is read anew. So neither a refusal nor a read comes from a stale copy. Undefined: another Brain
 * was faster, and nothing happened.
 */
async function attempt(
  room: Room,
  commands: readonly RoomCommand[],
  context: RoomContext,
): Promise<Answered | undefined> {
  const { bucket, state_bytes } = context;
  const cached = commands.some(({ kind }) => kind === "set") ? room.cached : undefined;
  let base = cached ?? await load(room, bucket);
  let applied = applyCommands(base.document, commands, state_bytes);
  if (applied.document === base.document && cached !== undefined) {
    base = await load(room, bucket);
    applied = applyCommands(base.document, commands, state_bytes);
  }
  const stored = applied.document === base.document
    ? base
    : await write(room, applied.document, base.revision, bucket);
  room.cached = stored;
  return stored && { answers: applied.answers, epoch: stored.document.epoch };
}

function answerAll(batch: readonly WaitingCommand[], { answers, epoch }: Answered): void {
  for (const [index, given] of answers.entries()) {
    batch[index]?.answer(given instanceof ArqonError ? given : answerJson(given, epoch));
  }
}

function refuseAll(batch: readonly WaitingCommand[], refusal: ArqonError): void {
  for (const { answer } of batch) answer(refusal);
}

async function serveBatch(
  room: Room,
  taken: readonly WaitingCommand[],
  context: RoomContext,
): Promise<void> {
  let batch = taken;
  try {
    for (let tries = 0; tries < ATTEMPTS_MAX; tries++) {
      batch = stillAwaited(batch, context);
      if (batch.length === 0) return;
      const answered = await attempt(room, batch.map(({ command }) => command), context);
      if (answered !== undefined) return answerAll(batch, answered);
      context.onConflict();
      await backOff(tries, context.random);
    }
  } catch (error) {
    room.cached = undefined;
    const known = error instanceof ArqonError;
    return refuseAll(batch, known ? error : new ArqonError("internal", "", { cause: error }));
  }
  const detail = `other Brains won ${ATTEMPTS_MAX} races for this room`;
  const options = { retry_after_ms: CONTENDED_RETRY_MS };
  refuseAll(batch, new ArqonError("too-many-pending", detail, options));
}

/** Serves a room until nothing waits. Never rejects: a failure is the answer to its batch. */
export async function serveRoom(room: Room, context: RoomContext): Promise<void> {
  while (room.waiting.length > 0) {
    await serveBatch(room, room.waiting.splice(0, BATCH_MAX), context);
    // A Brain that always has more to do and skips the read wins every race: the others, who must
    // read first, would starve. Batches make up for the extra read.
    if (room.waiting.length > 0) room.cached = undefined;
  }
}
