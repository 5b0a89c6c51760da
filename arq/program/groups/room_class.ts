/** The commands of `arq room class`, and `deploy`, `rollback` and `programs`, which are about classes with a reducer. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, group, rows } from "./define.ts";
import { usageError } from "../../terminal/exit.ts";
import { asks, from, settles } from "./asks.ts";
import { ANSWER, BUS, calls, positive, room, roomPattern, span } from "./options.ts";
import { TENANT, tenant, whole } from "./options.ts";

// A command is loaded when it runs.
const reachable = () => import("../../commands/room/room_class.ts");
const texts = () => import("../../answers/room_class_text.ts");
const roomDeploy = () => import("../../commands/reducer/room_deploy.ts");
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
  before: from(reachable, "requireReachable"),
  done: from(texts, "classSetText"),
});

const entries = whole("a whole number");

const UNREACHABLE = rows`
    --allow-unreachable  also when stored messages could not be read any more, or are deleted`;

const PATTERN = rows`
    <pattern>  a room, or 'chat-*' ${roomPattern}
    ${ANSWER} ${TENANT}`;

/** `arq room class` */
export const ROOM_CLASS: readonly Definition[] = [
  group`room class: options of rooms, by pattern`,
  command`room class list: the classes in force, of the configuration and of all tenants
    ${ANSWER}
    --tenant <id>  only those that this tenant has set ${tenant}

    $ arq room class list
    $ arq room class list --tenant acme --json`(asks({
    route: [`GET ${CLASSES}`, "GET /v1/rooms/classes"],
    text: from(texts, "classesText"),
  })),
  command`room class set: set what the rooms of a pattern are; replaces the class of that pattern as a whole
    ${PATTERN}
    --durable  keep their messages, so that a returning subscriber gets what was missed
    --no-durable  keep nothing (default)
    --history-size <n>  newest messages that are kept of each room (default: 1000)
      ${positive("a whole number from 1 to 1000000", true, HISTORY_SIZE_MAX)}
    --history-ttl <time>  age up to which they are kept: 10m, 7d or seconds (default: 1d) ${span}
    --replicas <n>  copies on a NATS cluster: 1, 3 or 5 (default: 3) ${copies}
    --cache-last  a new subscriber gets the last message at once; needs --durable
    --presence  SUB with presence is allowed (default)
    --no-presence  SUB with presence is refused
    --filter <cel>  subscribers hear only what this allows them: 'headers["team"] in claims.teams'
    --slow-reader <how>  what happens to a subscriber that reads too slowly
      ${["disconnect", "drop-oldest", "latest"]}
    --max-members <n>  members of one room; a further one is refused (default: the bus's)
      ${positive("a whole number from 1 to 10000000", true, MEMBERS_MAX)}
    --echo  publishers hear their own messages unless they ask not to (default)
    --no-echo  nobody hears his own messages
    --http-cache <who>  who may keep what the rooms' streams say over HTTP ${[
    "none",
    "private",
    "public",
  ]}
    --membership <how>  journal: keep who came and went, in the room ROOM~members ${[
    "off",
    "journal",
  ]}
    --proof  a transparency log of each room, which nobody changes unseen; needs --durable
    --proof-public  with --proof: anybody may read the log, without a token
    --delta <form>  whether who asks for it gets messages as diffs ${["none", "fossil"]}
    ${UNREACHABLE}

    Options that are not given have their defaults, also where the class had others before. Of
    the classes that match a room the one with the longest pattern counts, alone. Every Shield
    has it in force within a second; nobody is disconnected.
    $ arq room class set 'orders-*' --durable --history-size 10000 --history-ttl 7d
    $ arq room class set 'prices-*' --durable --cache-last --history-size 1
    $ arq room class set 'stage-*' --no-presence --no-echo
    $ arq room class set 'ticker-*' --slow-reader latest`(classSet),
  command`room class remove: take a tenant's class away; those of the configuration stay
    ${PATTERN}
    ${UNREACHABLE}

    $ arq room class remove 'orders-*'`(settles({
    route: `DELETE ${CLASSES}?room=pattern`,
    before: from(reachable, "requireReachable"),
    none: [
      ({ pattern }) => `room class for ${pattern}`,
      "arq room class list shows the classes; those of the configuration stay",
    ],
    done: (_, { pattern }) => `the class of ${pattern} is removed`,
  })),
  command`room class explain: say which class a room is of, with all its options, and why
    <room>  the room ${room}
    ${ANSWER} ${TENANT}

    $ arq room class explain orders-7
    $ arq room class explain lobby --tenant acme`(asks({
    route: "GET /v1/rooms/classes/explain?tenant,room",
    text: from(texts, "classExplainText"),
  })),
];

/** What `arq room` has for classes with a reducer. */
export const ROOM_PROGRAMS: readonly Definition[] = [
  command`room deploy: make another module the program of all rooms of a class, while they are called ${BUS}
    <class>  the pattern of a class with a reducer ${roomPattern}
    <file>  the WebAssembly module
    ${TENANT}
    --check-since <time>  first apply it to what its rooms were asked since then: 10m, 1h, 7d or seconds
      ${span} ${{ is: WEEK_SECONDS }}
    --no-check  apply it to nothing before
    --max-differences <n>  deploy it when no more than so many entries differ ${entries} ${{
    is: 0,
  }}
    --dry-run  check it, and deploy nothing
    --yes  do not ask
    --json  print a JSON object for each room, and one at the end

    The logs are read from the bus and folded on this machine, once by the previous programs and
    once by the module: it says where verdicts, answers, events, values or timers differ, which calls
    the schema of the module forbids, and which room it cannot migrate. A module with a migration
    may make other values and timers. Exit code 6 when more differ than --max-differences: nothing
    is deployed then. Each room takes it between two entries. It needs a token of role admin.
    $ arq room deploy 'auction-*' auction.wasm --dry-run
    $ arq room deploy 'auction-*' auction.wasm --check-since 1d --yes`(
    calls(roomDeploy, "roomDeploy"),
  ),
  command`room rollback: make the previous module the program of all rooms of a class again ${BUS}
    <class>  the pattern of a class with a reducer ${roomPattern}
    ${TENANT}
    --json  print the answer as JSON

    At last to the file of the configuration. Values that the later module wrote stay.
    $ arq room rollback 'auction-*'`(calls(roomDeploy, "roomRollback")),
  command`room programs: print which module each class of rooms with a reducer has, and which rooms are cut off ${BUS}
    ${TENANT}
    --rooms  also print rooms that have another one: not taken yet, or not migrated
    --json  print the answer as JSON

    A room takes another module between two calls; one that it cannot migrate keeps its own. A room
    that keeps failing is cut off for a while: with its module, until when, and what failed last.
    $ arq room programs
    $ arq room programs --rooms
    $ arq room programs --tenant acme`(calls(roomDeploy, "roomPrograms")),
];
