/**
 * Presence on the Spine of a process: bytes, subscriptions, timers. What the messages mean is in
 * `presence.ts`.
 */
import { DecodeError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { randomFraction } from "../../shared/ids.ts";
import type { ClusterMessage, PresencePort } from "../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import { steadyTime } from "../../shared/spine/contract/log_clock.ts";
import type { SpineEvent, SpineMessage, SpineState } from "../../shared/spine/contract/spine.ts";
import { everyProcess, HELLO, processSubject } from "../../shared/subjects/subject.ts";
import type { Subject, SubjectPattern } from "../../shared/subjects/subject.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { Moving } from "./moving.ts";
import type { Attend } from "../connection/attendance.ts";
import { Attendance, type AttendanceContext } from "./attendance.ts";
import { PresenceFrames } from "./frames.ts";
import { ShieldPresence } from "./presence.ts";
import { createPresenceStats, refuse, registerPresenceStats } from "./stats.ts";
import type { PresenceStats } from "./stats.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** What the service needs of the process. */
export interface PresenceServiceOptions
  extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now" | "monotonic_ms" | "random"> {
  readonly config: Pick<Config, "presence" | "server" | "nats">;
  /** The classes that give rooms limits of their own; absent: no room has one. */
  readonly classes?: Pick<RoomClasses, "of">;
}

/** Running presence, and its numbers. */
export interface PresenceService {
  readonly presence: ShieldPresence;
  readonly stats: PresenceStats;
  readonly moving: Moving;
  /** What a Brain receives and answers to nobody. */
  readonly hello: Uint8Array;
  /** Lets connections be members of rooms. */
  attending(context: Omit<AttendanceContext, "presence" | "frames">): Attend;
  /** Stops it and ends its subscriptions. The Spine stays open. */
  close(): void;
}

function portOf(
  { spine, now, monotonic_ms, random, log }: PresenceServiceOptions,
  stats: PresenceStats,
  onMessage: (message: SpineMessage) => void,
): PresencePort {
  return {
    now: steadyTime({ now, monotonic_ms }),
    random: () => randomFraction(random),
    after(delay_ms, run) {
      const timer = setTimeout(run, delay_ms);
      return () => clearTimeout(timer);
    },
    send(subject: Subject, message: ClusterMessage) {
      try {
        spine.publish(subject, encodeMessage(message));
      } catch (error) {
        // What was lost is found by its clock or position when the Spine is back.
        stats.unsent++;
        log.debug("a presence message was not sent", { subject, kind: message.kind, error });
      }
    },
    listen(subject) {
      const subscription = spine.subscribe(subject, onMessage);
      return () => subscription.unsubscribe();
    },
  };
}

/** Starts presence. Throws `spine-unavailable` while the Spine is not connected. */
export function startPresence(options: PresenceServiceOptions): PresenceService {
  const { node_id, spine, config, classes, registry, now } = options;
  const log = options.log.child({ part: "presence" });
  const stats = createPresenceStats();
  registerPresenceStats(stats, registry);
  const onMessage = ({ subject, payload }: SpineMessage) => {
    step(AT.presence);
    let message: ClusterMessage;
    try {
      message = decodeMessage(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      // Counted; what it said is asked for anew.
      refuse(stats, "undecodable");
      return log.debug("a presence message cannot be read", { subject, error });
    }
    presence.receive(subject, message);
  };
  const patterns: (Subject | SubjectPattern)[] = [
    everyProcess("beat"),
    processSubject("direct", node_id),
    HELLO,
  ];
  // The machine is made after this, so that it receives the answers; delivery is asynchronous, so it is
  // there in time.
  const subscriptions = patterns.map((pattern) => spine.subscribe(pattern, onMessage));
  const presence = new ShieldPresence({
    node_id,
    started_ms: now(),
    port: portOf({ ...options, log }, stats, onMessage),
    config: config.presence,
    membersMax: (tenant_id, room_id) => classes?.of(tenant_id, room_id).max_members,
    isJournaled: (tenant_id, room_id) => classes?.of(tenant_id, room_id).membership === "journal",
    metrics: stats,
    log,
  });
  const { presence: { move_grace_ms }, server: { drain_timeout_ms } } = config;
  const moving = new Moving({
    ...{ ...options, log, patience_ms: drain_timeout_ms + move_grace_ms },
    // Beside an embedded Spine there is no other Shield.
    heard_ms: config.nats?.request_timeout_ms ?? 0,
  });
  const stopEvents = spine.onEvent((event) => onSpineEvent(presence, event));
  return {
    presence,
    stats,
    moving,
    hello: encodeMessage({ kind: "hello", from: node_id }),
    attending(context) {
      const frames = new PresenceFrames({ now, random: options.random, ...config.presence });
      const attended = { ...context, presence, frames };
      return (connection, room_id) => new Attendance(attended, connection, room_id);
    },
    close() {
      stopEvents();
      moving.close();
      for (const subscription of subscriptions) subscription.unsubscribe();
      presence.close();
    },
  };
}

function onSpineEvent(presence: ShieldPresence, event: SpineEvent): void {
  switch (event.type) {
    case "gap": {
      // A pattern of clients' rooms that was too slow is not one of presence.
      const is_ours = event.pattern === undefined || event.pattern.startsWith("sys.");
      return is_ours ? presence.spineBack() : undefined;
    }
    case "state":
      return onSpineState(presence, event.status.state);
    case "log":
    case "denied":
    case "unstored":
      return;
    default:
      event satisfies never;
  }
}

function onSpineState(presence: ShieldPresence, state: SpineState): void {
  switch (state) {
    case "connected":
      return presence.spineBack();
    case "disconnected":
      return presence.spineLost();
    case "connecting":
    case "draining":
    case "closed":
      return;
    default:
      state satisfies never;
  }
}
