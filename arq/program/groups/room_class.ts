/**
 * The command line of `arq room class …`, and of `deploy`, `rollback` and `programs`, which are about classes with a
 * reducer, as commander sees it; what they do is `commands/room/room_class.ts` and `commands/reducer/room_deploy.ts`.
 */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { asks, from, settles } from "./asks.ts";
import { calls, examples, positive, room, someTenant, span, withConnection } from "./options.ts";
import { roomPattern, withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";
import { usageError } from "../../terminal/exit.ts";

// A command is loaded when it runs.
const reachable = () => import("../../commands/room/room_class.ts");
const texts = () => import("../../answers/room_class_text.ts");
const CLASSES = "/v1/tenants/{tenant}/rooms";
const roomDeploy = () => import("../../commands/reducer/room_deploy.ts");

/** The bus has the same bound. */
const HISTORY_SIZE_MAX = 1_000_000;
const MEMBERS_MAX = 10_000_000;
const WEEK_SECONDS = 604_800;
const ALLOW = "also when stored messages could not be read any more, or are deleted";

/** Reads a number of replicas. An even number survives no more failures than the odd number below it. */
function copies(text: string): number {
  const number = Number(text);
  if ([1, 3, 5].includes(number)) return number;
  throw new InvalidArgumentError("Expected 1, 3 or 5.");
}

const withOwner = (command: Command): Command => withTenant(withJson(command));

function withPattern(command: Command): Command {
  return withOwner(command).argument("<pattern>", "a room, or 'chat-*'", roomPattern);
}

const classSet = settles({
  route: `PUT ${CLASSES}`,
  body: "room=pattern,durable,history_size,history_ttl_seconds=historyTtl,replicas,cache_last," +
    "presence,slow_reader,max_members,echo,http_cache,membership,proof,proof_public,filter,delta",
  given(given) {
    if (given["cacheLast"] !== true || given["durable"] === true) return given;
    throw usageError("--cache-last needs --durable: the last message is the last of the log");
  },
  before: from(reachable, "requireReachable"),
  done: from(texts, "classSetText"),
});

function addSet(group: Command, run: Run): void {
  withPattern(group.command("set"))
    .description(
      "set what the rooms of a pattern are; replaces the class of that pattern as a whole",
    )
    .option("--durable", "keep their messages, so that a returning subscriber gets what was missed")
    .option("--no-durable", "keep nothing (default)")
    .option(
      "--history-size <n>",
      "newest messages that are kept of each room (default: 1000)",
      positive("a whole number from 1 to 1000000", true, HISTORY_SIZE_MAX),
    )
    .option(
      "--history-ttl <time>",
      "age up to which they are kept: 10m, 7d or seconds (default: 1d)",
      span("--history-ttl"),
    )
    .option("--replicas <n>", "copies on a NATS cluster: 1, 3 or 5 (default: 3)", copies)
    .option("--cache-last", "a new subscriber gets the last message at once; needs --durable")
    .option("--presence", "SUB with presence is allowed (default)")
    .option("--no-presence", "SUB with presence is refused")
    .option(
      "--filter <cel>",
      "subscribers hear only what this allows them: 'headers[\"team\"] in claims.teams'",
    )
    .addOption(
      new Option("--slow-reader <how>", "what happens to a subscriber that reads too slowly")
        .choices(["disconnect", "drop-oldest", "latest"]),
    )
    .option(
      "--max-members <n>",
      "members of one room; a further one is refused (default: the bus's)",
      positive("a whole number from 1 to 10000000", true, MEMBERS_MAX),
    )
    .option("--echo", "publishers hear their own messages unless they ask not to (default)")
    .option("--no-echo", "nobody hears his own messages")
    .addOption(
      new Option("--http-cache <who>", "who may keep what the rooms' streams say over HTTP")
        .choices(["none", "private", "public"]),
    )
    .addOption(
      new Option("--membership <how>", "journal: keep who came and went, in the room ROOM~members")
        .choices(["off", "journal"]),
    )
    .option(
      "--proof",
      "a transparency log of each room, which nobody changes unseen; needs --durable",
    )
    .option("--proof-public", "with --proof: anybody may read the log, without a token")
    .addOption(
      new Option("--delta <form>", "whether who asks for it gets messages as diffs")
        .choices(["none", "fossil"]),
    )
    .option("--allow-unreachable", ALLOW)
    .addHelpText(
      "after",
      "\nOptions that are not given have their defaults, also where the class had others before. Of" +
        "\nthe classes that match a room the one with the longest pattern counts, alone. Every Shield" +
        "\nhas it in force within a second; nobody is disconnected.\n" +
        examples(
          "arq room class set 'orders-*' --durable --history-size 10000 --history-ttl 7d",
          "arq room class set 'prices-*' --durable --cache-last --history-size 1",
          "arq room class set 'stage-*' --no-presence --no-echo",
          "arq room class set 'ticker-*' --slow-reader latest",
        ),
    )
    .action(run(classSet));
}

/** Adds `class` and its commands to `arq room`. */
export function addRoomClass(rooms: Command, run: Run): void {
  const group = rooms.command("class").description("options of rooms, by pattern");
  someTenant(withJson(group.command("list")), "only those that this tenant has set")
    .description("the classes in force, of the configuration and of all tenants")
    .addHelpText(
      "after",
      examples("arq room class list", "arq room class list --tenant acme --json"),
    )
    .action(run(asks({
      route: [`GET ${CLASSES}`, "GET /v1/rooms/classes"],
      text: from(texts, "classesText"),
    })));
  addSet(group, run);
  withPattern(group.command("remove"))
    .description("take a tenant's class away; those of the configuration stay")
    .option("--allow-unreachable", ALLOW)
    .addHelpText("after", examples("arq room class remove 'orders-*'"))
    .action(run(settles({
      route: `DELETE ${CLASSES}?room=pattern`,
      before: from(reachable, "requireReachable"),
      none: [
        ({ pattern }) => `room class for ${pattern}`,
        "arq room class list shows the classes; those of the configuration stay",
      ],
      done: (_, { pattern }) => `the class of ${pattern} is removed`,
    })));
  withOwner(group.command("explain"))
    .description("say which class a room is of, with all its options, and why")
    .argument("<room>", "the room", room)
    .addHelpText(
      "after",
      examples("arq room class explain orders-7", "arq room class explain lobby --tenant acme"),
    )
    .action(run(asks({
      route: "GET /v1/rooms/classes/explain?tenant,room",
      text: from(texts, "classExplainText"),
    })));
}

function count(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a whole number.");
}

const ofTenant = (group: Command, name: string): Command =>
  withTenant(withConnection(group.command(name)));

/** Adds `deploy`, `rollback` and `programs` to `arq room`. */
export function addRoomDeploy(group: Command, run: Run): void {
  ofTenant(group, "deploy")
    .argument("<class>", "the pattern of a class with a reducer", roomPattern)
    .argument("<file>", "the WebAssembly module")
    .description("make another module the program of all rooms of a class, while they are called")
    .option(
      "--check-since <time>",
      "first apply it to what its rooms were asked since then: 10m, 1h, 7d or seconds",
      span("--check-since"),
      WEEK_SECONDS,
    )
    .option("--no-check", "apply it to nothing before")
    .option("--max-differences <n>", "deploy it when no more than so many entries differ", count, 0)
    .option("--dry-run", "check it, and deploy nothing")
    .option("--yes", "do not ask")
    .option("--json", "print a JSON object for each room, and one at the end")
    .addHelpText(
      "after",
      "\nThe logs are read from the bus and folded on this machine, once by the previous programs and" +
        "\nonce by the module: it says where verdicts, answers, events, values or timers differ, which calls" +
        "\nthe schema of the module forbids, and which room it cannot migrate. A module with a migration" +
        "\nmay make other values and timers. Exit code 6 when more differ than --max-differences: nothing" +
        "\nis deployed then. Each room takes it between two entries. It needs a token of role admin.\n" +
        examples(
          "arq room deploy 'auction-*' auction.wasm --dry-run",
          "arq room deploy 'auction-*' auction.wasm --check-since 1d --yes",
        ),
    )
    .action(run(calls(roomDeploy, "roomDeploy")));
  ofTenant(group, "rollback")
    .argument("<class>", "the pattern of a class with a reducer", roomPattern)
    .description("make the previous module the program of all rooms of a class again")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nAt last to the file of the configuration. Values that the later module wrote stay.\n" +
        examples("arq room rollback 'auction-*'"),
    )
    .action(run(calls(roomDeploy, "roomRollback")));
  ofTenant(group, "programs")
    .description(
      "print which module each class of rooms with a reducer has, and which rooms are cut off",
    )
    .option("--rooms", "also print rooms that have another one: not taken yet, or not migrated")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nA room takes another module between two calls; one that it cannot migrate keeps its own. A room" +
        "\nthat keeps failing is cut off for a while: with its module, until when, and what failed last.\n" +
        examples(
          "arq room programs",
          "arq room programs --rooms",
          "arq room programs --tenant acme",
        ),
    )
    .action(run(calls(roomDeploy, "roomPrograms")));
}
