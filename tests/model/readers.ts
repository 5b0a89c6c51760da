/** The ways to receive a row's messages. Each reader reports at the end what it has received, in order. */
import { connect } from "@arqon/sdk";
import { deltaSocket } from "@arqon/sdk/delta";
import { replay } from "@arqon/sdk/history";
import { proof } from "@arqon/sdk/proof";
import { insist, seen } from "../../shared/testing/until.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { EventReader } from "../peers/event_reader.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { proxied } from "../harness/tcp_proxy.ts";
import { vkeyOf } from "../proof/served.ts";
import type { Row } from "./factors.ts";
import { lostOf, othersOf, type ReceivedMessage } from "./model.ts";
import { filesOf } from "./proofs.ts";
import { centrifugo, centrifugoBack, pusher } from "./protocol_readers.ts";
import {
  checkReturn,
  dispose,
  hasFirst,
  isEnd,
  isRoomUpdate,
  type Reader,
  type Seat,
  type TextMessage,
  upToEnd,
} from "./reading.ts";
import { send } from "../peers/own_connections.ts";

async function textClient({ bus, tenant, user }: Seat): Promise<DurableClient> {
  return await DurableClient.open(bus.url, await bus.tokenFor({ tenant, user }));
}

const textsOnly = (items: readonly unknown[]): ReceivedMessage[] =>
  items.map((one) => ({ text: JSON.stringify(one) }));

/** A SUB of the text form; `more` are additional members. */
async function text(seat: Seat, more: object = {}): Promise<Reader> {
  const client = await textClient(seat);
  await client.join(seat.room, more);
  return {
    receive: (got) => upToEnd(() => client.next(), got),
    [Symbol.asyncDispose]: dispose(client),
  };
}

/** Subscribes a second time, which delivers nothing twice. */
async function resub(seat: Seat): Promise<Reader> {
  const client = await textClient(seat);
  await client.join(seat.room);
  return {
    async half() {
      const { code } = await client.ask({ op: "sub", room: seat.room });
      if (code !== 0) throw new Error(`its second SUB: ${code}`);
    },
    receive: (got) => upToEnd(() => client.next(), got),
    [Symbol.asyncDispose]: dispose(client),
  };
}

interface SdkOptions {
  readonly is_delta?: boolean;
  readonly from_start?: boolean;
  readonly filter?: string;
  readonly transport?: "websocket" | "http";
  /** Each message is held against the room's transparency log. */
  readonly verify?: boolean;
}

/** The SDK, which speaks the binary form. */
async function sdk(
  seat: Seat,
  { is_delta = false, from_start = false, filter, transport = "websocket", verify }: SdkOptions,
): Promise<Reader> {
  const { bus, tenant, user, room } = seat;
  const token = await bus.tokenFor({ tenant, user });
  const vkeys = verify ? [await vkeyOf(await filesOf(seat))] : [];
  const connection = await connect({
    url: bus.url,
    token,
    transport,
    ...(is_delta ? { webSocket: deltaSocket() } : {}),
    ...(verify ? { proof: proof({ vkeys }) } : {}),
  });
  const options = {
    ...(from_start ? { begin: replay({ from: "start" }) } : {}),
    ...(filter === undefined ? {} : { filter }),
    ...(verify ? { verify } : {}),
  };
  const open = () => connection.room(room).subscribe(options);
  const messages = from_start ? undefined : open();
  await messages?.ready;
  return {
    async receive(got) {
      for await (const message of messages ?? open()) {
        const { signal, content_type, sender, message_id, type, trace_id } = message;
        if (isRoomUpdate(type)) continue;
        const text = signal !== undefined
          ? `signal ${JSON.stringify({ ...signal })}`
          : JSON.stringify(content_type.startsWith("text/") ? message.text() : message.json());
        if (isEnd(text)) break;
        const offset = Number(message.offset);
        const more = { offset, sender, message_id, type, trace_id };
        got.push(signal === undefined ? { text, ...more } : { text });
      }
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

/** Its diffs are relative to the messages that it has, while another reader has those that its filter removes. */
async function deltaFilter(seat: Seat): Promise<Reader> {
  const other = await sdk({ ...seat, user: `${seat.user}-other` }, { is_delta: true });
  const reader = await sdk(seat, { is_delta: true, filter: filterOf(seat.row) });
  return {
    receive: (got) => reader.receive(got),
    async [Symbol.asyncDispose]() {
      await reader[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
}

async function nextEvent(reader: EventReader): Promise<TextMessage> {
  const event = await reader.next();
  if (event === undefined) throw new Error("the events ended");
  if (event.name === "message") return event.data;
  return { signal: `${event.name} ${JSON.stringify(event.data)}` };
}

async function events({ bus, tenant, user, room }: Seat): Promise<Reader> {
  const token = await bus.tokenFor({ tenant, user });
  const reader = await EventReader.open(`${bus.http_url}/v1/rooms/${room}/events`, { token });
  await reader.until("subscribed");
  return {
    receive: (got) => upToEnd(() => nextEvent(reader), got),
    [Symbol.asyncDispose]: dispose(reader),
  };
}

/** With a ticket of another Shield, if there is one, which is valid once. docs/sse.md, "Pages". */
async function ticket({ bus, entry, tenant, user, room }: Seat): Promise<Reader> {
  const peer = new HttpPeer(entry.http_url, await entry.tokenFor({ tenant, user }));
  const { body } = await peer.call("POST", "tickets", { rooms: [room] });
  const query = new URLSearchParams({ room, ticket: body.ticket });
  const reader = await EventReader.open(`${bus.http_url}/v1/events?${query}`);
  await reader.until("subscribed");
  const again = await EventReader.open(`${entry.http_url}/v1/events?${query}`).then(
    () => "taken",
    ({ message }: Error) => message,
  );
  if (again !== "401 ticket-invalid") throw new Error(`its ticket, a second time: ${again}`);
  return {
    receive: (got) => upToEnd(() => nextEvent(reader), got),
    [Symbol.asyncDispose]: dispose(reader),
  };
}

/** Disconnects after half of the messages, with the position of the first one, and reconnects with its id. */
async function eventsBack({ bus, tenant, user, room, row }: Seat): Promise<Reader> {
  const token = await bus.tokenFor({ tenant, user });
  const url = `${bus.http_url}/v1/rooms/${room}/events`;
  let reader = await EventReader.open(url, { token });
  await reader.until("subscribed");
  const first: TextMessage[] = [];
  const next = () => first.length > 0 ? Promise.resolve(first.shift()!) : nextEvent(reader);
  return {
    async half() {
      if (!hasFirst(row)) return;
      const { id, data } = await reader.until("message");
      first.push(data);
      reader[Symbol.dispose]();
      reader = await EventReader.open(url, { token, headers: { "last-event-id": id } });
      checkReturn(row, "first", (await reader.until("subscribed")).data);
      // docs/sse.md: "Otherwise it has `"recovered":false` with a reason, an event `gap` follows".
      if (lostOf(row, "first") !== "") await reader.until("gap");
    },
    receive: (got) => upToEnd(next, got),
    [Symbol.asyncDispose]: () => dispose(reader)(),
  };
}

/** Connects after half of the messages: receives from then on, or after the first accepted one. */
function later(seat: Seat, is_after: boolean): Reader {
  let client: DurableClient | undefined;
  return {
    async half({ offset, epoch }) {
      client = await textClient(seat);
      const result = await client.join(seat.room, is_after ? { after_offset: offset, epoch } : {});
      if (is_after) checkReturn(seat.row, "first", result);
    },
    receive: (got) => upToEnd(() => client!.next(), got),
    [Symbol.asyncDispose]: () => dispose(client)(),
  };
}

async function history({ bus, tenant, user, room }: Seat): Promise<Reader> {
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ tenant, user }));
  return {
    async receive(got) {
      const { body } = await peer.get(`rooms/${room}/messages?limit=1000`);
      const { messages } = body.result ?? body;
      await upToEnd(() => Promise.resolve(messages.shift()), got);
    },
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

/** The room as a stream, created by a backend: its URL, and the reader's headers. */
async function makeStream({ bus, tenant, user, room }: Seat) {
  const maker = await bus.tokenFor({ tenant, user: "maker", role: "service" });
  const url = `${bus.http_url}/v1/streams/${room}`;
  const type = { "content-type": "application/json" };
  const made = await send(url, maker, "PUT", undefined, type);
  await made.body?.cancel();
  if (!made.ok) throw new Error(`the stream is not made: ${made.status}`);
  return { url, headers: { authorization: `Bearer ${await bus.tokenFor({ tenant, user })}` } };
}

/** Reads the stream from its beginning, after all messages. */
async function stream(seat: Seat): Promise<Reader> {
  const { url, headers } = await makeStream(seat);
  return {
    async receive(got) {
      for (let offset = "-1";;) {
        const response = await fetch(`${url}?offset=${offset}`, { headers });
        const items = await response.json() as unknown[];
        got.push(...textsOnly(items).filter(({ text }) => !isEnd(text)));
        offset = response.headers.get("stream-next-offset") ?? "";
        if (items.length === 0 || response.headers.has("stream-up-to-date")) break;
      }
    },
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

/**
 * Waits for the stream's messages with long-polls, from its creation on. docs/streams.md: "the place where a stream was
 * created" shows "the oldest messages that are kept".
 */
async function poll(seat: Seat): Promise<Reader> {
  const { url, headers } = await makeStream(seat);
  const now = await fetch(`${url}?offset=now`, { headers });
  await now.body?.cancel();
  let offset = now.headers.get("stream-next-offset") ?? "";
  return {
    async receive(got) {
      for (;;) {
        const response = await fetch(`${url}?offset=${offset}&live=long-poll`, { headers });
        const items = response.status === 204 ? [] : await response.json() as unknown[];
        offset = response.headers.get("stream-next-offset") ?? "";
        for (const one of textsOnly(items)) {
          if (isEnd(one.text)) return;
          got.push(one);
        }
      }
    },
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

/** The publisher itself, without echo: it receives the end, which another client sends. */
async function echo({ own, room }: Seat): Promise<Reader> {
  if (own === undefined) throw new TypeError("the source has no connection of its own");
  await own.join(room, { no_echo: true });
  return {
    receive: (got) => upToEnd(() => own.next(), got),
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

async function refused({ bus, tenant, user, room }: Seat): Promise<Reader> {
  const claims = { grants: [{ room: "elsewhere", actions: ["subscribe", "publish"] }] };
  const client = await DurableClient.open(bus.url, await bus.tokenFor({ tenant, user, claims }));
  const { code, reason } = await client.sub(room);
  if (`${code} ${reason}` !== "403 not-granted") throw new Error(`its SUB: ${code} ${reason}`);
  return {
    async receive(got) {
      // Anything before this answer would have arrived already.
      await client.ask({ op: "sub", room: "elsewhere" });
      got.push(...textsOnly(client.waiting));
    },
    [Symbol.asyncDispose]: dispose(client),
  };
}

async function stranger(seat: Seat): Promise<Reader> {
  const tenant = `${seat.tenant}-other`;
  const client = await textClient({ ...seat, tenant });
  await client.join(seat.room);
  const { bus, room } = seat;
  return {
    async receive(got) {
      const token = await bus.tokenFor({ tenant, user: "backend", role: "service" });
      await new HttpPeer(bus.http_url, token).done("POST", `rooms/${room}/messages`, {
        type: "end",
        data: { k: "end" },
      });
      await upToEnd(() => client.next(), got);
    },
    [Symbol.asyncDispose]: dispose(client),
  };
}

/** Requests everything since the beginning, of which the log may have removed something, after half of the messages. */
function trimmed(seat: Seat): Reader {
  let client: DurableClient | undefined;
  return {
    async half({ epoch }) {
      client = await textClient(seat);
      // docs/protocol.md: that is the beginning of the epoch.
      const place = { epoch, after_offset: 0 };
      checkReturn(seat.row, "start", await client.join(seat.room, place));
    },
    receive: (got) => upToEnd(() => client!.next(), got),
    [Symbol.asyncDispose]: () => dispose(client)(),
  };
}

/** More than the sockets of this machine buffer. */
const FILL_MAX = 1_000;
const FILL_CHARACTERS = 60_000;

/** Reads nothing from before the first message until all were published. */
async function slow(seat: Seat): Promise<Reader> {
  const { bus, admin, tenant, user, room } = seat;
  const fill_room = "fill-1";
  const { proxy, url } = proxied(bus);
  const client = await DurableClient.open(url, await bus.tokenFor({ tenant, user }));
  await client.join(fill_room);
  await client.join(room);
  proxy.pause();
  const token = await bus.tokenFor({ tenant, user: "backend", role: "service" });
  const backend = new HttpPeer(bus.http_url, token);
  // No gate refuses data with this beginning.
  const data = "y".repeat(FILL_CHARACTERS);
  const isFull = async () => {
    // A Shield that has no time to answer omits its connections.
    const { connections } = await seen(
      "its connection is told",
      () => admin.read(`/v1/connections?tenant=${tenant}&user=${user}`),
      ({ connections }) => connections.length > 0,
    );
    return connections[0].unsent_bytes > 0;
  };
  for (let sent = 0, full = 0; full < 3; sent++) {
    if (sent === FILL_MAX) throw new Error("its socket takes everything");
    await backend.done("POST", `rooms/${fill_room}/messages`, { type: "fill", data });
    full = await isFull() ? full + 1 : 0;
  }
  const next = async () => {
    for (;;) {
      const message = await client.next();
      if (message.room !== fill_room) return message;
    }
  };
  return {
    async receive(got) {
      proxy.resume();
      await upToEnd(next, got);
    },
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** The user who joins and leaves a room before its first message, for the member of that name. */
export const guestOf = (user: string) => `${user}-guest`;

/**
 * docs/errors.md, 503 `presence-unavailable`: on a busy machine the room's list is late, and the request is retried.
 */
const becomeMember = (client: DurableClient, { room }: Seat, more: object = {}) =>
  insist(
    "the room's list is there",
    () => client.join(room, { presence: true, ...more }),
    (error) => String(error).includes("presence-unavailable"),
  );

/** A guest joins and leaves; the member must be notified of both, and of its own status. */
async function receive(seat: Seat, client: DurableClient): Promise<void> {
  const user = guestOf(seat.user);
  const meta = { of: seat.user };
  const memberIn = async (type: string) => {
    for (;;) {
      const message = await client.next();
      const { members = [] } = message.data as { members?: { user_id: string; meta: unknown }[] };
      const mine = members.find(({ user_id }) => user_id === user);
      if (message.type === type && mine !== undefined) return mine;
    }
  };
  const guest = await textClient({ ...seat, user });
  await becomeMember(guest, seat, { member_meta: meta });
  const shown = JSON.stringify((await memberIn("PRESENCE_UPDATE")).meta);
  if (shown !== JSON.stringify(meta)) throw new Error(`the guest's metadata: ${shown}`);
  guest[Symbol.dispose]();
  await memberIn("PRESENCE_LEAVE");
}

/** A member, which is notified of itself and others, too: those are not the room's messages. */
async function member(seat: Seat): Promise<Reader> {
  const client = await textClient(seat);
  await becomeMember(client, seat);
  await receive(seat, client);
  const next = async () => {
    for (;;) {
      const message = await client.next();
      if (!message.type?.startsWith("PRESENCE_")) return message;
    }
  };
  return { receive: (got) => upToEnd(next, got), [Symbol.asyncDispose]: dispose(client) };
}

/** Also receives another room, which gets a message from it, the first one there, after half of the row's messages. */
async function pattern(seat: Seat): Promise<Reader> {
  const { bus, tenant, room, row } = seat;
  const before = room.slice(0, -1);
  const other = `${before}pattern`;
  const client = await textClient(seat);
  await client.join(`${before}*`);
  let others = 0;
  const next = async () => {
    for (;;) {
      const message = await client.next();
      if (message.room !== other) return message;
      others++;
    }
  };
  return {
    async half() {
      const token = await bus.tokenFor({ tenant, user: "backend", role: "service" });
      const message = { type: "other", data: { k: "pattern" } };
      await new HttpPeer(bus.http_url, token).done("POST", `rooms/${other}/messages`, message);
    },
    async receive(got) {
      await upToEnd(next, got);
      // The order of two rooms is unspecified.
      for (; others < othersOf(row); others++) {
        const message = await client.next();
        if (message.room !== other) throw new Error(`behind the end: ${JSON.stringify(message)}`);
      }
    },
    [Symbol.asyncDispose]: dispose(client),
  };
}

/**
 * A pattern with positions, which reconnects after its first message: docs/protocol.md, "Positions of a pattern". Other
 * rooms of the pattern are not the row's.
 */
async function positions(seat: Seat): Promise<Reader> {
  const { room, row } = seat;
  let client = await textClient(seat);
  const join = (positions: object) => client.join(`${room.slice(0, -1)}*`, { positions });
  const first = await join({});
  const got: TextMessage[] = [];
  const next = async () => {
    for (;;) {
      const message = await client.next();
      if (message.room === room) return message;
    }
  };
  return {
    async half(place) {
      if (!hasFirst(row)) return;
      const one = await next();
      got.push(one);
      client[Symbol.dispose]();
      client = await textClient(seat);
      // "Empty while no room is durable"; "A room's own epoch is accepted, too".
      const epoch = first.epoch || place.epoch;
      const { positions } = await join({ [epoch]: { [room]: one.offset } });
      checkReturn(row, "first", positions[room]);
    },
    receive: (all) => upToEnd(() => got.length > 0 ? Promise.resolve(got.shift()!) : next(), all),
    [Symbol.asyncDispose]: () => dispose(client)(),
  };
}

/** Opens a reader of that kind. */
export function openReader(kind: Row["first"], seat: Seat): Promise<Reader> {
  const { row } = seat;
  switch (kind) {
    case "text":
      return text(seat);
    case "binary":
      return sdk(seat, {});
    case "filter":
      return text(seat, { filter: filterOf(row) });
    case "delta_filter":
      return deltaFilter(seat);
    case "pattern":
      return pattern(seat);
    case "events":
      return events(seat);
    case "events_back":
      return eventsBack(seat);
    case "delta":
      return sdk(seat, { is_delta: true });
    case "late":
      return Promise.resolve(later(seat, false));
    case "after":
      return Promise.resolve(later(seat, true));
    case "trimmed":
      return Promise.resolve(trimmed(seat));
    case "start":
      return sdk(seat, { from_start: true });
    case "history":
      return history(seat);
    case "stream":
      return stream(seat);
    case "poll":
      return poll(seat);
    case "resub":
      return resub(seat);
    case "session":
      return sdk(seat, { transport: "http" });
    case "slow":
      return slow(seat);
    case "member":
      return member(seat);
    case "pusher":
      return pusher(seat);
    case "centrifugo":
      return centrifugo(seat);
    case "centrifugo_back":
      return centrifugoBack(seat);
    case "positions":
      return positions(seat);
    case "ticket":
      return ticket(seat);
    case "verified":
      // With deltas where the room has them: its log has the hash of what the diffs restore.
      return sdk(seat, { verify: true, is_delta: seat.row.delta === "fossil" });
    case "echo":
      return echo(seat);
    case "refused":
      return refused(seat);
    case "stranger":
      return stranger(seat);
  }
}

/** Accepts every second message, in its form after the policies: a, c, e … */
function filterOf({ shape, gate }: Row): string {
  const letters = '["a", "c", "e", "g", "i"]';
  if (shape === "words") {
    return `type == "end" || ${letters}.exists(one, data.startsWith(one))`;
  }
  const value = gate === "schema" || gate === "schema_policy"
    ? "7"
    : gate === "replace"
    ? '"*"'
    : '"7"';
  return `type == "end" || data.k in ${letters} && data.v == ${value}`;
}
