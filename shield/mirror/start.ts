/**
 * Assembles the mirror of one process: rules of the config and of the tenants, sender, comparison and admin API. With
 * `[platform.mirroring] enabled = false` nothing is started.
 */
import { parseRoomSubject } from "../../shared/subjects/subject.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Settings } from "../settings/settings.ts";
import type { MirrorAdminContext } from "./admin_api.ts";
import { DiffBook } from "./diff.ts";
import { type CandidateVerdicts, NO_CANDIDATES } from "../message/gates.ts";
import { createMirror, type Mirror } from "./mirror.ts";
import { MirrorRules, type RuleTable } from "./rules.ts";
import { type ShadowCopy, ShadowSender } from "./sender.ts";
import { routedTraceId } from "./shadow_envelope.ts";
import { MirrorStats } from "./stats.ts";
import { Decisions, startVerdicts } from "./verdicts.ts";

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
