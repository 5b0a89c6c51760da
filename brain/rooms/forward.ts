/**
 * Brings a command to the Brain that owns its room. A forwarded command is served where it lands,
 * whoever owns the room by then: so there are no loops, and the compare-and-set keeps the peace.
 */
import { ArqonError } from "@arqon/proto";
import type { Spine, SpineHeaders, SpineMessage } from "../../shared/spine/spine.ts";
import { processSubject } from "../../shared/subject.ts";
import { TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { RoomAddress } from "./command.ts";

/** Spine header with the connection that sent a command. */
export const ORIGIN_HEADER = "x-arqon-origin";
/** Spine header with the subject that a forwarded command came in on. */
export const SUBJECT_HEADER = "x-arqon-subject";

/** Owners that a command is offered to before this Brain serves it itself. */
const OWNERS_MAX = 4;

/** What forwarding needs. */
export interface ForwardOptions {
  readonly spine: Pick<Spine, "request">;
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "suspect">;
  /** Unix ms. */
  readonly now: () => number;
  readonly command_timeout_ms: number;
}

/** A command to forward. */
export interface Forwardable {
  readonly message: SpineMessage;
  /** Of the span that forwards it; absent: it is not traced. */
  readonly traceparent?: string | undefined;
}

/** What became of a forwarded command. */
export type ForwardOutcome = "answered" | "timed-out" | "failed" | "rerouted";

/** The owner's reply, or "mine": nobody else owns the room (any more). */
export type Forwarded = SpineMessage | "mine";

/**
 * Asks the owner. Rejects with `command-timeout` when it does not answer before `deadline_ms`: the
 * command may have run. `onOutcome` hears of every Brain that was asked.
 */
export async function forwardCommand(
  at: RoomAddress,
  { message, traceparent }: Forwardable,
  deadline_ms: number,
  options: ForwardOptions,
  onOutcome: (outcome: ForwardOutcome) => void,
): Promise<Forwarded> {
  const { spine, view, now, command_timeout_ms } = options;
  const headers: SpineHeaders = {
    [ORIGIN_HEADER]: message.headers[ORIGIN_HEADER] ?? "",
    [SUBJECT_HEADER]: message.subject,
    ...(traceparent === undefined ? {} : { [TRACEPARENT]: traceparent }),
  };
  for (let asked = 0; asked < OWNERS_MAX; asked++) {
    const owner = view.ownerOf(at.tenant_id, at.room_id);
    if (owner === view.brain_id) return "mine";
    const timeout_ms = deadline_ms - now();
    if (timeout_ms <= 0) throw new ArqonError("command-timeout", String(command_timeout_ms));
    try {
      const subject = processSubject("commands", owner);
      const reply = await spine.request(subject, message.payload, { timeout_ms, headers });
      onOutcome("answered");
      return reply;
    } catch (error) {
      const reason = error instanceof ArqonError ? error.reason : "internal";
      if (reason !== "brain-unavailable") {
        onOutcome(reason === "command-timeout" ? "timed-out" : "failed");
        if (reason !== "command-timeout") throw error;
        throw new ArqonError("command-timeout", String(command_timeout_ms), { cause: error });
      }
      // Nobody listens there: the command has not run, and the next owner may have it.
      onOutcome("rerouted");
      view.suspect(owner);
    }
  }
  return "mine";
}
