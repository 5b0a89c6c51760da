/**
 * Answers a `Pull`, the request for a writer's changes: another Brain sends it if the writer itself does not answer.
 * `pulls.ts` sends such requests.
 */
import type { Pull, Pulled } from "../../shared/presence/messages.ts";
import { deltaPages } from "../../shared/presence/pages.ts";
import { deltaSince, type PresenceState } from "../../shared/presence/state.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import type { BrainPresenceMetrics, Refuse } from "./metrics.ts";
import type { PacedSender } from "../../shared/presence/paced_sender.ts";

interface AnswerOptions {
  readonly state: PresenceState;
  readonly sender: PacedSender;
  /** Longest message to send, in bytes. */
  readonly message_bytes: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
}

/** Sends the writer's known changes after that clock, in pages of one consistent snapshot. */
export function answerPull({ from, request, writer, clock }: Pull, options: AnswerOptions): void {
  const { state, sender, message_bytes, metrics, refuse } = options;
  const found = deltaSince(state, writer, clock);
  const { full } = found ?? { full: false };
  const parts = found === undefined ? [undefined] : deltaPages(found.delta, message_bytes);
  const pages = parts.map((delta, page): Pulled => ({
    kind: "pulled",
    request,
    page,
    pages: parts.length,
    full,
    delta,
  }));
  if (!sender.send(processSubject("direct", from), pages)) {
    refuse("busy", { from, writer: writer.node_id });
    return;
  }
  metrics.pulls_served.inc({ kind: found === undefined ? "unknown" : full ? "full" : "delta" });
}
