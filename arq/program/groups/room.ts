/** The command line of `arq room …` as commander sees it; what a command does is in `commands/`. */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import type { Uint64 } from "@arqon/sdk";
import { addRoomHistory } from "./room_history.ts";
import {
  calls,
  examples,
  id,
  pastMoment,
  positive,
  room,
  value,
  withConnection,
} from "./options.ts";
import type { Run } from "./options.ts";
import { addRoomClass, addRoomDeploy } from "./room_class.ts";
import { parseSeconds, parseTtl } from "../../bus/token.ts";

// A command is loaded when it runs.
const roomBans = () => import("../../commands/room/room_bans.ts");
const roomListing = () => import("../../commands/room/room_list.ts");
const roomLock = () => import("../../commands/room/room_lock.ts");
const roomLockRun = () => import("../../commands/room/room_lock_run.ts");
const roomMembers = () => import("../../commands/room/room_members.ts");
const roomMembersAt = () => import("../../commands/room/room_members_at.ts");
const roomModerate = () => import("../../commands/room/room_moderate.ts");
const roomState = () => import("../../commands/room/room_state.ts");
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

function nonEmpty(text: string): string {
  if (text !== "") return text;
  throw new InvalidArgumentError("It is empty.");
}

const fence = uint64("a fence, as arq room lock prints it", 1n);

function withRoom(group: Command, name: string): Command {
  return withConnection(group.command(name)).argument("<room>", "the room", room);
}

function addList(group: Command, run: Run): void {
  withConnection(group.command("list"))
    .description(
      "print the rooms that somebody is subscribed to, or with --stored those that have messages",
    )
    .option("--tenant <id>", "whose rooms", id("tenant"))
    .option("--prefix <text>", "only rooms whose names begin with this", room)
    .option("--stored", "durable rooms whose log has messages, also where nobody is")
    .addOption(
      new Option("--behind <room>", "with --stored: rooms behind this one").argParser(room)
        .implies({ stored: true }),
    )
    .option(
      "--limit <n>",
      "so many rooms at most",
      positive("a whole number from 1 to 1000000", true, 1_000_000),
      100,
    )
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      "\nNeeds a token of role admin. Rooms that are only subscribed to are at most 1,000, those with" +
        "\nmost subscribers first; stored ones come by their names.\n" +
        examples(
          "arq room list",
          "arq room list --stored --prefix orders",
          "arq room list --stored --limit 1000 --json | jq -r .room_id",
        ),
    )
    .action(run(async (io, flags) => await (await roomListing()).roomList(io, flags)));
}

function addState(group: Command, run: Run): void {
  withRoom(group, "get")
    .description("print one value of a room's state as JSON, or all keys with theirs")
    .argument("[key]", "the key", nonEmpty)
    .option("--json", "print the bus's answer: version, epoch, value or state, lock")
    .addHelpText(
      "after",
      "\nExit code 1 when the room has no such key.\n" +
        examples("arq room get lobby", "arq room get lobby topic", "arq room get lobby --json"),
    )
    .action(run(calls(roomState, "roomGet")));
  withConditions(withRoom(group, "set").argument("<key>", "the key", nonEmpty))
    .description("write one key of a room's state")
    .argument("<value>", "the value: JSON, or else text, which becomes a JSON string")
    .addHelpText(
      "after",
      '\nThe answer shows what was written: `tea` is the string "tea", `1.0` the number, as it is' +
        "\nwritten. A text that begins with - stands after --.\n" +
        examples(
          "arq room set lobby topic tea",
          "arq room set lobby seats '{\"free\":3}' --expect-version 4",
          "arq room set lobby note -- '-- none --'",
        ),
    )
    .action(run(calls(roomState, "roomSet")));
  withConditions(withRoom(group, "delete").argument("<key>", "the key", nonEmpty))
    .description("remove one key of a room's state")
    .addHelpText("after", examples("arq room delete lobby topic"))
    .action(run(calls(roomState, "roomDelete")));
}

/** Adds the conditions under which `set` and `delete` change a room. */
function withConditions(command: Command): Command {
  return command
    .option(
      "--expect-version <n>",
      "only if the room is at this version, else 409",
      uint64("a version, as arq room get --json shows it", 1n),
    )
    .option("--fence <n>", "of the lock that you hold; needed while the room is locked", fence)
    .option(
      "--command-id <id>",
      "apply once, however often it is sent (default: a new one)",
      nonEmpty,
    )
    .option("--json", "print the bus's answer as JSON");
}

function addLock(group: Command, run: Run): void {
  withRoom(group, "lock")
    .description("lock a room for a time and print the fence, or while a program runs")
    .argument(
      "[program...]",
      "after --: a program to run while the lock is held, with its arguments",
    )
    .option("--ttl <time>", "the lease: 30s, 5m or seconds (default: the bus's)", value(parseTtl))
    .option(
      "--wait <time>",
      "how long somebody else's lock may take to end: 30s, 5m or seconds (default: not at all)",
      value((text) => parseSeconds("--wait", text)),
    )
    .option("--fence <n>", "of the lock that you hold: renews its lease", fence)
    .option("--json", "print the bus's answer as JSON")
    .addHelpText(
      "after",
      "\nWithout a program: the fence is on stdout, until when on stderr. The connection ends with the" +
        "\ncommand. The lock stays until unlock or the end of the lease; whoever has the fence holds it." +
        "\nGive the fence to every write that the lock guards: one that comes too late is refused then." +
        "\n\nWith a program: the lease is renewed while it runs, the lock ends when it has ended, and its" +
        "\nexit code is the command's (128 and the number of the signal, if one has ended it). It finds" +
        "\nthe fence in ARQON_LOCK_FENCE and the room in ARQON_LOCK_ROOM. When the lock is lost, it gets" +
        "\nSIGTERM, after 5 seconds SIGKILL, and the exit code is 1.\n" +
        examples(
          "arq room lock jobs --wait 10m -- ./nightly-job --all",
          "arq room lock jobs --ttl 1m",
          "fence=$(arq room lock jobs --ttl 1m) || exit",
          'arq room set jobs last 17 --fence "$fence"',
          'arq room unlock jobs --fence "$fence"',
        ),
    )
    .action(run(async (io, flags, [name, words]) => {
      const program = words as readonly string[];
      return program.length === 0
        ? (await roomLock()).roomLock(io, name as string, flags)
        : (await roomLockRun()).roomLockRun(io, name as string, program, flags);
    }));
  withRoom(group, "unlock")
    .description("end a lock before its lease ends")
    .requiredOption("--fence <n>", "as arq room lock printed it", fence)
    .option("--json", "print the bus's answer as JSON")
    .addHelpText("after", examples("arq room unlock jobs --fence 42"))
    .action(run(calls(roomLock, "roomUnlock")));
}

const scope = (about: string) =>
  new Option("--scope <scope>", about).choices(["room", "tenant"]).default("room");

function addModeration(group: Command, run: Run): void {
  const role = "\nNeeds a token of role service or admin; on the dev bus arq makes one.\n";
  withRoom(group, "kick")
    .description("end a user's subscriptions to a room; he may come back at once")
    .argument("[user]", "the user id", userId)
    .option("--connection <id>", "only this connection, in place of USER", nonEmpty)
    .option("--reason <text>", "why; the client is told")
    .option("--json", "print the bus's answer as JSON")
    .addHelpText("after", role + examples("arq room kick lobby ann --reason 'off topic'"))
    .action(run(calls(roomModerate, "roomKick")));
  withRoom(group, "ban")
    .description("ban a user from the room, or with --scope tenant from the whole tenant")
    .argument("<user>", "the user id", userId)
    .addOption(scope("from this room, or from everything of the tenant"))
    .addOption(
      new Option("--ttl <time>", "for how long: 15m, 1h, 7d or seconds (default: 10m)")
        .argParser(value(parseTtl)),
    )
    .addOption(new Option("--forever", "until arq room unban").conflicts("ttl"))
    .option("--reason <text>", "why; the client is told")
    .option("--json", "print the bus's answer as JSON")
    .addHelpText(
      "after",
      role + examples(
        "arq room ban lobby mallory --ttl 1h --reason spam",
        "arq room ban lobby mallory --scope tenant --forever",
      ),
    )
    .action(run(calls(roomModerate, "roomBan")));
  withRoom(group, "unban")
    .description("lift a ban: of the room, or with --scope tenant of the whole tenant")
    .argument("<user>", "the user id", userId)
    .addOption(scope("the ban of this room, or that of the tenant; the other one stays"))
    .option("--json", "print the bus's answer as JSON")
    .addHelpText(
      "after",
      role + examples(
        "arq room unban lobby mallory",
        "arq room unban lobby mallory --scope tenant",
      ),
    )
    .action(run(calls(roomModerate, "roomUnban")));
}

function addBans(group: Command, run: Run): void {
  withConnection(group.command("bans"))
    .argument("[room]", "the room", room)
    .description("print who is kept out: user, scope, until when, by whom, why")
    .option("--tenant <id>", "without ROOM: all bans of this tenant", id("tenant"))
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      "\nWith ROOM: the bans of that room and those of its whole tenant, with a token of role service." +
        "\nWithout it: those of the tenant and of all its rooms, at most 1,000, by the admin API with a" +
        "\ntoken of role admin.\n" +
        examples(
          "arq room bans",
          "arq room bans lobby",
          "arq room bans lobby --json | jq .user_id",
        ),
    )
    .action(run(calls(roomBans, "roomBans")));
}

function addPresence(group: Command, run: Run): void {
  withRoom(group, "members")
    .description("print who is in a room: user, connection, since when, metadata")
    .option("--count", "print only how many")
    .option(
      "--at <time>",
      "who was there then, by the room's journal of members: 14:05, 2026-11-22T14:05:00Z",
      pastMoment,
    )
    .option("--json", "one JSON object a line, one for each connection")
    .addHelpText(
      "after",
      '\n--at needs a room whose class has membership = "journal", and the journal has to reach back' +
        "\nso far. A time of day is the last one of this machine's clock.\n" +
        examples(
          "arq room members lobby",
          "arq room members lobby --json | jq -r .user_id",
          "arq room members stage-1 --at 14:05",
        ),
    )
    .action(
      run(async (io, flags, [name]) =>
        flags.at === undefined
          ? (await roomMembers()).roomMembers(io, name as string, flags)
          : (await roomMembersAt()).roomMembersAt(io, name as string, flags)
      ),
    );
  withRoom(group, "watch")
    .description("print who is in a room, then who comes and goes and how its state changes")
    .option(
      "--count <n>",
      "end after n changes",
      positive("a whole number above 0", true, 2 ** 53),
    )
    .option("--values", "of a room with a reducer: the values that it shows, instead")
    .option("--prefix <text>", "with --values: only values whose keys begin with this")
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      "\nWatching does not make you a member. Lines begin with = for those who are there, + who come," +
        "\n~ with new metadata, - who go, * for a change of the state. After a lost connection it goes" +
        "\non with what has changed meanwhile. With --values: = for a value that is there, ~ for another" +
        "\none and - for one that is gone, both behind the number of the room's entry.\n" +
        examples(
          "arq room watch lobby",
          "arq room watch lobby --json | jq -c 'select(.change)'",
          "arq room watch auction-1 --values",
          "arq room watch auction-1 --values --prefix bids/",
        ),
    )
    .action(
      run(async (io, flags, [name]) =>
        flags.values === undefined
          ? (await roomWatch()).roomWatch(io, name as string, flags)
          : (await roomWatchValues()).roomWatchValues(io, name as string, flags)
      ),
    );
}

/** Adds `arq room` and its commands. */
export function addRoom(program: Command, run: Run): void {
  const group = program.command("room").description(
    "lists, state, locks, members, bans, history and classes of rooms",
  );
  addList(group, run);
  addState(group, run);
  addLock(group, run);
  addModeration(group, run);
  addBans(group, run);
  addPresence(group, run);
  addRoomClass(group, run);
  addRoomHistory(group, run);
  addRoomDeploy(group, run);
}
