/**
 * Sends a command to the Brain that owns its room. A forwarded command is served where it arrives, even if the owner
 * has changed. So commands are never forwarded in circles, and the compare-and-set decides between two Brains that both
 * believe they are the owner.
 */
import { ArqonError } from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineHeaders, SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import { TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import { CLAIMS_HEADER, ORIGIN_HEADER, ROLE_HEADER } from "../../shared/records/caller_headers.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";

/** Spine header with the original subject of a forwarded command. */
export const SUBJECT_HEADER = "x-arqon-subject";

/** The most owners that a command is forwarded to before this Brain serves it itself. */
const OWNERS_MAX = 4;

/** The dependencies of forwarding. */
export interface ForwardOptions {
  readonly spine: Pick<Spine, "request">;
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "suspect">;
  /** Monotonic milliseconds, for deadlines. */
  readonly monotonic_ms: () => number;
  readonly command_timeout_ms: number;
}

/** A command to forward. */
interface Forwardable {
  readonly message: SpineMessage;
  /** The trace context of the forwarding span; absent: not traced. */
  readonly traceparent?: string | undefined;
}

type ForwardOutcome = "answered" | "timed-out" | "failed" | "rerouted";

/** The owner's reply, or "mine": no other Brain owns the room (now). */
export type Forwarded = SpineMessage | "mine";

const kept = (headers: SpineHeaders, name: string): SpineHeaders => {
  const value = headers[name];
  return value === undefined ? {} : { [name]: value };
};

/**
 * Sends the command to the owner. Rejects with `command-timeout` without an answer before `deadline_ms`; the command
 * may have run. `onOutcome` is called for every Brain that was tried.
 */
export async function forwardCommand(
  at: RoomAddress,
  { message, traceparent }: Forwardable,
  deadline_ms: number,
  options: ForwardOptions,
  onOutcome: (outcome: ForwardOutcome) => void,
): Promise<Forwarded> {
  const { spine, view, monotonic_ms, command_timeout_ms } = options;
  const headers: SpineHeaders = {
    [ORIGIN_HEADER]: message.headers[ORIGIN_HEADER] ?? "",
    [SUBJECT_HEADER]: message.subject,
    ...kept(message.headers, ROLE_HEADER),
    ...kept(message.headers, CLAIMS_HEADER),
    ...(traceparent === undefined ? {} : { [TRACEPARENT]: traceparent }),
  };
  for (let tries = 0; tries < OWNERS_MAX; tries++) {
    const owner = view.ownerOf(at.tenant_id, at.room_id);
    if (owner === view.brain_id) return "mine";
    const timeout_ms = deadline_ms - monotonic_ms();
    if (timeout_ms <= 0) throw new ArqonError("command-timeout", `${command_timeout_ms} ms`);
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
        throw new ArqonError("command-timeout", `${command_timeout_ms} ms`, { cause: error });
      }
      // There is no responder: the command has not run, and the next owner may serve it.
      onOutcome("rerouted");
      view.suspect(owner);
    }
  }
  return "mine";
}
