/**
 * The mirror step of the message path: a message that a rule selects is also sent to its shadow subject. Best effort
 * and off the path: here it only enters the buffer of `sender.ts`; nothing waits, nothing throws, and the primary's
 * acknowledgement never depends on it.
 */
import { ArqonError, type ScannedEnvelope } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { Attached } from "../../shared/containers/attached.ts";
import { owned } from "../../shared/containers/byte_arena.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import type { Caller } from "../message/caller.ts";
import type { Observer, Passed } from "../message/observers.ts";
import { givenTraceId, shareKey } from "../../shared/telemetry/trace_parent.ts";
import type { DiffBook } from "./diff.ts";
import type { CandidateVerdict, CandidateVerdicts } from "../message/gates.ts";
import type { MirrorRules } from "./rules.ts";
import type { ShadowSender } from "./sender.ts";
import { routedTraceId } from "./shadow_envelope.ts";
import { type Decisions, SHADOW_VERDICT, type ShadowVerdicts } from "./verdicts.ts";

interface MirrorParts extends Pick<Env, "now"> {
  readonly rules: MirrorRules;
  readonly sender: Pick<ShadowSender, "push">;
  readonly book: DiffBook;
  readonly decisions: Decisions;
  readonly verdicts: Pick<ShadowVerdicts, "forward">;
}

/** The refusals that are compared with candidates' verdicts: those by a schema or a policy. */
const COMPARED: ReadonlySet<string> = new Set([
  "schema-violation",
  "schema-unavailable",
  "policy-rejected",
  "policy-fault",
  "policy-chain-fuel",
]);

/** The mirror: best effort, never throws, never waits. */
export type Mirror = Required<Pick<Observer, "passed" | "refused">> & CandidateVerdicts;

/** Makes the mirror. It also takes verdicts of the candidates that run in this process. */
export function createMirror(parts: MirrorParts): Mirror {
  const { rules, sender, book, decisions } = parts;
  /** Verdicts that are not compared yet. */
  const pending = new Attached<ScannedEnvelope, CandidateVerdict[]>();

  function isPicked(envelope: ScannedEnvelope, caller: Caller): boolean {
    const { tenant_id } = caller.identity;
    const rule = rules.match(roomSubject("in", tenant_id, envelope.room_id), tenant_id);
    return rule !== undefined && rules.picks(rule, shareKey(envelope, caller));
  }

  function settle(envelope: ScannedEnvelope, refused: boolean, trace_id: string): void {
    const verdicts = pending.take(envelope) ?? [];
    const { room_id: room, event } = envelope;
    const message = { trace_id, room, type: event?.type ?? "", at_ms: parts.now() };
    for (const verdict of verdicts) book.compare(verdict, refused, message);
  }

  function copy({ subject, envelope, caller, routed, headers }: Readonly<Passed>): void {
    const { tenant_id } = caller.identity;
    const rule = rules.match(subject, tenant_id);
    if (rule === undefined) return;
    if (!rules.picks(rule, shareKey(envelope, caller))) rule.totals.sampled_out++;
    else sender.push({ rule, subject, tenant_id, envelope: owned(routed), headers });
  }

  return {
    passed(passed) {
      const { envelope, caller, routed, stored } = passed;
      // A repetition is not mirrored again.
      if (stored?.duplicate === true) return;
      step(AT.mirror);
      copy(passed);
      const { event } = envelope;
      if (event?.type === SHADOW_VERDICT && caller.identity.role === "service") {
        const data = envelope.bytes.subarray(event.data_start, event.data_end);
        parts.verdicts.forward(caller.identity.tenant_id, data);
      }
      if (pending.get(envelope) === undefined || !isPicked(envelope, caller)) return;
      settle(envelope, false, routedTraceId(routed) ?? envelope.trace_id);
    },
    refused(caller, envelope, error) {
      if (!(error instanceof ArqonError) || !COMPARED.has(error.reason)) return;
      if (envelope.command !== undefined || !isPicked(envelope, caller)) return;
      const { room_id: room } = envelope;
      const trace_id = givenTraceId(envelope);
      if (trace_id !== "") {
        const { tenant_id } = caller.identity;
        decisions.remember(tenant_id, trace_id, { refused: true, room });
      }
      settle(envelope, true, trace_id);
    },
    record(envelope, verdict) {
      const verdicts = pending.get(envelope);
      if (verdicts === undefined) pending.set(envelope, [verdict]);
      else addVerdict(verdicts, verdict);
    },
  };
}

/**
 * Adds a verdict. A candidate has one verdict about a message: a schema that is checked again, since a policy has
 * replaced the payload, counts as a refusal if it refuses either payload.
 */
function addVerdict(verdicts: CandidateVerdict[], verdict: CandidateVerdict): void {
  const at = verdicts.findIndex(({ candidate }) => candidate === verdict.candidate);
  if (at < 0) verdicts.push(verdict);
  else if (!verdicts[at]!.refuse) verdicts[at] = verdict;
}
