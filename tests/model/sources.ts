/** The ways in which a row's messages come in. Each publishes one message, and says "" or how it was refused. */
import { writeEnvelope } from "@arqon/proto";
import { ArqonError, connect, type Connection } from "@arqon/sdk";
import { found } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";
import type { AdminClient } from "../peers/admin_client.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import type { Row } from "./factors.ts";
import type { Sent } from "./model.ts";

/** Publishes the messages in their order; what became of each. A refusal is `status reason`. */
export interface Source extends AsyncDisposable {
  publish(messages: readonly Sent[]): Promise<string[]>;
}

/** What a source needs. */
export interface Way {
  readonly bus: TestBus;
  readonly admin: AdminClient;
  readonly row: Row;
  readonly tenant: string;
  readonly room: string;
  /** Of the publisher. */
  readonly token: string;
  /** The publisher's own connection, where it hears the room itself. */
  readonly own: DurableClient | undefined;
}

const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() };
const refusal = ({ code, reason }: { code: number; reason?: string }) =>
  code === 0 ? "" : `${code} ${reason}`;
const form = ({ shape }: Row) => shape === "words" ? { content_type: "text/plain" } : {};
const idOf = ({ message_id }: Sent) => message_id === undefined ? {} : { message_id };

async function oneByOne(messages: readonly Sent[], publish: (one: Sent) => Promise<string>) {
  const outcomes: string[] = [];
  for (const one of messages) outcomes.push(await publish(one));
  return outcomes;
}

async function text({ bus, token, room, row, own }: Way): Promise<Source> {
  const client = own ?? await DurableClient.open(bus.url, token);
  return {
    publish: (messages) =>
      oneByOne(
        messages,
        async (one) => refusal(await client.pub(room, one.data, { ...form(row), ...idOf(one) })),
      ),
    [Symbol.asyncDispose]: () => Promise.resolve(client[Symbol.dispose]()),
  };
}

async function sdk(
  { bus, token, room, row }: Way,
  transport: "websocket" | "http",
): Promise<Source> {
  const bus_connection: Connection = await connect({ url: bus.url, token, transport });
  return {
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const data = one.data as string | Record<string, string>;
        const sent = bus_connection.room(room).publish("t", data, { ...form(row), ...idOf(one) });
        return await sent.then(() => "", (error) => {
          if (error instanceof ArqonError) return `${error.code} ${error.reason}`;
          throw error;
        });
      }),
    [Symbol.asyncDispose]: () => bus_connection[Symbol.asyncDispose](),
  };
}

function http({ bus, token, room, row }: Way): Source {
  const peer = new HttpPeer(bus.http_url, token);
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const message = { type: "t", data: one.data, ...form(row), ...idOf(one) };
        const { status, body } = await peer.call("POST", `rooms/${room}/messages`, message);
        return status === 200 ? "" : `${status} ${body.reason}`;
      }),
  };
}

function protobuf({ bus, token, room, row }: Way): Source {
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const text = row.shape === "words" ? String(one.data) : JSON.stringify(one.data);
        const { content_type = "application/json" } = form(row);
        const event = { type: "t", data: new TextEncoder().encode(text), content_type };
        const response = await fetch(`${bus.http_url}/v1/rooms/${room}/messages`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/protobuf" },
          body: new Uint8Array(writeEnvelope({ event, ...idOf(one) })),
        });
        if (!response.ok) return `${response.status} ${(await response.json()).reason}`;
        await response.body?.cancel();
        return "";
      }),
  };
}

function batch({ bus, token, room, row }: Way): Source {
  const peer = new HttpPeer(bus.http_url, token);
  return {
    ...nothing,
    async publish(messages) {
      const list = messages.map((one) => ({
        room,
        type: "t",
        data: one.data,
        ...form(row),
        ...idOf(one),
      }));
      const { status, body } = await peer.call("POST", "messages", { messages: list });
      if (status !== 200) throw new Error(`the batch: ${status} ${JSON.stringify(body)}`);
      return body.results.map(refusal);
    },
  };
}

async function stream({ bus, token, room, row, tenant }: Way): Promise<Source> {
  const url = `${bus.http_url}/v1/streams/${room}`;
  const call = async (method: string, token: string, body?: string) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    return response.ok ? "" : `${response.status} ${JSON.parse(text).reason}`;
  };
  const made = await call("PUT", await bus.tokenFor({ tenant, user: "maker", role: "service" }));
  if (made !== "") throw new Error(`the stream of ${row.log}: ${made}`);
  return {
    ...nothing,
    // An array would be judged as a whole.
    publish: (messages) =>
      oneByOne(messages, ({ data }) => call("POST", token, JSON.stringify(data))),
  };
}

/** A schedule's message is published so long after it is set, at first and at most. */
const AHEAD_MS = 1_500;
const AHEAD_MAX_MS = 48_000;

function schedule({ admin, tenant, room, row }: Way): Source {
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async ({ place, data }) => {
        const path = `/v1/tenants/${tenant}/schedules/s-${place}`;
        const message = { type: "t", data, ...form(row) };
        // The bus may be so busy that a time is over before it is read: then a later one.
        for (let ahead_ms = AHEAD_MS;; ahead_ms *= 2) {
          const body = { room, message, at_ms: Date.now() + ahead_ms };
          const { status, body: answer } = await admin.ask("PUT", path, body);
          if (status === 200) break;
          const is_late = /at_ms: expected a time to come/.test(answer.detail);
          if (is_late && ahead_ms < AHEAD_MAX_MS) continue;
          throw new Error(`the schedule: ${status} ${JSON.stringify(answer)}`);
        }
        // What is published once is over, and gone.
        await found("the schedule is over", async () => {
          const { body } = await admin.get(path);
          return body.schedule.last === null ? undefined : true;
        });
        return "";
      }),
  };
}

function growing({ bus, token, room }: Way): Source {
  const peer = new HttpPeer(bus.http_url, token);
  const command = async (name: string, data: object) => {
    const { status, body } = await peer.call("POST", `rooms/${room}/commands`, { name, data });
    return status === 200 ? "" : `${status} ${body.reason}`;
  };
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async ({ place, data }) => {
        const id = `g-${place}`;
        const text = String(data);
        const steps = [
          await command("growing.start", { id, type: "t", content_type: "text/plain" }),
          await command("growing.append", { id, seq: 1, text: text.slice(0, 2) }),
          await command("growing.append", { id, seq: 2, text: text.slice(2) }),
          await command("growing.finish", { id, seq: 2 }),
        ];
        return steps.find((one) => one !== "") ?? "";
      }),
  };
}

const SOURCES: Readonly<Record<Row["source"], (way: Way) => Source | Promise<Source>>> = {
  text,
  binary: (way) => sdk(way, "websocket"),
  session: (way) => sdk(way, "http"),
  http,
  batch,
  protobuf,
  stream,
  schedule,
  growing,
};

/** Opens the row's source. */
export const openSource = async (way: Way): Promise<Source> => await SOURCES[way.row.source](way);
