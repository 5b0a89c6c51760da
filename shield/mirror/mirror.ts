/**
 * The mirror of one process: a message that a rule selects is also sent to its shadow subject. Best effort and off the
 * message path: a message only enters the buffer of `sender.ts`; nothing waits, nothing throws, and the primary's
 * acknowledgement never depends on it. With `[platform.mirroring] enabled = false` nothing is started.
 */
import { parseRoomSubject, roomSubject } from "../../shared/subjects/subject.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Settings } from "../settings/settings.ts";
import type { MirrorAdminContext } from "./admin_api.ts";
import { DiffBook } from "./diff.ts";
import { type CandidateVerdict, type CandidateVerdicts, NO_CANDIDATES } from "../message/gates.ts";
import { MirrorRules, type RuleTable } from "./rules.ts";
import { routedTraceId, type ShadowCopy, ShadowSender } from "./sender.ts";
import { MirrorStats } from "./stats.ts";
import { Decisions, SHADOW_VERDICT, type ShadowVerdicts, startVerdicts } from "./verdicts.ts";
import { ArqonError, type ScannedEnvelope } from "@arqon/proto";
import { Attached } from "../../shared/containers/attached.ts";
import { owned } from "../../shared/containers/byte_arena.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import type { Caller } from "../message/caller.ts";
import type { Observer, Passed } from "../message/observers.ts";
import { givenTraceId, shareKey } from "../../shared/telemetry/trace_parent.ts";

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
function createMirror(parts: MirrorParts): Mirror {
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

interface MirrorStart extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now"> {
  readonly config: Pick<Config, "platform" | "nats" | "limits">;
  readonly settings: Settings;
}

/** A running mirror, and its admin API for operators. */
export interface StartedMirror {
  /** Receives published and refused messages; undefined: no mirror. */
  readonly mirror: Mirror | undefined;
  /** Takes the verdicts of policies and schemas that only observe. */
  readonly candidates: CandidateVerdicts;
  /** The context of its admin API; undefined if mirroring is disabled. */
  readonly admin: MirrorAdminContext | undefined;
  /** Applies the rules of a changed configuration. */
  follow(changes: ConfigChanges): void;
  /** As `Running.forgets`. */
  forgets(tenant_id: string): void;
  close(): Promise<void>;
}

/** Starts the mirror. Throws `spine-unavailable`. A tenant's rules are in force as soon as `settings` knows them. */
export function startMirror(start: MirrorStart): StartedMirror {
  const { config, spine, settings, registry, now } = start;
  const { mirroring } = config.platform;
  if (!mirroring.enabled) {
    const close = () => Promise.resolve();
    const nothing = { mirror: undefined, candidates: NO_CANDIDATES, admin: undefined };
    return { ...nothing, follow: () => {}, forgets: () => {}, close };
  }
  const log = start.log.child({ part: "mirroring" });
  const stats = new MirrorStats();
  const rules = new MirrorRules(mirroring.rules, stats.totalsOf);
  const book = new DiffBook(mirroring.candidates, stats.verdict);
  const decisions = new Decisions(mirroring.remembered_messages);
  const sender = new ShadowSender({
    spine,
    buffer_messages: mirroring.buffer_messages,
    buffer_bytes: mirroring.buffer_bytes,
    pending_bytes_max: config.nats?.pending_bytes ?? config.limits.spine_pending_bytes,
    log,
    monotonic_ms: () => performance.now(),
    onSend: (copy) => rememberPassed(decisions, copy),
  });
  const verdicts = startVerdicts({ spine, book, decisions, stats, log, now });
  const stopSettings = settings.onChange((tenant_id, own) => {
    rules.setTenant(tenant_id, own.mirror.rules);
  });
  const stopDeletions = settings.deletions.onDeleted((tenant_id) => {
    book.reset(tenant_id);
    decisions.forget(tenant_id);
  });
  stats.register(registry, () => ({
    messages: sender.messages,
    bytes: sender.bytes,
    rules: rules.size,
    candidates: book.size,
  }));
  const mirror = createMirror({ rules, sender, book, decisions, verdicts, now });
  return {
    mirror,
    candidates: mirror,
    admin: { rules, settings, book, log, node_id: start.node_id },
    follow: (changes) =>
      changes.follow(
        ["platform.mirroring.rules"],
        (config: RuleTable) => rules.replace(config),
        ({ platform }) => rules.compiling(platform.mirroring.rules),
      ),
    forgets(tenant_id) {
      book.forgetExamples(tenant_id);
      decisions.forget(tenant_id);
    },
    async close() {
      stopSettings();
      stopDeletions();
      await sender.close();
      verdicts.close();
    },
  };
}

function rememberPassed(decisions: Decisions, { envelope, subject, tenant_id }: ShadowCopy): void {
  const trace_id = routedTraceId(envelope);
  const room = parseRoomSubject(subject)?.roomId;
  if (trace_id === undefined || room === undefined) return;
  decisions.remember(tenant_id, trace_id, { refused: false, room });
}
