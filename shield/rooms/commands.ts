/** The commands of rooms with their own path over HTTP, and their members. */
import type { CommandRoute } from "../http/http_commands.ts";
import { FIELD, member, PAGE, POSITION, USER } from "../http/members.ts";
import type { CommandMember } from "../http/members.ts";
import { ID, integer } from "../openapi/openapi_parts.ts";

const ROOM = "/v1/rooms/{room}";
const TEN_YEARS_MS = 315_360_000_000;

const AFTER_VERSION = member(
  "command",
  "after_version",
  "a version that the caller has seen: the answer is not older",
  POSITION,
);
const EPOCH = member("command", "epoch", "the epoch that the versions belong to", FIELD);
const FENCE = member("command", "fence", "the fence of the caller's lock", POSITION);
const EXPECT_VERSION = member(
  "command",
  "expect_version",
  "the version that the room must have",
  POSITION,
);
const COMMAND_ID = member("command", "command_id", "makes a retry idempotent", FIELD);

/** The holder of the lock, or its next one. */
const HOLDER = member("holder", "holder_id", "the caller's name for the holder of the lock", {
  ...ID,
  pattern: "^[A-Za-z0-9_~:=-]{1,32}$",
});
/** Members of every read of state. */
const READ = [AFTER_VERSION, EPOCH, FENCE];
/** Members of every change. */
const WRITE = [EXPECT_VERSION, AFTER_VERSION, EPOCH, FENCE, COMMAND_ID];

/** Members of a command's data. */
const DATA = {
  value: { ...member("data", "value", "any JSON", {}), required: true },
  events_after: member(
    "data",
    "events_after",
    "also the events after this version",
    integer(0, Number.MAX_SAFE_INTEGER),
  ),
  lease_ms: member("data", "ttl_ms", "duration of the lease", integer(1, 86_400_000)),
  ban_ms: member(
    "data",
    "ttl_ms",
    "duration of the ban; absent: it never expires",
    integer(1, TEN_YEARS_MS),
  ),
  reason: member("data", "reason", "for people", { ...FIELD, type: ["string", "null"] }),
  user_id: member("data", "user_id", "the user", USER),
  connection_id: member("data", "connection_id", "the connection", ID),
  scope: member("data", "scope", "only bans of the room, or of the tenant", {
    type: "string",
    enum: ["room", "tenant"],
  }),
} as const satisfies Readonly<Record<string, CommandMember>>;
const NEEDED_USER: CommandMember = { ...DATA.user_id, required: true };

const STATE: readonly CommandRoute[] = [
  {
    method: "GET",
    template: `${ROOM}/state`,
    id: "getState",
    tag: "state",
    summary: "Reads the whole state of a room, and its lock",
    command: "room.get",
    members: [DATA.events_after, ...READ],
    result: "State",
  },
  {
    method: "GET",
    template: `${ROOM}/state/{key}`,
    id: "getKey",
    tag: "state",
    summary: "Reads one key of a room's state",
    command: "room.get",
    path: { key: "key" },
    members: [DATA.events_after, ...READ],
    result: "Value",
  },
  {
    method: "PUT",
    template: `${ROOM}/state/{key}`,
    id: "setKey",
    tag: "state",
    summary: "Sets one key of a room's state",
    command: "room.set",
    path: { key: "key" },
    members: [DATA.value, HOLDER, ...WRITE],
    result: "Written",
  },
  {
    method: "DELETE",
    template: `${ROOM}/state/{key}`,
    id: "deleteKey",
    tag: "state",
    summary: "Deletes one key of a room's state",
    command: "room.delete",
    path: { key: "key" },
    members: [HOLDER, ...WRITE],
    result: "Written",
  },
];

const LOCKS: readonly CommandRoute[] = [
  {
    method: "POST",
    template: `${ROOM}/lock`,
    id: "lock",
    tag: "locks",
    summary: "Acquires a room's lock, or extends the lease of the caller's lock",
    command: "room.lock",
    members: [DATA.lease_ms, HOLDER, ...WRITE],
    result: "Locked",
  },
  {
    method: "DELETE",
    template: `${ROOM}/lock`,
    id: "unlock",
    tag: "locks",
    summary: "Releases the caller's lock",
    command: "room.unlock",
    members: [HOLDER, ...WRITE],
    result: "Written",
  },
];

const MODERATION: readonly CommandRoute[] = [
  {
    method: "POST",
    template: `${ROOM}/kick`,
    id: "kick",
    tag: "moderation",
    summary: "Ends the subscriptions of a user, or of one connection, to a room",
    command: "room.kick",
    members: [DATA.user_id, DATA.connection_id, DATA.reason, ...WRITE],
    either: ["user_id", "connection_id"],
    result: "Written",
  },
  {
    method: "GET",
    template: `${ROOM}/bans`,
    id: "listRoomBans",
    tag: "moderation",
    summary: "Lists bans from a room, including those from the whole tenant",
    command: "room.bans",
    members: [DATA.scope, ...PAGE],
    result: "Bans",
  },
  {
    method: "POST",
    template: `${ROOM}/bans`,
    id: "banFromRoom",
    tag: "moderation",
    summary: "Bans a user from a room",
    command: "room.ban",
    fixed: { scope: "room" },
    members: [NEEDED_USER, DATA.ban_ms, DATA.reason, ...WRITE],
    result: "Written",
  },
  {
    method: "DELETE",
    template: `${ROOM}/bans/{user}`,
    id: "unbanFromRoom",
    tag: "moderation",
    summary: "Lifts a ban from a room",
    command: "room.unban",
    path: { user: "user_id" },
    fixed: { scope: "room" },
    members: WRITE,
    result: "Written",
  },
  {
    method: "GET",
    template: "/v1/bans",
    id: "listBans",
    tag: "moderation",
    summary: "Lists bans from the whole tenant",
    command: "room.bans",
    fixed: { scope: "tenant" },
    members: PAGE,
    result: "Bans",
  },
  {
    method: "POST",
    template: "/v1/bans",
    id: "ban",
    tag: "moderation",
    summary: "Bans a user from the whole tenant",
    command: "room.ban",
    fixed: { scope: "tenant" },
    members: [NEEDED_USER, DATA.ban_ms, DATA.reason, ...WRITE],
    result: "Written",
  },
  {
    method: "DELETE",
    template: "/v1/bans/{user}",
    id: "unban",
    tag: "moderation",
    summary: "Lifts a ban from the tenant",
    command: "room.unban",
    path: { user: "user_id" },
    fixed: { scope: "tenant" },
    members: WRITE,
    result: "Written",
  },
];

/** All of them. */
export const ROOM_COMMANDS: readonly CommandRoute[] = [...STATE, ...LOCKS, ...MODERATION];
