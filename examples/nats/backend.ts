/**
 * A backend on the NATS of the bus: publishes to a durable room, or follows it without a hole.
 *
 *   NATS_URL=nats://backend:…@127.0.0.1:4222 ARQON_TOKEN=… deno run -A backend.ts publish orders 10
 *   NATS_URL=… ARQON_TOKEN=… deno run -A backend.ts follow orders 0
 */
import { headers, type NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-deno";

const TENANT = Deno.env.get("ARQON_TENANT") ?? "default";
const TOKEN = Deno.env.get("ARQON_TOKEN") ?? "";
/** How often the room is read though nothing rang, in ms: a bell may be lost with a connection. */
const READ_MS = 5_000;

class Refused extends Error {
  constructor(readonly code: number, reason: string) {
    super(`${code} ${reason}`);
  }
}

/** Sends a request to the bus. Repeats it after an error that can be temporary. */
async function ask(nats: NatsConnection, room: string, verb: string, body: object) {
  const subject = `api.t.${TENANT}.r.${room}.${verb}`;
  for (;;) {
    const head = headers();
    head.set("authorization", `Bearer ${TOKEN}`);
    try {
      const answer = await nats.request(subject, JSON.stringify(body), {
        headers: head,
        timeout: 5_000,
      });
      const code = Number(answer.headers?.get("Nats-Service-Error-Code") || 0);
      if (code === 0) return JSON.parse(answer.string());
      throw new Refused(code, answer.headers?.get("Nats-Service-Error") ?? "");
    } catch (error) {
      if (error instanceof Refused && error.code < 500 && ![408, 429].includes(error.code)) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** A repeated message has the same id, so the room stores it once. */
async function publish(nats: NatsConnection, room: string, count: number) {
  const run = crypto.randomUUID();
  for (let n = 1; n <= count; n++) {
    const message = { type: "order", data: { n }, message_id: `${run}-${n}` };
    await ask(nats, room, "publish", message);
  }
}

/** The live subject only signals a new message; the content is read from the room's log, without holes or repeats. */
async function follow(nats: NatsConnection, room: string, after: number) {
  let wake = () => {};
  nats.subscribe(`in.t.${TENANT}.r.${room}`, { callback: () => wake() });
  await nats.flush();
  for (;;) {
    let rang = false;
    const bell = new Promise<void>((resolve) => {
      wake = () => resolve(void (rang = true));
      setTimeout(resolve, READ_MS);
    });
    for (let more = true; more;) {
      const page = await ask(nats, room, "history", { after, limit: 100 });
      for (const { offset, data } of page.messages) {
        console.log(`${offset} ${JSON.stringify(data)}`);
        after = offset;
      }
      more = page.more;
    }
    if (!rang) await bell;
  }
}

const [verb, room = "orders", number = "0"] = Deno.args;
// Answers to others are none of its business, so its account receives this inbox only.
const inboxPrefix = "_INBOX_BACKEND";
const { host: servers, username: user, password: pass } = new URL(Deno.env.get("NATS_URL")!);
const nats = await connect({ servers, user, pass, inboxPrefix, maxReconnectAttempts: -1 });
if (verb === "publish") await publish(nats, room, Number(number));
else await follow(nats, room, Number(number));
await nats.drain();
