/**
 * Everything that a bus stores about tenants and users, as one list of stores, with what each has and how it is erased.
 * `KEPT` lists exceptions, with the reason.
 */
import type { KeptBlocks } from "../capability.ts";
import type { Logs } from "../message/logs.ts";
import { hasCallsOf, namesUser } from "./user_text.ts";
import { type BucketsContext, bucketStores } from "./buckets.ts";
import { blockStore, type DataStore, isTenant, nothing, type Stock, type Whose } from "./store.ts";
import { ForgetAnswer } from "../../shared/cluster/cluster_erase.ts";
import { ArqonError, DecodeError, encodeTextMessage, readEnvelope, readRouted } from "@arqon/proto";
import type { DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import {
  judgedRoomOf,
  reducedRoomOf,
  reducerRoomOf,
  reservedRoom,
} from "../../shared/rooms/reserved.ts";
import { readable, readPage } from "../../shared/spine/contract/read_page.ts";
import type { ObjectStore, Spine } from "../../shared/spine/contract/spine.ts";
import { slice } from "../../shared/turns/slices.ts";
import { entriesOfObjects } from "../../shared/records/reducer_points.ts";
import { REDUCER_OBJECTS, REDUCERS_BUCKET } from "../../shared/records/reducer_record.ts";

/** What the stores need of the process. */
export interface StoresContext extends BucketsContext {
  readonly logs: Pick<Logs, "of" | "has">;
  readonly blocks: readonly KeptBlocks[];
}

/**
 * All stores, in the order of erasure: sources of messages before messages, dead letters after their origin. Files no
 * longer contain erased data after `Spine.scrub` has run.
 */
export function dataStores(context: StoresContext): readonly DataStore[] {
  const { blocks, asker } = context;
  const sources = bucketStores(context, true);
  const others = bucketStores(context, false);
  const reducers = others.filter(({ name }) => name === "reducers");
  const messages = messageStore(context);
  return [
    ...sources,
    messages,
    snapshotStore(context, reducers, messages),
    memoryStore(asker),
    ...others.map((one) =>
      reducers.includes(one) ? { ...one, erase: () => Promise.resolve(0) } : one
    ),
    meanwhileStore([...sources, ...others.slice(0, -1), messages]),
    // With the settings, running Shields drop a tenant's queued blocks: what killed ones have stored goes after it.
    ...blocks.map(blockStore),
  ];
}

/**
 * What was stored of a tenant between the erasure of its stores and its mark (`tenant_deletions.ts`): a Brain that
 * finds a room gone stores that it has ended.
 */
const meanwhileStore = (stores: readonly DataStore[]): DataStore => ({
  name: "stored meanwhile",
  stock: () => Promise.resolve(undefined),
  lines: nothing,
  async erase(whose, brainOf) {
    let erased = 0;
    if (!isTenant(whose)) return erased;
    for (const store of stores) erased += await store.erase(whose, brainOf);
    return erased;
  },
});

/**
 * What Shields remember of messages for operators: lines of policies, examples of mirrors, samples of rollouts. It does
 * not tell users apart, so all of the tenant's goes. Before the buckets, where Shields store samples again.
 */
const memoryStore = (asker: StoresContext["asker"]): DataStore => ({
  name: "memory of Shields",
  stock: () => Promise.resolve(undefined),
  lines: nothing,
  async erase({ tenant }) {
    // A Shield that is stopped receives it later; one that was killed has nothing left.
    await asker?.ask("forget", ForgetAnswer, { params: { tenant }, of: "shield" });
    return 0;
  },
});

/** Data that an erasure keeps, and until when; `backup_days` is from the configuration. */
export const keptBeside = (backup_days: number | undefined, now: number) => ({
  audit: "actions on the admin API stay for [audit] retention_days: they prove this erasure, too",
  "transparency logs":
    "hash, offset and time of each message stay as proof; they contain no payloads",
  backups: `${untilWhen(backup_days, now)}; a site of arq standby copies no removals and has it ` +
    "until its age; erase again after a restore or a promotion",
  mirrors:
    "buses and tools that received it from a mirror, a hook or a bridge have their own copies",
});

/** Until when files of `arq backup` contain data that is erased now. */
function untilWhen(backup_days: number | undefined, now: number): string {
  if (backup_days === undefined) {
    return "a file of arq backup has it until the file is deleted, with --keep N until N later files are made " +
      "([admin] backup_days makes this text name the day)";
  }
  const day = new Date(now + backup_days * DAY_MS).toISOString().slice(0, 10);
  return `files of arq backup have it until ${day} ([admin] backup_days = ${backup_days})`;
}

// Messages of durable rooms and of their companion rooms in the same log: presence journals, growing messages, values.
// A user's messages are those that the user sent and, in the bus's own rooms, those that name the user.

const PAGE = { limit: 500, max_bytes: 4_194_304 };
const ROOMS_PAGE = 500;
const DAY_MS = 86_400_000;
/** Messages that one slice reads. */
const A_PIECE = 16;
/** How often what came during an erasure is looked for, if there is more each time. */
const PASSES_MAX = 32;

interface Found {
  readonly room_id: string;
  readonly messages: readonly LogMessage[];
}

/** The tenant's log, also if no class of it is durable any longer; undefined: it has none. */
const storedLog = ({ logs, spine }: Pick<StoresContext, "logs" | "spine">, tenant_id: string) =>
  logs.has(tenant_id) ? logs.of(tenant_id) : spine.existingLog(tenant_id);

/** The selected rooms; a room includes its companion rooms. */
async function* roomsOf(log: DurableLog, { room, offset }: Whose): AsyncGenerator<string> {
  if (room !== undefined && offset !== undefined) return yield room;
  const prefix = room ?? "";
  for (let [after, more] = ["", true]; more;) {
    const page = await log.rooms({ prefix, after, limit: ROOMS_PAGE });
    for (const one of page.rooms) {
      if (room === undefined || one === room || judgedRoomOf(one) === room) yield one;
    }
    after = page.rooms.at(-1) ?? "";
    more = page.more && page.rooms.length > 0;
  }
}

/** Whether a message belongs to the user: sent by the user or, in the bus's own rooms, about the user. */
function isOf({ payload }: LogMessage, room_id: string, user: string): boolean {
  if (reducedRoomOf(room_id) !== undefined) return hasCallsOf(payload, user);
  const is_bus = reservedRoom(room_id) !== undefined;
  try {
    const { sender_id, event } = readEnvelope(readable(payload));
    return sender_id === user || (is_bus && namesUser(event?.data ?? payload, user));
  } catch (error) {
    if (error instanceof DecodeError) return is_bus && namesUser(payload, user);
    throw error;
  }
}

/**
 * The matching messages, page by page, including all acknowledged ones: otherwise messages that a lagging replica lacks
 * would be neither found nor erased.
 */
async function* find(log: DurableLog, whose: Whose): AsyncGenerator<Found> {
  const { tenant, user, offset } = whose;
  for await (const room_id of roomsOf(log, whose)) {
    let after = offset === undefined ? 0 : offset - 1;
    for (let more = true; more;) {
      const page = await readPage(log, room_id, { ...PAGE, after }, offset);
      const messages: LogMessage[] = [];
      for (const [at, one] of page.messages.entries()) {
        if (at % A_PIECE === 0) await slice(tenant);
        if (offset !== undefined && one.offset !== offset) continue;
        if (user === undefined || isOf(one, room_id, user)) messages.push(one);
      }
      if (messages.length > 0) yield { room_id, messages };
      after = page.messages.at(-1)?.offset ?? after;
      more = page.more && page.messages.length > 0 && (offset === undefined || after < offset);
    }
  }
}

/** Whether messages of the room must stay, as a reducer's state depends on them: they go with its room alone. */
const isFolded = (room_id: string, { user, room, offset }: Whose): boolean =>
  (user !== undefined || offset !== undefined || room === room_id) &&
  reducedRoomOf(room_id) !== undefined;

async function eraseIn(
  log: DurableLog,
  { room_id, messages }: Found,
  { through = false }: Whose,
): Promise<number> {
  const offsets = messages.map(({ offset }) => offset);
  try {
    return await log.erase(room_id, offsets);
  } catch (error) {
    if (!through || !(error instanceof ArqonError) || error.reason !== "settings-conflict") {
      throw error;
    }
  }
  const before = await log.count(room_id, 1);
  const keep = await log.count(room_id, Math.max(...offsets) + 1);
  await log.trim(room_id, keep);
  return before - keep;
}

function textOf(room_id: string, { payload, offset }: LogMessage): string {
  const head = `"store":"messages","room":${JSON.stringify(room_id)},"offset":${offset}`;
  try {
    return `{${head},"message":${encodeTextMessage({ ...readRouted(payload), offset })}}`;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return `{${head},"base64":${JSON.stringify(payload.toBase64())}}`;
  }
}

function messageStore(context: Pick<StoresContext, "logs" | "spine">): DataStore {
  const logOf = ({ tenant }: Whose) => storedLog(context, tenant);
  return {
    name: "messages",
    async stock(whose): Promise<Stock | undefined> {
      const log = await logOf(whose);
      if (log === undefined) return undefined;
      const stock = { where: log.stream, count: 0, bytes: 0 };
      const folded = new Set<string>();
      for await (const { room_id, messages } of find(log, whose)) {
        stock.count += messages.length;
        for (const { payload } of messages) stock.bytes += payload.length;
        if (isFolded(room_id, whose)) folded.add(reducedRoomOf(room_id) ?? "");
      }
      if (folded.size === 0) return stock;
      const rooms = [...folded].slice(0, 10).join(", ");
      return {
        ...stock,
        stays:
          `calls to reducers in ${rooms}, as the rooms' state depends on them; remove them with arq room trim`,
      };
    },
    async *lines(whose) {
      const log = await logOf(whose);
      if (log === undefined) return;
      for await (const { room_id, messages } of find(log, whose)) {
        // The same entries contain calls of other users.
        if (whose.user !== undefined && isFolded(room_id, whose)) continue;
        for (const message of messages) yield textOf(room_id, message);
      }
    },
    async erase(whose) {
      const log = await logOf(whose);
      if (log === undefined) return 0;
      let erased = 0;
      for await (const found of find(log, whose)) {
        if (!isFolded(found.room_id, whose)) erased += await eraseIn(log, found, whose);
      }
      if (isTenant(whose)) await log.forgetNames();
      return erased;
    },
  };
}

/** The selected rooms with reducers; a single user's share of one is unknown. */
async function reducedRooms(
  spine: Pick<Spine, "keyValue">,
  { tenant, user, room, offset }: Whose,
): Promise<string[]> {
  if (user !== undefined || offset !== undefined) return [];
  if (room !== undefined) return [room];
  const records = await spine.keyValue(REDUCERS_BUCKET, { leaves_stream: true });
  const keys = await records.keys([tenant]);
  return [...new Set(keys.map(([, room_id = ""]) => room_id))];
}

async function objectsOf(
  objects: ObjectStore,
  tenant_id: string,
  rooms: readonly string[],
): Promise<{ readonly name: string; readonly size_bytes: number }[]> {
  if (rooms.length === 0) return [];
  const stored = await objects.list();
  const entryIn = entriesOfObjects(tenant_id, rooms);
  return stored.filter(({ name }) => entryIn(name) !== undefined);
}

/**
 * Erases what Brains published between the reading of a room and its erasure. A Brain publishes the events of stored
 * calls, each after the one before, until it finds that one gone; so it ends with a pass that finds nothing. The log of
 * calls is left out, since the next life of the room has begun it.
 */
async function eraseLate(log: DurableLog, whose: Whose): Promise<void> {
  for (let pass = 0, erased = 1; pass < PASSES_MAX && erased > 0; pass++) {
    erased = 0;
    for await (const found of find(log, whose)) {
      if (reducedRoomOf(found.room_id) === undefined) erased += await eraseIn(log, found, whose);
    }
  }
}

/**
 * The snapshots of all rooms with reducers. Their records are erased with them, and also calls made while the log was
 * erased, with their events.
 */
function snapshotStore(
  { spine, logs }: Pick<StoresContext, "spine" | "logs">,
  records: readonly DataStore[],
  messages: DataStore,
): DataStore {
  const open = () => spine.objects(REDUCER_OBJECTS);
  const find = async (whose: Whose) =>
    await objectsOf(await open(), whose.tenant, await reducedRooms(spine, whose));
  return {
    name: "snapshots of reducers",
    async stock(whose) {
      const found = await find(whose);
      const bytes = found.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
      return { where: `OBJ_${REDUCER_OBJECTS}`, count: found.length, bytes };
    },
    async *lines(whose) {
      const objects = await open();
      for (const { name } of await find(whose)) {
        const base64 = (await objects.get(name) ?? new Uint8Array()).toBase64();
        yield JSON.stringify({ store: "snapshots of reducers", name, base64 });
      }
    },
    async erase(whose, brainOf) {
      const { tenant } = whose;
      const rooms = await reducedRooms(spine, whose);
      if (rooms.length === 0) return 0;
      // A Brain with the room in memory continues until both its record and its log have changed.
      let erased = 0;
      for (const store of records) erased += await store.erase(whose, brainOf);
      const objects = await open();
      const found = await objectsOf(objects, tenant, rooms);
      for (const { name } of found) await objects.delete(name);
      const log = await storedLog({ logs, spine }, tenant);
      for (const log_room_id of rooms.map(reducerRoomOf)) {
        if (log_room_id !== undefined) await log?.trim(log_room_id, 0);
      }
      if (log !== undefined && erased + found.length > 0) {
        for (const room of rooms) await eraseLate(log, { tenant, room });
      }
      await messages.erase(whose, brainOf);
      return erased + found.length;
    },
  };
}
