/**
 * Answers a `Pull`, the question for what a writer did: another Brain asks it when the writer
 * itself does not answer. What to ask for is decided in `pulls.ts`.
 */
import type { Pull, Pulled } from "../../shared/presence/messages.ts";
import { deltaPages } from "../../shared/presence/pages.ts";
import { deltaSince } from "../../shared/presence/state.ts";
import type { PresenceState } from "../../shared/presence/state.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import type { PacedSender } from "../../shared/presence/paced_sender.ts";
import type { Refuse } from "./refusals.ts";

/** What answering pulls needs. */
export interface AnswerOptions {
  readonly state: PresenceState;
  readonly sender: PacedSender;
  /** Longest message that may be sent, in bytes. */
  readonly message_bytes: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
}

/**
 * Sends what this Brain knows of the writer after that clock, in pages that all show one moment.
 */
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
