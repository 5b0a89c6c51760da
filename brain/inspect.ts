/**
 * A Brain's answers to operators, and their orders: its record, the members of its rooms, its logs, its drain. The
 * Shields provide the admin API.
 */
import { Answerer } from "../shared/cluster/cluster_answerer.ts";
import type { AnswerHandlers } from "../shared/cluster/cluster_answerer.ts";
import { controlAnswers } from "../shared/cluster/cluster_control.ts";
import type { ControlOptions } from "../shared/cluster/cluster_control.ts";
import { eraseEntries } from "../shared/cluster/cluster_erase.ts";
import { LAG_METRIC, nodeOf, QuantileReader, totalOf } from "../shared/cluster/cluster_node.ts";
import type { ClusterNode } from "../shared/cluster/cluster_node.ts";
import {
  ROOM_MEMBERS_MAX,
  ROOM_META_BYTES,
  RoomQuestion,
  StateQuestion,
} from "../shared/cluster/cluster_room.ts";
import type { RoomAnswer, RoomMember, StateAnswer } from "../shared/cluster/cluster_room.ts";
import { Sampler, startSampler } from "../shared/cluster/cluster_samples.ts";
import type { Env } from "../shared/env.ts";
import type { HealthReport } from "../shared/listeners/ops.ts";
import type { Entry } from "../shared/records/member.ts";
import type { ClusterView } from "./cluster_view.ts";
import type { RoomService } from "./rooms/service.ts";
import { stateReport } from "./rooms/state_report.ts";

/** Opens a reader of figures for operators; each reader reads values since its own previous read. */
export type OpenFigures = () => () => Promise<Partial<Pick<ClusterNode, "totals" | "gauges">>>;

/** The Brain's parts that the answers need. */
export interface InspectOptions extends ControlOptions, Pick<Env, "spine" | "registry" | "now"> {
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "members" | "count">;
  readonly version: string;
  /** Unix ms. */
  readonly started_ms: number;
  readonly checks: () => HealthReport["checks"];
  readonly isDraining: () => boolean;
  readonly documentOf: RoomService["documentOf"];
  /** Each opens a reader of a capability's figures. */
  readonly figures: readonly OpenFigures[];
  /** The answers of capabilities. */
  readonly questions: AnswerHandlers;
}

function parsedMeta(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return text;
  }
}

/** The first members to join that fit into an answer; the rest are only counted. */
function shownMembers(entries: Iterable<Entry>): RoomMember[] {
  const members: RoomMember[] = [];
  let bytes = 0;
  for (const { connection_id, user_id, meta, joined_ms } of entries) {
    bytes += meta.length;
    if (members.length === ROOM_MEMBERS_MAX || bytes > ROOM_META_BYTES) break;
    members.push({ connection_id, user_id, meta: parsedMeta(meta), joined_ms });
  }
  return members;
}

async function room({ view, documentOf }: InspectOptions, params: unknown): Promise<RoomAnswer> {
  const { tenant, room } = RoomQuestion.parse(params);
  if (view.ownerOf(tenant, room) !== view.brain_id) return null;
  const { connections, users } = view.count(tenant, room);
  const members = shownMembers(view.members(tenant, room));
  // Members can be listed even if the room's document is unreadable.
  const version = (await documentOf(tenant, room).catch(() => undefined))?.version;
  const counted = { member_count: connections, user_count: users };
  return { kind: "brain", members, ...counted, ...(version === undefined ? {} : { version }) };
}

async function roomState(
  { view, documentOf, now }: InspectOptions,
  params: unknown,
): Promise<StateAnswer> {
  const { tenant, room, key } = StateQuestion.parse(params);
  if (view.ownerOf(tenant, room) !== view.brain_id) return null;
  const document = await documentOf(tenant, room);
  return document === undefined ? {} : { document: stateReport(document, key, now()) };
}

function createNode(options: InspectOptions): () => Promise<ClusterNode> {
  const { registry, view, spine, now } = options;
  const lag = new QuantileReader(registry, LAG_METRIC, now);
  const readers = options.figures.map((open) => open());
  return async () => {
    const [commands, rooms, rooms_in_memory] = await Promise.all([
      totalOf(registry, "brain_commands_total"),
      totalOf(registry, "brain_room_count"),
      totalOf(registry, "brain_rooms_in_memory"),
    ]);
    const others = await Promise.all(readers.map((read) => read()));
    const reading = {
      kind: "brain",
      node_id: view.brain_id,
      version: options.version,
      started_ms: options.started_ms,
      now_ms: now(),
      draining: options.isDraining(),
      checks: options.checks(),
      spine: spine.status,
      totals: Object.assign({ commands }, ...others.map(({ totals }) => totals)),
      gauges: Object.assign({ rooms, rooms_in_memory }, ...others.map(({ gauges }) => gauges)),
    } as const;
    return await nodeOf(reading, lag);
  };
}

/** Starts answering operators' requests; takes effect with the next flush. Throws `spine-unavailable`. */
export function startInspect(options: InspectOptions): { close(): void } {
  const { spine, view, now } = options;
  const log = options.log.child({ part: "admin" });
  // A separate reader: operators read values since their own previous read.
  const sampler = new Sampler({ node: createNode(options), monotonic_ms: now });
  const handlers: AnswerHandlers = {
    node: createNode(options),
    room: (params) => room(options, params),
    room_state: (params) => roomState(options, params),
    samples: () => sampler.tell() ?? null,
    erase_entries: (params) => eraseEntries(spine, params),
    ...controlAnswers({ ...options, log }),
    ...options.questions,
  };
  const named = { node_id: view.brain_id, kind: "brain" as const };
  const answerer = new Answerer({ spine, ...named, handlers, log, now });
  const stop = startSampler(sampler, (error) => log.warn("no sample was taken", { error }));
  return {
    close() {
      stop();
      answerer.close();
    },
  };
}
