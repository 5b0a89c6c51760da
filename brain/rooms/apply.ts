/**
 * What commands do to a room document. Pure: no Spine, no clock, no queue; `room.ts` has those.
 */
import { plural } from "../../shared/plural.ts";
import { ArqonError } from "@arqon/proto";
import type { RoomAnswer, WrittenAnswer } from "./answer.ts";
import type {
  DeleteCommand,
  EffectCommand,
  FallCause,
  GetCommand,
  LockCommand,
  ReleaseCommand,
  RoomCommand,
  SetCommand,
  UnlockCommand,
  WriteCommand,
} from "./command.ts";
import { APPLIED_MAX, entryLine } from "./document.ts";
import type { AppliedCommand, Grant, RoomDocument, RoomLimits } from "./document.ts";
import { checkFence, checkHolder, liveLock } from "./lock.ts";
import type { Lock } from "./lock.ts";
import { boundedEvents, eventBody, eventsSince, unlockBody, utf8Bytes } from "./room_event.ts";
import type { FreshEvent, RoomEvent } from "./room_event.ts";

/** What applying needs besides document and commands. */
export interface ApplyContext {
  /** Unix ms. */
  readonly now_ms: number;
  readonly limits: RoomLimits;
  /** Why a room that does not exist may not be born; absent: it may. */
  readonly birth_refusal?: ArqonError;
}

/** What a command came to: an answer, a refusal, or that the room has not come so far yet. */
export type Outcome = RoomAnswer | ArqonError | "later";

/** What a list of commands came to. */
export interface Applied {
  /** The given document itself when nothing was written. */
  readonly document: RoomDocument;
  /**
   * In order, one per command, unless a second lock was to be granted: that one and what follows it
   * belong into another write. A refusal changes nothing.
   */
  readonly outcomes: readonly Outcome[];
  /** One per version. */
  readonly fresh: readonly FreshEvent[];
}

/** One batch's working copy, so that a thousand commands copy the document once. */
interface Draft {
  version: number;
  readonly epoch: string;
  created_ms: number;
  touched_ms: number;
  readonly entries: Map<string, string>;
  entries_bytes: number;
  readonly applied: Map<string, AppliedCommand>;
  readonly events: RoomEvent[];
  lock: Lock | undefined;
  readonly fresh: FreshEvent[];
  /** This write has granted a lock: its revision is that lock's fence. */
  granted: boolean;
  /** The whole state at `version`, once somebody asked: gets of one batch share it. */
  state: string | undefined;
}

function stateText(entries: ReadonlyMap<string, string>): string {
  const members = Array.from(entries, ([key, value]) => `${JSON.stringify(key)}:${value}`);
  return `{${members.join(",")}}`;
}

const exists = (draft: Draft): boolean => draft.version > 0 || draft.epoch !== "";

/** Of an answer: "" before the room, undefined while only the write can tell. */
function epochOf(draft: Draft): string | undefined {
  return draft.epoch === "" && exists(draft) ? undefined : draft.epoch;
}

/**
 * Versions mean nothing in another epoch. Returns true when the room has not come as far as the
 * sender has seen; throws `version-conflict` (409) when it cannot be the room that the sender means.
 */
function isAhead(draft: Draft, command: RoomCommand): boolean {
  const { expect_version, after_version, epoch } = command;
  const positioned = expect_version !== 0 || after_version !== 0 ||
    (command.kind === "get" && command.events_after !== undefined);
  const conflict = () => new ArqonError("version-conflict", String(draft.version));
  if (positioned && epoch !== "" && epoch !== draft.epoch) throw conflict();
  if (after_version > draft.version) return true;
  if (expect_version !== 0 && expect_version !== draft.version) throw conflict();
  return false;
}

function add(
  draft: Draft,
  event: Omit<RoomEvent, "version">,
  trace_id: string,
  fallen?: FallCause,
): void {
  if (!exists(draft)) draft.created_ms = event.at_ms;
  const numbered: RoomEvent = { version: ++draft.version, ...event };
  draft.touched_ms = event.at_ms;
  draft.state = undefined;
  draft.events.push(numbered);
  draft.fresh.push({ event: numbered, trace_id, fallen });
}

function fall(draft: Draft, lock: Lock, cause: FallCause, now_ms: number, trace_id: string): void {
  draft.lock = undefined;
  const body = unlockBody(lock, cause, "", now_ms);
  add(draft, { at_ms: now_ms, body, fence: lock.fence }, trace_id, cause);
}

/** Writes off a lock whose lease is over, as a version of its own: it comes before what follows. */
function lapse(draft: Draft, command: WriteCommand, now_ms: number): void {
  const { lock } = draft;
  if (lock === undefined || liveLock(lock, now_ms) !== undefined) return;
  fall(draft, lock, "expired", now_ms, command.from.trace_id);
}

function remember(draft: Draft, command: WriteCommand, grant?: Grant): WrittenAnswer {
  const { version } = draft;
  if (command.command_key !== undefined) {
    draft.applied.set(command.command_key, { version, grant });
    const oldest = draft.applied.keys().next();
    if (draft.applied.size > APPLIED_MAX && !oldest.done) draft.applied.delete(oldest.value);
  }
  return { kind: "written", version, epoch: epochOf(draft), grant };
}

/** One version for a command that is neither about a lock nor has anything more to do. */
function write(draft: Draft, command: SetCommand | DeleteCommand | EffectCommand, at_ms: number) {
  const body = eventBody(command, at_ms, undefined);
  add(draft, { at_ms, body, fence: undefined }, command.from.trace_id);
  return remember(draft, command);
}

const entryBytes = (key: string, value: string | undefined): number =>
  value === undefined ? 0 : utf8Bytes(entryLine(key, value));

function applySet(draft: Draft, command: SetCommand, { now_ms, limits }: ApplyContext) {
  const { key, value } = command;
  const before = draft.entries.get(key);
  const size = draft.entries_bytes - entryBytes(key, before) + entryBytes(key, value);
  if (size > limits.state_bytes) {
    const most = `[brain] state_bytes is ${limits.state_bytes}`;
    const detail = `the room's state would be ${size} bytes; ${most}`;
    throw new ArqonError("message-too-large", detail);
  }
  if (before === undefined && draft.entries.size >= limits.keys_per_room) {
    const most = `[brain] keys_per_room is ${limits.keys_per_room}`;
    const detail = `the room's state would have ${plural(draft.entries.size + 1, "key")}; ${most}`;
    throw new ArqonError("message-too-large", detail);
  }
  lapse(draft, command, now_ms);
  draft.entries.set(key, value);
  draft.entries_bytes = size;
  return write(draft, command, now_ms);
}

function applyDelete(draft: Draft, command: DeleteCommand, { now_ms }: ApplyContext) {
  lapse(draft, command, now_ms);
  draft.entries_bytes -= entryBytes(command.key, draft.entries.get(command.key));
  draft.entries.delete(command.key);
  return write(draft, command, now_ms);
}

function applyLock(draft: Draft, command: LockCommand, { now_ms }: ApplyContext) {
  const held = liveLock(draft.lock, now_ms);
  lapse(draft, command, now_ms);
  const { user_id, connection_id, trace_id } = command.from;
  const lock: Lock = {
    user_id,
    connection_id,
    since_ms: now_ms,
    until_ms: Math.max(now_ms + command.ttl_ms, held?.until_ms ?? 0),
    fence: held?.fence ?? 0,
  };
  draft.lock = lock;
  draft.granted ||= held === undefined;
  const body = eventBody(command, now_ms, lock);
  add(draft, { at_ms: now_ms, body, fence: lock.fence }, trace_id);
  return remember(draft, command, { fence: lock.fence, until_ms: lock.until_ms });
}

function applyUnlock(draft: Draft, command: UnlockCommand, { now_ms }: ApplyContext) {
  const lock = liveLock(draft.lock, now_ms);
  if (lock === undefined) throw new ArqonError("fence-mismatch", "the room has no lock");
  const { user_id, trace_id } = command.from;
  draft.lock = undefined;
  const body = unlockBody(lock, "released", user_id, now_ms);
  add(draft, { at_ms: now_ms, body, fence: lock.fence }, trace_id);
  return remember(draft, command);
}

/** Whether the lock is still the one that was meant decides: leases and connections may have changed. */
function applyRelease(draft: Draft, command: ReleaseCommand, { now_ms }: ApplyContext) {
  const { lock } = draft;
  const meant = lock !== undefined &&
    (command.cause === "expired"
      ? liveLock(lock, now_ms) === undefined
      : lock.connection_id === command.connection_id);
  if (meant) fall(draft, lock, command.cause, now_ms, command.from.trace_id);
  return remember(draft, command);
}

function applyGet(draft: Draft, command: GetCommand, { now_ms }: ApplyContext): RoomAnswer {
  const { version } = draft;
  const { key, events_after } = command;
  const events = events_after === undefined
    ? undefined
    : eventsSince(boundedEvents(draft.events), events_after, version) ?? "truncated" as const;
  const at = { version, epoch: epochOf(draft), events };
  if (key !== undefined) return { kind: "value", ...at, key, value: draft.entries.get(key) };
  draft.state ??= stateText(draft.entries);
  return { kind: "state", ...at, state: draft.state, lock: liveLock(draft.lock, now_ms) };
}

function applyWrite(
  draft: Draft,
  command: Exclude<WriteCommand, ReleaseCommand>,
  context: ApplyContext,
): RoomAnswer | "cut" {
  const { now_ms, birth_refusal } = context;
  if (birth_refusal !== undefined && !exists(draft)) throw birth_refusal;
  const lock = liveLock(draft.lock, now_ms);
  checkFence(lock, command);
  switch (command.kind) {
    case "set":
      checkHolder(lock, command, now_ms);
      return applySet(draft, command, context);
    case "delete":
      checkHolder(lock, command, now_ms);
      return applyDelete(draft, command, context);
    case "lock":
      checkHolder(lock, command, now_ms);
      // Two grants of one write would share a fence.
      return lock === undefined && draft.granted ? "cut" : applyLock(draft, command, context);
    case "unlock":
      checkHolder(lock, command, now_ms);
      return applyUnlock(draft, command, context);
    case "kick":
    case "ban":
    case "unban":
      lapse(draft, command, now_ms);
      return write(draft, command, now_ms);
  }
}

function applyOne(draft: Draft, command: RoomCommand, context: ApplyContext): Outcome | "cut" {
  try {
    if (command.kind === "release") return applyRelease(draft, command, context);
    const { command_key } = command;
    const answered = command_key === undefined ? undefined : draft.applied.get(command_key);
    if (answered !== undefined) return { kind: "written", epoch: epochOf(draft), ...answered };
    if (isAhead(draft, command)) return "later";
    if (command.kind !== "get") return applyWrite(draft, command, context);
    checkFence(liveLock(draft.lock, context.now_ms), command);
    return applyGet(draft, command, context);
  } catch (error) {
    if (error instanceof ArqonError) return error;
    throw error;
  }
}

/**
 * Applies commands in order. Refusals are outcomes, not exceptions: `version-conflict`, `locked` and
 * `fence-mismatch` (409), `message-too-large` (413) for entries beyond the limits, and the context's
 * `birth_refusal`.
 */
export function applyCommands(
  document: RoomDocument,
  commands: readonly RoomCommand[],
  context: ApplyContext,
): Applied {
  const draft: Draft = {
    ...document,
    entries: new Map(document.entries),
    applied: new Map(document.applied),
    events: [...document.events],
    fresh: [],
    granted: false,
    state: undefined,
  };
  const outcomes: Outcome[] = [];
  for (const command of commands) {
    const outcome = applyOne(draft, command, context);
    if (outcome === "cut") break;
    outcomes.push(outcome);
  }
  const { fresh } = draft;
  if (fresh.length === 0) return { document, outcomes, fresh };
  const { state: _state, granted: _granted, fresh: _fresh, ...changed } = draft;
  return { document: { ...changed, events: boundedEvents(changed.events) }, outcomes, fresh };
}
