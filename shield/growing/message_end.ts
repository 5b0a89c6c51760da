/**
 * The end of a growing message: it becomes one message of its room's log, its readers are notified, its record goes.
 * It may be done more than once, by anybody: the log takes the message once. Who decides the end is
 * `growing.ts`, who claims what was left in the middle `start.ts`.
 */
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScanLimits } from "@arqon/proto";
import { findStored } from "../../shared/spine/contract/stored_back.ts";
import type { StoredMessage } from "../../shared/spine/contract/stored_back.ts";
import type { Logs } from "../message/logs.ts";
import { tokenlessCaller } from "../message/caller.ts";
import type { Caller, HeaderPair } from "../message/caller.ts";
import { admit, publishAdmitted } from "../message/pipeline.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { REPLACED_HEADER } from "../message/gates.ts";
import { hasText, messageIdOf } from "./record.ts";
import type { Ending, GrowingRecord, ToldEnding } from "./record.ts";
import type { Found, GrowingKey, GrowingRecords } from "./records.ts";
import type { GrowingStats } from "./stats.ts";
import { tellEnd } from "./reader_events.ts";
import type { Stored } from "./reader_events.ts";

/** Header of the stored message: how it ended. */
const OUTCOME_HEADER = "x-arqon-growing";
/** Header of the stored message: why it ended, where somebody said so. */
const REASON_HEADER = "x-arqon-growing-reason";
/** A log may forget a repetition after two minutes; before that, nobody needs to look. */
const REPETITION_MS = 60_000;
/** What could not be stored for so long, in ms, is not tried any longer: its room's log is gone. */
const GIVE_UP_MS = 86_400_000;
/** It is tried for so long at least by the process that gives it up, in ms: a clock may have been set. */
const TRIED_MS = 3_600_000;
/** The clock of the log may go back by so much, in ms, when another server leads it. */
const SKEW_MS = 60_000;
/** How the id of what stands for a connection begins, where the bus itself ends a message. */
const CONNECTION = "growing";

/** What the end needs of the process. */
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

/** Whether what ended so long ago, by clocks that may be set, and has been tried here for so long, is given up. */
export const isGivenUp = (ended_ms: number, tried_ms: number): boolean =>
  tried_ms >= GIVE_UP_MS || (ended_ms >= GIVE_UP_MS && tried_ms >= TRIED_MS);

/** A record that ends. */
export interface Ended extends Found {
  readonly record: GrowingRecord & { readonly ending: Ending };
}

/**
 * Brings the end of a message about; resolves with its offset, with undefined when nothing of it is kept. Rejects
 * as a publish is refused: when the refusal is for good, or has come for a day, the message has ended without being
 * stored. Without a
 * `caller` it is published in the name of its producer. `tried_ms`: for how long this process has tried,
 * by its monotonic clock.
 */
export async function settle(
  context: SettlingContext,
  key: GrowingKey,
  found: Ended,
  caller: Caller = callerOf(key, found.record),
  tried_ms = 0,
): Promise<number | undefined> {
  const { record } = found;
  const { path, logTime, records, stats } = context;
  const { ending } = record;
  const end = async (told: Ending, stored?: Stored) => {
    tellEnd(path, key, record, told, stored);
    await records.delete(key, found);
    // Who has asked for it in between knows that it is there, and learns of its end now.
    tellEnd(path, key, record, told, stored);
    stats.ended(told.outcome);
  };
  const is_stored = ending.is_kept && (hasText(record) || ending.outcome === "finished");
  if (!is_stored) return void await end(ending);
  let stored: Stored;
  try {
    stored = await store(context, key, record, caller);
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

/** Whether trying again would be refused again. */
function isForGood(error: unknown): boolean {
  return error instanceof ArqonError && error.code < 500 && error.code !== 429 &&
    error.code !== 408;
}

async function store(
  context: SettlingContext,
  key: GrowingKey,
  record: Ended["record"],
  caller: Caller,
): Promise<Stored> {
  const { path, limits, logTime, records } = context;
  const { tenant_id, room_id, id } = key;
  const { type, content_type, ending } = record;
  const text = await records.textOf(key, record);
  if (text === undefined || await logTime(tenant_id) - ending.at_ms > REPETITION_MS) {
    const known = await findEnded(context, key, ending.at_ms - SKEW_MS);
    if (known !== undefined) return { offset: known.offset, is_changed: true };
  }
  if (text === undefined) throw new ArqonError("spine-unavailable", `parts of ${id} are missing`);
  const event = { type, content_type, data: new TextEncoder().encode(text) };
  const message_id = messageIdOf(id, record.started_ms);
  const envelope = scanEnvelope(writeEnvelope({ room_id, message_id, event }), limits);
  const added = await admit(path, caller, envelope) ?? [];
  const headers: HeaderPair[] = [...added, [OUTCOME_HEADER, ending.outcome]];
  if (ending.reason !== "") headers.push([REASON_HEADER, ending.reason]);
  const publisher = { caller, origin: undefined };
  const is_changed = added.some(([name]) => name === REPLACED_HEADER);
  const stored = await publishAdmitted(path, publisher, envelope, headers, path.now());
  // The class may have changed while the message grew; then it was heard, and is kept nowhere.
  return { offset: stored?.offset ?? 0, is_changed };
}

/**
 * A message that grew under that id and was stored at `since_ms` (Unix ms) or later, among the newest `most` of
 * its room; undefined: there is none. Rejects
 * with `log-unavailable`.
 */
export async function findEnded(
  { logs }: Pick<SettlingContext, "logs">,
  { tenant_id, room_id, id }: GrowingKey,
  since_ms: number,
  most?: number,
): Promise<StoredMessage | undefined> {
  const start = messageIdOf(id, "");
  const log = await logs.of(tenant_id);
  const isWanted = (message_id: string) => message_id.startsWith(start);
  return await findStored(log, room_id, isWanted, since_ms, most);
}

/** How a stored message ended, by its headers. */
export function endingOf({ envelope: { headers } }: StoredMessage): ToldEnding {
  return { outcome: headers[OUTCOME_HEADER] ?? "stored", reason: headers[REASON_HEADER] ?? "" };
}

/** The producer as it was when the message began: what it may do was asked then. */
export function callerOf({ tenant_id, id }: GrowingKey, { producer }: GrowingRecord): Caller {
  return tokenlessCaller(
    { ...producer, tenant_id, claims: { growing: id } },
    `${CONNECTION}:${id}`,
  );
}
