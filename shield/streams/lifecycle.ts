/**
 * The existence and the end of a stream: expiry, closing, and deletion that keeps what forks need. `record.ts` has
 * records; reading and appending are elsewhere.
 */
import { ArqonError } from "@arqon/proto";
import { requireGrant } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { isSignatureRequired } from "../message/signature.ts";
import { type Found, isExpired, lifetimeOf, type StreamKey, type StreamRecord } from "./record.ts";
import { StreamRefusal } from "./answers.ts";
import { ownTail } from "./read.ts";
import type { Reads } from "./read.ts";

/** A creation or removal that takes longer, in ms, was interrupted. */
const UNDER_WAY_MS = 30_000;
/** A read extends a stream's life if this fraction of it has passed since the last extension. */
const TOUCH_PART = 100;

/** The dependencies of ending a stream. */
export interface Ends extends Pick<Reads, "records" | "logs"> {
  /**
   * The time of the tenant's log, Unix ms: the same for all Shields, and it does not jump with a wall clock. Expiry
   * uses it. Rejects as `logs.of`.
   */
  readonly logTime: (tenant_id: string) => Promise<number>;
  /** The same for what may be deleted at that age, in ms: a wall clock that was set lately does not decide it. */
  readonly deletionTime: (tenant_id: string, age_ms: number) => Promise<number>;
}

/**
 * Throws if the user may not take what others have written in a room: a token that may only publish, and one whose
 * messages there must be signed, as a request has no signature.
 */
export function requireRemover(
  { path: { signatures } }: { readonly path: Pick<MessagePath, "signatures"> },
  identity: Identity,
  room_id: string,
): void {
  requireGrant(identity, "command", room_id);
  if (!isSignatureRequired(signatures.of(identity.tenant_id), identity.role, room_id)) return;
  throw new ArqonError("signature-required", room_id);
}

/** The stream of a room. Throws 404 when there is none, 410 if it is kept only for its forks. */
export async function findStream(context: Ends, key: StreamKey): Promise<Found> {
  const found = await lookUp(context, key);
  if (found === undefined) throw new StreamRefusal("stream-not-found");
  if (found.record.gone) throw new StreamRefusal("stream-gone");
  return found;
}

/** The stream of a room, also a deleted one with forks; undefined if there is none. */
export async function lookUp(context: Ends, key: StreamKey): Promise<Found | undefined> {
  const { records, logTime } = context;
  for (;;) {
    const found = await records.get(key);
    if (found === undefined) return undefined;
    const { record } = found;
    const now_ms = await logTime(key.tenant_id);
    if (record.gone) {
      // The caller waits for the removal, so that nothing else is stored in the room earlier.
      const is_left = now_ms - record.touched_ms > UNDER_WAY_MS &&
        (await livingForks(context, key, record)).length === 0;
      if (!is_left) return found;
    } else if (record.creating) {
      if (now_ms - record.created_ms < UNDER_WAY_MS) return undefined;
    } else if (!await isOver(context, key, record)) {
      if (record.closed === undefined || record.closed.end !== undefined) return found;
      await finishClosing(context, key, found);
      continue;
    }
    await removeStream(context, key, found);
  }
}

/** Whether a stream has expired. A message that is published in its room in another way is a write, too. */
async function isOver(
  { logs, deletionTime }: Pick<Ends, "logs" | "deletionTime">,
  { tenant_id, room_id }: StreamKey,
  record: StreamRecord,
): Promise<boolean> {
  const lifetime_ms = lifetimeOf(record);
  if (lifetime_ms === undefined) return false;
  const now_ms = await deletionTime(tenant_id, lifetime_ms);
  const is_expired = isExpired(record, now_ms);
  if (!is_expired || record.closed !== undefined) return is_expired;
  const { last } = await (await logs.of(tenant_id)).head(room_id);
  const touched_ms = Math.max(record.touched_ms, last?.time_ms ?? 0);
  return isExpired({ ...record, touched_ms }, now_ms);
}

/**
 * Records where a closed stream ends: after everything that was stored when it was marked. Any process that finds a
 * closed stream without an end may do this.
 */
export async function finishClosing(
  { records, logs }: Pick<Ends, "records" | "logs">,
  key: StreamKey,
  { record, revision }: Found,
): Promise<Found | undefined> {
  const end = await ownTail(await logs.of(key.tenant_id), key.room_id, record);
  return await records.put(key, { ...record, closed: { ...record.closed, end } }, revision);
}

/** Records that the stream was read or written, if that extends its life. */
export async function touch(
  { records, logTime }: Pick<Ends, "records" | "logTime">,
  key: StreamKey,
  { record, revision }: Found,
): Promise<void> {
  const { ttl_seconds, touched_ms } = record;
  if (ttl_seconds === undefined) return;
  const now_ms = await logTime(key.tenant_id);
  if (now_ms - touched_ms < ttl_seconds * 1_000 / TOUCH_PART) return;
  // The faster process has touched it as well.
  await records.put(key, { ...record, touched_ms: now_ms }, revision);
}

/**
 * Removes a stream: it deletes the messages that no fork shows, and keeps those that forks show. It does nothing if the
 * record has changed since; the caller checks again.
 */
export async function removeStream(context: Ends, key: StreamKey, found: Found): Promise<void> {
  const { records, logTime } = context;
  const forks = await livingForks(context, key, found.record);
  const touched_ms = await logTime(key.tenant_id);
  // From now on no one forks it or writes to it.
  const marked = { ...found.record, forks, gone: true, touched_ms };
  const left = await records.put(key, marked, found.revision);
  if (left === undefined || forks.length > 0) return;
  // The messages come first: a new stream in this room must not show them.
  await (await context.logs.of(key.tenant_id)).trim(key.room_id, 0);
  if (await records.delete(key, left.revision)) await leaveSource(context, key, left.record);
}

/** The existing forks: the list may also have one whose creation or deletion was interrupted. */
async function livingForks(
  context: Ends,
  { tenant_id, room_id }: StreamKey,
  { forks, id }: StreamRecord,
): Promise<string[]> {
  const { records } = context;
  const living: string[] = [];
  for (const name of forks) {
    const [room = "", fork_id] = name.split("/");
    const of_fork = { tenant_id, room_id: room };
    const fork = (await records.get(of_fork))?.record;
    const is_there = fork !== undefined && fork.id === fork_id &&
      fork.fork?.room === room_id && fork.fork.id === id;
    if (!is_there) continue;
    if (fork.forks.length > 0 || !await isOver(context, of_fork, fork)) living.push(name);
  }
  return living;
}

/** Removes a fork from its source's record. A deleted source is removed with its last fork. */
export async function leaveSource(
  context: Ends,
  key: StreamKey,
  { fork, id }: Pick<StreamRecord, "fork" | "id">,
): Promise<void> {
  if (fork === undefined) return;
  const source: StreamKey = { tenant_id: key.tenant_id, room_id: fork.room };
  const name = `${key.room_id}/${id}`;
  for (;;) {
    const found = await context.records.get(source);
    if (found === undefined || found.record.id !== fork.id) return;
    const forks = found.record.forks.filter((other) => other !== name);
    const left = await context.records.put(source, { ...found.record, forks }, found.revision);
    if (left === undefined) continue;
    if (left.record.gone && forks.length === 0) await removeStream(context, source, left);
    return;
  }
}
