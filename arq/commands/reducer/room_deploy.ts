/**
 * `arq room deploy`, `rollback` and `programs`: deploys another module to a class of rooms, after a rehearsal on its
 * rooms' recent commands; rolls back; and shows what is in force. Rooms adopt the module automatically.
 */
import { z } from "zod";
import { ArqonError } from "@arqon/proto";
import { createReducer } from "../../../brain/reducers/guest/reducer_guest.ts";
import { ROOM_BOUNDS } from "../../../brain/reducers/state/room_state.ts";
import { reducedRoomOf } from "../../../shared/rooms/reserved.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { plural } from "../../../shared/plural.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";
import { schemaOf } from "../../../wasm/reducer/schema/room_schema.ts";
import { MIGRATE_EXPORT } from "../../../wasm/reducer/room_abi.ts";
import { table } from "../../answers/policy_text.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { requireModule, unlessRefused } from "../../policies/module_file.ts";
import {
  type Candidate,
  type ForbiddenCalls,
  type Rehearsal,
  rehearse,
} from "../../reducers/rehearsal.ts";
import { openReduced } from "../../rooms/reduced_source.ts";
import { readInput, sure } from "../../terminal/input.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import { foldable } from "./room_at.ts";
import type { Flags } from "../../program/flags.ts";
import { time } from "../../answers/figures.ts";
import { storedRooms } from "../../bus/stored_rooms.ts";

const Deployed = z.looseObject({ module: z.string(), at_ms: z.int(), by: z.string() });
const Reducer = z.looseObject({
  class: z.string(),
  reducer: z.string(),
  number: z.int(),
  current: Deployed,
  before: z.array(Deployed),
  modules: z.array(z.string()).default([]),
  limits: z.looseObject({
    fuel_limit: z.int(),
    memory_limit_pages: z.int(),
    values: z.int(),
    state_bytes: z.int(),
    events: z.int(),
    event_bytes: z.int(),
    timers: z.int(),
  }),
});
const CutOff = z.looseObject({
  rooms: z.array(z.looseObject({
    room_id: z.string(),
    module: z.string(),
    since_ms: z.number(),
    until_ms: z.number(),
    fault: z.looseObject({ entry: z.number(), reason: z.string(), detail: z.string() }),
  })),
  total: z.int(),
  nodes: z.looseObject({ silent: z.array(z.string()) }),
});

/** The deployment of a class. */
type ReducerView = z.output<typeof Reducer>;

const One = z.looseObject({ reducer: Reducer });
const pathOf = ({ tenant }: Flags<"tenant">, pattern = "") =>
  `/v1/tenants/${tenant}/reducers${pattern && `/${encodeURIComponent(pattern)}`}`;

const Room = z.looseObject({
  class: z.string(),
  module: z.string().nullable(),
  refused: z.looseObject({ deploy: z.int() }).nullable(),
});

/** A room's class may have lost its reducer, and the log of the room is still stored. */
function whenNoReducer(error: unknown): undefined {
  if (!(error instanceof ArqonError) || error.reason !== "not-found") throw error;
}

/** The rooms of the class whose logs have entries, and the record that each stores with its newest snapshot. */
async function* roomsOf(admin: Admin, { tenant }: Flags<"tenant">, pattern: string): AsyncGenerator<
  Pick<z.output<typeof Room>, "module" | "refused"> & { readonly room_id: string }
> {
  const prefix = pattern.replace(/\*$/, "");
  for await (const { rooms } of storedRooms(admin, { tenant, prefix })) {
    for (const name of rooms) {
      const room_id = reducedRoomOf(name);
      if (room_id === undefined) continue;
      const own = `/v1/rooms/${tenant}/${encodeURIComponent(room_id)}/reducer`;
      const found = await admin.get(own).then((answer) => admin.as(Room, answer), whenNoReducer);
      // A room with a longer matching pattern belongs to another class.
      if (found?.class === pattern) {
        yield { room_id, module: found.module, refused: found.refused };
      }
    }
  }
}

async function candidateOf(
  file: string,
  bytes: Uint8Array,
  { limits }: ReducerView,
): Promise<Candidate> {
  const { fuel_limit, memory_limit_pages, values: keys, ...own } = limits;
  const { state_bytes, events, event_bytes, timers } = own;
  return await unlessRefused(file, async () => {
    const metered = meterReducer(bytes, memory_limit_pages);
    const compiled = await WebAssembly.compile(metered.bytes);
    const bounds = { ...ROOM_BOUNDS, keys, state_bytes, events, event_bytes, timers };
    const migrates = WebAssembly.Module.exports(compiled)
      .some(({ name }) => name === MIGRATE_EXPORT);
    const guest = createReducer(compiled, metered, fuel_limit);
    return { guest, bounds, migrates, schema: schemaOf(bytes) };
  }, null);
}

/** Rehearses the module on every room. Returns how much differs. */
async function check(
  admin: Admin,
  candidate: Candidate & { readonly module: string },
  pattern: string,
  flags: Flags<"check" | "checkSince" | "maxDifferences" | "tenant">,
): Promise<{ readonly rooms: number; readonly entries: number; readonly differences: number }> {
  const since_ms = await admin.ago(flags.checkSince);
  let rooms = 0, entries = 0, differences = 0;
  for await (const { room_id, module } of roomsOf(admin, flags, pattern)) {
    admin.io.signal.throwIfAborted();
    const source = await openReduced(admin, room_id, flags);
    const migrates = candidate.migrates && module !== candidate.module;
    const found = await foldable(() => rehearse(source, { ...candidate, migrates }, since_ms));
    rooms++;
    entries += found.entries;
    const counted = found.differing + found.forbidden;
    const others = found.refused !== "" || found.values_differ === true && counted === 0;
    differences += counted + (others ? 1 : 0);
    await print(admin.io.stdout, rehearsalLine(room_id, found, flags.json === true));
  }
  return { rooms, entries, differences };
}

/** Deploys a module. Returns 6 when it differs in more entries than allowed. */
export async function roomDeploy(
  io: Io,
  pattern: string,
  file: string,
  flags: Flags<"check" | "checkSince" | "maxDifferences" | "tenant">,
): Promise<Ended> {
  requireModule(file);
  const body = await readInput(io, file);
  const admin = await findAdmin(io, flags);
  const path = pathOf(flags, pattern);
  const { reducer: before } = admin.as(One, await admin.get(path));
  const candidate = await candidateOf(file, body, before);
  const json = flags.json === true;
  if (flags.check) {
    const own = { ...candidate, module: await sha256Hex(body) };
    const { rooms, entries, differences } = await check(admin, own, pattern, flags);
    const many = `${plural(rooms, "room")}, ${plural(entries, "entry", "entries")}, ` +
      `${plural(differences, "difference")}`;
    const counts = { checked: { rooms, entries, differences } };
    await print(io.stdout, json ? `${JSON.stringify(counts)}\n` : `${many}\n`);
    if (differences > flags.maxDifferences) {
      await note(io, "nothing was deployed; --max-differences allows more");
      return EXIT.flips;
    }
  }
  if (flags.dryRun === true) return EXIT.ok;
  if (flags.yes !== true) {
    const question = printable(`Make ${file} the program of all rooms ${pattern}?`);
    if (!await sure(io, question)) return EXIT.failure;
  }
  const content_type = "application/wasm";
  const at = `${path}?number=${before.number}`;
  const made = await admin.ask({ method: "PUT", path: at, body, content_type });
  const { reducer } = admin.as(One, made);
  return { json: { reducer }, text: programsText([reducer]) };
}

/** A room that has another module than its class. */
interface RoomBehind {
  readonly room_id: string;
  /** Hex SHA-256; "": unknown. */
  readonly module: string;
  /** Whether the class's module could not migrate it. */
  readonly is_refused: boolean;
}

/** Rooms whose stored record names another module than the class. */
async function roomsBehind(
  admin: Admin,
  flags: Flags<"tenant">,
  { class: pattern, number, current }: ReducerView,
): Promise<RoomBehind[]> {
  const behind: RoomBehind[] = [];
  for await (const { room_id, module, refused } of roomsOf(admin, flags, pattern)) {
    const is_refused = refused?.deploy === number;
    // Only Brains know the module of the configuration's file.
    const is_other = current.module !== "" && module !== null && module !== current.module;
    if (is_refused || is_other) behind.push({ room_id, module: module ?? "", is_refused });
  }
  return behind;
}

/** Deployments are known without a Brain; then the rooms that are cut off are missing, and a line says so. */
function whenNoBrain(error: unknown): z.infer<typeof CutOff> {
  if (!(error instanceof ArqonError) || error.reason !== "brain-unavailable") throw error;
  return { rooms: [], total: 0, nodes: { silent: ["any Brain"] } };
}

/** Prints the deployments in force, and the rooms that are cut off. */
export async function roomPrograms(io: Io, flags: Flags<"tenant">): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const All = z.looseObject({ reducers: z.array(Reducer) });
  const { reducers } = admin.as(All, await admin.get(pathOf(flags)));
  const none = `tenant ${flags.tenant} has no class of rooms with a reducer\n`;
  const shown = [];
  for (const one of reducers) {
    shown.push(flags.rooms ? { ...one, rooms: await roomsBehind(admin, flags, one) } : one);
  }
  const path = `/v1/tenants/${flags.tenant}/rooms/cut-off`;
  const { rooms: cut_off, total, nodes } = await admin.get(path)
    .then((answer) => admin.as(CutOff, answer), whenNoBrain);
  const text = reducers.length === 0 ? none : programsText(shown) + cutOffText(cut_off);
  await print(io.stdout, flags.json ? `${JSON.stringify({ reducers: shown, cut_off })}\n` : text);
  if (total > cut_off.length) {
    await note(io, `${total} rooms are cut off, of which ${cut_off.length} are shown`);
  }
  if (nodes.silent.length > 0) {
    const silent = printable(nodes.silent.join(", "));
    await note(io, `rooms that are cut off there are missing: no answer from ${silent}`);
  }
}

/** The deployment of a class; `rooms`: those that have another module, if they were requested. */
type Shown = ReducerView & { readonly rooms?: readonly RoomBehind[] };

/** Digits of a module's hash that are shown. */
const HASH_DIGITS = 16;

function outcomeText({ kind, code, reason }: { kind: string; code: number; reason: string }) {
  return kind === "applied" ? kind : `${kind} ${code} ${reason}`.trim();
}

/** The line of a rehearsal: the outcome of applying a module to one room. */
function rehearsalLine(room_id: string, found: Rehearsal, json: boolean): string {
  if (json) return `${JSON.stringify({ room: room_id, ...found, first: found.first ?? null })}\n`;
  const { entries, refused, forbidden } = found;
  const many = plural(entries, "entry", "entries");
  if (refused !== "") return `${printable(`${room_id}: it cannot migrate the room: ${refused}`)}\n`;
  const differs = differenceOf(found, many);
  if (forbidden === 0) return `${printable(`${room_id}: ${differs ?? `${many}, the same`}`)}\n`;
  const calls = `${forbidden} of ${many} are calls that its schema FORBIDS`;
  const lines = found.forbidden_calls.map(forbiddenText);
  if (found.forbidden_others > 0) lines.push(`and ${found.forbidden_others} for other reasons`);
  const text = [differs === undefined ? calls : `${calls}, and ${differs}`, ...lines];
  return `${room_id}: ${text.map(printable).join("\n  ")}\n`;
}

function forbiddenText({ command, code, reason, entries, first }: ForbiddenCalls): string {
  const many = entries === 1 ? `entry ${first}` : `${entries} entries, the first ${first}`;
  return `${many}: ${command} was applied, would be refused ${code} ${reason}`;
}

/** The difference that a module makes in a room, in words; undefined: none. */
function differenceOf(
  { differing, first, values_differ, forbidden }: Rehearsal,
  many: string,
): string | undefined {
  if (first !== undefined) {
    const { offset, asked: command, parts, then, now } = first;
    const how = `${command} was ${outcomeText(then)}, would be ${outcomeText(now)} ${now.detail}`;
    return `${differing} of ${many} DIFFER, first entry ${offset} in ${parts.join(", ")}: ${how}`
      .trimEnd();
  }
  // Forbidden commands leave no values, so the values then differ as expected.
  if (values_differ === true && forbidden === 0) return `its values DIFFER after ${many}`;
  return undefined;
}

function behindLine({ room_id, module, is_refused }: RoomBehind, pattern: string): string {
  const has = module === "" ? "the previous module" : module.slice(0, HASH_DIGITS);
  const why = is_refused
    ? "the migration was refused, until something is deployed again"
    : "as stored last; its next call uses the other module";
  return `${printable(`${room_id} (${pattern}): ${has}, ${why}`)}\n`;
}

/** The deployments in force in all classes. */
function programsText(reducers: readonly Shown[]): string {
  const rows = reducers.map(({ class: pattern, reducer, number, current, before, modules }) => [
    ...[pattern, reducer, String(number)],
    current.module === "" ? "configuration" : current.module.slice(0, HASH_DIGITS),
    ...current.at_ms === 0 ? ["-", "-"] : [time(current.at_ms), current.by],
    ...[String(before.length), String(modules.length)],
  ]);
  const lines = reducers.flatMap((one) =>
    (one.rooms ?? []).map((room) => behindLine(room, one.class))
  );
  return table(["class", "reducer", "deploy", "module", "since", "by", "before", "stored"], rows) +
    lines.join("");
}

/** The deployment in force in one class. */
export const programText = ({ reducer }: { readonly reducer: Shown }): string =>
  programsText([reducer]);

/** The rooms that are cut off; empty when there are none. */
function cutOffText(rooms: z.output<typeof CutOff>["rooms"]): string {
  if (rooms.length === 0) return "";
  const rows = rooms.map(({ room_id, module, since_ms, until_ms, fault }) => [
    ...[room_id, module.slice(0, HASH_DIGITS)],
    ...[since_ms, until_ms].map(time),
    `entry ${fault.entry}: ${fault.reason} ${fault.detail}`.trimEnd(),
  ]);
  return `\n${table(["room", "module", "cut off since", "until", "last fault"], rows)}`;
}
