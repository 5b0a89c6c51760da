/**
 * The command line of `arq room history` and `replay`, and of `at`, `diff`, `verify`, `fork`, `trim` and `repair`, of
 * rooms with a reducer; what they do is in `commands/`.
 */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { asks, sentence } from "./asks.ts";
import { calls, count, epoch, examples, offset, pastMoment, room } from "./options.ts";
import { withConnection, withPace, withTenant } from "./options.ts";
import type { Run } from "./options.ts";
import { usageError } from "../../terminal/exit.ts";

// A command is loaded when it runs.
const roomHistory = () => import("../../commands/room/room_history.ts");
const roomFolds = () => import("../../commands/reducer/room_at.ts");
const roomVerify = () => import("../../commands/reducer/room_verify.ts");
const roomReplay = () => import("../../commands/room/room_replay.ts");

const ROOM = "/v1/rooms/{tenant}/{room}";

function addHistory(group: Command, run: Run): void {
  withConnection(group.command("history").argument("<room>", "the room", room))
    .description("print what a durable room keeps; where it stands is on stderr")
    .option("--after <offset>", "what comes after this offset", offset)
    .option("--before <offset>", "what comes before this offset", offset)
    .option("--epoch <epoch>", "of these two; refuse a room that began anew since", epoch)
    .option("--limit <n>", "so many at most (default: 100)", count)
    .option("--reverse", "the newest first")
    .addOption(new Option("--all", "everything that is kept").conflicts("limit"))
    .option("--json", "one JSON object a line, with offset and epoch")
    .addHelpText(
      "after",
      "\nMessages have the form that arq sub gives them.\n" + examples(
        "arq room history orders --reverse --limit 10",
        "arq room history orders --after 1200 --json | jq .data",
        "arq room history orders --all > orders.ndjson",
      ),
    )
    .action(run(calls(roomHistory, "roomHistory")));
}

function addReplay(group: Command, run: Run): void {
  const command = withConnection(group.command("replay"))
    .argument("<room>", "the room to read", room)
    .description("publish what a durable room keeps again, into another room")
    .requiredOption("--to <room>", "the room that gets it", room)
    .option("--from <offset>", "begin after this offset (default: with the oldest message)", offset)
    .option("--epoch <epoch>", "of --from; refuse a room that began anew since", epoch)
    .option("--until <offset>", "the last one (default: where the room stands now)", offset);
  withPace(command)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nType, data, content type, schema and the publisher's headers stay; sender and time are new." +
        "\nEach message has a message_id made of its place: into a durable room, what is replayed twice" +
        "\nwithin two minutes is stored once. When it stops it says how to go on.\n" +
        examples(
          "arq room replay orders --to orders-copy --rate 500/s",
          "arq room replay orders --to orders-copy --from 1200 --until 3400",
        ),
    )
    .action(run(calls(roomReplay, "roomReplay")));
}

const withReduced = (group: Command, name: string): Command =>
  withTenant(withConnection(group.command(name)).argument("<room>", "a room with a reducer", room));

function addAt(group: Command, run: Run): void {
  const prefix = ["--prefix <text>", "only values whose keys begin with this"] as const;
  withReduced(group, "at")
    .description("print the values that a room with a reducer had at an entry, or at a time")
    .addOption(
      new Option("--offset <n>", "after this entry of its log; 0: before the first")
        .argParser(offset).conflicts("time"),
    )
    .option("--time <time>", "then: 14:05, 2026-11-22T14:05:00Z, by the room's clock", pastMoment)
    .option(...prefix)
    .option("--json", "print one JSON object, with digests and timers")
    .addHelpText(
      "after",
      "\nWithout --offset and --time: after the last entry. The room's log and programs are read from" +
        "\nthe bus with a token of role admin, and folded on this machine. Exit code 1 when the log does" +
        "\nnot reach back so far.\n" +
        examples(
          "arq room at auction-1",
          "arq room at auction-1 --offset 1200 --prefix bids/",
          "arq room at auction-1 --time 14:05 --json | jq .values",
        ),
    )
    .action(run(calls(roomFolds, "roomAt")));
  withReduced(group, "diff")
    .description("print which values of a room with a reducer differ between two entries")
    .requiredOption("--from <offset>", "after this entry of its log; 0: before the first", offset)
    .option("--to <offset>", "after this entry (default: the last)", offset)
    .option(...prefix)
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      "\nLines begin with + for what came, - for what went, ~ for what is another value. Token and" +
        "\nexit codes are those of arq room at.\n" +
        examples("arq room diff auction-1 --from 1200 --to 1300"),
    )
    .action(run(calls(roomFolds, "roomDiff")));
}

function addVerify(group: Command, run: Run): void {
  withReduced(group, "verify")
    .description("fold the log of a room with a reducer again and compare the bus's digests")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nFrom the first entry, or where the log does not reach back so far, from the oldest snapshot." +
        "\nEach entry is applied by the program that it was applied by, which the bus has kept. It needs" +
        "\na token of role admin. Exit code 1 when something differs, and it says which entry; also when" +
        "\nthe log cannot be folded.\n" +
        examples("arq room verify auction-1", "arq room verify auction-1 --tenant acme --json"),
    )
    .action(run(calls(roomVerify, "roomVerify")));
}

/** Reads `1200` as an entry, anything else as a time. */
function entryOrTime(text: string): { readonly offset: number } | { readonly time_ms: number } {
  if (/^\d+$/.test(text)) return { offset: offset(text) };
  try {
    return { time_ms: pastMoment(text) };
  } catch {
    throw new InvalidArgumentError("Expected an entry, as 1200, or a time, as 14:05.");
  }
}

function addFork(group: Command, run: Run): void {
  withReduced(group, "fork")
    .description("begin a room with the past of another one, up to an entry or a time")
    .requiredOption("--to <room>", "the room that begins; nobody has called it yet", room)
    .option(
      "--at <place>",
      "an entry of the log, or a time as 14:05 by the room's clock (default: the last entry)",
      entryOrTime,
    )
    .option("--no-timers", "nothing that the other room has scheduled runs in this one")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nBoth rooms have one reducer. The new one remembers ids of calls, as the other one did, and its" +
        "\nfirst entry is the next one. The other room is not changed by anything that happens there. It" +
        "\nneeds a token of role admin.\n" +
        examples(
          "arq room fork auction-1 --to auction-1-again --at 1200",
          "arq room fork auction-1 --to what-if --at 14:05 --no-timers",
        ),
    )
    .action(run(asks({
      route: `POST ${ROOM}/fork`,
      body: "to,offset,time_ms,with_timers=timers",
      given: ({ at, ...given }) => ({ ...given, ...at }),
      text: sentence(({ offset }, { room, to, timers }) =>
        `${to} begins behind entry ${offset} of ${room}${timers ? "" : ", without its timers"}`
      ),
    })));
}

function addTrim(group: Command, run: Run): void {
  withTenant(
    withConnection(group.command("trim")).argument("<room>", "a durable room", room),
  )
    .description(
      "remove the past of a durable room; with a reducer: its log up to a snapshot, and older snapshots",
    )
    .option(
      "--before <offset>",
      "as far as this entry (default: all that it can go on without)",
      offset,
    )
    .option("--yes", "do not ask")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nOf a room without a reducer the messages go, or those up to --before; whoever returns from before" +
        "\nthem receives a GAP (history-trimmed). With a reducer, what the room is stays: without --before" +
        "\nit is stored whole now, and nothing of its log is left that has a call in it; with --before, the" +
        "\npast goes as far as the last snapshot that is not behind that entry. Events that were published" +
        "\nare messages of the room, and stay. It needs a token of role admin.\n" +
        examples("arq room trim auction-1 --yes", "arq room trim auction-1 --before 120000"),
    )
    .action(run(asks({
      route: `POST ${ROOM}/trim`,
      body: "before",
      confirm({ room, before }) {
        const which = before === undefined ? "All of" : `Up to entry ${before}`;
        return `${which} the past of ${room} is lost for good. Remove it?`;
      },
      text: sentence(({ offset, messages, snapshots }, { room, before }) =>
        offset === 0
          ? `${room}: there is nothing up to ${
            before === undefined ? "now" : `entry ${before}`
          } that can go, so nothing was removed`
          : `${room}: its past begins behind entry ${offset} now; ${messages} messages of its log and ` +
            `${snapshots} snapshots were removed`
      ),
    })));
}

function addRepair(group: Command, run: Run): void {
  withReduced(group, "repair")
    .description(
      "let a room with a reducer go on that is refused because entries of its log are lost",
    )
    .option("--accept-loss", "what is lost may be lost; nothing is done without it")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nIt goes on from the newest state that snapshots and log still make, as if the lost entries had" +
        "\nchanged nothing, and says which those are. Their numbers are not used again, nor are their" +
        "\nevents told again. A room that has lost nothing is left as it is. It needs a token of role" +
        "\nadmin.\n" +
        examples("arq room repair auction-1 --accept-loss"),
    )
    .action(run(asks({
      route: `POST ${ROOM}/repair`,
      body: "accept_loss",
      given(given) {
        if (given["acceptLoss"] === true) return given;
        throw usageError(
          `${given["room"]} goes on from its newest snapshot, and what is lost stays lost`,
          "say that this is wanted with --accept-loss",
        );
      },
      text: sentence(({ lost, offset, from_snapshot }, { room }) => {
        if (lost !== null) {
          return `${room} goes on as it was after entry ${from_snapshot}; entries ${lost.from} to ` +
            `${lost.to} are lost`;
        }
        return offset === undefined
          ? `${room} has lost nothing, and was left as it is`
          : `${room} goes on behind entry ${offset}; no entry is lost`;
      }),
    })));
}

/** Adds `history` and `replay`, and what is about the past of rooms with reducers, to `arq room`. */
export function addRoomHistory(group: Command, run: Run): void {
  addHistory(group, run);
  addReplay(group, run);
  addAt(group, run);
  addVerify(group, run);
  addFork(group, run);
  addTrim(group, run);
  addRepair(group, run);
  addErase(group, run);
}

/** What every command says that erases. */
export const ERASED =
  "\nFirst it says what stands where, and asks; --dry-run does no more than that. A second later no Shield" +
  "\nserves it, and a client that returns from before it is told erased. Needs a token of role admin.\n";

/** The options of every command that erases. */
export const withErasing = (command: Command): Command =>
  command.option("--dry-run", "say only what stands where")
    .option("--yes", "do not ask")
    .option("--json", "print the answer as JSON");

function addErase(group: Command, run: Run): void {
  withErasing(withTenant(withConnection(group.command("erase")), "the tenant"))
    .description("erase a room with what stands beside it, or one message of it")
    .argument("<room>", "the room", room)
    .option("--offset <n>", "this message alone", offset)
    .option("--through", "in a log that an older ArqonBus made: with all that stands before it")
    .addHelpText(
      "after",
      ERASED +
        examples("arq room erase orders --offset 41", "arq room erase orders --tenant acme --yes"),
    )
    .action(run(calls(() => import("../../commands/data/data_erase.ts"), "roomErase")));
}
