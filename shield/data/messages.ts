/**
 * Messages of durable rooms, and what is beside rooms in the same log: who came and went, messages that grew, values.
 * A user's are those that the user sent and, in rooms of the bus's own, those that name the user.
 */
import { Buffer } from "node:buffer";
import { ArqonError, DecodeError, encodeTextMessage, readEnvelope, readRouted } from "@arqon/proto";
import type { DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import { judgedRoomOf, reservedRoom } from "../../shared/rooms/reserved.ts";
import { reducedRoomOf } from "../../shared/rooms/reducer_room.ts";
import { legible } from "../../shared/spine/contract/legible_message.ts";
import type { DataStore, Stock, StoresContext, Whose } from "./stores.ts";

const PAGE = { limit: 500, max_bytes: 4_194_304 };
const ROOMS_PAGE = 500;

interface Found {
  readonly room_id: string;
  readonly messages: readonly LogMessage[];
}

/** The rooms that are meant: with a room those beside it, too. */
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

/** Whether a message is the user's. */
function isOf({ payload }: LogMessage, room_id: string, user: string): boolean {
  if (reservedRoom(room_id) !== undefined) {
    return Buffer.from(payload.buffer, payload.byteOffset, payload.length)
      .includes(JSON.stringify(user)) || senderOf(payload) === user;
  }
  return senderOf(payload) === user;
}

function senderOf(payload: Uint8Array): string | undefined {
  try {
    return readEnvelope(legible(payload)).sender_id;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** What is meant, page by page. */
async function* find(log: DurableLog, whose: Whose): AsyncGenerator<Found> {
  const { user, offset } = whose;
  for await (const room_id of roomsOf(log, whose)) {
    let after = offset === undefined ? 0 : offset - 1;
    for (let more = true; more;) {
      const page = await log.read(room_id, { ...PAGE, after });
      const messages = page.messages.filter((one) =>
        (offset === undefined || one.offset === offset) &&
        (user === undefined || isOf(one, room_id, user))
      );
      if (messages.length > 0) yield { room_id, messages };
      after = page.messages.at(-1)?.offset ?? after;
      more = page.more && page.messages.length > 0 && (offset === undefined || after < offset);
    }
  }
}

/** Whether single messages of the room must stay: what a reducer is follows from all of them. */
const isFolded = (room_id: string, { user, offset }: Whose): boolean =>
  (user !== undefined || offset !== undefined) && reducedRoomOf(room_id) !== undefined;

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

/** Of all durable rooms. */
export function messageStore({ logs }: Pick<StoresContext, "logs">): DataStore {
  const logOf = async ({ tenant }: Whose) => logs.has(tenant) ? await logs.of(tenant) : undefined;
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
          `what reducers were asked in ${rooms}: their rooms follow from it; remove it with arq room trim`,
      };
    },
    async *lines(whose) {
      const log = await logOf(whose);
      if (log === undefined) return;
      for await (const { room_id, messages } of find(log, whose)) {
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
      return erased;
    },
  };
}
