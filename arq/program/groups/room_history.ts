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
    --dry-run  only list the affected data
    --yes  do not ask
    --json  print the answer as JSON`;

/** The note of every command that erases. */
const ERASED =
  "First it lists the affected data, and asks; --dry-run stops there. A second later no Shield" +
  " serves it, and a client that resumes from an earlier position receives a GAP (erased). Needs a" +
  " token of role admin.";

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
    --after <offset>  only messages after this offset ${offset}
    --before <offset>  only messages before this offset ${offset}
    --epoch <epoch>  epoch of these two; refuse a room whose log has restarted since ${epoch}
    --limit <n>  the most messages (default: 100) ${count}
    --reverse  newest first
    --all  all stored messages ${{ without: "limit" }}
    --json  one JSON object a line, with offset and epoch

    Messages are printed as by arq sub.
    $ arq room history orders --reverse --limit 10
    $ arq room history orders --after 1200 --json | jq .data
    $ arq room history orders --all > orders.ndjson`(calls(roomHistory, "roomHistory")),
  command`room replay: publish a durable room's messages again, into another room ${BUS}
    <room>  the room to read ${room}
    --to <room>  the target room ${room} ${NEEDED}
    --from <offset>  begin after this offset (default: with the oldest message) ${offset}
    --epoch <epoch>  epoch of --from; refuse a room whose log has restarted since ${epoch}
    --until <offset>  the last offset (default: the room's present position) ${offset}
    ${PACE}
    --json  print the result as JSON

    Type, data, content type, schema and the publisher's headers stay; sender and time are new.
    Each message has a message_id made from its position: a durable room stores a message that is
    replayed twice within two minutes once. After a failure it prints how to continue.
    $ arq room replay orders --to orders-copy --rate 500/s
    $ arq room replay orders --to orders-copy --from 1200 --until 3400`(
    calls(roomHistory, "roomReplay"),
  ),
  command`room at: print the values of a room with a reducer at an entry, or at a time ${BUS}
    ${REDUCED}
    --offset <n>  after this entry of its log; 0: before the first ${offset} ${{ without: "time" }}
    --time <time>  at this time: 14:05, 2026-11-22T14:05:00Z, by the room's clock ${pastMoment}
    --prefix <text>  only values whose keys begin with this
    --json  print one JSON object, with digests and timers

    Without --offset and --time: after the last entry. The room's log and programs are read from the
    bus with a token of role admin, and replayed on this machine. Exit code 1 if the log does not
    reach back that far.
    $ arq room at auction-1
    $ arq room at auction-1 --offset 1200 --prefix bids/
    $ arq room at auction-1 --time 14:05 --json | jq .values`(calls(roomFolds, "roomAt")),
  command`room diff: print the values of a room with a reducer that differ between two entries ${BUS}
    ${REDUCED}
    --from <offset>  after this entry of its log; 0: before the first ${offset} ${NEEDED}
    --to <offset>  after this entry (default: the last) ${offset}
    --prefix <text>  only values whose keys begin with this
    --json  print one JSON object

    Lines begin with + for a new value, - for a deleted one, ~ for a changed one. Token and exit
    codes are those of arq room at.
    $ arq room diff auction-1 --from 1200 --to 1300`(calls(roomFolds, "roomDiff")),
  command`room verify: replay the log of a room with a reducer and compare the bus's digests ${BUS}
    ${REDUCED}
    --json  print the result as JSON

    It begins at the first entry, or if that was trimmed, at the oldest snapshot. Each entry is
    applied by its original program, which the bus has stored. It needs a token of role admin. Exit
    code 1 if an entry differs, which it names; also if the log cannot be replayed.
    $ arq room verify auction-1
    $ arq room verify auction-1 --tenant acme --json`(calls(roomFolds, "roomVerify")),
  command`room fork: create a room with the past of another one, up to an entry or a time ${BUS}
    ${REDUCED}
    --to <room>  the new room, without any call so far ${room} ${NEEDED}
    --at <place>  an entry of the log, or a time as 14:05 by the room's clock (default: the last entry)
      ${entryOrTime}
    --no-timers  do not copy the timers of the other room
    --json  print the answer as JSON

    Both rooms have the same reducer. The new one has the call ids of the other one, and its first
    entry has the next number. Later changes do not affect the other room. It needs a token of role
    admin.
    $ arq room fork auction-1 --to auction-1-again --at 1200
    $ arq room fork auction-1 --to what-if --at 14:05 --no-timers`(asks({
    route: `POST ${ROOM}/fork`,
    body: "to,offset,time_ms,with_timers=timers",
    given: ({ at, ...given }) => ({ ...given, ...at }),
    text: sentence(({ offset }, { room, to, timers }) =>
      `${to} begins after entry ${offset} of ${room}${timers ? "" : ", without its timers"}`
    ),
  })),
  command`room trim: remove the past of a durable room; with a reducer: its log up to a snapshot, and older snapshots ${BUS}
    <room>  a durable room ${room}
    ${TENANT}
    --before <offset>  up to this entry (default: everything that is not needed) ${offset}
    --yes  do not ask
    --json  print the answer as JSON

    Without a reducer it deletes the room's messages, or those up to --before; clients that resume
    from an earlier position receive a GAP (history-trimmed). With a reducer the room's state stays:
    without --before it is stored as a snapshot now, and all calls are removed from the log; with
    --before, the log is removed up to the last snapshot that is not after that entry. Published
    events are messages of the room, and stay. It needs a token of role admin.
    $ arq room trim auction-1 --yes
    $ arq room trim auction-1 --before 120000`(asks({
    route: `POST ${ROOM}/trim`,
    body: "before",
    confirm({ room, before }) {
      const which = before === undefined ? "All of" : `Up to entry ${before}`;
      return `${which} the past of ${room} will be lost permanently. Remove it?`;
    },
    text: sentence(({ offset, messages, snapshots }, { room, before }) => {
      const up_to = before === undefined ? "now" : `entry ${before}`;
      return offset === 0
        ? `${room}: there is nothing up to ${up_to} that can go, so nothing was removed`
        : `${room}: its past now begins after entry ${offset}; ${messages} messages of its log and ` +
          `${snapshots} snapshots were removed`;
    }),
  })),
  command`room repair: reopen a room with a reducer that is refused because entries of its log are lost ${BUS}
    ${REDUCED}
    --accept-loss  accept the loss; required
    --json  print the answer as JSON

    It continues from the newest state that snapshots and log can restore, as if the lost entries
    had changed nothing, and prints those entries. Their numbers are not reused, and their events
    are not published again. A room without a loss stays unchanged. It needs a token of role admin.
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
        return `${room} continues from its state after entry ${from_snapshot}; entries ${lost.from} to ` +
          `${lost.to} are lost`;
      }
      return offset === undefined
        ? `${room} has lost nothing, and is unchanged`
        : `${room} continues after entry ${offset}; no entry is lost`;
    }),
  })),
  command`room erase: erase a room with its companion rooms, or one message of it ${BUS}
    <room>  the room ${room}
    ${OF_TENANT}
    ${ERASING}
    --offset <n>  only this message ${offset}
    --through  in a log of an older ArqonBus: also everything before it

    ${ERASED}
    $ arq room erase orders --offset 41
    $ arq room erase orders --tenant acme --yes`(erases),
];

const FILE = rows`
    --dry-run  only list the stored data, and other places that have it ${{ implies: { out: "-" } }}
    --out <file>  the new file, one JSON object a line; - is stdout ${NEEDED}
    --json  print the number of lines as JSON`;

/** `arq user` */
export const USER: readonly Definition[] = [
  group`user: the stored data of a user: export, erase`,
  command`user export: write the stored data of a user into a file ${BUS}
    <user>  the user's id
    ${OF_TENANT}
    ${FILE}
    --room <id>  only in this room ${room}

    $ arq user export ann --tenant acme --dry-run
    $ arq user export ann --tenant acme --out ann.ndjson`(exports("userExport")),
  command`user erase: erase the stored data of a user ${BUS}
    <user>  the user's id
    ${OF_TENANT}
    ${ERASING}
    --room <id>  only in this room ${room}
    --through  in logs of an older ArqonBus: also everything before it in a room

    ${ERASED}
    $ arq user erase ann --tenant acme --dry-run
    $ arq user erase ann --tenant acme`(erases),
];

/** `arq tenant` */
export const TENANTS: readonly Definition[] = [
  group`tenant: the stored data of a tenant: export, delete`,
  command`tenant export: write the stored data of a tenant into a file ${BUS}
    <tenant>  the tenant ${tenant}
    ${FILE}

    $ arq tenant export acme --dry-run
    $ arq tenant export acme --out acme.ndjson`(exports("tenantExport")),
  command`tenant delete: erase everything that the bus stores about a tenant ${BUS}
    <tenant>  the tenant ${tenant}
    ${ERASING}

    ${ERASED}
    Revoke the tenant's tokens first: any use of the tenant meanwhile creates data again.
    $ arq tenant delete acme --dry-run
    $ arq tenant delete acme --yes`(erases),
];
