/**
 * The commands `presence.list` and `presence.count`: the members of a room. The answer comes from this Brain's view of
 * the cluster, whichever Brain owns the room; it reads no document.
 */
import { presenceUpdateJson } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Entry } from "../../shared/records/member.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";
import {
  invalidCommand,
  optionalInteger,
  optionalText,
  requireUnconditional,
} from "../desk/command_data.ts";
import type { AnswerOwn, AskedCommand, OwnCommands } from "../desk/request.ts";
import { pageBytesMax, pageOf } from "../desk/page.ts";

/** A query for the members of a room; it reads no document. */
export type PresenceQuery =
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
