/**
 * A piece of a growing message for policies: their input, and the part of it that their verdict releases. Pure;
 * `overseer.ts` runs them, `shield/growing/policy_verdict.ts` handles the piece.
 */
import { ArqonError, utf8Size } from "@arqon/proto";
import type { HeaderPair } from "../message/caller.ts";
import type { GrowingPiece, JudgedPiece } from "../message/gates.ts";
import type { Verdict } from "../../shared/records/verdict.ts";

/** The header in which a policy names the number of bytes of its payload to release. */
const RELEASE_HEADER = "release";
/** How much of the text that readers already have a policy sees, in UTF-16 units. */
const BEFORE_UNITS = 128;
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The reserved headers of a piece. */
export function pieceHeaders(
  { id, released, sealed_bytes = 0, is_last }: GrowingPiece,
): HeaderPair[] {
  const before = released.slice(-BEFORE_UNITS);
  // A character of two units is shown whole or not at all.
  const shown = /^[\uDC00-\uDFFF]/.test(before) ? before.slice(1) : before;
  const headers: HeaderPair[] = [
    ["x-arqon-growing", id],
    ["x-arqon-growing-before", shown],
    ["x-arqon-growing-bytes", String(sealed_bytes + utf8Size(released))],
  ];
  return is_last ? [...headers, ["x-arqon-growing-last", "true"]] : headers;
}

/** The effect of an allowing verdict on a piece. Throws `policy-fault` for too many bytes, or invalid text. */
export function judgedPiece(
  { text, is_last }: Pick<GrowingPiece, "text" | "is_last">,
  verdict: Pick<Verdict, "added_headers" | "payload" | "outcomes">,
): JudgedPiece {
  const given = encoder.encode(text);
  const left = verdict.payload ?? given;
  const most = is_last ? left.length : Math.min(agreedBytes(verdict), unshifted(given, verdict));
  let end = Math.min(most, left.length);
  // A character that begins before the border is held back completely.
  while (end > 0 && end < left.length && (left[end]! & 0xC0) === 0x80) end--;
  try {
    return {
      released: strict.decode(left.subarray(0, end)),
      held: strict.decode(left.subarray(end)),
    };
  } catch (cause) {
    throw fault("the new payload of a growing message is not UTF-8", cause);
  }
}

/** The bytes that all policies release. */
function agreedBytes({ added_headers }: Pick<Verdict, "added_headers">): number {
  let agreed = Infinity;
  for (const [name, value] of added_headers) {
    if (name.toLowerCase() !== RELEASE_HEADER) continue;
    if (!/^\d{1,9}$/.test(value)) {
      throw fault(
        `${RELEASE_HEADER}: ${JSON.stringify(value.slice(0, 64))} is not a number of bytes`,
      );
    }
    agreed = Math.min(agreed, Number(value));
  }
  return agreed;
}

/**
 * Up to where the bytes of all policies are the same. Each policy counts in its own output, and a later policy may have
 * moved the following bytes.
 */
function unshifted(
  given: Uint8Array,
  { payload, outcomes }: Pick<Verdict, "payload" | "outcomes">,
): number {
  const is_moved = outcomes.some(({ replaced }, at) => at > 0 && replaced === true);
  if (!is_moved || payload === undefined) return Infinity;
  const at = payload.findIndex((byte, index) => byte !== given[index]);
  return at < 0 ? payload.length : at;
}

const fault = (detail: string, cause?: unknown) =>
  new ArqonError("policy-fault", `: ${detail}`, { cause, retry_after_ms: 1_000 });
