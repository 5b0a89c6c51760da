/**
 * Judges recorded plain rooms: no message twice, none out of its sender's order, none of another tenant
 * or room, and none missing that was acknowledged at a listener who stayed connected and was told of no
 * loss at its place. Pure. What a GAP excuses is no finding but a figure, so that a run can bound its share.
 */
import type {
  Attempt,
  Delivered,
  Listener,
  MessageRecording,
  PlainPublish,
  PlainSight,
} from "./message_recording.ts";

/** What can be wrong. */
export type MessageFindingKind =
  /** Acknowledged, and a listener who had to see it did not. */
  | "missing"
  /** The same, and a GAP told of it, but behind a later message of the same sender's connection. */
  | "told-late"
  /** Seen twice on one connection. */
  | "repeated"
  /** Seen after a later message of the same sender's connection. */
  | "out-of-order"
  /** A message of another tenant. */
  | "cross-tenant"
  /** A message of another room, or that nobody published. */
  | "foreign";

/** One thing that is wrong. */
export interface MessageFinding {
  readonly kind: MessageFindingKind;
  /** In words: who, where, which message. */
  readonly text: string;
}

/** How much there was. */
export interface MessageFigures {
  readonly publishes: number;
  readonly acknowledged: number;
  readonly repeated_attempts: number;
  readonly deliveries: number;
  /** Deliveries that had to be: an acknowledged message at a listener who was there all the time. */
  readonly due: number;
  /** Of these, those that did not come and were announced by a GAP. */
  readonly excused: number;
  readonly gaps: number;
}

/** The checker's judgement. */
export interface MessageVerdict {
  /** Empty: all is well. */
  readonly findings: readonly MessageFinding[];
  readonly figures: MessageFigures;
}

/** A GAP that comes so long behind its place was meant for it; later it is another's. */
const GAP_LATE_MS = 10_000;

/** A listener's time between SUB and the end of that connection. */
interface Stretch {
  readonly listener: Listener;
  readonly from_ms: number;
  readonly sights: readonly PlainSight[];
  /** It goes on to the end of the run. */
  readonly stays: boolean;
}

/** A message of one sender's connection in a stretch. */
interface Seen {
  /** In the sender's connection. */
  readonly order: number;
  /** In the stretch. */
  readonly index: number;
}

function* stretchesOf(listener: Listener): Generator<Stretch> {
  let from_ms: number | undefined;
  let sights: PlainSight[] = [];
  for (const sight of listener.sights) {
    if (sight.kind === "subscribed") [from_ms, sights] = [sight.at_ms, []];
    else if (sight.kind !== "disconnected") sights.push(sight);
    else if (from_ms !== undefined) {
      yield { listener, from_ms, sights, stays: false };
      from_ms = undefined;
    }
  }
  if (from_ms !== undefined) yield { listener, from_ms, sights, stays: true };
}

const roomKey = ({ tenant_id, room_id }: { tenant_id: string; room_id: string }) =>
  `${tenant_id}/${room_id}`;

/** The attempt that was acknowledged, if any. */
const acknowledgedOf = ({ attempts }: PlainPublish): Attempt | undefined =>
  attempts.find(({ outcome }) => outcome === "acknowledged");

class Judge {
  readonly findings: MessageFinding[] = [];
  deliveries = 0;
  due = 0;
  excused = 0;
  gaps = 0;
  readonly #publishes: ReadonlyMap<string, PlainPublish>;
  readonly #rooms: ReadonlyMap<string, readonly PlainPublish[]>;

  constructor({ publishes }: MessageRecording) {
    this.#publishes = new Map(publishes.map((publish) => [publish.message_id, publish]));
    this.#rooms = Map.groupBy(publishes, roomKey);
  }

  judge(stretch: Stretch): void {
    const seen = new Set<string>();
    const orders = new Map<number, Seen[]>();
    for (const [index, sight] of stretch.sights.entries()) {
      if (sight.kind === "gap") this.gaps++;
      if (sight.kind === "message") this.#judgeDelivery(stretch, sight, index, seen, orders);
    }
    this.#judgeMissing(stretch, seen, orders);
  }

  #judgeDelivery(
    { listener }: Stretch,
    { message_id }: Delivered,
    index: number,
    seen: Set<string>,
    orders: Map<number, Seen[]>,
  ): void {
    this.deliveries++;
    const publish = this.#publishes.get(message_id);
    if (publish === undefined) return this.#add("foreign", listener, message_id);
    if (publish.tenant_id !== listener.tenant_id) {
      return this.#add("cross-tenant", listener, message_id);
    }
    if (publish.room_id !== listener.room_id) return this.#add("foreign", listener, message_id);
    if (seen.has(message_id)) return this.#add("repeated", listener, message_id);
    seen.add(message_id);
    const [attempt, another] = publish.attempts;
    // Of one that was sent again it is not known which of them came.
    if (attempt === undefined || another !== undefined) return;
    const { connection, order } = attempt;
    const before = orders.get(connection) ?? [];
    orders.set(connection, before);
    if (order < (before.at(-1)?.order ?? -1)) {
      return this.#add("out-of-order", listener, message_id);
    }
    before.push({ order, index });
  }

  #judgeMissing(stretch: Stretch, seen: Set<string>, orders: Map<number, Seen[]>): void {
    const { listener, from_ms, stays } = stretch;
    for (const publish of this.#rooms.get(roomKey(listener)) ?? []) {
      const attempt = acknowledgedOf(publish);
      const sent_ms = publish.attempts[0]?.sent_ms ?? 0;
      if (attempt === undefined || sent_ms <= from_ms) continue;
      const same = orders.get(attempt.connection) ?? [];
      const next = same.find(({ order }) => order > attempt.order);
      // It may have ended before this message came.
      if (next === undefined && !stays) continue;
      this.due++;
      if (seen.has(publish.message_id)) continue;
      const before = same.findLast(({ order }) => order < attempt.order);
      const told = this.#told(stretch, sent_ms, before?.index ?? -1, next?.index);
      if (told === undefined) this.#add("missing", listener, publish.message_id);
      else if (told === "late") this.#add("told-late", listener, publish.message_id);
      else this.excused++;
    }
  }

  /**
   * Where a GAP tells that a message is missing: between the sights of the ones before and after it, or
   * behind that. One from before the message was sent tells of others.
   */
  #told(
    { sights }: Stretch,
    sent_ms: number,
    before: number,
    next: number | undefined,
  ): "in place" | "late" | undefined {
    const until_ms = next === undefined ? Infinity : sights[next]!.at_ms + GAP_LATE_MS;
    for (let index = before + 1; index < sights.length; index++) {
      const { kind, at_ms } = sights[index]!;
      if (at_ms > until_ms) return undefined;
      if (kind !== "gap" || at_ms < sent_ms) continue;
      return next === undefined || index < next ? "in place" : "late";
    }
    return undefined;
  }

  #add(kind: MessageFindingKind, listener: Listener, message_id: string): void {
    const where = `${listener.name} in ${roomKey(listener)}`;
    this.findings.push({ kind, text: `${kind} at ${where}: ${message_id}` });
  }
}

/** Judges a recording. */
export function checkMessages(recording: MessageRecording): MessageVerdict {
  const judge = new Judge(recording);
  for (const listener of recording.listeners) {
    for (const stretch of stretchesOf(listener)) judge.judge(stretch);
  }
  const { findings, deliveries, due, excused, gaps } = judge;
  const { publishes } = recording;
  return {
    findings,
    figures: {
      publishes: publishes.length,
      acknowledged: publishes.filter((publish) => acknowledgedOf(publish) !== undefined).length,
      repeated_attempts: publishes.reduce((sum, { attempts }) => sum + attempts.length - 1, 0),
      deliveries,
      due,
      excused,
      gaps,
    },
  };
}
