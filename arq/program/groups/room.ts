/** The commands of `arq room`. */
import { InvalidArgumentError } from "commander";
import type { Uint64 } from "@arqon/sdk";
import { command, type Definition, group, NEEDED, rows } from "./define.ts";
import { usageError } from "../../terminal/exit.ts";
import { type Given, orders } from "./asks.ts";
import { ANSWER, BUS, calls, count, matching, pastMoment, positive, room } from "./options.ts";
import { span, tenant } from "./options.ts";
import type { Action } from "./options.ts";
import { ROOM_CLASS, ROOM_PROGRAMS } from "./room_class.ts";
import { ROOM_HISTORY } from "./room_history.ts";

// A command is loaded when it runs.
const roomMembers = () => import("../../commands/room/room_members.ts");
const roomMembersAt = () => import("../../commands/room/room_members_at.ts");
const roomWatch = () => import("../../commands/room/room_watch.ts");
const roomWatchValues = () => import("../../commands/room/room_watch_values.ts");

/** Most bytes of a user id in a token. */
const USER_BYTES_MAX = 128;
const UINT64_MAX = 2n ** 64n - 1n;

function uint64(what: string, least: bigint): (text: string) => Uint64 {
  return (text) => {
    const number = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
    if (number < least || number > UINT64_MAX) throw new InvalidArgumentError(`Expected ${what}.`);
    return number <= Number.MAX_SAFE_INTEGER ? Number(number) : number;
  };
}

function userId(text: string): string {
  if (text !== "" && new TextEncoder().encode(text).length <= USER_BYTES_MAX) return text;
  throw new InvalidArgumentError(`Expected a user id of 1 to ${USER_BYTES_MAX} bytes.`);
}

const million = positive("a whole number from 1 to 1000000", true, 1_000_000);
const nonEmpty = matching(/[^]/, "It is empty.");
const fence = uint64("a fence, as arq room lock prints it", 1n);

/** A value as it is written: JSON, or else a text as a JSON string. */
function jsonOf(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
}

/** How long a ban lasts where nothing is said: what the console offers first. */
const BAN_SECONDS = 600;

/** The place where a ban holds, in words. */
const placeOf = ({ scope, room }: Given) => scope === "room" ? `room ${room}` : "the whole tenant";

/** The one action where the option is given, else the other one. */
const either = (option: string, one: Action, other: Action): Action => async (io, flags, ...more) =>
  await (flags[option] === undefined ? other : one)(io, flags, ...more);

const roomLock: Action = async (io, flags, [name, words]) => {
  const program = words as readonly string[];
  return program.length === 0
    ? await (await import("../../commands/room/room_lock.ts")).roomLock(io, name as string, flags)
    : await (await import("../../commands/room/room_lock_run.ts"))
      .roomLockRun(io, name as string, program, flags);
};

/** The conditions under which `set` and `delete` change a room. */
const CONDITIONS = rows`
    --expect-version <n>  only if the room is at this version, else 409
      ${uint64("a version, as arq room get --json shows it", 1n)}
    --fence <n>  of the lock that you hold; needed while the room is locked ${fence}
    --command-id <id>  apply once, however often it is sent (default: a new one) ${nonEmpty}
    ${ANSWER}`;

/** `arq room` */
export const ROOM: readonly Definition[] = [
  group`room: lists, state, locks, members, bans, history and classes of rooms`,
  command`room list: print the rooms that somebody is subscribed to, or with --stored those that have messages ${BUS}
    --tenant <id>  whose rooms ${tenant}
    --prefix <text>  only rooms whose names begin with this ${room}
    --stored  durable rooms whose log has messages, also where nobody is
    --behind <room>  with --stored: rooms behind this one ${room} ${{ implies: { stored: true } }}
    --limit <n>  so many rooms at most ${million} ${{ is: 100 }}
    --json  one JSON object a line

    Needs a token of role admin. Rooms that are only subscribed to are at most 1,000, those with
    most subscribers first; stored ones come by their names.
    $ arq room list
    $ arq room list --stored --prefix orders
    $ arq room list --stored --limit 1000 --json | jq -r .room_id`(
    calls(() => import("../../commands/room/room_list.ts"), "roomList"),
  ),
  command`room get: print one value of a room's state as JSON, or all keys with theirs ${BUS}
    <room>  the room ${room}
    [key]  the key ${nonEmpty}
    --json  print the bus's answer: version, epoch, value or state, lock

    Exit code 1 when the room has no such key.
    $ arq room get lobby
    $ arq room get lobby topic
    $ arq room get lobby --json`(
    calls(() => import("../../commands/room/room_state.ts"), "roomGet"),
  ),
  command`room set: write one key of a room's state
    <room>  the room ${room}
    <key>  the key ${nonEmpty}
    <value>  the value: JSON, or else text, which becomes a JSON string
    ${CONDITIONS}

    The answer shows what was written: \`tea\` is the string "tea", \`1.0\` the number, as it is
    written. A text that begins with - stands after --.
    $ arq room set lobby topic tea
    $ arq room set lobby seats '{"free":3}' --expect-version 4
    $ arq room set lobby note -- '-- none --'`(orders({
    name: "room.set",
    data: ({ key, value }) => `{"key":${JSON.stringify(key)},"value":${jsonOf(value)}}`,
    say: ({ key, value }, at) => `${key} = ${jsonOf(value)}${at}`,
  })),
  command`room delete: remove one key of a room's state
    <room>  the room ${room}
    <key>  the key ${nonEmpty}
    ${CONDITIONS}

    $ arq room delete lobby topic`(orders({
    name: "room.delete",
    data: ({ key }) => JSON.stringify({ key }),
    say: ({ key }, at) => `${key} is deleted${at}`,
  })),
  command`room lock: lock a room for a time and print the fence, or while a program runs
    <room>  the room ${room}
    [program...]  after --: a program to run while the lock is held, with its arguments
    --ttl <time>  the lease: 30s, 5m or seconds (default: the bus's) ${span}
    --wait <time>  how long somebody else's lock may take to end: 30s, 5m or seconds (default: not at
      all) ${span}
    --fence <n>  of the lock that you hold: renews its lease ${fence}
    ${ANSWER}

    Without a program: the fence is on stdout, until when on stderr. The connection ends with the
    command. The lock stays until unlock or the end of the lease; whoever has the fence holds it.
    Give the fence to every write that the lock guards: one that comes too late is refused then.

    With a program: the lease is renewed while it runs, the lock ends when it has ended, and its
    exit code is the command's (128 and the number of the signal, if one has ended it). It finds
    the fence in ARQON_LOCK_FENCE and the room in ARQON_LOCK_ROOM. When the lock is lost, it gets
    SIGTERM, after 5 seconds SIGKILL, and the exit code is 1.
    $ arq room lock jobs --wait 10m -- ./nightly-job --all
    $ arq room lock jobs --ttl 1m
    $ fence=$(arq room lock jobs --ttl 1m) || exit
    $ arq room set jobs last 17 --fence "$fence"
    $ arq room unlock jobs --fence "$fence"`(roomLock),
  command`room unlock: end a lock before its lease ends
    <room>  the room ${room}
    --fence <n>  as arq room lock printed it ${fence} ${NEEDED}
    ${ANSWER}

    $ arq room unlock jobs --fence 42`(
    orders({ name: "room.unlock", say: ({ room }, at) => `${room} is unlocked${at}` }),
  ),
  command`room kick: end a user's subscriptions to a room; he may come back at once
    <room>  the room ${room}
    [user]  the user id ${userId}
    --connection <id>  only this connection, in place of USER ${nonEmpty}
    --reason <text>  why; the client is told
    ${ANSWER}

    Needs a token of role service or admin; on the dev bus arq makes one.
    $ arq room kick lobby ann --reason 'off topic'`(orders({
    name: "room.kick",
    role: "service",
    data({ user: user_id, connection: connection_id, reason }) {
      if ((user_id === undefined) === (connection_id === undefined)) {
        throw usageError("give either USER or --connection", "arq room members ROOM shows both");
      }
      return JSON.stringify({ user_id, connection_id, reason });
    },
    say: ({ user, connection, room }) =>
      `${user ?? `connection ${connection}`} is kicked out of room ${room}`,
  })),
  command`room ban: ban a user from the room, or with --scope tenant from the whole tenant
    <room>  the room ${room}
    <user>  the user id ${userId}
    --scope <scope>  from this room, or from everything of the tenant ${["room", "tenant"]} ${{
    is: "room",
  }}
    --ttl <time>  for how long: 15m, 1h, 7d or seconds (default: 10m) ${span}
    --forever  until arq room unban ${{ without: "ttl" }}
    --reason <text>  why; the client is told
    ${ANSWER}

    Needs a token of role service or admin; on the dev bus arq makes one.
    $ arq room ban lobby mallory --ttl 1h --reason spam
    $ arq room ban lobby mallory --scope tenant --forever`(orders({
    name: "room.ban",
    role: "service",
    data: ({ user: user_id, ttl = BAN_SECONDS, forever, reason, scope }) =>
      JSON.stringify({ user_id, reason, ttl_ms: forever ? undefined : ttl * 1_000, scope }),
    async say({ user, ttl = BAN_SECONDS, forever, ...place }) {
      const { ttlText } = await import("../../answers/room_text.ts");
      const end = forever ? "without end" : `for ${ttlText(ttl)}`;
      return `${user} is banned from ${placeOf(place)} ${end}`;
    },
  })),
  command`room unban: lift a ban: of the room, or with --scope tenant of the whole tenant
    <room>  the room ${room}
    <user>  the user id ${userId}
    --scope <scope>  the ban of this room, or that of the tenant; the other one stays
      ${["room", "tenant"]} ${{ is: "room" }}
    ${ANSWER}

    Needs a token of role service or admin; on the dev bus arq makes one.
    $ arq room unban lobby mallory
    $ arq room unban lobby mallory --scope tenant`(orders({
    name: "room.unban",
    role: "service",
    data: ({ user: user_id, scope }) => JSON.stringify({ user_id, scope }),
    say: ({ user, ...place }) => `${user} is no longer banned from ${placeOf(place)}`,
  })),
  command`room bans: print who is kept out: user, scope, until when, by whom, why ${BUS}
    [room]  the room ${room}
    --tenant <id>  without ROOM: all bans of this tenant ${tenant}
    --json  one JSON object a line

    With ROOM: the bans of that room and those of its whole tenant, with a token of role service.
    Without it: those of the tenant and of all its rooms, at most 1,000, by the admin API with a
    token of role admin.
    $ arq room bans
    $ arq room bans lobby
    $ arq room bans lobby --json | jq .user_id`(
    calls(() => import("../../commands/room/room_bans.ts"), "roomBans"),
  ),
  command`room members: print who is in a room: user, connection, since when, metadata ${BUS}
    <room>  the room ${room}
    --count  print only how many
    --at <time>  who was there then, by the room's journal of members: 14:05, 2026-11-22T14:05:00Z
      ${pastMoment}
    --json  one JSON object a line, one for each connection

    --at needs a room whose class has membership = "journal", and the journal has to reach back
    so far. A time of day is the last one of this machine's clock.
    $ arq room members lobby
    $ arq room members lobby --json | jq -r .user_id
    $ arq room members stage-1 --at 14:05`(
    either("at", calls(roomMembersAt, "roomMembersAt"), calls(roomMembers, "roomMembers")),
  ),
  command`room watch: print who is in a room, then who comes and goes and how its state changes ${BUS}
    <room>  the room ${room}
    --count <n>  end after n changes ${count}
    --values  of a room with a reducer: the values that it shows, instead
    --prefix <text>  with --values: only values whose keys begin with this
    --json  one JSON object a line

    Watching does not make you a member. Lines begin with = for those who are there, + who come,
    ~ with new metadata, - who go, * for a change of the state. After a lost connection it goes
    on with what has changed meanwhile. With --values: = for a value that is there, ~ for another
    one and - for one that is gone, both behind the number of the room's entry.
    $ arq room watch lobby
    $ arq room watch lobby --json | jq -c 'select(.change)'
    $ arq room watch auction-1 --values
    $ arq room watch auction-1 --values --prefix bids/`(
    either("values", calls(roomWatchValues, "roomWatchValues"), calls(roomWatch, "roomWatch")),
  ),
  ...ROOM_CLASS,
  ...ROOM_HISTORY,
  ...ROOM_PROGRAMS,
];
