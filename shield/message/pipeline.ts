/**
 * The message path, top to bottom: a scanned envelope from one publisher becomes a stamped message on the Spine.
 * connection.ts (WebSocket) and http_publish.ts (HTTP) enter here after limits and scan; hub.ts delivers. Every step is
 * one call to a module that is independent of the others.
 */
import { ArqonError, hasReceiptHeader, hasShadowHeader, type ScannedEnvelope } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { RequestOptions, Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineHeaders, SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { roomSubject, type Subject } from "../../shared/subjects/subject.ts";
import {
  commandAction,
  type CommandActions,
  isModeration,
  notGranted,
  requireCommandRole,
  requireEventType,
  requireGrant,
  requireSignalRole,
  requireTenant,
} from "../auth/authorize.ts";
import type { BanCheck } from "../auth/bans.ts";
import type { Identity } from "../auth/identity.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import type { Caller, HeaderPair } from "./caller.ts";
import { isJudged } from "./gates.ts";
import type { Judged, JudgedLater, Note, Notes, Policies, Quota, Schemas } from "./gates.ts";
import type { Logs } from "./logs.ts";
import type { Observers, Passed } from "./observers.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { give, type PublishedOrder } from "./room_order.ts";
import { type SignatureDemands, verifySignature } from "./signature.ts";
import { kept, NONE_ADDED, passing, spineHeaders, stamp, type Traced } from "./stamp.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** The receipt of a message of a room; undefined: there is none. Never rejects. */
export type Receipts = (
  room: { readonly tenant_id: string; readonly room_id: string },
  stored: Appended,
) => Promise<Uint8Array | undefined>;

/** Sends commands; one with an id may be sent again, and its first answer counts. Rejects as `Spine.request`. */
interface CommandRequests {
  request(
    subject: Subject,
    payload: Uint8Array,
    options: RequestOptions,
    has_id: boolean,
  ): Promise<SpineMessage>;
}

/** The dependencies of the message path. */
export interface MessagePath extends Pick<Env, "now" | "random"> {
  readonly spine: Pick<Spine, "give" | "request">;
  readonly signatures: SignatureDemands;
  readonly overseer: Pick<Policies, "onMessage" | "onSubscribe">;
  readonly bans: BanCheck;
  /** The grants that commands of capabilities need; absent: there are none. */
  readonly actions?: CommandActions;
  readonly schemas: Schemas;
  readonly observers: Observers;
  /** The order of publishes; absent on an engine that delivers everything once and in order. */
  readonly order?: PublishedOrder | undefined;
  readonly classes: Pick<RoomClasses, "of">;
  readonly logs: Pick<Logs, "append">;
  /** The tenants' quotas on all Shields together; absent: only those of `[limits]`. */
  readonly quota?: Quota | undefined;
  /** Throws while a tenant has exhausted its share for filters and schemas; absent: no limit. */
  readonly shares?: {
    require(tenant_id: string): void;
    spend(tenant_id: string, steps: number): void;
  } | undefined;
  /** Recorded traces; absent: no tracing. */
  readonly traces?: Traced | undefined;
  /** Reports when the server has what the Spine was given; absent: at once. */
  readonly flushes?: Pick<FlushQueue, "push"> | undefined;
  /** Keeps notes of decisions; absent: not recorded. */
  readonly journal?: Notes | undefined;
  /** Makes the receipt of a stored message; never rejects. Absent, or undefined: none. */
  readonly receipts?: Receipts | undefined;
  /** The room's subscribers here, as one object while there are any; absent: not needed. */
  readonly subscribersOf?: ((tenant_id: string, room_id: string) => object | undefined) | undefined;
  /** Pending commands of Brains that may go down; absent with an embedded Spine, where no Brain ends alone. */
  readonly commands?: CommandRequests | undefined;
  readonly announce: () => void;
  /** The headers by which a Brain knows the caller of a command; absent, or undefined: none. Throws a refusal. */
  readonly callerOf?:
    | ((identity: Identity, room_class: RoomClass) => SpineHeaders | undefined)
    | undefined;
}

/** The log's answer about a message, with a receipt if the publisher requested it. */
export interface Stored extends Appended {
  readonly result?: Uint8Array | undefined;
}

/** The publisher of a message. `origin` is the connection id if it requested no echo in this room. */
export interface Publisher {
  readonly caller: Caller;
  readonly origin: string | undefined;
}

/**
 * Every check that can refuse an envelope before it takes effect, in the contract's order; returns the headers that
 * policies add, later if a check is remote. Throws or rejects with ArqonError.
 */
export function admit(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
): Judged | undefined {
  let admitted: Judged | undefined;
  step(AT.message);
  for (const tell of path.observers.begun) tell(caller, envelope);
  const note = path.journal?.message(caller, envelope);
  try {
    admitted = checkAll(path, caller, envelope, note);
  } catch (error) {
    tellRefused(path, caller, envelope, error);
    throw error;
  }
  // The refusal is reported separately from the caller's path, so observers do not change what the caller gets.
  return isJudged(admitted) ? admitted : tellingRefused(path, caller, envelope, admitted);
}

/** A separate function because of its closure: `admit` would allocate a context for each message. */
function tellingRefused(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  admitted: JudgedLater,
): JudgedLater {
  const onRefused = (error: unknown) => tellRefused(path, caller, envelope, error);
  if (admitted instanceof Promise) admitted.catch(onRefused);
  else admitted.watch(onRefused);
  return admitted;
}

/** Reports a refused message or command to all observers. */
export function tellRefused(
  { observers }: Pick<MessagePath, "observers">,
  caller: Caller,
  envelope: ScannedEnvelope,
  error: unknown,
): void {
  for (const tell of observers.refused) tell(caller, envelope, error);
}

/** `admit` without reporting refusals. */
function checkAll(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  note: Note | undefined,
): Judged | undefined {
  const { identity } = caller;
  // This refuses invalid room ids; a recently seen room is known to have a valid one.
  roomSubject("in", identity.tenant_id, envelope.room_id);
  requireTenant(identity, envelope.tenant_id);
  const { command } = envelope;
  const action = command === undefined ? "publish" : commandAction(command.name, path.actions);
  requireGrant(identity, action, envelope.room_id);
  path.bans.requireRoom(identity, envelope.room_id);
  requirePayloadRole(identity, envelope, path.actions);
  if (hasShadowHeader(envelope)) throw new ArqonError("reserved-header", "x-arqon-shadow");
  // The quota is the last cheap check, as a refused message must not use it up.
  if (command === undefined) path.shares?.require(identity.tenant_id);
  // An abusive connection costs the tenant more than the command that removes it.
  if (command === undefined || !isModeration(command.name)) {
    path.quota?.take(identity.tenant_id, envelope.size_bytes);
  }
  const verified = verifySignature(envelope, identity, path.signatures.of(identity.tenant_id));
  if (verified === undefined) return checkContent(path, caller, envelope, note);
  return verified.then(() => checkContent(path, caller, envelope, note) ?? NONE_ADDED);
}

/** Throws `command-forbidden`, `reserved-type` or `signal-forbidden`, depending on the payload. */
function requirePayloadRole(
  { role }: Identity,
  envelope: ScannedEnvelope,
  actions: CommandActions | undefined,
): void {
  const { payload: { kind }, command, event } = envelope;
  switch (kind) {
    case "cmd":
      return requireCommandRole(role, command!.name, actions);
    case "event":
      return requireEventType(role, event!.type);
    case "signal":
      return requireSignalRole(role);
    default:
      kind satisfies never;
  }
}

function checkContent(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  note: Note | undefined,
): Judged | undefined {
  checkSchema(path, caller, envelope, undefined, note);
  step(AT.policies);
  return path.overseer.onMessage(caller, envelope, path, checkSchema, note);
}

/**
 * Throws the gate's refusal. If a policy has replaced the payload, it is called again, with the header that says so:
 * the `mark` of a dead letter.
 */
function checkSchema(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  mark: HeaderPair | undefined,
  note: Note | undefined,
): void {
  const { schemas, observers } = path;
  if (envelope.event === undefined || schemas.isEmpty) return;
  step(AT.schema);
  for (const tell of observers.checking) tell(envelope);
  const { steps, work } = schemas;
  let refusal: unknown;
  try {
    requireSchema(path, caller.identity, envelope, mark, note);
  } catch (error) {
    refusal = error;
    throw error;
  } finally {
    path.shares?.spend(caller.identity.tenant_id, schemas.work - work);
    for (const tell of observers.checked) tell(caller, envelope, schemas.steps - steps, refusal);
  }
}

/** Throws the gate's refusal; a mapping may keep a copy of refused events. */
function requireSchema(
  path: MessagePath,
  identity: Identity,
  envelope: ScannedEnvelope,
  mark: HeaderPair | undefined,
  note: Note | undefined,
): void {
  const { tenant_id } = identity;
  const subject = roomSubject("in", tenant_id, envelope.room_id);
  const refusal = path.schemas.check(subject, tenant_id, envelope, note);
  if (refusal === undefined) return;
  if (refusal.dead_letter !== undefined) {
    const marks = mark === undefined ? NONE_ADDED : [mark];
    const routed = stamp(path, identity, envelope, [...marks, ...refusal.dead_letter]);
    path.schemas.keep(subject, routed, refusal);
  }
  throw refusal.error;
}

/**
 * Admits, stamps and publishes an event or signal. In a durable room it resolves with the log's answer. In any other
 * room, when it returns (or resolves) the message is with the Spine engine; the server has it after the next flush.
 */
export function publish(
  path: MessagePath,
  { caller, origin }: Publisher,
  envelope: ScannedEnvelope,
): Promise<Stored | undefined> | undefined {
  const admitted = admit(path, caller, envelope);
  if (isJudged(admitted)) {
    return publishAdmitted(path, caller, origin, envelope, admitted ?? NONE_ADDED, path.now());
  }
  return admitted.then((added) =>
    publishAdmitted(path, caller, origin, envelope, added, path.now())
  );
}

/**
 * Stamps and publishes an admitted message, with the headers from `admit`. Checks bans again, as one may have arrived
 * while policies judged the message. `origin` is as in `Publisher`, `now_ms` is Unix ms.
 */
export function publishAdmitted(
  path: MessagePath,
  caller: Caller,
  origin: string | undefined,
  envelope: ScannedEnvelope,
  added_headers: readonly HeaderPair[],
  now_ms: number,
): Promise<Stored> | undefined {
  try {
    return send(path, caller, origin, envelope, added_headers, now_ms);
  } catch (error) {
    tellRefused(path, caller, envelope, error);
    throw error;
  }
}

/** `publishAdmitted`, which reports published messages, and no immediate refusal. */
function send(
  path: MessagePath,
  caller: Caller,
  origin: string | undefined,
  envelope: ScannedEnvelope,
  added_headers: readonly HeaderPair[],
  now_ms: number,
): Promise<Stored> | undefined {
  step(AT.message);
  const { identity } = caller;
  path.bans.requireRoom(identity, envelope.room_id);
  const { tenant_id } = identity;
  const { room_id } = envelope;
  const room_class = path.classes.of(tenant_id, room_id);
  // Only a reducer publishes its room's events.
  if (room_class.reducer !== undefined) throw notGranted("publish", room_id);
  const space = room_class.durable ? kept : passing;
  const routed = stamp(path, identity, envelope, added_headers, now_ms, space);
  const headers = spineHeaders(path, envelope, origin);
  if (room_class.durable) return store(path, caller, envelope, room_class, routed, headers);
  const subject = roomSubject("in", tenant_id, room_id);
  give(path, subject, routed, headers);
  tellPassed(path, caller, envelope, subject, room_class, routed, headers, undefined, true);
  for (const awaits of path.observers.awaits) {
    if (!awaits(envelope)) continue;
    confirmOnFlush(path, caller, envelope);
    break;
  }
  return undefined;
}

/** Reports the outcome of a message on the Spine, like its ACK. */
function confirmOnFlush(path: MessagePath, caller: Caller, envelope: ScannedEnvelope): void {
  if (path.flushes === undefined) return tellConfirmed(path, envelope, undefined);
  path.flushes.push((error) => {
    if (error === undefined) tellConfirmed(path, envelope, undefined);
    else tellRefused(path, caller, envelope, error);
  });
}

function tellConfirmed(
  { observers }: MessagePath,
  envelope: ScannedEnvelope,
  stored: Appended | undefined,
): void {
  for (const tell of observers.confirmed) tell(envelope, stored);
}

/**
 * Stores a message in its room's log. A separate function because of its closures: `send` would allocate a context for
 * each message.
 */
function store(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  room_class: RoomClass,
  routed: Uint8Array,
  headers: SpineHeaders | undefined,
): Promise<Stored> {
  const { tenant_id, user_id: sender_id } = caller.identity;
  const { room_id, message_id } = envelope;
  const { subscribersOf } = path;
  const before = subscribersOf?.(tenant_id, room_id);
  const append = {
    tenant_id,
    room_id,
    room_class,
    envelope: routed,
    message_id,
    sender_id,
    headers,
  };
  return path.logs.append(append).then((stored) => {
    // Subscribers that arrived or left meanwhile may have missed it.
    const subscribed = before !== undefined && subscribersOf?.(tenant_id, room_id) === before;
    const subject = roomSubject("in", tenant_id, room_id);
    tellPassed(path, caller, envelope, subject, room_class, routed, headers, stored, subscribed);
    tellConfirmed(path, envelope, stored);
    if (!room_class.proof || !hasReceiptHeader(envelope)) return stored;
    return path.receipts?.(append, stored).then((result) => ({ ...stored, result })) ?? stored;
  }, (error) => {
    tellRefused(path, caller, envelope, error);
    throw error;
  });
}

/** The message being reported: one object for all, since observers keep nothing. */
const present = {} as Passed;

function tellPassed(
  { observers: { passed } }: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  subject: Subject,
  room_class: RoomClass,
  routed: Uint8Array,
  headers: SpineHeaders | undefined,
  stored: Appended | undefined,
  subscribed: boolean,
): void {
  if (passed.length === 0) return;
  present.caller = caller;
  present.envelope = envelope;
  present.subject = subject;
  present.room_class = room_class;
  present.routed = routed;
  present.headers = headers;
  present.stored = stored;
  present.subscribed = subscribed;
  for (const tell of passed) tell(present);
}
