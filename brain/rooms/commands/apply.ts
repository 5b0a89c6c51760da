/** Applies commands to a room document. Pure: no Spine, no clock, no queue; `room.ts` has those. */
import { plural } from "../../../shared/plural.ts";
import { ArqonError, utf8Size } from "@arqon/proto";
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
import { entryLine } from "../store/document.ts";
import type {
  AppliedCommand,
  CommandPage,
  Grant,
  Life,
  RoomDocument,
  RoomLimits,
} from "../store/document.ts";
import { checkFence, checkHolder, liveLock, type Lock } from "../locks/lock.ts";
import {
  boundedEvents,
  eventBody,
  eventJson,
  eventsSince,
  unlockBody,
} from "../store/room_event.ts";
import type { FreshEvent, RoomEvent, WriteMark } from "../store/room_event.ts";

/** The context of applying commands, besides the document and the commands. */
export interface ApplyContext {
  /** Unix ms. */
  readonly now_ms: number;
  /** The time by the room's `CommandClock`, for how long a command is remembered. */
  readonly steady_ms: number;
  readonly limits: RoomLimits;
  /** The answer to a command that only one of the document's pages remembers. */
  readonly older: (command_key: string) => AppliedCommand | undefined;
  /** The first version of a room that is created now: above the versions of any earlier room. */
  readonly first_version: number;
  /** Why the room may not be created; absent: it may. */
  readonly birth_refusal?: ArqonError;
  /** Why the room may not grow; absent: it may. */
  readonly growth_refusal?: ArqonError;
}

/**
 * The outcome of a command: an answer, a refusal, or "later" if the room has not reached the command's `after_version`.
 */
export type Outcome = CommandAnswer | ArqonError | "later";

/** The outcomes of a list of commands. */
export interface Applied {
  /** The new document; the given one if nothing was written. */
  readonly document: RoomDocument;
  /**
   * One outcome per command, in order. The list ends early at a second lock grant: that command and later ones need
   * another write. A refusal changes nothing.
   */
  readonly outcomes: readonly Outcome[];
  /** The new events, one per version. */
  readonly fresh: readonly FreshEvent[];
}

/** One batch's working copy, so that a thousand commands copy the document once. */
interface Draft {
  readonly life: Life | undefined;
  version: number;
  start: number;
  readonly epoch: string;
  created_ms: number;
  readonly entries: Map<string, string>;
  entries_bytes: number;
  readonly applied: Map<string, AppliedCommand>;
  readonly earlier?: RoomDocument["earlier"];
  readonly pages: readonly CommandPage[];
  /** See `ApplyContext.steady_ms`. */
  readonly steady_ms: number;
  readonly events: RoomEvent[];
  lock: Lock | undefined;
  readonly last_fence: number;
  /** See `ApplyContext.first_version`. */
  readonly first_version: number;
  readonly fresh: FreshEvent[];
  /** This write grants a lock, whose fence is known only after the write. */
  granted: boolean;
  /** The cached JSON of the whole state at `version`: the gets of one batch share it. */
  state: string | undefined;
}

function stateText(entries: ReadonlyMap<string, string>): string {
  const members = Array.from(entries, ([key, value]) => `${JSON.stringify(key)}:${value}`);
  return `{${members.join(",")}}`;
}

const exists = (draft: Draft): boolean => draft.version > 0 || draft.epoch !== "";

/** The epoch for an answer: "" before the room exists, undefined if the write assigns it. */
function epochOf(draft: Draft): string | undefined {
  return draft.epoch === "" && exists(draft) ? undefined : draft.epoch;
}

/**
 * Whether the sender has seen a later version than the room's. Throws `version-conflict` (409) if the epoch differs:
 * versions of different epochs are not comparable.
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
  if (!exists(draft)) {
    draft.created_ms = event.at_ms;
    draft.version = draft.start = draft.first_version;
  }
  const numbered: RoomEvent = { version: ++draft.version, ...event };
  draft.state = undefined;
  draft.events.push(numbered);
  draft.fresh.push({ event: numbered, trace_id, fallen });
}

function fall(draft: Draft, lock: Lock, cause: FallCause, now_ms: number, trace_id: string): void {
  draft.lock = undefined;
  const body = unlockBody(lock, cause, "", now_ms);
  add(draft, { at_ms: now_ms, body, fence: lock.fence }, trace_id, cause);
}

/** Removes an expired lock. That is a separate version before the command's own. */
function lapse(draft: Draft, command: WriteCommand, now_ms: number): void {
  const { lock } = draft;
  if (lock === undefined || liveLock(lock, now_ms) !== undefined) return;
  fall(draft, lock, "expired", now_ms, command.from.trace_id);
}

function remember(draft: Draft, command: WriteCommand, grant?: Grant): WrittenAnswer {
  const { version } = draft;
  if (command.command_key !== undefined) {
    draft.applied.set(command.command_key, { version, grant, at_ms: draft.steady_ms });
  }
  return { kind: "written", version, epoch: epochOf(draft), grant };
}

/** Adds one version for a command that changes no lock. */
function write(draft: Draft, command: SetCommand | DeleteCommand | EffectCommand, at_ms: number) {
  const body = eventBody(command, at_ms, undefined);
  add(draft, { at_ms, body, fence: undefined }, command.from.trace_id);
  return remember(draft, command);
}

const entryBytes = (key: string, value: string | undefined): number =>
  value === undefined ? 0 : utf8Size(entryLine(key, value));

function applySet(draft: Draft, command: SetCommand, context: ApplyContext) {
  const { now_ms, limits, growth_refusal } = context;
  const { key, value } = command;
  const before = draft.entries.get(key);
  const size = draft.entries_bytes - entryBytes(key, before) + entryBytes(key, value);
  if (growth_refusal !== undefined && size > draft.entries_bytes) throw growth_refusal;
  if (size > limits.state_bytes) {
    const most = `brain.state_bytes is ${limits.state_bytes}`;
    const detail = `the room's state would be ${size} bytes; ${most}`;
    throw new ArqonError("message-too-large", detail);
  }
  if (before === undefined && draft.entries.size >= limits.keys_per_room) {
    const most = `brain.keys_per_room is ${limits.keys_per_room}`;
    const detail = `the room's state would have ${plural(draft.entries.size + 1, "key")}; ${most}`;
    throw new ArqonError("message-too-large", detail);
  }
  lapse(draft, command, now_ms);
  draft.entries.set(key, value);
  draft.entries_bytes = size;
  return write(draft, command, now_ms);
}

function applyDelete(draft: Draft, command: DeleteCommand, context: ApplyContext) {
  const { now_ms, growth_refusal } = context;
  // Deleting a missing key frees nothing, and the command would be remembered.
  if (growth_refusal !== undefined && !draft.entries.has(command.key)) throw growth_refusal;
  lapse(draft, command, now_ms);
  draft.entries_bytes -= entryBytes(command.key, draft.entries.get(command.key));
  draft.entries.delete(command.key);
  return write(draft, command, now_ms);
}

function applyLock(draft: Draft, command: LockCommand, context: ApplyContext) {
  const { now_ms, growth_refusal } = context;
  const held = liveLock(draft.lock, now_ms);
  if (growth_refusal !== undefined && held === undefined) throw growth_refusal;
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

/** Removes the lock if it is still the one that was meant: lease and holder may have changed since. */
function applyRelease(draft: Draft, command: ReleaseCommand, { now_ms }: ApplyContext) {
  const { lock } = draft;
  const meant = lock !== undefined &&
    (command.cause === "expired"
      ? liveLock(lock, now_ms) === undefined
      : lock.connection_id === command.connection_id);
  if (meant) fall(draft, lock, command.cause, now_ms, command.from.trace_id);
  return remember(draft, command);
}

function applyGet(draft: Draft, command: GetCommand, { now_ms }: ApplyContext): CommandAnswer {
  const { version } = draft;
  const { key, events_after } = command;
  const events = events_after === undefined
    ? undefined
    : eventsSince(boundedEvents(draft.events), events_after || draft.start, version) ??
      "truncated" as const;
  const at = { version, epoch: epochOf(draft), events };
  if (key !== undefined) return { kind: "value", ...at, key, value: draft.entries.get(key) };
  draft.state ??= stateText(draft.entries);
  return { kind: "state", ...at, state: draft.state, lock: liveLock(draft.lock, now_ms) };
}

function applyWrite(
  draft: Draft,
  command: Exclude<WriteCommand, ReleaseCommand>,
  context: ApplyContext,
): CommandAnswer | "cut" {
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
    default:
      return command satisfies never;
  }
}

function applyOne(draft: Draft, command: RoomCommand, context: ApplyContext): Outcome | "cut" {
  try {
    if (command.kind === "release") return applyRelease(draft, command, context);
    const { command_key } = command;
    const answered = command_key === undefined
      ? undefined
      : draft.applied.get(command_key) ?? context.older(command_key);
    if (answered !== undefined) {
      const { version, grant } = answered;
      const earlier = draft.earlier?.find((one) => version <= one.version);
      return { kind: "written", epoch: earlier?.epoch ?? epochOf(draft), version, grant };
    }
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
 * Applies commands in order. Refusals are outcomes, not exceptions: `version-conflict`, `locked`
 * and `fence-mismatch` (409), `message-too-large` (413) for entries beyond the limits, and the
 * `birth_refusal` and the `growth_refusal` of the context.
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
    steady_ms: context.steady_ms,
    first_version: context.first_version,
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
  const { state: _state, granted: _granted, fresh: _fresh, ...rest } = draft;
  const { steady_ms: _steady, first_version: _first, ...changed } = rest;
  return { document: { ...changed, events: boundedEvents(changed.events) }, outcomes, fresh };
}

// Two values of an answer are known only after the write: the epoch of a room that it creates, and the fence of a
// lock that it grants.

interface At {
  readonly version: number;
  /** The room's epoch: "" before the room exists; undefined: the write assigns it. */
  readonly epoch: string | undefined;
}

/** The answer to a write, applied now or when its command first arrived. */
interface WrittenAnswer extends At {
  readonly kind: "written";
  /** The lock that the write granted, if any. */
  readonly grant: Grant | undefined;
}

interface Read extends At {
  /** The requested events; absent: none requested. */
  readonly events: readonly RoomEvent[] | "truncated" | undefined;
}

interface ValueAnswer extends Read {
  readonly kind: "value";
  readonly key: string;
  /** The value as compact JSON; absent: no such key. */
  readonly value: string | undefined;
}

interface WholeAnswer extends Read {
  readonly kind: "state";
  /** The state, as a JSON object. */
  readonly state: string;
  readonly lock: Lock | undefined;
}

/** The result of a command, at `version`. */
type CommandAnswer = WrittenAnswer | ValueAnswer | WholeAnswer;

function eventsMember({ events }: Read, mark: WriteMark): string {
  if (events === undefined) return "";
  if (events === "truncated") return ',"truncated":true';
  return `,"events":[${events.map((event) => eventJson(event, mark)).join(",")}]`;
}

function lockMember(lock: Lock | undefined, mark: WriteMark): string {
  if (lock === undefined) return "";
  const { user_id, connection_id, until_ms } = lock;
  const fence = lock.fence || mark.fence;
  return `,"lock":${JSON.stringify({ holder: user_id, connection_id, until_ms, fence })}`;
}

/** The JSON of an answer. `mark` has the epoch and the fence: of the answer's write, or of the stored document. */
export function answerJson(answer: CommandAnswer, mark: WriteMark): string {
  const epoch = JSON.stringify(answer.epoch ?? mark.epoch);
  const position = `"version":${answer.version},"epoch":${epoch}`;
  switch (answer.kind) {
    case "written": {
      const { grant } = answer;
      if (grant === undefined) return `{${position}}`;
      const fence = grant.fence || mark.fence;
      return `{${position},"fence":${fence},"until_ms":${grant.until_ms}}`;
    }
    case "state": {
      const { state, lock } = answer;
      return `{${position},"state":${state}${lockMember(lock, mark)}${eventsMember(answer, mark)}}`;
    }
    case "value": {
      const { key, value } = answer;
      const exists = value !== undefined;
      return `{${position},"key":${JSON.stringify(key)},"value":${
        value ?? "null"
      },"exists":${exists}${eventsMember(answer, mark)}}`;
    }
    default:
      return answer satisfies never;
  }
}
