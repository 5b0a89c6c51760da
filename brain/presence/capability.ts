/** The presence capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { startMembership } from "../membership/service.ts";
import { createBrainPresenceMetrics, presenceFigures } from "./metrics.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import { DecodeError, presenceUpdateJson } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { MESSAGE_BYTES } from "../../shared/presence/pages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { everyProcess, processSubject, type Subject } from "../../shared/subjects/subject.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";
import type { StaysView } from "../membership/kept_stays.ts";
import { BrainPresence } from "./presence.ts";
import type { Ring } from "../ring/ring.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import type { Entry } from "../../shared/records/member.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import {
  invalidCommand,
  optionalInteger,
  optionalText,
  requireUnconditional,
} from "../desk/command_data.ts";
import type { AnswerOwn, AskedCommand, OwnCommands } from "../desk/request.ts";
import { pageBytesMax, pageOf } from "../desk/page.ts";

/** The members of rooms, and their journals. */
export const PRESENCE: BrainCapability = {
  name: "presence",
  title: "who is in rooms, and the journals of members",
  async open(env) {
    const { view, health, close } = await startBrainPresence(env);
    try {
      // Independent of the other capabilities, which may wait long for their storage.
      const membership = await startMembership({ ...env, view });
      const checks = () => ({ presence: health() });
      const commands = memberCommands({ ...env, view });
      return {
        gives: { view },
        commands,
        checks,
        drain: () => membership.drain(),
        leave: () => Promise.resolve(close()),
        figures: () => presenceFigures(env.registry, env.now),
      };
    } catch (error) {
      close();
      throw error;
    }
  },
};

/** The process's parts that the presence service needs. */
interface BrainPresenceOptions extends Pick<Env, "spine" | "registry" | "log" | "now"> {
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

/** A query for the members of a room; it reads no document. */
type PresenceQuery =
  | { readonly kind: "list"; readonly limit: number; readonly after: string | undefined }
  | { readonly kind: "count" };

const CURSOR_BYTES_MAX = 128;

/** The most bytes of a member's JSON beside its values. */
const MEMBER_BYTES = 128;
/** The most bytes of a UTF-16 unit in a JSON text: `\\u001f`. */
const UNIT_BYTES = 6;

interface Position {
  readonly joined_ms: number;
  readonly connection_id: string;
}

/** The order of members: by join, then by connection. Joins and leaves do not move the other members. */
function compare(a: Position, b: Position): number {
  if (a.joined_ms !== b.joined_ms) return a.joined_ms - b.joined_ms;
  return a.connection_id < b.connection_id ? -1 : Number(a.connection_id > b.connection_id);
}

const cursorOf = ({ joined_ms, connection_id }: Position): string =>
  `${joined_ms}~${connection_id}`;

function readCursor(after: string): Position {
  const parts = /^([0-9]{1,16})~(.+)$/.exec(after);
  if (parts === null) {
    throw invalidCommand('"after" must be the "next" of an earlier presence.list');
  }
  return { joined_ms: Number(parts[1]), connection_id: parts[2] ?? "" };
}

/** The members that fit into one answer, at least one. */
function fitting(entries: readonly Entry[], page_bytes_max: number): readonly Entry[] {
  let bytes = 0;
  const end = entries.findIndex(({ connection_id, user_id, meta }) => {
    bytes += MEMBER_BYTES + connection_id.length + UNIT_BYTES * user_id.length + 3 * meta.length;
    return bytes > page_bytes_max;
  });
  return end < 0 ? entries : entries.slice(0, Math.max(end, 1));
}

/**
 * The result's JSON. A page ends early at `page_bytes_max`, because an answer has to fit into a message of the Spine.
 * Throws `invalid-command` (400) for an invalid cursor.
 */
export function answerPresence(
  at: RoomAddress,
  query: PresenceQuery,
  view: Pick<ClusterView, "count" | "members">,
  page_bytes_max: number,
): string {
  const counted = view.count(at.tenant_id, at.room_id);
  const { connections, users } = counted;
  if (query.kind === "count") return JSON.stringify({ connections, users });
  const after = query.after === undefined ? undefined : readCursor(query.after);
  const found = pageOf(view.members(at.tenant_id, at.room_id), compare, after, query.limit + 1);
  // A connection that moves between Shields is listed twice, and adjacent in this order.
  const distinct = found.filter((one, index) =>
    index === 0 || compare(found[index - 1]!, one) !== 0
  );
  const members = fitting(distinct.slice(0, query.limit), page_bytes_max);
  const json = presenceUpdateJson({ members, connections, users });
  const last = members.at(-1);
  if (last === undefined || members.length === distinct.length && found.length <= query.limit) {
    return json;
  }
  return `${json.slice(0, -1)},"next":${JSON.stringify(cursorOf(last))}}`;
}

/** Makes the commands, which any Brain answers. */
export function memberCommands(
  { view, spine, config: { presence } }: {
    readonly view: Pick<ClusterView, "count" | "members">;
    readonly spine: Pick<Spine, "payload_bytes_max">;
    readonly config: Pick<Config, "presence">;
  },
): OwnCommands {
  const page_bytes_max = pageBytesMax(spine);
  const reading = (query: (command: AskedCommand) => PresenceQuery) => (command: AskedCommand) => {
    requireUnconditional(command.name, command.command, "presence has");
    const read = query(command);
    const answer: AnswerOwn = (at) => answerPresence(at, read, view, page_bytes_max);
    return answer;
  };
  return {
    "presence.list": {
      members: ["limit", "after"],
      is_anywhere: true,
      read: reading(({ members }) => ({
        kind: "list",
        limit: optionalInteger(members, "limit", 1, presence.page_members) ??
          presence.page_members,
        after: optionalText(members, "after", CURSOR_BYTES_MAX),
      })),
    },
    "presence.count": {
      members: [],
      is_anywhere: true,
      read: reading(() => ({ kind: "count" })),
    },
  };
}
