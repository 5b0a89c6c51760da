/** The ways to publish a row's messages. Each publishes one message, and returns "" or its refusal. */
import { createHash, createHmac } from "node:crypto";
import { writeEnvelope } from "@arqon/proto";
import { ArqonError, connect, type Connection } from "@arqon/sdk";
import { receiptIn, WITH_RECEIPT } from "@arqon/sdk/proof";
import { headers } from "@nats-io/nats-core";
import type { NatsConnection } from "@nats-io/transport-deno";
import { found } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";
import type { AdminClient } from "../peers/admin_client.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import type { Row } from "./factors.ts";
import { isOdd, type Sent, traceparentOf } from "./model.ts";
import { centrifugeClient } from "./protocol_readers.ts";
import { send } from "../peers/own_connections.ts";

/** The outcome of a message: its refusal, `status reason` or "", and its offset if the answer has one. */
export interface Outcome {
  readonly refusal: string;
  readonly offset?: number | undefined;
  /** Of the room's transparency log. */
  readonly receipt?: string | undefined;
}

/** Publishes the messages in order; returns the outcome of each. */
export interface Source extends AsyncDisposable {
  publish(messages: readonly Sent[]): Promise<Outcome[]>;
}

/** The inputs of a source. */
export interface Way {
  readonly bus: TestBus;
  readonly admin: AdminClient;
  readonly row: Row;
  readonly tenant: string;
  readonly room: string;
  /** The publisher's token. */
  readonly token: string;
  /** The prefix of the messages' trace ids. */
  readonly trace: string;
  /** The publisher's signing key; its public half is in the token. */
  readonly signing: CryptoKeyPair;
  /** The tenant's app of the Pusher endpoint. */
  readonly app: { readonly id: string; readonly key: string; readonly secret: string };
  /** To the bus's NATS; absent: none. */
  readonly nats?: NatsConnection | undefined;
  /** The publisher's own connection, if it receives the room itself. */
  readonly own: DurableClient | undefined;
}

/** A busy machine answers late, and a timeout is an error. */
const NATS_MS = 60_000;

const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() };
interface Ack {
  readonly code: number;
  readonly reason?: string;
  readonly offset?: number;
  readonly result?: { readonly receipt: string | null };
}
const refusal = ({ code, reason, offset, result }: Ack) => ({
  refusal: code === 0 ? "" : `${code} ${reason}`,
  offset,
  receipt: result?.receipt ?? undefined,
});
/** docs/proof.md: it throws for a message that the Shield could not read back, as of a short history. */
const receiptOf = (ack: Parameters<typeof receiptIn>[0]) => {
  try {
    return receiptIn(ack);
  } catch (error) {
    if (error instanceof ArqonError) return undefined;
    throw error;
  }
};
const form = ({ shape }: Row) => shape === "words" ? { content_type: "text/plain" } : {};
/** The `traceparent` of the message, if it has one. */
const tracedBy = ({ row, trace }: Way, { place }: Sent) =>
  row.trace === "yes" ? { traceparent: traceparentOf(trace, place) } : undefined;
/** docs/proof.md, "Receipts": "(any value)". */
const receiptBy = ({ row }: Way) => row.proof === "receipt" ? WITH_RECEIPT : undefined;
/** Both as a member of a JSON message. */
const headersIn = (way: Way, traced: ReturnType<typeof tracedBy>) => {
  const headers = { ...traced, ...receiptBy(way) };
  return Object.keys(headers).length === 0 ? {} : { headers };
};
const idOf = ({ message_id }: Sent) => message_id === undefined ? {} : { message_id };

async function oneByOne(messages: readonly Sent[], publish: (one: Sent) => Promise<Outcome>) {
  const outcomes: Outcome[] = [];
  for (const one of messages) outcomes.push(await publish(one));
  return outcomes;
}

/** The message as an event of the binary form. */
function eventOf({ shape }: Row, { data }: Sent) {
  const text = shape === "words" ? String(data) : JSON.stringify(data);
  const content_type = shape === "words" ? "text/plain" : "application/json";
  return { type: "t", data: new TextEncoder().encode(text), content_type };
}

async function text(way: Way, sign?: (one: Sent) => Promise<object>): Promise<Source> {
  const { bus, token, room, row, own } = way;
  const client = own ?? await DurableClient.open(bus.url, token);
  return {
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const more = {
          ...form(row),
          ...idOf(one),
          ...headersIn(way, tracedBy(way, one)),
          ...await sign?.(one),
        };
        return refusal(await client.pub(room, one.data, more));
      }),
    [Symbol.asyncDispose]: () => Promise.resolve(client[Symbol.dispose]()),
  };
}

/** Each message is signed as in docs/protocol.md, "Signatures". */
async function signed(way: Way): Promise<Source> {
  const { tenant, room, row, signing } = way;
  const encoder = new TextEncoder();
  return await text(way, async (one) => {
    const payload = writeEnvelope({ event: eventOf(row, one) });
    const parts = ["arqon.v1", tenant, room, one.message_id ?? ""].map((part) =>
      encoder.encode(part)
    );
    const input = [...parts, payload].flatMap((part) => {
      const size = new DataView(new ArrayBuffer(4));
      size.setUint32(0, part.length);
      return [...new Uint8Array(size.buffer), ...part];
    });
    // The room requires signatures: some are over other bytes.
    if (row.gate === "unsigned" && isOdd(one.place)) input.push(0);
    const bytes = await crypto.subtle.sign("Ed25519", signing.privateKey, new Uint8Array(input));
    return { signature: new Uint8Array(bytes).toBase64() };
  });
}

/** A backend with the tenant's app: docs/pusher.md. */
function pusher({ bus, room, row, app }: Way): Source {
  const path = `/apps/${app.id}/events`;
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async ({ data }) => {
        const text = row.shape === "words" ? String(data) : JSON.stringify(data);
        const body = JSON.stringify({ name: "t", channel: room, data: text });
        const md5 = createHash("md5").update(body).digest("hex");
        const now_s = Math.floor(Date.now() / 1_000);
        const query =
          `auth_key=${app.key}&auth_timestamp=${now_s}&auth_version=1.0&body_md5=${md5}`;
        const sign = createHmac("sha256", app.secret).update(`POST\n${path}\n${query}`);
        const url = `${bus.http_url}${path}?${query}&auth_signature=${sign.digest("hex")}`;
        const headers = { "content-type": "application/json" };
        const response = await fetch(url, { method: "POST", headers, body });
        const answer = await response.json();
        return { refusal: response.ok ? "" : `${response.status} ${answer.reason}` };
      }),
  };
}

async function sdk(way: Way, transport: "websocket" | "http"): Promise<Source> {
  const { bus, token, room, row } = way;
  const bus_connection: Connection = await connect({ url: bus.url, token, transport });
  return {
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const data = one.data as string | Record<string, string>;
        const headers = receiptBy(way);
        const traced = tracedBy(way, one);
        const options = { ...form(row), ...idOf(one), ...traced, ...(headers ? { headers } : {}) };
        const sent = bus_connection.room(room).publish("t", data, options);
        return await sent.then(
          (ack) => ({ refusal: "", offset: Number(ack.offset), receipt: receiptOf(ack) }),
          (error) => {
            if (error instanceof ArqonError) return { refusal: `${error.code} ${error.reason}` };
            throw error;
          },
        );
      }),
    [Symbol.asyncDispose]: () => bus_connection[Symbol.asyncDispose](),
  };
}

function http(way: Way): Source {
  const { bus, token, room, row } = way;
  const peer = new HttpPeer(bus.http_url, token);
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        // docs/http-api.md: "A request's `traceparent` is the message's"; some have it in the message instead.
        const traced = tracedBy(way, one);
        const is_of_request = isOdd(one.place);
        const in_message = headersIn(way, is_of_request ? undefined : traced);
        const message = { type: "t", data: one.data, ...form(row), ...idOf(one), ...in_message };
        const asked = is_of_request ? traced : undefined;
        const { status, body } = await peer.call("POST", `rooms/${room}/messages`, message, asked);
        return refusal(status === 200 ? body : { code: status, reason: body.reason });
      }),
  };
}

function protobuf(way: Way): Source {
  const { bus, token, room, row } = way;
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const event = eventOf(row, one);
        const headers = { "content-type": "application/protobuf", ...tracedBy(way, one) };
        const url = `${bus.http_url}/v1/rooms/${room}/messages`;
        const body = writeEnvelope({ event, ...idOf(one) });
        const response = await send(url, token, "POST", body, headers);
        if (!response.ok) {
          return { refusal: `${response.status} ${(await response.json()).reason}` };
        }
        await response.body?.cancel();
        return { refusal: "" };
      }),
  };
}

function batch(way: Way): Source {
  const { bus, token, room, row } = way;
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
        ...headersIn(way, tracedBy(way, one)),
      }));
      const { status, body } = await peer.call("POST", "messages", { messages: list });
      if (status !== 200) throw new Error(`the batch: ${status} ${JSON.stringify(body)}`);
      return body.results.map(refusal);
    },
  };
}

async function stream(way: Way): Promise<Source> {
  const { bus, token, room, row, tenant } = way;
  const url = `${bus.http_url}/v1/streams/${room}`;
  const call = async (
    method: string,
    token: string,
    body?: string,
    traced?: ReturnType<typeof tracedBy>,
  ) => {
    const headers = { "content-type": "application/json", ...traced };
    const response = await send(url, token, method, body, headers);
    const text = await response.text();
    return response.ok ? "" : `${response.status} ${JSON.parse(text).reason}`;
  };
  const made = await call("PUT", await bus.tokenFor({ tenant, user: "maker", role: "service" }));
  if (made !== "") throw new Error(`the stream of ${row.log}: ${made}`);
  return {
    ...nothing,
    // An array would be judged as a whole.
    publish: (messages) =>
      oneByOne(messages, async (one) => ({
        refusal: await call("POST", token, JSON.stringify(one.data), tracedBy(way, one)),
      })),
  };
}

function schedule({ admin, tenant, room, row }: Way): Source {
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async ({ place, data }) => {
        const path = `/v1/tenants/${tenant}/schedules/s-${place}`;
        const message = { type: "t", data, ...form(row) };
        for (let wait_ms = 1_500;; wait_ms *= 2) {
          const body = { room, message, at_ms: Date.now() + wait_ms };
          const { status, body: answer } = await admin.ask("PUT", path, body);
          if (status === 200) break;
          // On a busy machine that time has passed when the request is read.
          if (answer.detail?.includes("expected a future time") !== true) {
            throw new Error(`the schedule: ${status} ${JSON.stringify(answer)}`);
          }
        }
        // A one-time schedule is removed once it has published.
        await found("the schedule is over", async () => {
          const { body } = await admin.get(path);
          return body.schedule.last === null ? undefined : true;
        });
        return { refusal: "" };
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
        return { refusal: steps.find((one) => one !== "") ?? "" };
      }),
  };
}

const errorOf = ({ code }: { readonly code: number }) => ({ refusal: `error ${code}` });

/** A client with Centrifugo's own library: docs/centrifugo.md. */
function centrifugo({ bus, token, room }: Way): Promise<Source> {
  const client = centrifugeClient(bus, token);
  client.connect();
  return Promise.resolve({
    publish: (messages) =>
      oneByOne(
        messages,
        async ({ data }) => await client.publish(room, data).then(() => ({ refusal: "" }), errorOf),
      ),
    [Symbol.asyncDispose]: () => Promise.resolve(client.disconnect()),
  });
}

/** A backend with a key of Centrifugo's server API, which sends all of them at a time. */
function centrifugoApi(way: Way): Source {
  const { bus, room, app } = way;
  return {
    ...nothing,
    async publish(messages) {
      const commands = messages.map((one) => ({
        publish: {
          channel: room,
          data: one.data,
          idempotency_key: one.message_id,
          tags: tracedBy(way, one),
        },
      }));
      const response = await fetch(`${bus.http_url}/api/batch`, {
        method: "POST",
        headers: { "x-api-key": app.secret, "content-type": "application/json" },
        body: JSON.stringify({ commands }),
      });
      const { replies } = await response.json();
      return replies.map(({ error, publish }: { error?: { code: number }; publish?: Outcome }) =>
        error === undefined ? { refusal: "", offset: publish?.offset } : errorOf(error)
      );
    },
  };
}

/** A service on the bus's NATS, which uses request and reply: docs/nats.md. */
function nats(way: Way): Source {
  const { nats: connection, tenant, token, room, row } = way;
  if (connection === undefined) throw new TypeError("the bus is not on NATS");
  return {
    ...nothing,
    publish: (messages) =>
      oneByOne(messages, async (one) => {
        const { traceparent } = tracedBy(way, one) ?? {};
        const asked = headers();
        asked.set("authorization", `Bearer ${token}`);
        if (traceparent !== undefined) asked.set("traceparent", traceparent);
        const message = { type: "t", data: one.data, ...form(row), ...idOf(one) };
        const subject = `api.t.${tenant}.r.${room}.publish`;
        const options = { headers: asked, timeout: NATS_MS };
        const answer = await connection.request(subject, JSON.stringify(message), options);
        const code = answer.headers?.get("Nats-Service-Error-Code") ?? "";
        const reason = answer.headers?.get("Nats-Service-Error") ?? "";
        if (code !== "") return { refusal: `${code} ${reason}` };
        return refusal(JSON.parse(answer.string()));
      }),
  };
}

const SOURCES: Readonly<Record<Row["source"], (way: Way) => Source | Promise<Source>>> = {
  text: (way) => text(way),
  signed,
  pusher,
  centrifugo,
  centrifugo_api: centrifugoApi,
  binary: (way) => sdk(way, "websocket"),
  session: (way) => sdk(way, "http"),
  http,
  batch,
  protobuf,
  stream,
  schedule,
  growing,
  nats,
};

/** Opens the row's source. */
export const openSource = async (way: Way): Promise<Source> => await SOURCES[way.row.source](way);
