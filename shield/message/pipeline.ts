/**
 * The message path, top to bottom: a scanned envelope from one publisher becomes a stamped message
 * on the Spine. connection.ts (WebSocket) and http_publish.ts (HTTP) enter here after limits and
 * scan; the way back is hub.ts. Every step is one call to a leaf that knows nothing of the others.
 */
import { ArqonError, hasShadowHeader } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import type { Random } from "../../shared/ids.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import {
  commandAction,
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
import type { FilterShares } from "../filter/shares.ts";
import type { Journal } from "../journal/journal.ts";
import type { Note } from "../journal/note.ts";
import { isCompared } from "../mirror/mirror.ts";
import type { Mirror } from "../mirror/mirror.ts";
import { isJudged } from "../policy/overseer.ts";
import type { Judged, JudgedLater, Overseer } from "../policy/overseer.ts";
import type { Caller, HeaderPair } from "./caller.ts";
import type { CommandsUnderWay } from "./commands_under_way.ts";
import type { TenantQuota } from "../quota/quota.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { give } from "./room_order.ts";
import type { PublishedOrder } from "./room_order.ts";
import type { SchemaGate } from "../schema/gate.ts";
import { type SignatureDemands, verifySignature } from "./signature.ts";
import { kept, NONE_ADDED, passing, spineHeaders, stamp } from "./stamp.ts";
import type { Tap } from "./tap.ts";
import type { SendingSpine, StoringLogs } from "../traces/traced_sends.ts";
import type { Traces } from "../traces/traces.ts";
import type { Unheard } from "../ledger/unheard.ts";
import type { UsageLedger } from "../usage/ledger.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** What the path needs of the process. */
export interface MessagePath {
  readonly spine: SendingSpine;
  readonly signatures: SignatureDemands;
  readonly overseer: Pick<Overseer, "onMessage">;
  readonly bans: BanCheck;
  readonly schemas: SchemaGate;
  readonly mirror: Mirror;
  /** The order of publishes; absent on an engine that brings everything once and in order. */
  readonly order?: PublishedOrder | undefined;
  /** The tap; absent: no message is tapped. */
  readonly tap?: Tap | undefined;
  readonly classes: Pick<RoomClasses, "of">;
  readonly logs: StoringLogs;
  /** The tenants' quotas on all Shields together; absent: only those of `[limits]`. */
  readonly quota?: TenantQuota | undefined;
  /** What the filters of a tenant's subscribers may take; absent: what they want. */
  readonly shares?: Pick<FilterShares, "require"> | undefined;
  /** The traces of the process; absent: nothing is traced. */
  readonly traces?: Traces | undefined;
  /** Says when the Spine has what it was given; absent: at once. */
  readonly flushes?: Pick<FlushQueue, "push"> | undefined;
  /** The journal of decisions; absent: nothing is written. */
  readonly journal?: Journal | undefined;
  /** The ledger of use; absent: nothing is counted. */
  readonly usage?: UsageLedger | undefined;
  /** Takes note of stored messages that nobody hears here; absent: nobody does. */
  readonly unheard?: Unheard | undefined;
  /** Commands that wait for Brains that may go; absent beside an embedded Spine, where none goes alone. */
  readonly commands?: Pick<CommandsUnderWay, "request"> | undefined;
  /** Announces own members' changes that wait for others to travel with. */
  readonly announce: () => void;
  readonly now: () => number;
  readonly random: Random;
}

/**
 * The publisher of a message. `origin` is the connection id when it asked for no echo in this room.
 */
export interface Publisher {
  readonly caller: Caller;
  readonly origin: string | undefined;
}

/**
 * Everything that can refuse an envelope before it acts, in the contract's order; gives the headers that
 * policies add, later when something was asked elsewhere. Throws or rejects with ArqonError.
 */
export function admit(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
): Judged | undefined {
  let admitted: Judged | undefined;
  step(AT.message);
  path.traces?.begin(caller, envelope);
  const note = path.journal?.message(caller, envelope);
  try {
    admitted = checkAll(path, caller, envelope, note);
  } catch (error) {
    tellRefused(path, caller, envelope, error);
    throw error;
  }
  // The refusal is told beside the caller's own way: it learns of it as if nobody else did.
  return isJudged(admitted) ? admitted : tellingRefused(path, caller, envelope, admitted);
}

/** It stands alone for its closure: `admit` would make a context for each message. */
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

function tellRefused(
  { mirror, traces, journal }: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  error: unknown,
): void {
  traces?.refused(caller, envelope, error);
  journal?.refused(envelope, error);
  if (isCompared(error)) mirror.refused(envelope, caller);
}

/** Does what `admit` does, without telling others of a refusal. */
function checkAll(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  note: Note | undefined,
): Judged | undefined {
  const { identity } = caller;
  // This refuses what is no room id; a room that was seen lately is known to have one.
  roomSubject("in", identity.tenant_id, envelope.room_id);
  requireTenant(identity, envelope.tenant_id);
  const { command } = envelope;
  const action = command === undefined ? "publish" : commandAction(command.name);
  requireGrant(identity, action, envelope.room_id);
  path.bans.requireRoom(identity, envelope.room_id);
  requirePayloadRole(identity, envelope);
  if (hasShadowHeader(envelope)) throw new ArqonError("reserved-header", "x-arqon-shadow");
  // The quota is the last cheap check: a refused message must not use up a tenant's quota.
  if (command === undefined) path.shares?.require(identity.tenant_id);
  path.quota?.take(identity.tenant_id, envelope.size_bytes);
  const verified = verifySignature(envelope, identity, path.signatures.of(identity.tenant_id));
  if (verified === undefined) return checkContent(path, caller, envelope, note);
  return verified.then(() => checkContent(path, caller, envelope, note) ?? NONE_ADDED);
}

/** Throws `command-forbidden`, `reserved-type` or `signal-forbidden`, as the payload is. */
function requirePayloadRole({ role }: Identity, envelope: ScannedEnvelope): void {
  const { payload: { kind }, command, event } = envelope;
  switch (kind) {
    case "cmd":
      return requireCommandRole(role, command!.name);
    case "event":
      return requireEventType(role, event!.type);
    case "signal":
      return requireSignalRole(role);
    default:
      kind satisfies never;
  }
}

/** Asks the schema, then the policies. */
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
 * Throws what the gate refuses with, in a span of its own. Where a policy has replaced the payload, it is
 * called again, with the header that says so: the `mark` of a copy that is kept.
 */
function checkSchema(
  path: MessagePath,
  { identity }: Caller,
  envelope: ScannedEnvelope,
  mark: HeaderPair | undefined,
  note: Note | undefined,
): void {
  if (envelope.event === undefined || path.schemas.isEmpty) return;
  step(AT.schema);
  const span = path.traces?.find(envelope)?.child("schema", "internal");
  try {
    requireSchema(path, identity, envelope, mark, note);
  } catch (error) {
    span?.fail(error instanceof ArqonError ? error.reason : "internal");
    throw error;
  } finally {
    span?.end();
  }
}

/** Throws what the gate refuses with; a mapping may ask for a copy of what is refused. */
function requireSchema(
  path: MessagePath,
  identity: Identity,
  envelope: ScannedEnvelope,
  mark: HeaderPair | undefined,
  note: Note | undefined,
): void {
  const { tenant_id } = identity;
  const subject = roomSubject("in", tenant_id, envelope.room_id);
  const { steps } = path.schemas;
  const refusal = path.schemas.check(subject, tenant_id, envelope, note);
  if (path.usage !== undefined) {
    const { pattern } = path.classes.of(tenant_id, envelope.room_id);
    path.usage.checked(identity, pattern, path.schemas.steps - steps);
  }
  if (refusal === undefined) return;
  if (refusal.dead_letter !== undefined) {
    const marks = mark === undefined ? NONE_ADDED : [mark];
    const routed = stamp(path, identity, envelope, [...marks, ...refusal.dead_letter]);
    path.schemas.keep(subject, routed, refusal);
  }
  throw refusal.error;
}

/**
 * Admits, stamps and publishes an event or signal. In a durable room it resolves with what its log
 * says. In any other, when it returns (or resolves) the message is with the Spine engine; it is with
 * the server after the next flush.
 */
export function publish(
  path: MessagePath,
  publisher: Publisher,
  envelope: ScannedEnvelope,
): Promise<Appended | undefined> | undefined {
  const admitted = admit(path, publisher.caller, envelope);
  if (isJudged(admitted)) {
    return publishAdmitted(path, publisher, envelope, admitted ?? NONE_ADDED, path.now());
  }
  return admitted.then((added) => publishAdmitted(path, publisher, envelope, added, path.now()));
}

/**
 * Stamps and publishes what `admit` has let through, with the headers that it gave. Asks for bans
 * again: one may have come while policies looked at it. `now_ms` is Unix ms.
 */
export function publishAdmitted(
  path: MessagePath,
  publisher: Publisher,
  envelope: ScannedEnvelope,
  added_headers: readonly HeaderPair[],
  now_ms: number,
): Promise<Appended> | undefined {
  // A function with closures has a context of its own for each call, which most calls do not need.
  return path.traces === undefined && path.journal === undefined
    ? publishUntold(path, publisher, envelope, added_headers, now_ms)
    : publishTold(path, publisher, envelope, added_headers, now_ms);
}

/**
 * `publishAdmitted`, which tells traces and journal what came of it, as the ACK does: when the log or the server
 * has the message.
 */
function publishTold(
  path: MessagePath,
  publisher: Publisher,
  envelope: ScannedEnvelope,
  added_headers: readonly HeaderPair[],
  now_ms: number,
): Promise<Appended> | undefined {
  const { traces, journal } = path;
  const refused = (error: unknown) => {
    traces?.refused(publisher.caller, envelope, error);
    journal?.refused(envelope, error);
  };
  let stored: Promise<Appended> | undefined;
  try {
    stored = publishUntold(path, publisher, envelope, added_headers, now_ms);
  } catch (error) {
    refused(error);
    throw error;
  }
  const passed = (offset?: number) => {
    traces?.end(envelope);
    journal?.passed(envelope, offset);
  };
  if (stored !== undefined) stored.then(({ offset }) => passed(offset), refused);
  else if (path.flushes === undefined) passed();
  else path.flushes.push((error) => error === undefined ? passed() : refused(error));
  return stored;
}

/** `publishAdmitted`, which tells traces and journal nothing. */
function publishUntold(
  path: MessagePath,
  { caller, origin }: Publisher,
  envelope: ScannedEnvelope,
  added_headers: readonly HeaderPair[],
  now_ms: number,
): Promise<Appended> | undefined {
  step(AT.message);
  const { identity } = caller;
  path.bans.requireRoom(identity, envelope.room_id);
  const { tenant_id, user_id: sender_id } = identity;
  const { room_id, message_id } = envelope;
  const room_class = path.classes.of(tenant_id, room_id);
  // What a reducer says, nobody else says.
  if (room_class.reducer !== undefined) throw notGranted("publish", room_id);
  const space = room_class.durable ? kept : passing;
  const routed = stamp(path, identity, envelope, added_headers, now_ms, space);
  const headers = spineHeaders(path, envelope, origin);
  if (!room_class.durable) {
    path.journal?.stamped(envelope, routed);
    const subject = roomSubject("in", tenant_id, room_id);
    give(path, subject, routed, headers);
    path.usage?.taken(identity, room_class.pattern, envelope.size_bytes);
    path.tap?.show(tenant_id, room_id, routed, headers);
    mirror(path, caller, envelope, subject, routed, headers);
    return undefined;
  }
  const hearing = path.unheard?.hearing(tenant_id, room_id);
  return path.logs.append({
    tenant_id,
    room_id,
    room_class,
    envelope: routed,
    message_id,
    sender_id,
    headers,
  }).then((appended) => {
    const stored_bytes = appended.duplicate ? 0 : routed.length;
    path.usage?.taken(identity, room_class.pattern, envelope.size_bytes, stored_bytes);
    // A repetition was tapped and mirrored with the message that it repeats.
    if (!appended.duplicate) {
      const { offset } = appended;
      path.unheard?.stored({ tenant_id, room_id, envelope: routed, offset }, hearing);
      path.tap?.show(tenant_id, room_id, routed, headers);
      const subject = roomSubject("in", tenant_id, room_id);
      mirror(path, caller, envelope, subject, routed, headers);
    }
    return appended;
  });
}

function mirror(
  { mirror }: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  subject: Subject,
  routed: Uint8Array,
  headers: SpineHeaders | undefined,
): void {
  step(AT.mirror);
  mirror.copy(subject, envelope, caller, routed, headers);
  mirror.passed(envelope, caller, routed);
}
