/**
 * Copies of refused events, sent to `dlq.<subject>`. Best effort and limited: a copy that cannot be sent is counted and
 * dropped, and never delays the sender's answer.
 */
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { deadLetterSubject, type Subject } from "../../shared/subjects/subject.ts";
import type { SchemaTotals } from "./metrics.ts";

/** The header of the envelope that says why it was refused. */
export const DLQ_REASON_HEADER = "x-arqon-dlq-reason";
/** The header with the path of the field; empty when the refusal is about the event itself. */
export const DLQ_PATH_HEADER = "x-arqon-dlq-path";
/** The header beside the envelope: the reason of the refusal, as in `docs/errors.md`. */
const DLQ_SPINE_HEADER = "x-arqon-reason";

interface DeadLettersOptions {
  readonly spine: Pick<Spine, "publish" | "flush">;
  readonly totals: Pick<SchemaTotals, "dead_letters">;
  /** The most unconfirmed bytes; above that, copies are dropped. */
  readonly bytes_max: number;
}

/** Sends copies of refused events. */
export class DeadLetters {
  readonly #options: DeadLettersOptions;
  #pending_bytes = 0;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /** Sends a copy; `envelope` is the routed form. Never throws, never waits. */
  send(subject: Subject, envelope: Uint8Array, reason: string): void {
    const { spine, totals: { dead_letters }, bytes_max } = this.#options;
    const size = envelope.length;
    if (this.#pending_bytes + size > bytes_max) {
      dead_letters.full++;
      return;
    }
    try {
      spine.publish(deadLetterSubject(subject), envelope, { [DLQ_SPINE_HEADER]: reason });
    } catch {
      dead_letters.failed++;
      return;
    }
    this.#pending_bytes += size;
    spine.flush().then(
      () => void dead_letters.sent++,
      () => void dead_letters.failed++,
    ).finally(() => this.#pending_bytes -= size);
  }
}
