/**
 * Answers `room.bans`: the list of bans. This Brain knows which bans exist, and reads each from the bucket, so that a
 * ban that was just lifted is not listed. It reads no room document.
 */
import { utf8Size } from "@arqon/proto";
import { decodeBan, EVERY_ROOM, isActive } from "../../shared/records/bans.ts";
import type { Ban } from "../../shared/records/bans.ts";
import type { KeyValue, KvKey } from "../../shared/spine/contract/spine.ts";
import type { RoomAddress } from "../cluster_view.ts";
import {
  invalidCommand,
  optionalInteger,
  optionalText,
  requireUnconditional,
  tooManyPending,
} from "../desk/command_data.ts";
import { pageOf } from "../desk/page.ts";
import type { AskedCommand, OwnCommands } from "../desk/request.ts";
import type { Standing } from "./ban_book.ts";
import type { BanScope } from "./commands/command.ts";
import { readScope } from "./commands/room_commands.ts";

/** The most bans in one page, and the default. */
const PAGE_BANS_MAX = 1_000;
const PAGE_BANS = 100;
/** Longest cursor: a room, a slash, a user. */
const CURSOR_BYTES_MAX = 256;
/** The most concurrent lists: each reads many keys of a bucket. */
const LISTS_MAX = 64;

/** A query for the bans of a room. */
interface BansQuery {
  /** Only bans of this scope; absent: those of the room and those of the tenant. */
  readonly scope: BanScope | undefined;
  readonly limit: number;
  /** The cursor: the `next` of an earlier answer. */
  readonly after: string | undefined;
}

/** The source of the answers. */
interface BansSource {
  readonly bucket: Pick<KeyValue, "get">;
  /** The bans of a tenant, including expired ones that are not swept yet. */
  standing(tenant_id: string): Iterable<Standing>;
}

/** Concurrent reads of bans from the bucket. */
const READS_AT_ONCE = 64;

/** The sort key of a ban. */
interface Place {
  readonly room_id: string;
  readonly user_id: string;
}

interface Candidate extends Place {
  readonly key: KvKey;
}

/** The order of the list: bans of the tenant first; then by user. */
function compare(a: Place, b: Place): number {
  if (a.room_id !== b.room_id) return a.room_id < b.room_id ? -1 : 1;
  return a.user_id < b.user_id ? -1 : Number(a.user_id > b.user_id);
}

/** The cursor after a ban. No room id has a slash. */
const cursorOf = ({ room_id, user_id }: Place): string => `${room_id}/${user_id}`;

function readCursor(after: string): Place {
  const slash = after.indexOf("/");
  if (slash < 1) throw invalidCommand('"after" must be the "next" of an earlier room.bans');
  return { room_id: after.slice(0, slash), user_id: after.slice(slash + 1) };
}

function* candidates(
  at: RoomAddress,
  { scope }: BansQuery,
  source: BansSource,
  now_ms: number,
): Iterable<Candidate> {
  for (const { key, until_ms } of source.standing(at.tenant_id)) {
    const [, room_id = "", user_id = ""] = key;
    const wanted = room_id === EVERY_ROOM ? scope !== "room" : scope !== "tenant";
    if (!wanted || !isActive({ until_ms }, now_ms)) continue;
    if (room_id === EVERY_ROOM || room_id === at.room_id) yield { key, room_id, user_id };
  }
}

/** Reads the stored ban of a key. An unreadable ban is listed without expiry and details. */
async function read(bucket: BansSource["bucket"], { key, room_id, user_id }: Candidate) {
  const entry = await bucket.get(key);
  if (entry === undefined) return undefined;
  let ban: Pick<Ban, "until_ms" | "reason" | "by" | "created_ms">;
  try {
    ban = decodeBan(entry.value);
  } catch {
    ban = { until_ms: 0, reason: "", by: "", created_ms: 0 };
  }
  const { until_ms, reason, by, created_ms } = ban;
  const scope: BanScope = room_id === EVERY_ROOM ? "tenant" : "room";
  return { user_id, scope, until_ms, reason, by, created_ms };
}

/** Reads the bans of a page, some at a time, so that a page causes no burst on the bucket. */
async function* bansOf(bucket: BansSource["bucket"], chosen: readonly Candidate[]) {
  for (let at = 0; at < chosen.length; at += READS_AT_ONCE) {
    const some = chosen.slice(at, at + READS_AT_ONCE);
    const bans = await Promise.all(some.map((one) => read(bucket, one)));
    for (const [index, candidate] of some.entries()) yield [candidate, bans[index]] as const;
  }
}

/**
 * Resolves with the result JSON. A page ends early at `page_bytes_max`, and has fewer bans than requested if some were
 * lifted meanwhile. Rejects with `invalid-command` (400) for an invalid cursor, and with `spine-unavailable`.
 */
async function answerBans(
  at: RoomAddress,
  query: BansQuery,
  source: BansSource,
  { now_ms, page_bytes_max }: { readonly now_ms: number; readonly page_bytes_max: number },
): Promise<string> {
  const after = query.after === undefined ? undefined : readCursor(query.after);
  const all = [...candidates(at, query, source, now_ms)];
  const found = pageOf(all, compare, after, query.limit + 1);
  const chosen = found.slice(0, query.limit);
  const texts: string[] = [];
  let bytes = 0;
  let lifted = 0;
  let last: Candidate | undefined;
  for await (const [candidate, ban] of bansOf(source.bucket, chosen)) {
    // A ban that was just lifted may still be known here.
    if (ban === undefined) lifted++;
    else if (isActive(ban, now_ms)) {
      const text = JSON.stringify(ban);
      bytes += utf8Size(text);
      if (bytes > page_bytes_max && texts.length > 0) break;
      texts.push(text);
    }
    last = candidate;
  }
  const more = last !== undefined && last !== found.at(-1);
  const next = more && last !== undefined ? `,"next":${JSON.stringify(cursorOf(last))}` : "";
  return `{"bans":[${texts.join(",")}],"count":${all.length - lifted}${next}}`;
}

function readBans({ name, members, command }: AskedCommand): BansQuery {
  requireUnconditional(name, command, "a list of bans has");
  return {
    scope: members.has("scope") ? readScope(members) : undefined,
    limit: optionalInteger(members, "limit", 1, PAGE_BANS_MAX) ?? PAGE_BANS,
    after: optionalText(members, "after", CURSOR_BYTES_MAX),
  };
}

/** The list of bans, by the owner of the room: it knows at once the bans made through its room. `now`: Unix ms. */
export function banCommands(
  source: BansSource,
  page_bytes_max: number,
  now: () => number,
): OwnCommands {
  let lists = 0;
  return {
    "room.bans": {
      members: ["scope", "limit", "after"],
      read(command) {
        const query = readBans(command);
        return async (at) => {
          if (lists >= LISTS_MAX) {
            throw tooManyPending(`${LISTS_MAX} lists of bans are being read`);
          }
          lists++;
          try {
            return await answerBans(at, query, source, { now_ms: now(), page_bytes_max });
          } finally {
            lists--;
          }
        };
      },
    },
  };
}
