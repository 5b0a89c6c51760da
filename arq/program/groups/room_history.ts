/**
 * The commands of `arq room` about the past of durable rooms and of rooms with a reducer; and those of `arq user` and
 * `arq tenant`.
 */
import { InvalidArgumentError } from "commander";
import { command, type Definition, group, NEEDED, rows } from "./define.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { usageError } from "../../terminal/exit.ts";
import { asks, either, from, sentence } from "./asks.ts";
import {
  BUS,
  calls,
  count,
  epoch,
  offset,
  PACE,
  pastMoment,
  room,
  TENANT,
  tenant,
} from "./options.ts";

// A command is loaded when it runs.
const roomHistory = () => import("../../commands/room/room_history.ts");
const roomFolds = () => import("../../commands/reducer/room_at.ts");
const data = () => import("../../commands/data/data.ts");

const ROOM = "/v1/rooms/{tenant}/{room}";

/** Parses a number as an entry, anything else as a time. */
function entryOrTime(text: string): { readonly offset: number } | { readonly time_ms: number } {
  if (/^\d+$/.test(text)) return { offset: offset(text) };
  try {
    return { time_ms: pastMoment(text) };
  } catch {
    throw new InvalidArgumentError("Expected an entry, as 1200, or a time, as 14:05.");
  }
}

const REDUCED = rows`
    <room>  a room with a reducer ${room}
    ${TENANT}`;

/** The tenant of the data to erase or export. */
const OF_TENANT = rows`
    --tenant <id>  the tenant ${tenant} ${{ is: DEV_TENANT }}`;

/** The options of every command that erases. */
const ERASING = rows`
    --dry-run  say only what stands where
    --yes  do not ask
    --json  print the answer as JSON`;

/** The note of every command that erases. */
const ERASED =
  "First it lists the affected data, and asks; --dry-run stops there. A second later no Shield" +
  " serves it, and a client that returns from before it is told erased. Needs a token of role admin.";

const whose = "tenant,user,room,offset";

/** The action of a command that erases, or with `--dry-run` only lists the data. */
const erases = either(
  "dryRun",
  asks({ route: `GET /v1/data?${whose}`, text: from(data, "foundText") }),
  asks({
    route: "POST /v1/data/erase",
    body: `${whose},all,through`,
    given: (given) => ({
      ...given,
      all: given["user"] === undefined && given["room"] === undefined ? true : undefined,
    }),
    before: from(data, "showFound"),
    confirm: from(data, "lossQuestion"),
    text: from(data, "erasedText"),
    code: from(data, "erasedExit"),
  }),
);

/** The action of a command that exports, or with `--dry-run` only lists the data. */
const exports = (name: "userExport" | "tenantExport") =>
  either(
    "dryRun",
    asks({ route: `GET /v1/data?${whose}`, text: from(data, "exportText") }),
    calls(data, name),
  );

/** The commands of `arq room` for the past of rooms. */
export const ROOM_HISTORY: readonly Definition[] = [
  command`room history: print a durable room's messages, and its position on stderr ${BUS}
    <room>  the room ${room}
    --after <offset>  what comes after this offset ${offset}
    --before <offset>  what comes before this offset ${offset}
    --epoch <epoch>  of these two; refuse a room that began anew since ${epoch}
    --limit <n>  so many at most (default: 100) ${count}
    --reverse  the newest first
    --all  everything that is kept ${{ without: "limit" }}
    --json  one JSON object a line, with offset and epoch

    Messages have the form that arq sub gives them.
    $ arq room history orders --reverse --limit 10
    $ arq room history orders --after 1200 --json | jq .data
    $ arq room history orders --all > orders.ndjson`(calls(roomHistory, "roomHistory")),
  command`room replay: publish a durable room's messages again, into another room ${BUS}
    <room>  the room to read ${room}
    --to <room>  the room that gets it ${room} ${NEEDED}
    --from <offset>  begin after this offset (default: with the oldest message) ${offset}
    --epoch <epoch>  of --from; refuse a room that began anew since ${epoch}
    --until <offset>  the last one (default: where the room stands now) ${offset}
    ${PACE}
    --json  print the result as JSON

    Type, data, content type, schema and the publisher's headers stay; sender and time are new.
    Each message has a message_id made of its place: into a durable room, what is replayed twice
    within two minutes is stored once. When it stops it says how to go on.
    $ arq room replay orders --to orders-copy --rate 500/s
    $ arq room replay orders --to orders-copy --from 1200 --until 3400`(
    calls(roomHistory, "roomReplay"),
  ),
  command`room at: print the values that a room with a reducer had at an entry, or at a time ${BUS}
    ${REDUCED}
    --offset <n>  after this entry of its log; 0: before the first ${offset} ${{ without: "time" }}
    --time <time>  then: 14:05, 2026-11-22T14:05:00Z, by the room's clock ${pastMoment}
    --prefix <text>  only values whose keys begin with this
    --json  print one JSON object, with digests and timers

    Without --offset and --time: after the last entry. The room's log and programs are read from
    the bus with a token of role admin, and folded on this machine. Exit code 1 when the log does
    not reach back so far.
    $ arq room at auction-1
    $ arq room at auction-1 --offset 1200 --prefix bids/
    $ arq room at auction-1 --time 14:05 --json | jq .values`(calls(roomFolds, "roomAt")),
  command`room diff: print which values of a room with a reducer differ between two entries ${BUS}
    ${REDUCED}
    --from <offset>  after this entry of its log; 0: before the first ${offset} ${NEEDED}
    --to <offset>  after this entry (default: the last) ${offset}
    --prefix <text>  only values whose keys begin with this
    --json  print one JSON object

    Lines begin with + for what came, - for what went, ~ for what is another value. Token and
    exit codes are those of arq room at.
    $ arq room diff auction-1 --from 1200 --to 1300`(calls(roomFolds, "roomDiff")),
  command`room verify: fold the log of a room with a reducer again and compare the bus's digests ${BUS}
    ${REDUCED}
    --json  print the result as JSON

    From the first entry, or where the log does not reach back so far, from the oldest snapshot.
    Each entry is applied by the program that it was applied by, which the bus has kept. It needs
    a token of role admin. Exit code 1 when something differs, and it says which entry; also when
    the log cannot be folded.
    $ arq room verify auction-1
    $ arq room verify auction-1 --tenant acme --json`(calls(roomFolds, "roomVerify")),
  command`room fork: create a room with the past of another one, up to an entry or a time ${BUS}
    ${REDUCED}
    --to <room>  the room that begins; nobody has called it yet ${room} ${NEEDED}
    --at <place>  an entry of the log, or a time as 14:05 by the room's clock (default: the last entry)
      ${entryOrTime}
    --no-timers  nothing that the other room has scheduled runs in this one
    --json  print the answer as JSON

    Both rooms have one reducer. The new one remembers ids of calls, as the other one did, and its
    first entry is the next one. The other room is not changed by anything that happens there. It
    needs a token of role admin.
    $ arq room fork auction-1 --to auction-1-again --at 1200
    $ arq room fork auction-1 --to what-if --at 14:05 --no-timers`(asks({
    route: `POST ${ROOM}/fork`,
    body: "to,offset,time_ms,with_timers=timers",
    given: ({ at, ...given }) => ({ ...given, ...at }),
    text: sentence(({ offset }, { room, to, timers }) =>
      `${to} begins behind entry ${offset} of ${room}${timers ? "" : ", without its timers"}`
    ),
  })),
  command`room trim: remove the past of a durable room; with a reducer: its log up to a snapshot, and older snapshots ${BUS}
    <room>  a durable room ${room}
    ${TENANT}
    --before <offset>  as far as this entry (default: all that it can go on without) ${offset}
    --yes  do not ask
    --json  print the answer as JSON

    Of a room without a reducer the messages go, or those up to --before; whoever returns from before
    them receives a GAP (history-trimmed). With a reducer, what the room is stays: without --before
    it is stored whole now, and nothing of its log is left that has a call in it; with --before, the
    past goes as far as the last snapshot that is not behind that entry. Events that were published
    are messages of the room, and stay. It needs a token of role admin.
    $ arq room trim auction-1 --yes
    $ arq room trim auction-1 --before 120000`(asks({
    route: `POST ${ROOM}/trim`,
    body: "before",
    confirm({ room, before }) {
      const which = before === undefined ? "All of" : `Up to entry ${before}`;
      return `${which} the past of ${room} will be lost permanently. Remove it?`;
    },
    text: sentence(({ offset, messages, snapshots }, { room, before }) =>
      offset === 0
        ? `${room}: there is nothing up to ${
          before === undefined ? "now" : `entry ${before}`
        } that can go, so nothing was removed`
        : `${room}: its past begins behind entry ${offset} now; ${messages} messages of its log and ` +
          `${snapshots} snapshots were removed`
    ),
  })),
  command`room repair: reopen a room with a reducer that is refused because entries of its log are lost ${BUS}
    ${REDUCED}
    --accept-loss  what is lost may be lost; nothing is done without it
    --json  print the answer as JSON

    It goes on from the newest state that snapshots and log still make, as if the lost entries had
    changed nothing, and says which those are. Their numbers are not used again, nor are their
    events told again. A room that has lost nothing is left as it is. It needs a token of role
    admin.
    $ arq room repair auction-1 --accept-loss`(asks({
    route: `POST ${ROOM}/repair`,
    body: "accept_loss",
    given(given) {
      if (given["acceptLoss"] === true) return given;
      throw usageError(
        `${given["room"]} continues from its latest snapshot, and the lost entries stay lost`,
        "confirm with --accept-loss",
      );
    },
    text: sentence(({ lost, offset, from_snapshot }, { room }) => {
      if (lost !== null) {
        return `${room} goes on as it was after entry ${from_snapshot}; entries ${lost.from} to ` +
          `${lost.to} are lost`;
      }
      return offset === undefined
        ? `${room} has lost nothing, and is unchanged`
        : `${room} goes on behind entry ${offset}; no entry is lost`;
    }),
  })),
  command`room erase: erase a room with its companion rooms, or one message of it ${BUS}
    <room>  the room ${room}
    ${OF_TENANT}
    ${ERASING}
    --offset <n>  this message alone ${offset}
    --through  in a log that an older ArqonBus made: with all that stands before it

    ${ERASED}
    $ arq room erase orders --offset 41
    $ arq room erase orders --tenant acme --yes`(erases),
];

const FILE = rows`
    --dry-run  say only what stands where, and what else has it ${{ implies: { out: "-" } }}
    --out <file>  the new file, of one JSON object a line; - is stdout ${NEEDED}
    --json  say how many lines were written as JSON`;

/** `arq user` */
export const USER: readonly Definition[] = [
  group`user: what the bus keeps of a user: export, erase`,
  command`user export: write what the bus keeps of a user into a file ${BUS}
    <user>  the user's id
    ${OF_TENANT}
    ${FILE}
    --room <id>  of this room alone ${room}

    $ arq user export ann --tenant acme --dry-run
    $ arq user export ann --tenant acme --out ann.ndjson`(exports("userExport")),
  command`user erase: erase what the bus keeps of a user ${BUS}
    <user>  the user's id
    ${OF_TENANT}
    ${ERASING}
    --room <id>  of this room alone ${room}
    --through  in logs that an older ArqonBus made: with all that stands before it in a room

    ${ERASED}
    $ arq user erase ann --tenant acme --dry-run
    $ arq user erase ann --tenant acme`(erases),
];

/** `arq tenant` */
export const TENANTS: readonly Definition[] = [
  group`tenant: what the bus keeps of a tenant: export, delete`,
  command`tenant export: write what the bus keeps of a tenant into a file ${BUS}
    <tenant>  the tenant ${tenant}
    ${FILE}

    $ arq tenant export acme --dry-run
    $ arq tenant export acme --out acme.ndjson`(exports("tenantExport")),
  command`tenant delete: erase everything that the bus stores about a tenant ${BUS}
    <tenant>  the tenant ${tenant}
    ${ERASING}

    ${ERASED}
    Nobody may use it meanwhile: take the tenant's tokens first, or it comes into being again.
    $ arq tenant delete acme --dry-run
    $ arq tenant delete acme --yes`(erases),
];
