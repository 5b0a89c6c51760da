/**
 * Presence of a Brain on a Spine: subscribes, encodes and decodes. `presence.ts` handles the messages; `ClusterView` is
 * the interface for queries.
 */
import { DecodeError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { MESSAGE_BYTES } from "../../shared/presence/pages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { everyProcess, processSubject } from "../../shared/subjects/subject.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { StaysView } from "../membership/kept_stays.ts";
import { type BrainPresenceMetrics, createBrainPresenceMetrics } from "./metrics.ts";
import { BrainPresence } from "./presence.ts";
import type { Ring } from "../ring/ring.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** The process's parts that the presence service needs. */
export interface BrainPresenceOptions extends Pick<Env, "spine" | "registry" | "log" | "now"> {
  readonly config: Pick<Config, "presence" | "limits">;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly ring: Ring;
}

/** Presence of a running Brain. */
export interface BrainPresenceService {
  readonly view: ClusterView & StaysView;
  /** Ok if every known Shield has been read, and the Brain is not draining. */
  health(): HealthCheck;
  /** Unsubscribes; call it when the ring has been left. The view keeps answering from its last state. */
  close(): void;
}

/** Interval between two log lines about messages that the Spine refuses. */
const LOG_INTERVAL_MS = 10_000;

function sender(options: BrainPresenceOptions, metrics: BrainPresenceMetrics) {
  const { spine, log, now } = options;
  let logged_ms = -Infinity;
  return (subject: Subject, message: ClusterMessage): void => {
    try {
      spine.publish(subject, encodeMessage(message));
    } catch (error) {
      metrics.send_failures.inc();
      // Presence repairs itself; the Spine logs its own disconnects.
      if (Math.abs(now() - logged_ms) < LOG_INTERVAL_MS) return;
      logged_ms = now();
      log.warn("presence message not sent", { subject, kind: message.kind, error });
    }
  };
}

function describe(presence: BrainPresence, { state }: Ring): string {
  const { up, down } = presence.writers;
  const brains = presence.brains.length;
  return `${state}; Brains that serve: ${brains}; Shields up: ${up}, down: ${down}`;
}

/**
 * Starts presence; resolves when this Brain serves: it is subscribed, and has read every known Shield, or tried to.
 * Rejects with `spine-unavailable` if it cannot subscribe.
 */
export async function startBrainPresence(
  options: BrainPresenceOptions,
): Promise<BrainPresenceService> {
  const { config, spine, registry, log, now, random, ring } = options;
  const metrics = createBrainPresenceMetrics(registry, ring.port.now);
  const presence = new BrainPresence({
    ring,
    metrics,
    log,
    config: config.presence,
    port: { ...ring.port, random, send: sender(options, metrics) },
    member_meta_bytes: config.limits.member_meta_bytes,
    message_bytes: Math.min(MESSAGE_BYTES, spine.payload_bytes_max),
  });
  const handle = ({ subject, payload }: SpineMessage): void => {
    step(AT.presence);
    let message: ClusterMessage;
    try {
      message = decodeMessage(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      presence.refuse("undecodable", { subject, error });
      return;
    }
    presence.receive(subject, message);
  };
  const patterns = [everyProcess("announce"), processSubject("direct", ring.brain_id)];
  const subscriptions = patterns.map((pattern) => spine.subscribe(pattern, handle));
  let since_ms = now();
  const close = () => {
    since_ms = now();
    for (const subscription of subscriptions) subscription.unsubscribe();
    presence.close();
  };
  try {
    await spine.flush();
  } catch (error) {
    close();
    throw error;
  }
  await ring.serve();
  since_ms = now();
  log.info("presence serves", { brain: ring.brain_id, state: describe(presence, ring) });
  const health = (): HealthCheck => {
    return { ok: presence.serving, since_ms, detail: describe(presence, ring) };
  };
  return { view: presence, health, close };
}
