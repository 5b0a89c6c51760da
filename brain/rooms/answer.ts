/**
 * What a room answers, and the JSON of it that the ACK's `result` carries. Some of it only the write
 * itself can tell: the epoch of a room that it makes, the fence of a lock that it grants.
 */
import type { Grant } from "./document.ts";
import type { Lock } from "./lock.ts";
import { eventJson } from "./room_event.ts";
import type { RoomEvent, WriteMark } from "./room_event.ts";

interface At {
  readonly version: number;
  /** "" before the room; undefined: that of the write. */
  readonly epoch: string | undefined;
}

/** A write that was done, now or when its command came first. */
export interface WrittenAnswer extends At {
  readonly kind: "written";
  /** Of a lock. */
  readonly grant: Grant | undefined;
}

interface Read extends At {
  /** Those that were asked for; absent: none were. */
  readonly events: readonly RoomEvent[] | "truncated" | undefined;
}

/** One key. */
export interface ValueAnswer extends Read {
  readonly kind: "value";
  readonly key: string;
  /** Compact JSON; absent: there is no such key. */
  readonly value: string | undefined;
}

/** Everything. */
export interface StateAnswer extends Read {
  readonly kind: "state";
  /** A JSON object. */
  readonly state: string;
  /** The live one. */
  readonly lock: Lock | undefined;
}

/** What a command found or did, at `version`. */
export type RoomAnswer = WrittenAnswer | ValueAnswer | StateAnswer;

function eventsMember({ events }: Read, mark: WriteMark): string {
  if (events === undefined) return "";
  if (events === "truncated") return ',"truncated":true';
  return `,"events":[${events.map((event) => eventJson(event, mark)).join(",")}]`;
}

function lockMember(lock: Lock | undefined, mark: WriteMark): string {
  if (lock === undefined) return "";
  const { user_id, connection_id, until_ms } = lock;
  const fence = lock.fence || mark.revision;
  return `,"lock":${JSON.stringify({ holder: user_id, connection_id, until_ms, fence })}`;
}

/** The JSON of an answer. `mark`: of the write that it was part of, or of the document as stored. */
export function answerJson(answer: RoomAnswer, mark: WriteMark): string {
  const epoch = JSON.stringify(answer.epoch ?? mark.epoch);
  const position = `"version":${answer.version},"epoch":${epoch}`;
  switch (answer.kind) {
    case "written": {
      const { grant } = answer;
      if (grant === undefined) return `{${position}}`;
      const fence = grant.fence || mark.revision;
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
  }
}
