/**
 * The end of a growing message: it becomes one message of its room's log, its readers are notified, its record is
 * deleted. Any process may repeat it: the log stores the message once. `growing.ts` decides the end, `start.ts` claims
 * abandoned ones.
 */
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope, ScanLimits } from "@arqon/proto";
import { isForNow } from "../../shared/for_now.ts";
import { unlessNewer } from "../../shared/records/stored.ts";
import type { KvEntry } from "../../shared/spine/contract/spine.ts";
import { findStored, type StoredMessage } from "../../shared/spine/contract/read_page.ts";
import type { Logs } from "../message/logs.ts";
import { type Caller, type HeaderPair, tokenlessCaller } from "../message/caller.ts";
import { admit, type MessagePath, publishAdmitted } from "../message/pipeline.ts";
import { REPLACED_HEADER } from "../message/gates.ts";
import { decodeRecord, hasText, messageIdOf } from "./record.ts";
import type { Ending, EndingReason, GrowingRecord } from "./record.ts";
import { growingKeyOf, isMessage } from "./records.ts";
import type { Found, GrowingKey, GrowingRecords, Settling } from "./records.ts";
import type { GrowingStats } from "./stats.ts";
import { type Stored, tellEnd } from "./reader_events.ts";

/** Header of the stored message: its outcome. */
const OUTCOME_HEADER = "x-arqon-growing";
/** Header of the stored message: the reason of its end, if given. */
const REASON_HEADER = "x-arqon-growing-reason";
/** A log may forget a message id after two minutes; before that, no check is needed. */
const REPETITION_MS = 60_000;
/** Time after which an end that cannot be stored is given up, in ms: its room's log is lost. */
const GIVE_UP_MS = 86_400_000;
/** How long the process that gives it up must have tried, in ms, as a clock may jump. */
const TRIED_MS = 3_600_000;
/** How far the log's clock may go back, in ms, when its leader changes. */
const SKEW_MS = 60_000;
/** The prefix of the connection id if the bus itself ends a message. */
const CONNECTION = "growing";

/** What the end of a growing message needs: the way into the log of its room, and its record. */
export interface SettlingContext {
  readonly path: MessagePath;
  readonly limits: ScanLimits;
  readonly logs: Pick<Logs, "of">;
  /**
   * Unix ms by the clock of the tenant's log: all Shields have the same one, and it does not jump with a
   * wall clock. By the wall clock while there is no such log.
   */
  readonly logTime: (tenant_id: string) => Promise<number>;
  readonly records: GrowingRecords;
  readonly stats: GrowingStats;
}

/** Whether to give up an end that is so old, by clocks that may jump, and was tried here for so long. */
export const isGivenUp = (ended_ms: number, tried_ms: number): boolean =>
  tried_ms >= GIVE_UP_MS || (ended_ms >= GIVE_UP_MS && tried_ms >= TRIED_MS);

/** Who ends a message. */
export interface Ender extends Caller {
  /** The trace of the request, which is that of the stored message; absent or "": a new one. */
  readonly trace_id?: string;
}

/** A record with an end. */
export interface Ended extends Found {
  readonly record: GrowingRecord & { readonly ending: Ending };
}

/**
 * Completes the end of a message; resolves to its offset, or to undefined if none of it is kept. Rejects as a publish
 * is refused: if the refusal is permanent, or has lasted a day, the message has ended without being stored. Without a
 * `caller` it is published in the name of its producer. `tried_ms`: how long this process has tried, by its monotonic
 * clock.
 */
export async function settle(
  context: SettlingContext,
  key: GrowingKey,
  found: Ended,
  caller: Ender = callerOf(key, found.record),
  tried_ms = 0,
): Promise<number | undefined> {
  const own = { key, is_erased: false };
  context.records.settling.add(own);
  try {
    return await complete(context, own, found, caller, tried_ms);
  } finally {
    context.records.settling.delete(own);
  }
}

async function complete(
  context: SettlingContext,
  own: Settling,
  found: Ended,
  caller: Ender,
  tried_ms: number,
): Promise<number | undefined> {
  const { key } = own;
  const { record } = found;
  const { path, logTime, records, stats } = context;
  const { ending } = record;
  const end = async (final: Ending, stored?: Stored) => {
    if (!own.is_erased) tellEnd(path, key, record, final, stored);
    await records.delete(key, found);
    // After the answer about the record: a Shield that was stopped has received the mark by then.
    if (own.is_erased) {
      if (stored !== undefined) await removeStored(context, key, stored.offset);
      throw erasedNow(key);
    }
    // Clients that asked for it meanwhile know it, and are notified of its end now.
    tellEnd(path, key, record, final, stored);
    stats.ended(final.outcome);
  };
  const is_stored = ending.is_kept && (hasText(record) || ending.outcome === "finished");
  if (!is_stored) return void await end(ending);
  let stored: Stored;
  try {
    stored = await store(context, own, record, caller);
  } catch (error) {
    const ended_ms = await logTime(key.tenant_id) - ending.at_ms;
    if (!isForGood(error) && !isGivenUp(ended_ms, tried_ms)) throw error;
    const reason = `not stored: ${error instanceof ArqonError ? error.reason : "internal"}`;
    await end({ ...ending, outcome: "aborted", reason });
    throw error;
  }
  await end(ending, stored);
  return stored.offset;
}

const erasedNow = ({ id }: GrowingKey) => new ArqonError("growing-unknown", `${id} was erased`);

async function removeStored(
  { logs }: Pick<SettlingContext, "logs">,
  { tenant_id, room_id }: GrowingKey,
  offset: number,
): Promise<void> {
  if (offset > 0) await (await logs.of(tenant_id)).erase(room_id, [offset]);
}

/** Marks the ends under way of erased messages, whose text was read before. */
export function markErased(
  settling: ReadonlySet<Settling>,
  tenant_id: string,
  messages: readonly { readonly room: string; readonly id: string }[],
): void {
  for (const one of settling) {
    const { key } = one;
    if (key.tenant_id !== tenant_id) continue;
    one.is_erased ||= messages.some(({ room, id }) => room === key.room_id && id === key.id);
  }
}

/** Notifies readers that an erasure has removed the message; parts of a text, and unreadable records, have none. */
export function tellErased(
  { path, stats }: Pick<SettlingContext, "path" | "stats">,
  { key, value }: KvEntry,
): void {
  const found = isMessage(key) ? unlessNewer(() => decodeRecord(value)) : undefined;
  if (found === undefined || found === "newer") return;
  const ending = { outcome: "aborted", reason: "erased", by: "" } as const;
  // Not its tail: that is erased, too.
  tellEnd(path, growingKeyOf(key), { ...found, ending: null }, ending, undefined);
  stats.ended("aborted");
}

/** Whether it is a refusal that a retry gets again. */
export const isForGood = (error: unknown): boolean =>
  error instanceof ArqonError && !isForNow(error);

async function store(
  context: SettlingContext,
  own: Settling,
  record: Ended["record"],
  caller: Ender,
): Promise<Stored> {
  const { key } = own;
  const { path, limits, logTime, records } = context;
  const { tenant_id, room_id, id } = key;
  const { type, content_type, ending, producer: { user_id } } = record;
  const message_id = messageIdOf(id, record.started_ms);
  const text = await records.textOf(key, record);
  if (text === undefined || await logTime(tenant_id) - ending.at_ms > REPETITION_MS) {
    // Another use of the id is another message, and so is what somebody else sends under this one.
    const isThis = (one: PlainEnvelope) =>
      one.message_id === message_id && one.sender_id === user_id;
    const log = await context.logs.of(tenant_id);
    const known = await findStored(log, room_id, isThis, ending.at_ms - SKEW_MS);
    if (known !== undefined) return { offset: known.offset, is_changed: true };
  }
  if (text === undefined) throw new ArqonError("spine-unavailable", `parts of ${id} are missing`);
  const event = { type, content_type, data: new TextEncoder().encode(text) };
  const { trace_id = "" } = caller;
  const envelope = scanEnvelope(writeEnvelope({ room_id, message_id, trace_id, event }), limits);
  const added = await admit(path, caller, envelope) ?? [];
  if (own.is_erased) throw erasedNow(key);
  const headers: HeaderPair[] = [...added, [OUTCOME_HEADER, ending.outcome]];
  if (ending.reason !== "") headers.push([REASON_HEADER, ending.reason]);
  const is_changed = added.some(([name]) => name === REPLACED_HEADER);
  const stored = await publishAdmitted(path, caller, undefined, envelope, headers, path.now());
  // The class may have changed while the message grew; then it was received, but is not stored.
  return { offset: stored?.offset ?? 0, is_changed };
}

/**
 * A message with that id that was stored at `since_ms` (Unix ms) or later, among the newest `most` of its room;
 * undefined: there is none. Rejects with `log-unavailable`.
 */
export async function findEnded(
  { logs }: Pick<SettlingContext, "logs">,
  { tenant_id, room_id, id }: GrowingKey,
  since_ms: number,
  most: number,
): Promise<StoredMessage | undefined> {
  const start = messageIdOf(id, "");
  const log = await logs.of(tenant_id);
  // No client can set the header.
  const isWanted = ({ message_id, headers }: PlainEnvelope) =>
    message_id.startsWith(start) && headers[OUTCOME_HEADER] !== undefined;
  return await findStored(log, room_id, isWanted, since_ms, most);
}

/** The outcome of a stored message, from its headers. */
export function endingOf({ envelope: { headers } }: StoredMessage): EndingReason {
  return { outcome: headers[OUTCOME_HEADER] ?? "stored", reason: headers[REASON_HEADER] ?? "" };
}

/** The producer as it was authorized at the start of the message. */
export function callerOf({ tenant_id, id }: GrowingKey, { producer }: GrowingRecord): Caller {
  return tokenlessCaller(
    { ...producer, tenant_id, claims: { growing: id } },
    `${CONNECTION}:${id}`,
  );
}
