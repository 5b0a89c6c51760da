/** Presence on the Spine of a process: bytes, subscriptions, timers. `presence.ts` handles the messages. */
import { ArqonError, DecodeError, JSON_DEPTH_MAX, nestsTooDeep } from "@arqon/proto";
import type { Subscribe } from "@arqon/proto";
import type { Config, Limits } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { randomFraction } from "../../shared/ids.ts";
import type { ClusterMessage, ShieldPort } from "../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import { steadyTime } from "../../shared/spine/contract/log_clock.ts";
import type { SpineEvent } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { everyProcess, HELLO, processSubject } from "../../shared/subjects/subject.ts";
import type { Subject, SubjectPattern } from "../../shared/subjects/subject.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { Handover } from "./handover.ts";
import type {
  Attendance as AskedAttendance,
  AttendanceRequest,
  Attending,
  PresenceRequest,
} from "../connection/presence.ts";
import { canAct, notGranted, requireGrant } from "../auth/authorize.ts";
import { PresenceFrames, type SizedFrame } from "./frames.ts";
import { type PresenceWatch, type RoomChanges, ShieldPresence } from "./presence.ts";
import { createPresenceStats, type PresenceStats, refuse, registerPresenceStats } from "./stats.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { Connection } from "../connection/connection.ts";
import type { RequestRef } from "../message/request_ref.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Subscriber } from "../fanout/hub.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** What presence of a process is started with. */
export interface PresenceServiceOptions
  extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now" | "monotonic_ms" | "random"> {
  readonly config: Pick<Config, "presence" | "server" | "nats">;
  readonly classes?: Pick<RoomClasses, "of">;
}

/** Running presence, and its numbers. */
export interface PresenceService {
  readonly presence: ShieldPresence;
  readonly stats: PresenceStats;
  readonly moving: Handover;
  /** A message that a Brain receives without answering. */
  readonly hello: Uint8Array;
  /** Whether the connection has presence in a room. */
  readonly isMember: (connection: Connection) => boolean;
  /** Lets connections be members of rooms. */
  attending(context: Omit<AttendanceContext, "presence" | "frames">): Attending;
  /** Stops it and ends its subscriptions. The Spine stays open. */
  close(): void;
}

function portOf(
  { spine, now, monotonic_ms, random, log }: PresenceServiceOptions,
  stats: PresenceStats,
  onMessage: (message: SpineMessage) => void,
): ShieldPort {
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
        stats.unsent++;
        // Its clock or position finds the losses when the Spine is back.
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
      refuse(stats, "undecodable");
      // It is counted; its content is requested again.
      return log.debug("a presence message cannot be read", { subject, error });
    }
    presence.receive(subject, message);
  };
  const patterns: (Subject | SubjectPattern)[] = [
    everyProcess("beat"),
    processSubject("direct", node_id),
    HELLO,
  ];
  // The subscriptions precede the machine, so that it receives the answers; delivery is asynchronous, so it exists in
  // time.
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
  const moving = new Handover({
    ...options,
    log,
    patience_ms: drain_timeout_ms + move_grace_ms,
    // With an embedded Spine there is no other Shield.
    confirm_ms: config.nats?.request_timeout_ms ?? 0,
  });
  const stopEvents = spine.onEvent((event) => onSpineEvent(presence, event));
  const attendances: Attendances = new WeakMap();
  return {
    presence,
    stats,
    moving,
    hello: encodeMessage({ kind: "hello", from: node_id }),
    attending(context) {
      const frames = new PresenceFrames({ now, random: options.random, ...config.presence });
      return attendingOf({ ...context, presence, frames }, attendances, classes);
    },
    isMember: (connection) => (attendances.get(connection)?.size ?? 0) > 0,
    close() {
      stopEvents();
      moving.close();
      for (const subscription of subscriptions) subscription.unsubscribe();
      presence.close();
    },
  };
}

/** The presence of each connection, by room. */
type Attendances = WeakMap<Connection, Map<string, Attendance>>;

function attendingOf(
  context: AttendanceContext,
  attendances: Attendances,
  classes: PresenceServiceOptions["classes"],
): Attending {
  const of: Attending["of"] = (connection, room_id) => attendances.get(connection)?.get(room_id);
  return {
    of,
    asked(identity, subscribe) {
      const { room_id } = subscribe;
      if (subscribe.presence) requireGrant(identity, "presence", room_id);
      const asked = presenceRequest(subscribe, context.limits);
      if (asked === undefined) return undefined;
      if (classes?.of(identity.tenant_id, room_id).presence !== false) return asked;
      throw new ArqonError("presence-disabled", room_id);
    },
    ask(connection, room_id, request) {
      const rooms = attendances.getOrInsertComputed(connection, () => new Map());
      const attendance = rooms.get(room_id) ?? new Attendance(context, connection, room_id, rooms);
      attendance.ask(request);
    },
    *endingNotGranted(connection) {
      for (const [room_id, attendance] of [...attendances.get(connection) ?? []]) {
        yield;
        const is_there = of(connection, room_id) === attendance;
        if (!is_there || canAct(connection.identity, "presence", room_id)) continue;
        const error = new ArqonError("presence-unavailable", "the token changed meanwhile");
        attendance.refuse(error, "token-ended");
        connection.fail(notGranted("presence", room_id));
      }
    },
  };
}

function onSpineEvent(presence: ShieldPresence, event: SpineEvent): void {
  if (event.type === "gap") {
    // A slow subscription to clients' rooms does not affect presence.
    if (event.pattern === undefined || event.pattern.startsWith("sys.")) presence.spineBack();
  } else if (event.type === "state") {
    const { state } = event.status;
    if (state === "connected") presence.spineBack();
    if (state === "disconnected") presence.spineLost();
  }
}

// One connection's presence in one room, from its SUB to its leave: waits for the room's members without blocking the
// connection's other operations, joins, answers with the list, and passes on later changes. `connection/subscribe.ts`
// has the subscription to messages; `presence.ts` the members.

interface AttendanceContext {
  readonly presence: Pick<ShieldPresence, "join" | "leave" | "watch">;
  readonly frames: PresenceFrames;
  readonly flushes: Pick<FlushQueue, "push">;
  readonly limits: Pick<Limits, "unsent_bytes" | "member_meta_bytes">;
  readonly stats: Pick<ShieldStats, "egress_events" | "egress_bytes">;
}

/** The part of its connection that an attendance needs. */
export type Attendee = Pick<
  Connection,
  | "id"
  | "text"
  | "identity"
  | "send"
  | "sendLater"
  | "refuse"
  | "hold"
  | "release"
  | "overflow"
>;

interface Later {
  readonly made: () => SizedFrame;
  /** Bytes that count against the limit: of changes, not of pages, which answer one SUB. */
  readonly counted_bytes: number;
  /** The position of the SUB that this answers. */
  readonly place: number | undefined;
}

/**
 * The presence of a connection in a room, from the first SUB with presence until the connection leaves
 * the room or its presence.
 */
export class Attendance implements AskedAttendance {
  readonly #context: AttendanceContext;
  readonly #connection: Attendee;
  readonly #room_id: string;
  /** The presence of this connection, by room. */
  readonly #rooms: Map<string, Attendance>;
  readonly #watch: PresenceWatch;
  /** The unanswered SUBs in order, each with its position among the connection's frames. */
  readonly #requests = new Map<AttendanceRequest, number>();
  /** The subscription that remains if the current SUB is refused. */
  #subscriber: Subscriber | undefined;
  /** The presence options of the last answered SUB, which then remain, too. */
  #presence_request: PresenceRequest | undefined;
  #phase: "new" | "syncing" | "synced" | "ended" = "new";
  #is_member = false;
  /** True when the client has received the list and receives changes. */
  #is_following = false;
  /** Pages of a list and later changes that wait until the client has read what is before them. */
  #later: Later[] = [];
  #later_bytes = 0;

  /** Starts to watch the room. Throws as `watch` throws. */
  constructor(
    context: AttendanceContext,
    connection: Attendee,
    room_id: string,
    rooms: Map<string, Attendance>,
  ) {
    this.#context = context;
    this.#connection = connection;
    this.#room_id = room_id;
    this.#rooms = rooms;
    this.#watch = context.presence.watch(connection.identity.tenant_id, room_id, this);
    rooms.set(room_id, this);
  }

  ask(request: AttendanceRequest): void {
    this.#requests.set(request, this.#connection.hold(0));
    if (this.#phase === "synced") return this.#serve(request);
    if (this.#phase !== "new") return;
    this.#phase = "syncing";
    this.#subscriber = request.before;
    this.#watch.ready((error) => this.#onReady(error));
  }

  onChanges(changes: RoomChanges): void {
    if (!this.#is_following) return;
    for (const sized of this.#context.frames.changes(changes, this.#connection.text)) {
      this.#send(sized, sized.size_bytes);
    }
  }

  end(deliberate: boolean, reason?: LeaveReason): void {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    const { id, identity } = this.#connection;
    this.#rooms.delete(this.#room_id);
    this.#watch.close();
    if (this.#is_member) {
      this.#context.presence.leave(identity.tenant_id, this.#room_id, id, deliberate, reason);
    }
    for (const { place } of this.#later) this.#release(place);
    this.#later = [];
    for (const [{ request }, place] of this.#take()) {
      const error = new ArqonError("presence-unavailable", "the subscription ended meanwhile");
      this.#refuseOne(request, error, place);
    }
  }

  #take(): [AttendanceRequest, number][] {
    const requests = [...this.#requests];
    this.#requests.clear();
    return requests;
  }

  #refuseOne(request: RequestRef, error: unknown, place: number): void {
    this.#connection.refuse(request, error, place);
    this.#release(place);
  }

  #release(place: number | undefined): void {
    if (place !== undefined) this.#connection.release(0, place);
  }

  #onReady(error: ArqonError | undefined): void {
    if (error !== undefined) return this.refuse(error);
    this.#phase = "synced";
    for (const request of [...this.#requests.keys()]) this.#serve(request);
  }

  refuse(error: ArqonError, reason?: LeaveReason): void {
    const requests = this.#take();
    this.end(true, reason);
    for (const [{ request, restore }, place] of requests) {
      restore(this.#subscriber);
      this.#refuseOne(request, error, place);
    }
  }

  #serve(request: AttendanceRequest): void {
    if (!this.#requests.has(request)) return;
    try {
      this.#enter(request.presence_request);
    } catch (error) {
      return this.#refuse(request, error);
    }
    this.#context.flushes.push((error) => {
      const place = this.#requests.get(request);
      if (place === undefined) return;
      if (error === undefined) return this.#watch.reported(() => this.#answer(request));
      this.#requests.delete(request);
      if (this.#stays()) request.restore(this.#subscriber);
      else request.leave();
      this.#refuseOne(request.request, error, place);
    });
  }

  /**
   * Restores the state of the last answered SUB, after a later one was entered and refused. False if there was none, or
   * if its slot is taken.
   */
  #stays(): boolean {
    if (this.#presence_request === undefined) return false;
    // A later SUB has been entered meanwhile, and takes precedence.
    if (this.#requests.size > 0) return true;
    try {
      this.#enter(this.#presence_request);
      return true;
    } catch {
      return false;
    }
  }

  #enter({ is_member, meta }: PresenceRequest): void {
    const { id: connection_id, identity } = this.#connection;
    const { tenant_id, user_id, issuer } = identity;
    const { presence } = this.#context;
    const room_id = this.#room_id;
    if (is_member) {
      presence.join({ tenant_id, room_id, connection_id, user_id, issuer, meta });
    } else if (this.#is_member) {
      presence.leave(tenant_id, room_id, connection_id, true);
    }
    this.#is_member = is_member;
  }

  /** Refuses a SUB; the state before it remains. */
  #refuse(request: AttendanceRequest, error: unknown): void {
    const place = this.#requests.get(request);
    if (place === undefined) return;
    this.#requests.delete(request);
    request.restore(this.#subscriber);
    if (!this.#is_following && this.#requests.size === 0) this.end(true);
    this.#refuseOne(request.request, error, place);
  }

  #answer(request: AttendanceRequest): void {
    const place = this.#requests.get(request);
    if (place === undefined) return;
    this.#requests.delete(request);
    this.#subscriber = request.subscriber;
    this.#presence_request = request.presence_request;
    this.#is_following = true;
    const { frames } = this.#context;
    const { text } = this.#connection;
    const { request_id } = request.request;
    const view = this.#watch.snapshot();
    const is_acked = request_id !== 0 && request_id !== 0n;
    if (is_acked) this.#send(frames.ack(view, request_id, text, request.log?.position()), 0, place);
    else this.#release(place);
    request.log?.begin();
    const pages = frames.pages(view, is_acked ? 1 : 0, text);
    if (pages.length === 0) return;
    const was_idle = this.#later.length === 0;
    for (const made of pages) this.#later.push({ made, counted_bytes: 0, place: undefined });
    if (was_idle) this.#connection.sendLater(() => this.#next());
  }

  /**
   * Sends a frame now, or after the pages that wait: nothing may overtake them. `place` is the position of an answered
   * SUB.
   */
  #send(sized: SizedFrame, counted_bytes: number, place?: number): void {
    if (this.#later.length === 0) {
      this.#connection.send(this.#counted(sized, place));
      return this.#release(place);
    }
    this.#later.push({ made: () => sized, counted_bytes, place });
    this.#later_bytes += counted_bytes;
    if (this.#later_bytes > this.#context.limits.unsent_bytes) this.#connection.overflow();
  }

  #next(): Frame | undefined {
    const later = this.#later.shift();
    if (later === undefined) return undefined;
    this.#later_bytes -= later.counted_bytes;
    const { place } = later;
    // The caller sends the frame before this runs.
    if (place !== undefined) queueMicrotask(() => this.#release(place));
    return this.#counted(later.made(), place);
  }

  /** Counts a frame. With a `place` it is an answer, and not an event. */
  #counted({ frame, size_bytes }: SizedFrame, place: number | undefined): Frame {
    const { stats } = this.#context;
    if (place === undefined) stats.egress_events++;
    stats.egress_bytes += size_bytes;
    return frame;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function jsonText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
    JSON.parse(text);
  } catch {
    throw new ArqonError("invalid-field", "member_meta is not JSON in UTF-8");
  }
  if (!nestsTooDeep(text)) return text;
  const detail = `member_meta is nested more than ${JSON_DEPTH_MAX} levels deep`;
  throw new ArqonError("invalid-field", detail);
}

/**
 * Checks the presence options of a SUB; undefined without presence. Throws `invalid-field` (400) for options that
 * contradict each other or metadata that is not JSON, and `message-too-large` (413) for too much metadata.
 */
export function presenceRequest(
  { presence, observer, member_meta }: Subscribe,
  { member_meta_bytes }: Pick<Limits, "member_meta_bytes">,
): PresenceRequest | undefined {
  const has_meta = member_meta.length > 0;
  if (!presence) {
    if (observer) throw new ArqonError("invalid-field", "observer without presence");
    if (has_meta) throw new ArqonError("invalid-field", "member_meta without presence");
    return undefined;
  }
  if (observer && has_meta) {
    throw new ArqonError("invalid-field", "member_meta of an observer, who is not a member");
  }
  if (member_meta.length > member_meta_bytes) {
    const detail = `member_meta has ${member_meta.length} bytes; at most ${member_meta_bytes}`;
    throw new ArqonError("message-too-large", detail);
  }
  return { is_member: !observer, meta: has_meta ? jsonText(member_meta) : "" };
}
