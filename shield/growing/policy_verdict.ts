/**
 * What policies say of the growing text: before a piece is heard, they let it go, hold it back whole or in part,
 * put other text in its place, or end the message. What they hold back is kept with the message, so that the next
 * piece is judged together with it, at whatever Shield.
 */
import { ArqonError, utf8Size } from "@arqon/proto";
import type { Caller } from "../message/caller.ts";
import { sealedBytes, withEnding, withPiece } from "./record.ts";
import type { Ending, GrowingBounds, GrowingRecord, Piece } from "./record.ts";
import type { GrowingKey } from "./records.ts";
import type { GrowingStats } from "./stats.ts";
import type { Policies } from "../message/gates.ts";

/** What judging needs of the process. */
export interface JudgingContext {
  readonly overseer: Pick<Policies, "onAppend">;
  readonly stats: Pick<GrowingStats, "held" | "bound">;
  readonly bounds: () => GrowingBounds & { readonly held_bytes: number };
  /** Unix ms by the clock of the log. */
  readonly now_ms: number;
}

/** A record that has changed; where policies have ended it, what its producer receives. */
export interface Changed {
  readonly record: GrowingRecord;
  readonly refusal?: ArqonError;
}

/** What a policy said when it ended a message, as a reason. */
const REASON_UNITS = 256;

/**
 * The record with one piece more, of which readers have what policies let go. Rejects with `growing-conflict`,
 * `message-too-large`, and with `policy-fault` when they could not decide: then nothing has changed.
 */
export async function judgedWithPiece(
  context: JudgingContext,
  caller: Caller,
  key: GrowingKey,
  record: GrowingRecord,
  piece: Piece,
): Promise<Changed> {
  const { bounds, now_ms, stats } = context;
  // What is no next piece, or too much, is refused before policies pay for it.
  const plain = withPiece(record, piece, bounds(), now_ms);
  const text = (record.judged?.held ?? "") + piece.text;
  if (text === "") return { record: plain };
  const asked = context.overseer.onAppend(caller, key.room_id, {
    ...{ id: key.id, type: record.type, content_type: record.content_type },
    ...{ text, released: record.text, sealed_bytes: sealedBytes(record), is_last: false },
  });
  if (asked === undefined && record.judged === undefined) return { record: plain };
  try {
    const judged = await asked ?? { released: text, held: "" };
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
 * The record with its end, and with what was held back, where policies let it go now. What they refuse is gone: then
 * what should have finished is aborted. Rejects with `policy-fault` where that can be asked again.
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
      ...{ id: key.id, type: record.type, content_type: record.content_type },
      ...{ text: held, released: record.text, sealed_bytes: sealedBytes(record), is_last: true },
    });
    return { record: withEnding(record, ending, judged?.released ?? held) };
  } catch (error) {
    // What ends anyhow ends without what nobody may receive.
    if (ending.outcome !== "finished") return { record: withEnding(record, ending) };
    return { record: withEnding(record, endingBy(error, now_ms)), refusal: error as ArqonError };
  }
}

/** The end that policies have made of a message by a refusal. Throws what is none. */
function endingBy(error: unknown, at_ms: number): Ending {
  const is_end = error instanceof ArqonError &&
    ["policy-rejected", "message-too-large"].includes(error.reason);
  if (!is_end) throw error;
  const reason = error.message.replaceAll(/\p{Cc}/gu, " ").toWellFormed().slice(0, REASON_UNITS);
  return { outcome: "aborted", reason: reason.toWellFormed(), by: "", is_kept: true, at_ms };
}
