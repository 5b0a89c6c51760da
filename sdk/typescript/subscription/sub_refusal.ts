/**
 * What a refused SUB means for its room. Changes only what is known of the room; `subscriptions.ts`
 * sends, ends and tells.
 */
import { ruleOf } from "@arqon/proto";
import type { ArqonError } from "@arqon/proto";
import type { Position } from "../durable/position.ts";
import { backoffDelay } from "../time/backoff.ts";
import type { Backoff } from "../time/backoff.ts";
import { isMetaDue } from "./room_entry.ts";
import type { MetaUpdate, RoomEntry } from "./room_entry.ts";

/** A SUB that was refused, or lost with its session. */
export interface Refusal {
  readonly error: ArqonError;
  /** The changes of metadata that the SUB carried. */
  readonly updates: readonly MetaUpdate[];
  /** How often it was refused before. */
  readonly attempt: number;
  /** True when messages of the room come on this session already, and count. */
  readonly stands: boolean;
  /** The room's position, if it is still to be told to the session. */
  readonly asked: Position | undefined;
}

/** What follows from a refusal. */
export interface Consequence {
  /** True when messages are missing from here on. */
  readonly gap: boolean;
  /** True when the subscription ends with the error. */
  readonly fail: boolean;
  /** When to send the SUB again, in ms from now; undefined: never, or not on this session. */
  readonly delay_ms: number | undefined;
}

/** Decides what follows from a refusal, and keeps the metadata that is to be sent again. */
export function afterRefusal(
  entry: RoomEntry,
  { error, updates, attempt, stands, asked }: Refusal,
  { backoff, random }: { readonly backoff: Backoff; readonly random: () => number },
): Consequence {
  const wait_ms = error.retry_after_ms + backoffDelay(attempt, backoff, random);
  const lost = error.reason === "connection-lost";
  const never = ruleOf(error.reason).client === "never-retry";
  // The room was durable and is not any longer: from here on as any other.
  const demoted = error.reason === "not-durable" && entry.place.position !== undefined;
  const gap = demoted && !stands;
  // The subscription stands as it was: only the new metadata was refused, or the position.
  const as_before = stands && !lost && !demoted;
  if (demoted) entry.place.forget();
  if (as_before) { for (const update of updates) update.reject(error); }
  else entry.updates = [...entry.updates, ...updates].sort((a, b) => a.number - b.number);
  // The place, or metadata that another Shield has taken before, is still to be told to this one.
  const due = asked || isMetaDue(entry);
  const again = as_before ? due && !never : demoted || !(lost || never);
  return {
    gap,
    fail: never && !lost && !as_before && !demoted,
    delay_ms: again ? demoted ? 0 : wait_ms : undefined,
  };
}
