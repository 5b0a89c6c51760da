/**
 * What may be said of connections of a Shield that is not there any more: what it had written is told from its
 * stored ledger, and of what came after that nothing but that it is gone. A part of `judge.ts`. Pure.
 */
import type { Answer, Former, Outcome, Question } from "./answer.ts";
import type { Sitting } from "./known.ts";

/** How long a message may be on its way, or an end unnoticed, while processes stand still. */
export const MARGIN_MS = 8_000;
/** Two looks at one clock by two processes. */
export const SKEW_MS = 100;

/** Whether its Shield may never have written that the connection was there. */
export const isUnwritten = (former: Former | undefined, { opened_ms }: Sitting): boolean =>
  former === undefined || former.until_ms < opened_ms + SKEW_MS;

/** The stored ledger of the life of its Shield in which the connection began. */
export function formerOf(
  { former = [] }: Answer,
  { node_id, opened_ms }: Sitting,
): Former | undefined {
  return former.filter((one) => one.node_id === node_id && one.life_ms <= opened_ms)
    .toSorted((a, b) => a.life_ms - b.life_ms).at(-1);
}

/** What is told of a connection; of several with its id, of the one that began about then. */
export function rowOf({ connections }: Answer, { connection_id, node_id, opened_ms }: Sitting) {
  const away = ({ began_ms = opened_ms }: Answer["connections"][number]) =>
    Math.abs(began_ms - opened_ms);
  return connections.filter((one) => one.connection_id === connection_id)
    .toSorted((a, b) =>
      Number(b.node_id === node_id) - Number(a.node_id === node_id) || away(a) - away(b)
    )[0];
}

/**
 * Of a killed Shield's last unwritten seconds, nothing is known but that they are gone. Undefined: that is not what
 * the outcome says; "": it says so, and may. `is_whole`: the client was subscribed around the message.
 */
export function goneProblem(
  { said }: Question,
  { state, why = "", from_ms = Infinity }: Outcome,
  lost: { readonly until_ms: number } | undefined,
  got_ms: number | undefined,
  is_whole: boolean,
): string | undefined {
  // It may have asked for the room after its Shield wrote last, or never.
  const may_have_asked = state === "not_subscribed" && from_ms === lost?.until_ms;
  if (may_have_asked && got_ms === undefined && !is_whole) return "";
  if (state !== "unknown" || !["killed", "silent"].includes(why)) return undefined;
  if (lost === undefined) return "its Shield is there";
  // What came before the last writing is in it, unless it still waited in the Shield for a slow reader.
  if (got_ms === undefined || got_ms > from_ms - SKEW_MS || said.sent_ms > from_ms - MARGIN_MS) {
    return "";
  }
  return `the client got it at ${got_ms}, and the ledger is stored up to ${from_ms}`;
}
