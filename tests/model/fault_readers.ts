/**
 * Readers of a room that reconnect by themselves, from their position if the room has positions, and record what they
 * receive.
 */
import { connect } from "@arqon/sdk";
import { deltaSocket } from "@arqon/sdk/delta";
import { pace } from "../../shared/testing/pace.ts";
import { becomes, until } from "../../shared/testing/until.ts";
import { DurableClient, type Received } from "../peers/durable_client.ts";
import { EventReader } from "../peers/event_reader.ts";
import type { Row } from "./factors.ts";
import type { Item } from "./fault_model.ts";
import type { ReceivedMessage } from "./model.ts";
import { openReader } from "./readers.ts";
import { isRoomUpdate, type Place as LogPlace, type Seat } from "./reading.ts";
import { send } from "../peers/own_connections.ts";

/** The pause before a reader retries, in ms. */
const RETRY_MS = 50;
const END_MS = 60_000;

/** Data that is published until all readers have received it; without digits, which a policy masks. */
const probeOf = (probe: number) => ({
  k: `probe ${String(probe).replace(/\d/g, (digit) => "abcdefghij"[Number(digit)]!)}`,
});
/** Whether it is a probe's data, as JSON. */
export const isProbe = (text: string): boolean => text.startsWith('{"k":"probe ');
/** The number of probes so far: a log delivers the older ones again. */
let probes = 0;
const END_TEXT = '{"k":"end"}';

/** What a reader has received so far. */
export class Record {
  readonly items: Item[] = [];
  /** When messages arrived, including probes and the end, Unix ms. */
  readonly times_ms: number[] = [];
  readonly probes = new Set<string>();
  is_over = false;
  is_left = false;

  text(text: string, offset = 0): void {
    this.times_ms.push(Date.now());
    if (isProbe(text)) this.probes.add(text);
    else if (text === END_TEXT) this.is_over = true;
    else this.items.push(offset > 0 ? { text, offset } : { text });
  }
}

/** A reader that reads from the beginning. */
export interface LiveReader extends AsyncDisposable {
  readonly record: Record;
  /** Resolves with everything up to the end. */
  received(): Promise<readonly Item[]>;
  /** Ends its connection, as a network does; absent: it has no connection of its own. */
  readonly cut?: () => void;
}

/**
 * Runs `once` repeatedly, which calls `isThere` once it receives the room's messages; its errors are lost connections.
 */
async function follow(
  once: (record: Record, isThere: () => void) => Promise<void>,
  leave: () => void,
): Promise<LiveReader> {
  const record = new Record();
  const there = Promise.withResolvers<void>();
  let was_there = false;
  const isThere = () => {
    was_there = true;
    there.resolve();
  };
  const running = (async () => {
    while (!record.is_left) {
      try {
        await once(record, isThere);
      } catch (error) {
        if (!was_there) {
          // The caller handles a reader that cannot begin.
          record.is_left = true;
          there.reject(error);
        }
      }
      if (!record.is_left) await pace(RETRY_MS);
    }
  })();
  await there.promise;
  return {
    record,
    cut: leave,
    async received() {
      await becomes(() => record.is_over, END_MS);
      return record.items;
    },
    async [Symbol.asyncDispose]() {
      record.is_left = true;
      leave();
      await running;
    },
  };
}

/** Where a reader continues; empty: with new messages. */
export interface Place {
  readonly after_offset?: number;
  readonly epoch?: string;
}

/** A SUB of a room in the text form; `place` is where it begins. */
async function text(seat: Seat, more: object, place: Place = {}): Promise<LiveReader> {
  let client: DurableClient | undefined;
  let is_back = false;
  return await follow(async (record, isThere) => {
    using _opened = client = await openClient(seat);
    const { code, reason, result } = await client.sub(seat.room, { ...more, ...place });
    if (code !== 0) throw new Error(`its SUB: ${code} ${reason}`);
    const { epoch, offset, recovered } = result ?? {};
    if (is_back && recovered === undefined) record.items.push({ again: true });
    if (recovered === false) record.items.push({ gap: result.reason });
    if (epoch !== undefined && recovered !== true) place = { after_offset: offset, epoch };
    is_back = true;
    isThere();
    await receive(client, record, ({ offset = 0 }) => {
      if (offset > 0) place = { after_offset: offset, epoch };
    });
  }, () => client?.raw.socket.close());
}

async function openClient({ bus, tenant, user }: Seat): Promise<DurableClient> {
  return await DurableClient.open(bus.url, await bus.tokenFor({ tenant, user }));
}

async function receive(
  client: DurableClient,
  record: Record,
  onMessage: (message: Received) => void,
) {
  while (!record.is_left) {
    const message = await client.next();
    // A client that only receives continues; docs/outages.md: the connection is closed at the end of the window.
    if (message.signal?.kind === "DRAIN") continue;
    if (message.signal !== undefined) record.items.push({ gap: message.signal.reason });
    else if (!isRoomUpdate(message.type)) record.text(JSON.stringify(message.data), message.offset);
    onMessage(message);
  }
}

/** A SUB of a pattern, with positions. docs/protocol.md, "Positions of a pattern". */
async function pattern(seat: Seat): Promise<LiveReader> {
  let client: DurableClient | undefined;
  let epoch = "";
  let offset = 0;
  let is_back = false;
  return await follow(async (record, isThere) => {
    using _opened = client = await openClient(seat);
    const positions = offset === 0 ? {} : { [epoch]: { [seat.room]: offset } };
    const room = `${seat.room.slice(0, -1)}*`;
    const { code, reason, result } = await client.sub(room, { positions });
    if (code !== 0) throw new Error(`its SUB: ${code} ${reason}`);
    const own = result.positions[seat.room];
    if (is_back && own === undefined) record.items.push({ again: true });
    if (own?.recovered === false) record.items.push({ gap: own.reason });
    epoch = result.epoch;
    is_back = true;
    isThere();
    await receive(client, record, (message) => {
      if (message.offset !== undefined) offset = message.offset;
    });
  }, () => client?.raw.socket.close());
}

/** The SDK, which reconnects automatically: its iteration returns a GAP where something may be missing. */
async function sdk(
  { bus, tenant, user, room }: Seat,
  { is_delta = false, transport = "websocket" as "websocket" | "http" },
): Promise<LiveReader> {
  const record = new Record();
  const connection = await connect({
    url: bus.url,
    token: await bus.tokenFor({ tenant, user }),
    transport,
    backoff: { base_ms: RETRY_MS, max_ms: 1_000 },
    ...(is_delta ? { webSocket: deltaSocket() } : {}),
  });
  const messages = connection.room(room).subscribe();
  await messages.ready;
  const running = (async () => {
    for await (const message of messages) {
      if (message.signal !== undefined) record.items.push({ gap: message.signal.reason });
      else if (!isRoomUpdate(message.type)) {
        record.text(JSON.stringify(message.json()), Number(message.offset));
      }
    }
  })();
  running.catch((error) => record.items.push({ text: String(error) }));
  return {
    record,
    async received() {
      await becomes(() => record.is_over, END_MS);
      return record.items;
    },
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]();
      await running.catch(() => {});
    },
  };
}

/** Server-sent events, with `Last-Event-ID`. docs/sse.md, "Without a gap". */
async function events({ bus, tenant, user, room }: Seat): Promise<LiveReader> {
  let reader: EventReader | undefined;
  let last = "";
  let is_back = false;
  return await follow(async (record, isThere) => {
    const token = await bus.tokenFor({ tenant, user });
    const headers = last === "" ? {} : { "last-event-id": last };
    const url = `${bus.http_url}/v1/rooms/${room}/events`;
    using _opened = reader = await EventReader.open(url, { token, headers });
    // docs/protocol.md, SUB: "From the ACK on" it gets everything; what arrives before that belongs to this connection,
    // too.
    const begun = record.items.length;
    for (;;) {
      const event = await reader.next();
      if (event === undefined || record.is_left) return;
      if (event.id !== "") last = event.id;
      if (event.name === "subscribed") {
        if (is_back && event.data.recovered !== true) {
          record.items.splice(begun, 0, { again: true });
        }
        is_back = true;
        isThere();
      } else if (event.name === "gap") record.items.push({ gap: event.data.signal.reason });
      else if (event.name === "message" && !isRoomUpdate(event.data.type)) {
        record.text(JSON.stringify(event.data.data));
      }
    }
  }, () => reader?.[Symbol.dispose]());
}

/** Long-polls of the room as a stream: each request has the offset of the previous answer. */
async function poll({ bus, tenant, user, room }: Seat): Promise<LiveReader> {
  const maker = await bus.tokenFor({ tenant, user: "maker", role: "service" });
  const url = `${bus.http_url}/v1/streams/${room}`;
  const type = { "content-type": "application/json" };
  const made = await send(url, maker, "PUT", undefined, type);
  await made.body?.cancel();
  const headers = { authorization: `Bearer ${await bus.tokenFor({ tenant, user })}` };
  let leave = new AbortController();
  let offset = "now";
  return await follow(async (record, isThere) => {
    leave = new AbortController();
    for (let is_first = offset === "now"; !record.is_left; is_first = false) {
      const how = is_first ? "" : "&live=long-poll";
      const response = await fetch(`${url}?offset=${offset}${how}`, {
        headers,
        signal: leave.signal,
      });
      const text = await response.text();
      if (response.status === 410) record.items.push({ gap: "410" });
      if (!response.ok) throw new Error(`${response.status} ${text}`);
      const items = response.status === 204 || text === "" ? [] : JSON.parse(text) as unknown[];
      for (const one of items) record.text(JSON.stringify(one));
      offset = response.headers.get("stream-next-offset") ?? offset;
      isThere();
    }
  }, () => leave.abort());
}

/**
 * Opens a reader of that kind that reads during the fault; undefined: it reads afterwards. A `text` begins at the
 * place.
 */
export function openLive(
  kind: Row["first"],
  seat: Seat,
  place: Place = {},
): Promise<LiveReader> | undefined {
  switch (kind) {
    case "text":
      return text(seat, {}, place);
    case "filter":
      return text(seat, { filter: 'type == "end" || data.k in ["a", "c", "e", "g", "i"]' });
    case "pattern":
      return pattern(seat);
    case "binary":
      return sdk(seat, {});
    case "delta":
      return sdk(seat, { is_delta: true });
    case "session":
      return sdk(seat, { transport: "http" });
    case "events":
      return events(seat);
    case "poll":
      return poll(seat);
    default:
      return undefined;
  }
}

/** A reader that connects afterwards, after the offset if it takes one. */
export async function openLate(kind: Row["first"], seat: Seat, first: LogPlace) {
  const reader = await openReader(kind, seat);
  await reader.half?.(first);
  return {
    async received(): Promise<Item[]> {
      const got: ReceivedMessage[] = [];
      await reader.receive(got);
      return got.map(({ text, offset }) => ({ text, offset })).filter(({ text }) => !isProbe(text));
    },
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

/** Publishes until each of the readers has received a message published from now on. */
export async function allReceive(
  readers: readonly LiveReader[],
  publish: (data: object) => Promise<unknown>,
): Promise<void> {
  const data = probeOf(probes++);
  const text = JSON.stringify(data);
  const silent = () => readers.filter(({ record }) => !record.probes.has(text)).length;
  await until(() => `${silent()} of ${readers.length} readers hear nothing`, async () => {
    if (silent() === 0) return true;
    await publish(data);
    return await becomes(() => silent() === 0, 500);
  });
}
