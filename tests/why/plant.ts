/** Lies for a judge to find: answers that were right, each made wrong in one place. Pure. */
import type { Answer, Outcome, Question } from "./answer.ts";

/** A question and what was answered. */
export interface Asked {
  readonly question: Question;
  readonly answer: Answer;
}

type Row = Answer["connections"][number];

/** The answer with another outcome for the first connection whose outcome the lie fits. */
function retold(
  { question, answer }: Asked,
  tell: (outcome: Outcome, row: Row) => Outcome | undefined,
): Asked | undefined {
  for (const row of answer.connections) {
    const [outcome] = row.outcomes;
    const told = outcome === undefined ? undefined : tell(outcome, row);
    if (told === undefined) continue;
    const connections = answer.connections.map((one) =>
      one === row ? { ...row, outcomes: [told] } : one
    );
    return { question, answer: { ...answer, connections } };
  }
  return undefined;
}

/** Lies by their names; undefined: this answer has no place for it. */
export const LIES: Readonly<Record<string, (asked: Asked) => Asked | undefined>> = {
  /** A message that came is said to have been left out. */
  deny: (asked) =>
    retold(
      asked,
      ({ state }, { ended }) =>
        state === "sent" && ended === undefined
          ? { state: "left_out", why: "slow_reader" }
          : undefined,
    ),
  /** A message for which nobody asked is said to have been sent. */
  invent: (asked) =>
    retold(
      asked,
      ({ why }) => why === "never" ? { state: "sent", at_ms: asked.question.asked_ms } : undefined,
    ),
  /** It is said to have been sent long before it was published. */
  backdate: (asked) =>
    retold(
      asked,
      (outcome, { ended }) =>
        outcome.state === "sent" && ended === undefined
          ? { ...outcome, at_ms: asked.question.said.sent_ms - 5_000 }
          : undefined,
    ),
  /** A kick that nobody gave is said to have ended the subscription. */
  blame: (asked) =>
    retold(
      asked,
      ({ why }) => why === "never" ? { state: "not_subscribed", why: "expired" } : undefined,
    ),
  /** A connection is not told of, though its Shield's ledger has it. */
  omit: ({ question, answer }) => {
    const rows = answer.connections;
    if (rows.length === 0 || question.tenant_id !== question.said.tenant_id) return undefined;
    return { question, answer: { ...answer, connections: rows.slice(1) } };
  },
  /** A message that a policy refused is said to have been heard. */
  admit: ({ question, answer }) => {
    const { said } = question;
    if (said.reason !== "policy-rejected" || question.tenant_id !== said.tenant_id) {
      return undefined;
    }
    const { room_id, id } = said;
    const messages = [{ room_id, message_id: id, duplicate: false, heard: [] }];
    return { question, answer: { ...answer, messages } };
  },
};
