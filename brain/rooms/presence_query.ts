/**
 * Answers who is in a room: `presence.list` and `presence.count`. From what this Brain knows of the
 * cluster, whoever owns the room; no document is read.
 */
import { presenceUpdateJson } from "@arqon/proto";
import type { Entry } from "../../shared/presence/types.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { RoomAddress } from "./command.ts";
import { invalidCommand } from "./command_data.ts";
import { pageOf } from "./page.ts";
import type { PresenceQuery } from "./request.ts";

/** Bytes of a member's JSON beside what it says, at most. */
const MEMBER_BYTES = 128;
/** Bytes of a UTF-16 unit in a JSON text, at most: `\\u001f`. */
const UNIT_BYTES = 6;

interface Position {
  readonly joined_ms: number;
  readonly connection_id: string;
}

/** By join, then by connection: an order that no coming or going changes for those who stay. */
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

/** As many as fit into one answer, at least one. */
function fitting(entries: readonly Entry[], page_bytes_max: number): readonly Entry[] {
  let bytes = 0;
  const end = entries.findIndex(({ connection_id, user_id, meta }) => {
    bytes += MEMBER_BYTES + connection_id.length + UNIT_BYTES * user_id.length + 3 * meta.length;
    return bytes > page_bytes_max;
  });
  return end < 0 ? entries : entries.slice(0, Math.max(end, 1));
}

/**
 * The result JSON. A page ends early at `page_bytes_max`: an answer has to fit into a message of the
 * Spine. Throws `invalid-command` (400) for a cursor that is none.
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
  const members = fitting(found.slice(0, query.limit), page_bytes_max);
  const json = presenceUpdateJson({ members, connections, users });
  const last = members.at(-1);
  if (last === undefined || members.length === found.length) return json;
  return `${json.slice(0, -1)},"next":${JSON.stringify(cursorOf(last))}}`;
}
