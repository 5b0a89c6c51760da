/** A call of a room's reducer: what is queued for its turn, and what its sender receives. Pure. */
import { ArqonError, nestsTooDeep } from "@arqon/proto";
import type { Applied } from "../thread/protocol.ts";
import { contentOf } from "./publishing.ts";

/** What somebody asks a room for. */
export interface RoomCall {
  readonly command: string;
  readonly data: Uint8Array;
  /** The sender's own id of it; "": a repetition is a command of its own. */
  readonly id: string;
  readonly user_id: string;
  readonly role: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** A call in the queue of its room. */
export interface WaitingCall extends RoomCall {
  /** Monotonic ms after which nobody waits for the answer any longer. */
  readonly deadline_ms: number;
  /** Called once, with the result's JSON or the refusal. Must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

/** The bytes that a reducer answers, as JSON: JSON as it is, another text or what nests too deep as a string, else base64. */
function answerText(bytes: Uint8Array): string {
  if (bytes.length === 0) return "null";
  const { type, text } = contentOf(bytes);
  if (text === undefined) return JSON.stringify({ base64: bytes.toBase64() });
  const is_json = type === "application/json" && !nestsTooDeep(text);
  return is_json ? text.trim() : JSON.stringify(text);
}

/** What the sender of a call learns about its outcome. */
export function answerTo(applied: Applied): string | ArqonError {
  const { kind, code, reason, offset, repeats, detail } = applied;
  switch (kind) {
    case "applied": {
      const visible = applied.changes.length === 0 ? "" : `,"visible":true`;
      const repeated = repeats === undefined ? "" : `,"repeats":${repeats}`;
      return `{"entry":${offset}${repeated}${visible},"answer":${answerText(applied.answer)}}`;
    }
    case "rejected":
      return new ArqonError("call-rejected", reason, { code });
    case "fault":
      return new ArqonError("call-rejected", `${reason}${detail && `: ${detail}`}`, { code });
    default:
      return kind satisfies never;
  }
}

/** Those for whose answer somebody still waits; the others are notified. */
export function inTime<Call extends WaitingCall>(
  waiting: Call[],
  monotonic_ms: number,
  timeout_ms: number,
): Call[] {
  const late = waiting.filter(({ deadline_ms }) => deadline_ms <= monotonic_ms);
  if (late.length === 0) return waiting;
  const timeout = new ArqonError("command-timeout", `${timeout_ms} ms`);
  for (const { answer } of late) answer(timeout);
  return waiting.filter(({ deadline_ms }) => deadline_ms > monotonic_ms);
}
