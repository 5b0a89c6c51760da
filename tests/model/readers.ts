/** The ways in which a row's messages are heard. Each says at the end what it has heard, in order. */
import { connect } from "@arqon/sdk";
import { deltaSocket } from "@arqon/sdk/delta";
import { replay } from "@arqon/sdk/history";
import type { TestBus } from "../harness/test_bus.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { EventReader } from "../peers/event_reader.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import type { Row } from "./factors.ts";

/** What a reader needs. */
export interface Seat {
  readonly bus: TestBus;
  readonly tenant: string;
  readonly room: string;
  /** Of the reader. */
  readonly user: string;
  readonly row: Row;
  /** The publisher's connection, for `echo`. */
  readonly own: DurableClient | undefined;
}

/** A reader of a room. */
export interface Reader extends AsyncDisposable {
  /** All up to the message that ends the row, without it: JSON of the data of each. */
  heard(): Promise<string[]>;
  /** Called when half of the messages were published, with the offset of the first that was taken. */
  half?(offset: number): Promise<void>;
  /** Called before the end is published. */
  late?(): Promise<void>;
}

const isEnd = (text: string) => text === '{"k":"end"}';
const dispose = (one: Disposable | undefined) => () => Promise.resolve(one?.[Symbol.dispose]());

async function textClient({ bus, tenant, user }: Seat): Promise<DurableClient> {
  return await DurableClient.open(bus.url, await bus.tokenFor({ tenant, user }));
}

/** Reads messages until the end comes; signals are said as such, so that a GAP is never passed over. */
async function upToEnd(
  next: () => Promise<{ data?: unknown; signal?: unknown }>,
): Promise<string[]> {
  const heard: string[] = [];
  for (;;) {
    const { data, signal } = await next();
    const text = signal === undefined ? JSON.stringify(data) : `signal ${JSON.stringify(signal)}`;
    if (isEnd(text)) return heard;
    heard.push(text);
  }
}

/** A SUB of the text form; `more` are its members, `room` another room or a pattern. */
async function text(seat: Seat, more: object = {}, room = seat.room): Promise<Reader> {
  const client = await textClient(seat);
  await client.join(room, more);
  return { heard: () => upToEnd(() => client.told()), [Symbol.asyncDispose]: dispose(client) };
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
    heard: () => upToEnd(() => client.told()),
    [Symbol.asyncDispose]: dispose(client),
  };
}

/** The SDK, which speaks the binary form. */
async function sdk(
  seat: Seat,
  { is_delta = false, from_start = false, transport = "websocket" as "websocket" | "http" },
): Promise<Reader> {
  const { bus, tenant, user, room } = seat;
  const token = await bus.tokenFor({ tenant, user });
  const connection = await connect({
    url: bus.url,
    token,
    transport,
    ...(is_delta ? { webSocket: deltaSocket() } : {}),
  });
  const options = from_start ? { begin: replay({ from: "start" }) } : {};
  const open = () => connection.room(room).subscribe(options);
  const messages = from_start ? undefined : open();
  await messages?.ready;
  return {
    async heard() {
      const heard: string[] = [];
      for await (const message of messages ?? open()) {
        const { signal, content_type } = message;
        const text = signal !== undefined
          ? `signal ${JSON.stringify({ ...signal })}`
          : content_type === "text/plain"
          ? JSON.stringify(message.text())
          : JSON.stringify(message.json());
        if (isEnd(text)) break;
        heard.push(text);
      }
      return heard;
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

async function events({ bus, tenant, user, room }: Seat): Promise<Reader> {
  const token = await bus.tokenFor({ tenant, user });
  const reader = await EventReader.open(`${bus.http_url}/v1/rooms/${room}/events`, { token });
  await reader.until("subscribed");
  const next = async () => {
    const event = await reader.next();
    if (event === undefined) throw new Error("the events ended");
    return event.name === "message"
      ? event.data
      : { signal: `${event.name} ${JSON.stringify(event.data)}` };
  };
  return { heard: () => upToEnd(next), [Symbol.asyncDispose]: dispose(reader) };
}

/** Comes when half of the messages were published: from then on, or behind the first that was taken. */
function later(seat: Seat, is_after: boolean): Reader {
  let client: DurableClient | undefined;
  return {
    async half(offset) {
      client = await textClient(seat);
      await client.join(seat.room, is_after ? { after_offset: offset } : {});
    },
    heard: () => upToEnd(() => client!.told()),
    [Symbol.asyncDispose]: () => dispose(client)(),
  };
}

async function history({ bus, tenant, user, room }: Seat): Promise<Reader> {
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ tenant, user }));
  return {
    async heard() {
      const { body } = await peer.call("GET", `rooms/${room}/messages?limit=1000`);
      const page = body.result ?? body;
      const texts = page.messages.map(({ data }: { data: unknown }) => JSON.stringify(data));
      return texts.filter((text: string) => !isEnd(text));
    },
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

/** The room as a stream, made by a backend: its URL, and the headers of the reader. */
async function makeStream({ bus, tenant, user, room }: Seat) {
  const maker = await bus.tokenFor({ tenant, user: "maker", role: "service" });
  const url = `${bus.http_url}/v1/streams/${room}`;
  const type = { "content-type": "application/json" };
  const made = await fetch(url, {
    method: "PUT",
    headers: { authorization: `Bearer ${maker}`, ...type },
  });
  await made.body?.cancel();
  if (!made.ok) throw new Error(`the stream is not made: ${made.status}`);
  return { url, headers: { authorization: `Bearer ${await bus.tokenFor({ tenant, user })}` } };
}

/** Reads the stream from its beginning when all has come. */
async function stream(seat: Seat): Promise<Reader> {
  const { url, headers } = await makeStream(seat);
  return {
    async heard() {
      const texts: string[] = [];
      for (let offset = "-1";;) {
        const response = await fetch(`${url}?offset=${offset}`, { headers });
        const items = await response.json() as unknown[];
        texts.push(...items.map((one) => JSON.stringify(one)));
        offset = response.headers.get("stream-next-offset") ?? "";
        if (items.length === 0 || response.headers.has("stream-up-to-date")) break;
      }
      return texts.filter((text) => !isEnd(text));
    },
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

/** Waits for what comes to the stream, by long-polls. */
async function poll(seat: Seat): Promise<Reader> {
  const { url, headers } = await makeStream(seat);
  const now = await fetch(`${url}?offset=now`, { headers });
  await now.body?.cancel();
  let offset = now.headers.get("stream-next-offset") ?? "";
  return {
    async heard() {
      const heard: string[] = [];
      for (;;) {
        const response = await fetch(`${url}?offset=${offset}&live=long-poll`, { headers });
        const items = response.status === 204 ? [] : await response.json() as unknown[];
        offset = response.headers.get("stream-next-offset") ?? "";
        for (const text of items.map((one) => JSON.stringify(one))) {
          if (isEnd(text)) return heard;
          heard.push(text);
        }
      }
    },
    [Symbol.asyncDispose]: dispose(undefined),
  };
}

/** The publisher itself, which wants no echo of what it sends: it hears the end, which is another's. */
async function echo({ own, room }: Seat): Promise<Reader> {
  if (own === undefined) throw new TypeError("the source has no connection of its own");
  await own.join(room, { no_echo: true });
  return { heard: () => upToEnd(() => own.told()), [Symbol.asyncDispose]: dispose(undefined) };
}

async function refused({ bus, tenant, user, room }: Seat): Promise<Reader> {
  const claims = { grants: [{ room: "elsewhere", actions: ["subscribe", "publish"] }] };
  const client = await DurableClient.open(bus.url, await bus.tokenFor({ tenant, user, claims }));
  const { code, reason } = await client.sub(room);
  if (`${code} ${reason}` !== "403 not-granted") throw new Error(`its SUB: ${code} ${reason}`);
  return {
    async heard() {
      // Whatever came before this answer would have been told.
      await client.ask({ op: "sub", room: "elsewhere" });
      return client.waiting.map((one) => JSON.stringify(one));
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
    async heard() {
      const token = await bus.tokenFor({ tenant, user: "backend", role: "service" });
      await new HttpPeer(bus.http_url, token).done("POST", `rooms/${room}/messages`, {
        type: "end",
        data: { k: "end" },
      });
      return await upToEnd(() => client.told());
    },
    [Symbol.asyncDispose]: dispose(client),
  };
}

/** Opens a reader of that kind. */
export function openReader(kind: Row["first"], seat: Seat): Promise<Reader> {
  switch (kind) {
    case "text":
      return text(seat);
    case "binary":
      return sdk(seat, {});
    case "filter":
      // Every second message: a, c, e …
      return text(seat, { filter: FILTERS[seat.row.shape === "words" ? "words" : "json"] });
    case "pattern":
      return text(seat, {}, `${seat.room.slice(0, -1)}*`);
    case "events":
      return events(seat);
    case "delta":
      return sdk(seat, { is_delta: true });
    case "late":
      return Promise.resolve(later(seat, false));
    case "after":
      return Promise.resolve(later(seat, true));
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
    case "echo":
      return echo(seat);
    case "refused":
      return refused(seat);
    case "stranger":
      return stranger(seat);
  }
}

const FILTERS = {
  json: 'type == "end" || data.k in ["a", "c", "e", "g", "i"]',
  words: 'type == "end" || ["a", "c", "e", "g", "i"].exists(one, data.startsWith(one))',
};
