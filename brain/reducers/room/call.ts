/** A call of a room's reducer: what is queued, and the answer to its sender. Pure. */
import { ArqonError, nestsTooDeep } from "@arqon/proto";
import type { Asked } from "../state/entry.ts";
import type { Applied } from "../thread/protocol.ts";
import { contentOf } from "./publication.ts";

/** A call in the queue of its room. */
export interface WaitingCall extends Asked {
  /** When the caller stops waiting, monotonic ms. */
  readonly deadline_ms: number;
  /** Called once, with the result's JSON or the refusal. Must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

/**
 * A reducer's answer as JSON: JSON unchanged, other text or JSON that nests too deep as a string, other bytes as
 * base64.
 */
function answerText(bytes: Uint8Array): string {
  if (bytes.length === 0) return "null";
  const { type, text } = contentOf(bytes);
  if (text === undefined) return JSON.stringify({ base64: bytes.toBase64() });
  const is_json = type === "application/json" && !nestsTooDeep(text);
  return is_json ? text.trim() : JSON.stringify(text);
}

/** The sender's answer for an applied call. */
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

/** The calls that have not expired; the others are answered with a timeout. */
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
