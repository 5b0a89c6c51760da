/**
 * Presence of a Brain on a Spine: subscribes, encodes, decodes and has the timers. `presence.ts` handles the messages;
 * `ClusterView` is the interface for queries.
 */
import { DecodeError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type { ClusterMessage, PresencePort } from "../../shared/presence/messages.ts";
import { MESSAGE_BYTES } from "../../shared/presence/pages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import { steadyTime } from "../../shared/spine/contract/log_clock.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage, Subscription } from "../../shared/spine/contract/spine_message.ts";
import { storeTimeOf } from "../../shared/spine/contract/store_time.ts";
import { everyProcess, HELLO, processSubject } from "../../shared/subjects/subject.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { StaysView } from "../membership/kept_stays.ts";
import { ClassesCheck } from "./classes_check.ts";
import { type BrainPresenceMetrics, createBrainPresenceMetrics } from "./metrics.ts";
import { BrainPresence, type BrainPresenceMachineOptions } from "./presence.ts";
import { createRefusals } from "./refusals.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** The process's parts that the presence service needs. */
export interface BrainPresenceOptions extends Pick<Env, "spine" | "registry" | "log" | "now"> {
  readonly config: Pick<Config, "server" | "presence" | "limits" | "rooms">;
  /** Monotonic ms; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly brain_id: string;
}

/** Presence of a running Brain. */
export interface BrainPresenceService {
  readonly view: ClusterView & StaysView;
  /** Ok if every known Shield has been read, and the Brain is not draining. */
  health(): HealthCheck;
  /**
   * Announces that this Brain stops, so that others take over its rooms, and unsubscribes. The view keeps answering
   * from its last state. Leaves the Spine open. Idempotent.
   */
  drain(): Promise<void>;
}

/**
 * The embedded Spine loses no message, and delays it only by turns of its event loop: a process that does not answer at
 * once does not exist.
 */
function embedded(spine: Spine): Pick<BrainPresenceMachineOptions, "settle_ms" | "onceReceived"> {
  const flushed = async () => {
    // One flush for the hello, one for the answer.
    await spine.flush();
    await spine.flush();
  };
  return { settle_ms: 60, onceReceived: (run) => void flushed().then(run, run) };
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

/** The machine's port on a Spine, and the end of its timers and subscriptions. */
function openPort(
  options: BrainPresenceOptions,
  now: () => number,
  send: PresencePort["send"],
  handle: (message: SpineMessage) => void,
): { port: PresencePort; close: () => void } {
  const { spine, random } = options;
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const subscriptions = new Set<Subscription>();
  const port: PresencePort = {
    now,
    random,
    send,
    after: (delay_ms, run) => {
      const timer = setTimeout(() => {
        timers.delete(timer);
        run();
      }, delay_ms);
      timers.add(timer);
      return () => {
        timers.delete(timer);
        clearTimeout(timer);
      };
    },
    listen: (subject) => {
      const subscription = spine.subscribe(subject, handle);
      subscriptions.add(subscription);
      return () => {
        subscriptions.delete(subscription);
        subscription.unsubscribe();
      };
    },
  };
  const close = () => {
    for (const timer of timers) clearTimeout(timer);
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
  return { port, close };
}

function followSpine(spine: Spine, presence: BrainPresence): () => void {
  return spine.onEvent((event) => {
    if (event.type !== "state") return;
    if (event.status.state === "connected") presence.spineBack();
    else presence.spineLost();
  });
}

/**
 * When this Brain started, Unix ms. Others ignore a lower number than that of its previous run, so a clock that was set
 * back must not choose it. Without the store, whose loss the other parts report, this process's clock does.
 */
async function bootTime({ spine, now }: BrainPresenceOptions): Promise<number> {
  const bucket = spine.keyValue(ROOMS_BUCKET, { unwatched: true });
  return await bucket.then((bucket) => storeTimeOf(bucket, now)).catch(now);
}

function machine(options: BrainPresenceOptions, boot: number) {
  const { config, spine, log, registry, now, brain_id } = options;
  const { monotonic_ms = () => performance.now() } = options;
  const clock = steadyTime({ now, monotonic_ms });
  const metrics = createBrainPresenceMetrics(registry, clock);
  const refuse = createRefusals({ metrics, log, now });
  const rooms = () => config.rooms;
  const brains = () => presence.brains;
  const classes = new ClassesCheck({ brain_id, rooms, brains, registry, log });
  const handle = ({ subject, payload }: SpineMessage): void => {
    step(AT.presence);
    let message: ClusterMessage;
    try {
      message = decodeMessage(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      refuse("undecodable", { subject, error });
      return;
    }
    if (message.kind === "beat") classes.receive(message);
    presence.receive(subject, message);
  };
  const send = sender(options, metrics);
  const sendHashed: PresencePort["send"] = (subject, message) =>
    send(subject, classes.withHash(message));
  const { port, close } = openPort(options, clock, sendHashed, handle);
  const presence = new BrainPresence({
    ...{ brain_id, boot, port, metrics, log },
    config: config.presence,
    member_meta_bytes: config.limits.member_meta_bytes,
    message_bytes: Math.min(MESSAGE_BYTES, spine.payload_bytes_max),
    ...(spine.status.engine === "embedded" ? embedded(spine) : {}),
  });
  return { presence, handle, close };
}

function describe(presence: BrainPresence): string {
  const { up, down } = presence.writers;
  const brains = presence.brains.length;
  return `${presence.state}; Brains that serve: ${brains}; Shields up: ${up}, down: ${down}`;
}

/**
 * Starts presence; resolves when this Brain serves: it is subscribed, and has read every known Shield, or tried to.
 * Rejects with `spine-unavailable` if it cannot subscribe.
 */
export async function startBrainPresence(
  options: BrainPresenceOptions,
): Promise<BrainPresenceService> {
  const { spine, log, now } = options;
  const { presence, handle, close } = machine(options, await bootTime(options));
  const patterns = [
    everyProcess("announce"),
    everyProcess("beat"),
    processSubject("direct", presence.brain_id),
    HELLO,
  ];
  const subscriptions = patterns.map((pattern) => spine.subscribe(pattern, handle));
  const unfollow = followSpine(spine, presence);
  const stop = () => {
    unfollow();
    for (const subscription of subscriptions) subscription.unsubscribe();
    presence.close();
    close();
  };
  try {
    await spine.flush();
  } catch (error) {
    stop();
    throw error;
  }
  const serving = new Promise<void>((resolve) => presence.onServing(resolve));
  presence.start();
  await serving;
  let since_ms = now();
  let drained: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    since_ms = now();
    presence.drain();
    await spine.flush().catch((error) => log.warn("presence drained without the Spine", { error }));
    stop();
  };
  log.info("presence serves", { brain: presence.brain_id, state: describe(presence) });
  const health = (): HealthCheck => {
    return { ok: presence.serving, since_ms, detail: describe(presence) };
  };
  return { view: presence, health, drain: () => drained ??= drain() };
}
