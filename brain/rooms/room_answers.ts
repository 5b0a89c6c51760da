/** A Brain's answers to operators about a room that it owns: its members, and its stored state. */
import type { AnswerHandlers } from "../../shared/cluster/cluster_answerer.ts";
import {
  ROOM_MEMBERS_MAX,
  ROOM_META_BYTES,
  RoomQuestion,
  StateQuestion,
} from "../../shared/cluster/cluster_room.ts";
import type { RoomAnswer, RoomMember, StateAnswer } from "../../shared/cluster/cluster_room.ts";
import type { Env } from "../../shared/env.ts";
import type { Entry } from "../../shared/records/member.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { RoomService } from "./service.ts";
import { stateReport } from "./state_report.ts";

interface RoomAnswersOptions extends Pick<Env, "now"> {
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "members" | "count">;
  readonly documentOf: RoomService["documentOf"];
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

async function room(
  { view, documentOf }: RoomAnswersOptions,
  params: unknown,
): Promise<RoomAnswer> {
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
  { view, documentOf, now }: RoomAnswersOptions,
  params: unknown,
): Promise<StateAnswer> {
  const { tenant, room, key } = StateQuestion.parse(params);
  if (view.ownerOf(tenant, room) !== view.brain_id) return null;
  const document = await documentOf(tenant, room);
  return document === undefined ? {} : { document: stateReport(document, key, now()) };
}

/** The answers, by question. */
export const roomAnswers = (options: RoomAnswersOptions): AnswerHandlers => ({
  room: (params) => room(options, params),
  room_state: (params) => roomState(options, params),
});
