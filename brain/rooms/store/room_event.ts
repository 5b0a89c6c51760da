/**
 * A room's events: one for each version, stored in the document and published as ROOM_UPDATE. This file has their
 * format and bounds; `apply.ts` creates them.
 */
import { utf8Size } from "@arqon/proto";
import type { FallCause, RoomCommand } from "../commands/command.ts";
import type { Lock } from "../locks/lock.ts";

/** The most events in a document. */
export const EVENTS_MAX = 64;
/** The most bytes of events in a document; the oldest are removed first. */
const EVENTS_BYTES_MAX = 24_576;
/** Longest value in an event, as compact JSON in UTF-8; an event with a longer value has only `truncated`. */
const EVENT_VALUE_BYTES_MAX = 512;
const EVENT_KEY_BYTES_MAX = 1_024;

/** The change of one version. Immutable. */
export interface RoomEvent {
  readonly version: number;
  /** When it happened, Unix ms by the Brain's clock. */
  readonly at_ms: number;
  /** JSON members without the braces, compact: everything but version, epoch, first and fence. */
  readonly body: string;
  /** The fence of the event's lock; 0: the event's own write grants it. */
  readonly fence: number | undefined;
}

/** A new event of a batch, not published yet. */
export interface FreshEvent {
  readonly event: RoomEvent;
  readonly trace_id: string;
  /** Why a lock ended without an unlock, if the event reports that. */
  readonly fallen: FallCause | undefined;
}

/**
 * Values that the events of a document do not contain. The fence of a granted lock, and the epoch of a new room, are
 * known only after the write.
 */
export interface WriteMark {
  readonly fence: number;
  readonly epoch: string;
  /** The version at which the room was created, empty; see `RoomDocument`. */
  readonly start: number;
}

/** Whether it is the first change of its epoch. */
export function isFirst({ version }: Pick<RoomEvent, "version">, { start }: WriteMark): boolean {
  return version === start + 1;
}

function isLonger(text: string, bytes_max: number): boolean {
  return text.length > bytes_max || (text.length * 3 > bytes_max && utf8Size(text) > bytes_max);
}

function members(fields: Record<string, unknown>): string {
  return JSON.stringify(fields).slice(1, -1);
}

function keyMembers(op: "set" | "delete", key: string, value?: string): string {
  const long_key = isLonger(key, EVENT_KEY_BYTES_MAX);
  const head = members(long_key ? { op } : { op, key });
  if (long_key || (value !== undefined && isLonger(value, EVENT_VALUE_BYTES_MAX))) {
    return `${head},"truncated":true`;
  }
  return value === undefined ? head : `${head},"value":${value}`;
}

/** The operation in an event's body. `lock` is the lock after the command, if any. */
function action(command: RoomCommand, lock: Lock | undefined): string {
  switch (command.kind) {
    case "set":
      return keyMembers("set", command.key, command.value);
    case "delete":
      return keyMembers("delete", command.key);
    case "lock":
      return members({
        op: "lock",
        holder: lock?.user_id,
        connection_id: lock?.connection_id,
        until_ms: lock?.until_ms,
      });
    case "kick": {
      const { target_kind, target, reason } = command;
      const named = target_kind === "user" ? { user_id: target } : { connection_id: target };
      return members({ op: "kick", ...named, reason: reason || undefined });
    }
    case "ban": {
      const { user_id, scope, ttl_ms, reason } = command;
      return members({ op: "ban", user_id, scope, ttl_ms, reason: reason || undefined });
    }
    case "unban":
      return members({ op: "unban", user_id: command.user_id, scope: command.scope });
    case "unlock":
    case "release":
    case "get":
      throw new TypeError(`${command.kind} has a body of its own or none`);
    default:
      return command satisfies never;
  }
}

/** The body of a command's event. */
export function eventBody(command: RoomCommand, at_ms: number, lock: Lock | undefined): string {
  return `${action(command, lock)},${members({ by: command.from.user_id, at_ms })}`;
}

/** The body of the event of a lock's end. `by` is "" without a command. */
export function unlockBody(
  lock: Lock,
  cause: FallCause | "released",
  by: string,
  at_ms: number,
): string {
  return members({ op: "unlock", holder: lock.user_id, cause, by, at_ms });
}

/** The event as clients read it: in ROOM_UPDATE and in the answer of a get. */
export function eventJson(event: RoomEvent, mark: WriteMark): string {
  const { version, body, fence } = event;
  const epoch = JSON.stringify(mark.epoch);
  const fenced = fence === undefined ? "" : `,"fence":${fence === 0 ? mark.fence : fence}`;
  const first = isFirst(event, mark) ? ',"first":true' : "";
  return `{"version":${version},"epoch":${epoch}${first},${body}${fenced}}`;
}

/** The newest of the events, within the bounds of a document. */
export function boundedEvents(events: readonly RoomEvent[]): readonly RoomEvent[] {
  let kept = 0;
  let bytes = 0;
  for (const event of events.slice(-EVENTS_MAX).reverse()) {
    bytes += utf8Size(event.body);
    if (bytes > EVENTS_BYTES_MAX) break;
    kept++;
  }
  return kept === events.length ? events : events.slice(events.length - kept);
}

/** The stored events after `version`; undefined if one of them is no longer stored. */
export function eventsSince(
  events: readonly RoomEvent[],
  version: number,
  now_at: number,
): readonly RoomEvent[] | undefined {
  if (version >= now_at) return [];
  const oldest = events[0]?.version ?? Infinity;
  return oldest > version + 1 ? undefined : events.filter((event) => event.version > version);
}
