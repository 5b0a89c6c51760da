/**
 * `arq schema check --traffic`: checks a candidate of a schema against real traffic, on this machine: messages stored
 * in durable rooms, and in a journal.
 */
import { plural } from "../../../shared/plural.ts";
import { reservedRoom } from "../../../shared/rooms/reserved.ts";
import { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { isRoomPattern } from "@arqon/proto";
import type { Connection, Message } from "@arqon/sdk";
import { above, count, time } from "../../answers/figures.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { openConnection } from "../../bus/target.ts";
import { CommandError, EXIT, failed, printable, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { createProgress, type Progress } from "../../terminal/screen.ts";
import { Lanes, THREADS } from "../../replay/lanes.ts";
import { type TrafficEvent, trafficOf, type TrafficTally } from "../../traffic/schema_checker.ts";
import type { TrafficMail, TrafficNews } from "../../traffic/schema_thread.ts";
import type { Flags } from "../../program/flags.ts";
import { historyPages, patient, storedIn } from "../../rooms/history.ts";
import { fileChunks } from "../../replay/bus_replay.ts";
import { type JournalChunk, openEndText } from "../../replay/journal_chunks.ts";
import { plain } from "../../replay/tally.ts";
import { linesText } from "../../terminal/columns.ts";
import { storedRooms } from "../../bus/stored_rooms.ts";

interface RoomsWish {
  readonly tenant: string;
  readonly prefix: string;
  readonly most: number;
}

/** Rooms whose log has messages, by name. Throws a `CommandError` when there are more than `most`. */
async function roomsWith(
  admin: Admin,
  { tenant, prefix, most }: RoomsWish,
): Promise<readonly string[]> {
  const rooms: string[] = [];
  for await (const page of storedRooms(admin, { tenant, prefix })) {
    rooms.push(...page.rooms);
    if (rooms.length > most) {
      throw failed(
        `more than ${most} rooms begin with ${JSON.stringify(prefix)}`,
        "a longer prefix matches fewer",
      );
    }
  }
  return rooms;
}

function eventOf(room: string, message: Message): TrafficEvent {
  const { sender, timestamp_ms, offset, content_type, data } = message;
  const about = { room, sender, time_ms: timestamp_ms, offset: Number(offset), id: null };
  return { ...about, content_type, data, was_refused: false };
}

/** Yields the events that a room's log has now, oldest first, not before `from_ms`. */
async function* storedEvents(
  io: Io,
  connection: Pick<Connection, "room">,
  room_id: string,
  { from_ms = 0, until_ms = Infinity }: { readonly from_ms?: number; readonly until_ms?: number },
): AsyncGenerator<{ readonly events: readonly TrafficEvent[] }> {
  let end: number | undefined;
  for await (
    const page of historyPages(patient(storedIn(connection.room(room_id)), io), { total: Infinity })
  ) {
    // Later messages are not waited for.
    end ??= Number(page.offset);
    const last = end;
    // What a room's reducer publishes has no sender, and no schema judges it.
    const events = page.messages
      .filter((one) => one.signal === undefined && one.sender !== "" && Number(one.offset) <= last)
      .map((one) => eventOf(room_id, one))
      .filter(({ time_ms }) => time_ms >= from_ms && time_ms < until_ms);
    if (events.length > 0) yield { events };
    if (Number(page.messages.at(-1)?.offset ?? last) >= last) return;
    io.signal.throwIfAborted();
  }
}

/** Most rooms that a pattern may name. */
const ROOMS_MAX = 10_000;

const SUBJECT_OF_ALL = (tenant: string) => `in.t.${tenant}.*`;

/** The mappings to check: one for all rooms when the command line names a message, else the tenant's. */
async function mappingsOf(
  io: Io,
  id: string,
  { tenant, message, unknown = "allow", ...flags }: Flags<"tenant" | "traffic">,
): Promise<readonly SchemaMapping[]> {
  if (message !== undefined) {
    const subject = SUBJECT_OF_ALL(tenant);
    return [{ subject, schema_id: id, message, mode: "enforce", unknown_fields: unknown }];
  }
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/mappings`;
  const answer = await (await findAdmin(io, flags)).get(path);
  const parsed = SchemaMapping.array().safeParse(answer["mappings"]);
  const mappings = parsed.success ? parsed.data : [];
  if (mappings.some(({ schema_id }) => schema_id === id)) return mappings;
  throw failed(
    `tenant ${tenant} maps nothing to ${id}`,
    "--message names the type of all messages of this traffic",
  );
}

/** The room, or the rooms of a pattern that store messages. */
async function roomsOf(
  io: Io,
  { tenant, traffic, ...flags }: Flags<"tenant" | "traffic">,
): Promise<string[]> {
  if (!traffic.endsWith("*")) return [traffic];
  const wish = { tenant, prefix: traffic.slice(0, -1), most: ROOMS_MAX };
  const rooms = await roomsWith(await findAdmin(io, flags), wish);
  // What the bus itself keeps beside rooms has no schema, and no pattern matches it.
  return rooms.filter((room_id) => reservedRoom(room_id) === undefined);
}

/** Traffic in pieces: lines of a journal, or events of rooms. */
type TrafficPiece =
  | JournalChunk
  | { readonly events: readonly TrafficEvent[] };

async function* storedPieces(
  io: Io,
  connection: Pick<Connection, "room">,
  read: string[],
  window: { readonly from_ms?: number },
  flags: Flags<"tenant" | "traffic">,
): AsyncGenerator<TrafficPiece> {
  for (const room of await roomsOf(io, flags)) {
    try {
      yield* storedEvents(io, connection, room, window);
      read.push(room);
    } catch (error) {
      // Only some rooms of a pattern are durable.
      const reason = (error as { readonly reason?: unknown }).reason;
      if (reason !== "not-durable" || !flags.traffic.endsWith("*")) throw error;
    }
  }
}

/** Checks pieces in threads, until the signal. Throws a `CommandError` when the candidate cannot be used. */
async function checkTraffic(
  io: Io,
  pieces: AsyncIterable<TrafficPiece>,
  first: TrafficMail,
  bar: Progress,
): Promise<TrafficTally> {
  const lanes = new Lanes<TrafficMail, TrafficNews, TrafficTally>({
    threads: THREADS,
    start: (number) =>
      new Worker(new URL("../../traffic/schema_thread.ts", import.meta.url), {
        type: "module",
        name: `traffic-${number}`,
        deno: { permissions: "none" },
      }),
    first,
    last: { kind: "finish" },
    receive(lane, news) {
      if (news.kind === "ready") return lane.ready();
      if (news.kind === "tally") return lane.finish(news.tally);
      if (news.kind === "done") return lane.done(news.checked);
      lanes.fail(new CommandError(`the candidate: ${news.problem}`));
    },
    signal: io.signal,
    onProgress: (checked) => bar.update(checked),
  });
  return trafficOf(
    await lanes.run(pieces, (lane, piece) => {
      if ("bytes" in piece) lane.post({ kind: "lines", ...piece }, [piece.bytes.buffer]);
      else lane.post({ kind: "events", ...piece });
    }),
  );
}

/**
 * Checks traffic and prints what the candidate would refuse. Returns 1 when it would refuse an event, or when too many
 * events lack their payload.
 */
export async function schemaTraffic(
  io: Io,
  source: string,
  set: Uint8Array,
  id: string,
  flags: Flags<"tenant" | "traffic">,
): Promise<number> {
  const { tenant, traffic, journal, since, maxUnknown = 0, json = false } = flags;
  if (!isRoomPattern(traffic)) {
    throw usageError(
      `--traffic ${JSON.stringify(traffic)} is neither a room nor a prefix of one with *`,
    );
  }
  const mappings = await mappingsOf(io, id, flags);
  const rooms: string[] = [];
  await using connection = journal === undefined ? await openConnection(io, flags) : undefined;
  // A file is read with the local clock, the only one known.
  const now_ms = connection?.welcome.server_time_ms ?? io.now();
  const window = since === undefined ? {} : { from_ms: now_ms - since * 1_000 };
  const pieces = connection === undefined
    ? await fileChunks(io, journal as string)
    : storedPieces(io, connection, rooms, window, flags);
  const bar = await createProgress(io);
  try {
    const candidate = { tenant, schema_id: id, set, mappings };
    const selection = { tenant, room: traffic, ...window };
    const tally = await checkTraffic(io, pieces, { kind: "start", candidate, selection }, bar);
    bar.stop();
    const interrupted = io.signal.aborted;
    const about = { source, against: id, traffic, rooms, journal: tally.journal, interrupted };
    const answer: TrafficAnswer = { ...about, ...plain(tally) };
    await print(io.stdout, json ? `${JSON.stringify(answer)}\n` : trafficText(answer));
    io.signal.throwIfAborted();
    if (tally.checked === 0) throw nothingChecked(answer);
    if (tally.refused > 0) return EXIT.failure;
    const { no_payload, journal: { bad_lines, first_bad } } = tally;
    if (no_payload + bad_lines <= maxUnknown) return EXIT.ok;
    const lines = first_bad === null
      ? ""
      : ` and ${plural(bad_lines, "bad line")} (line ${first_bad.line}: ${first_bad.problem})`;
    const events = `${plural(no_payload, "event")} without a payload${lines} could not be checked`;
    throw new CommandError(`${events}: more than --max-unknown ${maxUnknown}`);
  } finally {
    bar.stop();
  }
}

function nothingChecked({ traffic, unmapped, no_payload, journal }: TrafficAnswer): CommandError {
  const { first_bad } = journal;
  const bad = first_bad === null ? [] : [`line ${first_bad.line}: ${first_bad.problem}`];
  const why = [
    ...bad,
    ...(journal.outside === 0
      ? []
      : [`${plural(journal.outside, "record")} of other rooms, times or tenants`]),
    ...(unmapped === 0 ? [] : [`${plural(unmapped, "event")} of rooms without a mapping`]),
    ...(no_payload === 0 ? [] : [`${plural(no_payload, "event")} without a payload`]),
  ];
  const rest = why.length === 0 ? "" : `; ${why.join(", ")}`;
  const hint = journal.outside === 0 ? undefined : "--tenant selects the records";
  return failed(`there was nothing to check in ${traffic}${rest}`, hint);
}

/** The result of a check of traffic. */
interface TrafficAnswer extends ReturnType<typeof plain<TrafficTally>> {
  readonly source: string;
  readonly against: string;
  readonly traffic: string;
  /** Durable rooms that were read. */
  readonly rooms: readonly string[];
  readonly interrupted: boolean;
}

const SHOWN = 20;

function countLines(title: string, counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort(([, one], [, other]) => other - one);
  if (sorted.length === 0) return "";
  const lines = sorted.slice(0, SHOWN).map(([name, number]) =>
    `  ${count(number).padStart(9)}  ${name}`
  );
  if (sorted.length > SHOWN) lines.push(`             … and ${sorted.length - SHOWN} more`);
  return linesText([title, ...lines]);
}

function eventLines({ events, refused }: TrafficAnswer): string {
  if (events.length === 0) return "";
  const shown = events.slice(0, SHOWN);
  const lines = shown.map(({ room, sender, offset, id, time_ms, text }) => {
    const place = offset === null ? id ?? "" : `offset ${offset}`;
    const who = sender ?? "(erased)";
    return `  ${time(time_ms)}  ${room} ${place} ${who}  ${text}`;
  });
  const of = shown.length < refused ? `${shown.length} of ${count(refused)}` : count(refused);
  return linesText([`refused (${of}; --json has more)`, ...lines]);
}

function leftOut({ unmapped, no_payload, journal }: TrafficAnswer): string {
  const parts = [
    above(unmapped, `${count(unmapped)} of rooms that are not mapped to it`),
    above(no_payload, `${count(no_payload)} without a payload`),
    above(
      journal.outside,
      `${count(journal.outside)} outside of the tenant, the rooms or the time`,
    ),
    above(journal.holes, `${count(journal.holes)} holes in the journal`),
    above(
      journal.bad_lines,
      `${
        count(journal.bad_lines)
      } bad lines (line ${journal.first_bad?.line}: ${journal.first_bad?.problem})`,
    ),
    openEndText(journal.answers),
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : `  not checked: ${parts.join(", ")}\n`;
}

/** The text of `arq schema check --traffic`. */
function trafficText(answer: TrafficAnswer): string {
  const { source, against, traffic, checked, refused, refused_before, allowed_now } = answer;
  const before = above(refused_before, `, ${count(refused_before)} of them then, too`);
  const now = above(allowed_now, `; ${count(allowed_now)} refused then would pass`);
  const head =
    `${source} as ${against} on ${traffic}: ${count(refused)} of ${count(checked)} events ` +
    `would be refused${before}${now}`;
  return [
    `${printable(head)}${answer.interrupted ? "; INTERRUPTED: incomplete result" : ""}\n`,
    leftOut(answer),
    countLines("by field and rule", answer.by_rule),
    countLines("by sender", answer.by_sender),
    countLines("by room", answer.by_room),
    eventLines(answer),
  ].join("");
}
