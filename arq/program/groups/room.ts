/** The commands of `arq room` and `arq room class`, and those that publish and subscribe. */
import { command, type Definition, EACH, group, NEEDED, rows } from "./define.ts";
import {
  ANSWER,
  BUS,
  calls,
  count,
  epoch,
  json,
  matching,
  offset,
  PACE,
  pastMoment,
  positive,
  room,
  roomPattern,
  span,
  TENANT,
  tenant,
  whole,
} from "./options.ts";
import { InvalidArgumentError } from "commander";
import { usageError } from "../../terminal/exit.ts";
import { asks, either, from, type Given, orders, settles } from "./asks.ts";
import type { Uint64 } from "@arqon/sdk";
import { ROOM_HISTORY } from "./room_history.ts";

// A command is loaded when it runs.
const pub = () => import("../../commands/room/pub.ts");
const sub = () => import("../../commands/room/sub.ts");
const rooms = () => import("../../commands/room/room_list.ts");
const roomState = () => import("../../commands/room/room_state.ts");
const texts = () => import("../../answers/settings_text.ts");
const roomDeploy = () => import("../../commands/reducer/room_deploy.ts");
const roomLock = () => import("../../commands/room/room_lock.ts");
const roomWatch = () => import("../../commands/room/room_watch.ts");

const most = positive("a whole number above 0", true, 1e9);

/** `arq pub` and `arq sub`. */
export const MESSAGES: readonly Definition[] = [
  command`pub: publish to a room: one event, or one per line of NDJSON ${BUS}
    <room>  the room ${room}
    [data]  the event's data: JSON, or else text; without it, all of stdin is one event
    --ndjson <file>  one event a line, with unchanged bytes; - is stdin
    --type <type>  type of the events ${{ is: "message" }}
    --message-id <id>  id of the single event, for arq why; duplicates are dropped
    ${PACE}
    --json  print the result as JSON, in a durable room with offset and epoch

    Text from stdin loses its final line end; input that is not UTF-8 is published as bytes. A file
    with a line that is not JSON is refused before anything is sent; stdin is sent up to that line.
    Without --message-id every event has a random one, so duplicates after a reconnect are dropped.
    $ arq pub lobby '{"hello":"world"}'
    $ arq pub lobby 'hello' --type chat
    $ arq pub orders '{"item":"tea"}' --message-id order-4711
    $ jq -n '{at: now}' | arq pub lobby
    $ arq pub github --ndjson events.ndjson --rate 500
    $ tail -f log.ndjson | arq pub logs --ndjson -`(calls(pub, "pub")),
  command`sub: print the messages of rooms ${BUS}
    <rooms...>  the rooms ${room} ${EACH}
    --count <n>  end after n messages ${count}
    --from <offset>  begin after this offset of a durable room; 0: with the oldest message ${offset}
      ${{ without: ["since", "last"] }}
    --epoch <epoch>  epoch of --from; refuse a room whose log has restarted since ${epoch}
    --since <time>  begin this long ago in durable rooms: 10m, 1h or seconds ${span} ${{
    without: "last",
  }}
    --last <n>  begin with the n newest messages of durable rooms ${most}
    --filter <cel>  only messages that match: 'data.price > 100'
    --presence  be a member of the rooms meanwhile; arq room watch shows members
    --meta <json>  the member's metadata for others (with --presence) ${json}
    --json  one JSON object a line, JSON data unchanged

    On a terminal a message is a line \`room type sender data\`; in a pipe it is exactly its bytes
    and a newline. Everything else, also a loss of messages (GAP), goes to stderr. With --json each
    message of a durable room has its offset and epoch: --from the last one continues without a gap.
    $ arq sub lobby
    $ arq sub lobby alerts --json | jq .data
    $ arq sub github --count 296 > events.ndjson
    $ arq sub orders --from $(tail -n1 out | jq .offset) --json >> out
    $ arq sub orders --since 10m
    $ arq sub orders --filter 'headers["region"] == "eu"'
    $ arq sub lobby --presence --meta '{"status":"here"}'`(calls(sub, "sub")),
];

const CLASSES = "/v1/tenants/{tenant}/rooms";

/** The bus has the same bound. */
const HISTORY_SIZE_MAX = 1_000_000;
const MEMBERS_MAX = 10_000_000;
const WEEK_SECONDS = 604_800;

/** Reads a number of replicas. An even number survives no more failures than the odd number below it. */
function copies(text: string): number {
  const number = Number(text);
  if ([1, 3, 5].includes(number)) return number;
  throw new InvalidArgumentError("Expected 1, 3 or 5.");
}

const classSet = settles({
  route: `PUT ${CLASSES}`,
  body: "room=pattern,durable,history_size,history_ttl_seconds=historyTtl,replicas,cache_last," +
    "presence,slow_reader,max_members,echo,http_cache,membership,proof,proof_public,filter,delta",
  given(given) {
    if (given["cacheLast"] !== true || given["durable"] === true) return given;
    throw usageError("--cache-last needs --durable: the last message is the last of the log");
  },
  before: from(rooms, "requireReachable"),
  done: from(texts, "classSetText"),
});

const entries = whole("a whole number");

const UNREACHABLE = rows`
    --allow-unreachable  apply even if stored messages become unreadable or are deleted`;

const PATTERN = rows`
    <pattern>  a room, or 'chat-*' ${roomPattern}
    ${ANSWER} ${TENANT}`;

const ROOM_CLASS: readonly Definition[] = [
  group`room class: options of rooms, by pattern`,
  command`room class list: list the classes in force, of the configuration and of all tenants
    ${ANSWER}
    --tenant <id>  only the classes that this tenant has set ${tenant}

    $ arq room class list
    $ arq room class list --tenant acme --json`(asks({
    route: [`GET ${CLASSES}`, "GET /v1/rooms/classes"],
    text: from(texts, "classesText"),
  })),
  command`room class set: set the options of a pattern's rooms; replaces the whole class of that pattern
    ${PATTERN}
    --durable  store messages, so that a returning subscriber receives missed ones
    --no-durable  store nothing (default)
    --history-size <n>  number of newest messages that each room keeps (default: 1000)
      ${positive("a whole number from 1 to 1000000", true, HISTORY_SIZE_MAX)}
    --history-ttl <time>  maximum age of stored messages: 10m, 7d or seconds (default: 1d) ${span}
    --replicas <n>  copies on a NATS cluster: 1, 3 or 5 (default: 3) ${copies}
    --cache-last  a new subscriber gets the last message at once; needs --durable
    --presence  SUB with presence is allowed (default)
    --no-presence  SUB with presence is refused
    --filter <cel>  subscribers only receive matching messages: 'headers["team"] in claims.teams'
    --slow-reader <how>  handling of a subscriber that reads too slowly
      ${["disconnect", "drop-oldest", "latest"]}
    --max-members <n>  the most members of a room; further ones are refused (default: the bus's)
      ${positive("a whole number from 1 to 10000000", true, MEMBERS_MAX)}
    --echo  publishers receive their own messages unless they opt out (default)
    --no-echo  no client receives its own messages
    --http-cache <who>  who may cache the rooms' streams over HTTP ${[
    "none",
    "private",
    "public",
  ]}
    --membership <how>  journal: store joins and leaves, in the room ROOM~members ${[
    "off",
    "journal",
  ]}
    --proof  keep a tamper-evident transparency log of each room; needs --durable
    --proof-public  with --proof: the log is readable without a token
    --delta <form>  send diffs to clients that request them ${["none", "fossil"]}
    ${UNREACHABLE}

    Omitted options get their defaults, even if the class had other values. Of the classes that
    match a room only the one with the longest pattern applies. Every Shield applies it within a
    second; no client is disconnected.
    $ arq room class set 'orders-*' --durable --history-size 10000 --history-ttl 7d
    $ arq room class set 'prices-*' --durable --cache-last --history-size 1
    $ arq room class set 'stage-*' --no-presence --no-echo
    $ arq room class set 'ticker-*' --slow-reader latest`(classSet),
  command`room class remove: remove a tenant's class; classes of the configuration stay
    ${PATTERN}
    ${UNREACHABLE}

    $ arq room class remove 'orders-*'`(settles({
    route: `DELETE ${CLASSES}?room=pattern`,
    before: from(rooms, "requireReachable"),
    none: [
      ({ pattern }) => `room class for ${pattern}`,
      "arq room class list shows the classes; those of the configuration stay",
    ],
    done: (_, { pattern }) => `the class of ${pattern} is removed`,
  })),
  command`room class explain: print a room's class, with all its options, and why it applies
    <room>  the room ${room}
    ${ANSWER} ${TENANT}

    $ arq room class explain orders-7
    $ arq room class explain lobby --tenant acme`(asks({
    route: "GET /v1/rooms/classes/explain?tenant,room",
    text: from(texts, "classExplainText"),
  })),
];

/** The commands of `arq room` for classes with a reducer. */
const ROOM_PROGRAMS: readonly Definition[] = [
  command`room deploy: deploy another module as the program of all rooms of a class, without downtime ${BUS}
    <class>  the pattern of a class with a reducer ${roomPattern}
    <file>  the WebAssembly module
    ${TENANT}
    --check-since <time>  rehearse it on the rooms' calls of the last 10m, 1h, 7d or seconds
      ${span} ${{ is: WEEK_SECONDS }}
    --no-check  deploy without a rehearsal
    --max-differences <n>  deploy it if at most n entries differ ${entries} ${{
    is: 0,
  }}
    --dry-run  only rehearse it
    --yes  do not ask
    --json  print a JSON object for each room, and one at the end

    The logs are read from the bus and replayed on this machine, once by the previous programs and
    once by the module. It reports different verdicts, answers, events, values or timers, calls that
    the module's schema forbids, and rooms that it cannot migrate. A module with a migration may
    have different values and timers. Exit code 6 if more entries differ than --max-differences:
    then nothing is deployed. Each room adopts it between two entries. It needs a token of role
    admin.
    $ arq room deploy 'auction-*' auction.wasm --dry-run
    $ arq room deploy 'auction-*' auction.wasm --check-since 1d --yes`(
    calls(roomDeploy, "roomDeploy"),
  ),
  command`room rollback: restore the previous module as the program of all rooms of a class ${BUS}
    <class>  the pattern of a class with a reducer ${roomPattern}
    ${TENANT}
    --json  print the answer as JSON

    The earliest version is the file of the configuration. Values of the later module stay.
    $ arq room rollback 'auction-*'`(asks({
    route: "POST /v1/tenants/{tenant}/reducers/{class}/rollback",
    text: from(roomDeploy, "programText"),
  })),
  command`room programs: print the module of each class of rooms with a reducer, and the rooms that are cut off ${BUS}
    ${TENANT}
    --rooms  also print rooms with another module: not adopted yet, or not migrated
    --json  print the answer as JSON

    A room adopts another module between two calls; a room that cannot be migrated keeps its own. A
    room that keeps failing is cut off for a while; it is shown with its module, the end of the
    cut-off, and its last failure.
    $ arq room programs
    $ arq room programs --rooms
    $ arq room programs --tenant acme`(calls(roomDeploy, "roomPrograms")),
];

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

/** A value as JSON: the text itself if it is JSON, else the text as a JSON string. */
function jsonOf(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
}

/** The default duration of a ban, which the console also offers first. */
const BAN_SECONDS = 600;

/** The scope of a ban, in words. */
const placeOf = ({ scope, room }: Given) => scope === "room" ? `room ${room}` : "the whole tenant";

/** The preconditions of `set` and `delete`. */
const CONDITIONS = rows`
    --expect-version <n>  only if the room is at this version, otherwise 409
      ${uint64("a version, as arq room get --json shows it", 1n)}
    --fence <n>  fence of the lock that you hold; required while the room is locked ${fence}
    --command-id <id>  idempotency key, so that it is applied once (default: a new one) ${nonEmpty}
    ${ANSWER}`;

/** `arq room` */
export const ROOM: readonly Definition[] = [
  group`room: lists, state, locks, members, bans, history and classes of rooms`,
  command`room list: print the rooms with subscribers, or with --stored those with stored messages ${BUS}
    --tenant <id>  the tenant of the rooms ${tenant}
    --prefix <text>  only rooms whose names begin with this ${room}
    --stored  durable rooms with stored messages, with or without subscribers
    --behind <room>  with --stored: rooms after this one ${room} ${{ implies: { stored: true } }}
    --limit <n>  the most rooms ${million} ${{ is: 100 }}
    --json  one JSON object a line

    Needs a token of role admin. Without --stored it prints at most 1,000 rooms, those with most
    subscribers first; with --stored the rooms are sorted by name.
    $ arq room list
    $ arq room list --stored --prefix orders
    $ arq room list --stored --limit 1000 --json | jq -r .room_id`(calls(rooms, "roomList")),
  command`room get: print one value of a room's state as JSON, or all keys with their values ${BUS}
    <room>  the room ${room}
    [key]  the key ${nonEmpty}
    --json  print the bus's answer: version, epoch, value or state, lock

    Exit code 1 if the room has no such key.
    $ arq room get lobby
    $ arq room get lobby topic
    $ arq room get lobby --json`(calls(roomState, "roomGet")),
  command`room set: write one key of a room's state
    <room>  the room ${room}
    <key>  the key ${nonEmpty}
    <value>  the value: JSON, otherwise text, which becomes a JSON string
    ${CONDITIONS}

    The answer shows the written value: \`tea\` is the string "tea", \`1.0\` the unchanged number. Put
    a text that begins with - after --.
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
  command`room lock: lock a room for a time and print the fence, or lock it while a program runs
    <room>  the room ${room}
    [program...]  after --: a program to run while the lock is held, with its arguments
    --ttl <time>  the lease: 30s, 5m or seconds (default: the bus's) ${span}
    --wait <time>  how long to wait for another holder's lock: 30s, 5m or seconds (default: no
      wait) ${span}
    --fence <n>  fence of the lock that you hold: renews its lease ${fence}
    ${ANSWER}

    Without a program it prints the fence on stdout, and the end of the lease on stderr. The
    connection ends with the command. The lock stays until unlock or the end of the lease; the fence
    is the proof of holding it. Pass the fence to every write that the lock guards: then late writes
    are refused.

    With a program the lease is renewed while it runs, the lock is released at its end, and its exit
    code is the command's (128 plus the number of the signal that ended it). The program finds the
    fence in ARQON_LOCK_FENCE and the room in ARQON_LOCK_ROOM. If the lock is lost, it gets SIGTERM,
    after 5 seconds SIGKILL, and the exit code is 1.
    $ arq room lock jobs --wait 10m -- ./nightly-job --all
    $ arq room lock jobs --ttl 1m
    $ fence=$(arq room lock jobs --ttl 1m) || exit
    $ arq room set jobs last 17 --fence "$fence"
    $ arq room unlock jobs --fence "$fence"`(calls(roomLock, "roomLock")),
  command`room unlock: release a lock before its lease ends
    <room>  the room ${room}
    --fence <n>  as arq room lock printed it ${fence} ${NEEDED}
    ${ANSWER}

    $ arq room unlock jobs --fence 42`(
    orders({ name: "room.unlock", say: ({ room }, at) => `${room} is unlocked${at}` }),
  ),
  command`room kick: end a user's subscriptions to a room; the user may subscribe again at once
    <room>  the room ${room}
    [user]  the user id ${userId}
    --connection <id>  only this connection, instead of USER ${nonEmpty}
    --reason <text>  the reason that the client receives
    ${ANSWER}

    Needs a token of role service or admin; on the dev bus arq creates one.
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
    --scope <scope>  from this room, or from the whole tenant ${["room", "tenant"]} ${{
    is: "room",
  }}
    --ttl <time>  duration: 15m, 1h, 7d or seconds (default: 10m) ${span}
    --forever  until arq room unban ${{ without: "ttl" }}
    --reason <text>  the reason that the client receives
    ${ANSWER}

    Needs a token of role service or admin; on the dev bus arq creates one.
    $ arq room ban lobby mallory --ttl 1h --reason spam
    $ arq room ban lobby mallory --scope tenant --forever`(orders({
    name: "room.ban",
    role: "service",
    data: ({ user: user_id, ttl = BAN_SECONDS, forever, reason, scope }) =>
      JSON.stringify({ user_id, reason, ttl_ms: forever ? undefined : ttl * 1_000, scope }),
    async say({ user, ttl = BAN_SECONDS, forever, ...place }) {
      const { spanText } = await texts();
      const end = forever ? "without end" : `for ${spanText(ttl)}`;
      return `${user} is banned from ${placeOf(place)} ${end}`;
    },
  })),
  command`room unban: lift a ban from the room, or with --scope tenant from the whole tenant
    <room>  the room ${room}
    <user>  the user id ${userId}
    --scope <scope>  the ban from this room, or from the tenant; the other one stays
      ${["room", "tenant"]} ${{ is: "room" }}
    ${ANSWER}

    Needs a token of role service or admin; on the dev bus arq creates one.
    $ arq room unban lobby mallory
    $ arq room unban lobby mallory --scope tenant`(orders({
    name: "room.unban",
    role: "service",
    data: ({ user: user_id, scope }) => JSON.stringify({ user_id, scope }),
    say: ({ user, ...place }) => `${user} is no longer banned from ${placeOf(place)}`,
  })),
  command`room bans: print bans: user, scope, expiry, author, reason ${BUS}
    [room]  the room ${room}
    --tenant <id>  without ROOM: all bans of this tenant ${tenant}
    --json  one JSON object a line

    With ROOM it prints the bans from that room and from its whole tenant, with a token of role
    service. Without it, the bans from the tenant and all its rooms, at most 1,000, by the admin API
    with a token of role admin.
    $ arq room bans
    $ arq room bans lobby
    $ arq room bans lobby --json | jq .user_id`(calls(rooms, "roomBans")),
  command`room members: print the members of a room: user, connection, time of the join, metadata ${BUS}
    <room>  the room ${room}
    --count  print only their number
    --at <time>  the members at this time, by the room's journal of members: 14:05, 2026-11-22T14:05:00Z
      ${pastMoment}
    --json  one JSON object a line, one for each connection

    --at needs a room whose class has membership = "journal", and a journal that reaches back that
    far. A time of day is the latest one by this machine's clock.
    $ arq room members lobby
    $ arq room members lobby --json | jq -r .user_id
    $ arq room members stage-1 --at 14:05`(
    either("at", calls(rooms, "roomMembersAt"), calls(rooms, "roomMembers")),
  ),
  command`room watch: print a room's members, then joins, leaves and changes of its state ${BUS}
    <room>  the room ${room}
    --count <n>  end after n changes ${count}
    --values  instead, the visible values of a room with a reducer
    --prefix <text>  with --values: only values whose keys begin with this
    --json  one JSON object a line

    Watching does not make you a member. Lines begin with = for present members, + for joins,
    ~ for new metadata, - for leaves, * for a change of the state. After a lost connection it
    continues with the changes of that time. With --values: = for a present value, ~ for a changed
    one and - for a deleted one, the latter two after the number of the room's entry.
    $ arq room watch lobby
    $ arq room watch lobby --json | jq -c 'select(.change)'
    $ arq room watch auction-1 --values
    $ arq room watch auction-1 --values --prefix bids/`(
    either("values", calls(roomWatch, "roomWatchValues"), calls(roomWatch, "roomWatch")),
  ),
  ...ROOM_CLASS,
  ...ROOM_HISTORY,
  ...ROOM_PROGRAMS,
];
