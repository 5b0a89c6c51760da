/**
 * The policies' verdicts on growing text: before readers receive a piece, policies release it, hold it back whole or in
 * part, replace it, or end the message. Held-back text is stored with the message, so that the next piece is judged
 * together with it, at any Shield.
 */
import { ArqonError, utf8Size } from "@arqon/proto";
import type { Caller } from "../message/caller.ts";
import { sealedBytes, withEnding, withPiece } from "./record.ts";
import type { Ending, GrowingBounds, GrowingRecord, Piece } from "./record.ts";
import type { GrowingKey } from "./records.ts";
import type { GrowingStats } from "./stats.ts";
import type { Policies } from "../message/gates.ts";

/** Who judges growing text, and how much of it may be held back. */
export interface JudgingContext {
  readonly overseer: Pick<Policies, "onAppend">;
  readonly stats: Pick<GrowingStats, "held" | "bound">;
  readonly bounds: () => GrowingBounds & { readonly held_bytes: number };
  /** Unix ms by the clock of the log. */
  readonly now_ms: number;
}

/** A changed record; if policies have ended it, its producer's refusal. */
export interface Changed {
  readonly record: GrowingRecord;
  readonly refusal?: ArqonError;
}

/** The longest reason of a policy that ended a message. */
const REASON_UNITS = 256;

/**
 * The record with another piece, of which readers have the released part. Rejects with `growing-conflict`,
 * `message-too-large`, and with `policy-fault` if policies reached no verdict: then nothing has changed.
 */
export async function judgedWithPiece(
  context: JudgingContext,
  caller: Caller,
  key: GrowingKey,
  record: GrowingRecord,
  piece: Piece,
): Promise<Changed> {
  const { bounds, now_ms, stats } = context;
  // An invalid or too large piece is refused before policies run.
  const plain = withPiece(record, piece, bounds(), now_ms);
  const text = (record.judged?.held ?? "") + piece.text;
  if (text === "") return { record: plain };
  const verdict = context.overseer.onAppend(caller, key.room_id, {
    id: key.id,
    type: record.type,
    content_type: record.content_type,
    text,
    released: record.text,
    sealed_bytes: sealedBytes(record),
    is_last: false,
  });
  if (verdict === undefined && record.judged === undefined) return { record: plain };
  try {
    const judged = await verdict ?? { released: text, held: "" };
    const { held_bytes } = bounds();
    const size_bytes = utf8Size(judged.held);
    if (size_bytes > held_bytes) {
      stats.bound("held");
      const detail = `policies hold back ${size_bytes} bytes; at most ${held_bytes}`;
      throw new ArqonError("message-too-large", detail);
    }
    if (judged.held !== "") stats.held();
    return { record: withPiece(record, piece, bounds(), now_ms, judged) };
  } catch (error) {
    return { record: withEnding(record, endingBy(error, now_ms)), refusal: error as ArqonError };
  }
}

/**
 * The record with its end, and with held-back text that policies release now. Text that they refuse is dropped: then a
 * finish becomes an abort. Rejects with `policy-fault` if that can be retried.
 */
export async function judgedWithEnding(
  { overseer, now_ms }: Pick<JudgingContext, "overseer" | "now_ms">,
  caller: Caller,
  key: GrowingKey,
  record: GrowingRecord,
  ending: Ending,
): Promise<Changed> {
  const held = record.judged?.held ?? "";
  if (held === "" || !ending.is_kept) return { record: withEnding(record, ending) };
  try {
    const judged = await overseer.onAppend(caller, key.room_id, {
      id: key.id,
      type: record.type,
      content_type: record.content_type,
      text: held,
      released: record.text,
      sealed_bytes: sealedBytes(record),
      is_last: true,
    });
    return { record: withEnding(record, ending, judged?.released ?? held) };
  } catch (error) {
    // A message that ends otherwise drops text that nobody may receive.
    if (ending.outcome !== "finished") return { record: withEnding(record, ending) };
    return { record: withEnding(record, endingBy(error, now_ms)), refusal: error as ArqonError };
  }
}

/** The end that results from a policy's refusal. Throws any other error. */
function endingBy(error: unknown, at_ms: number): Ending {
  const is_end = error instanceof ArqonError &&
    ["policy-rejected", "message-too-large"].includes(error.reason);
  if (!is_end) throw error;
  const reason = error.message.replaceAll(/\p{Cc}/gu, " ").toWellFormed().slice(0, REASON_UNITS);
  return { outcome: "aborted", reason: reason.toWellFormed(), by: "", is_kept: true, at_ms };
}
