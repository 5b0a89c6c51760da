/**
 * The answers of a room, and their JSON in the ACK's `result`. Two values are known only after the write: the epoch of
 * a room that it creates, and the fence of a lock that it grants.
 */
import type { Grant } from "../store/document.ts";
import type { Lock } from "../locks/lock.ts";
import { eventJson, type RoomEvent, type WriteMark } from "../store/room_event.ts";

interface At {
  readonly version: number;
  /** The room's epoch: "" before the room exists; undefined: the write assigns it. */
  readonly epoch: string | undefined;
}

/** The answer to a write, applied now or when its command first arrived. */
export interface WrittenAnswer extends At {
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
export type CommandAnswer = WrittenAnswer | ValueAnswer | WholeAnswer;

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
