/** Readers that speak the protocols of others: Pusher's and Centrifugo's. */
import { Centrifuge, type SubscribedContext, type SubscriptionOptions } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge } from "centrifuge/build/protobuf";
import type { TestBus } from "../harness/test_bus.ts";
import { RawClient } from "../peers/raw_client.ts";
import { lostOf } from "./model.ts";
import { dispose, hasFirst, type Reader, type Seat, type TextMessage, upToEnd } from "./reading.ts";

const Protobuf = ProtobufCentrifuge as unknown as typeof Centrifuge;
const ANSWER_MS = 60_000;

/** As pusher-js reads it: the JSON in a text, else the text itself. */
function inText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A client of the Pusher protocol: docs/pusher.md. */
export async function pusher({ bus, app_key, room }: Seat): Promise<Reader> {
  const url = `${new URL(bus.url).origin}/app/${app_key}?protocol=7`;
  const client = new RawClient(url, { subprotocols: [] });
  const next = async (event: string) => {
    for (;;) {
      const frame = await client.json();
      if (frame.event === event) return frame;
      if (!frame.event.startsWith("pusher")) return frame;
    }
  };
  const { data } = await next("pusher:connection_established");
  client.send({ event: "pusher:subscribe", data: { channel: room } });
  const joined = await next("pusher_internal:subscription_succeeded");
  if (joined.channel !== room) throw new Error(`its channel: ${JSON.stringify(joined)}`);
  return {
    user: `pusher:${JSON.parse(data).socket_id}`,
    receive: (got) =>
      upToEnd(async () => {
        const { event: type, data } = await next("");
        if (type.startsWith("arqon:")) return { signal: type };
        return { type, data: inText(data) };
      }, got),
    [Symbol.asyncDispose]: dispose(client),
  };
}

/** Centrifugo's own library; the caller connects it. */
export function centrifugeClient(
  { url }: TestBus,
  token: string,
  Client: typeof Centrifuge = Centrifuge,
): Centrifuge {
  // Its own timeout of a command is 5 s, and a row may be slow.
  return new Client(new URL("/connection/websocket", url).href, { token, timeout: ANSWER_MS });
}

/** The data of a publication, which is JSON, or bytes in the Protobuf form. */
function dataOf(data: unknown): unknown {
  if (!(data instanceof Uint8Array)) return data;
  const text = new TextDecoder().decode(data);
  return text.startsWith("{") ? JSON.parse(text) : text;
}

/** One subscription, with what it was answered. */
async function centrifuge(
  { bus, tenant, user, room }: Seat,
  options: Partial<SubscriptionOptions>,
  Client?: typeof Centrifuge,
) {
  const client = centrifugeClient(bus, await bus.tokenFor({ tenant, user }), Client);
  const answer = Promise.withResolvers<SubscribedContext>();
  const messages = new ReadableStream<TextMessage>({
    start(controller) {
      const sub = client.newSubscription(room, options);
      sub.on("subscribed", answer.resolve);
      sub.on("publication", ({ data, offset, info, tags: { type } = {} }) => {
        const known = Object.entries({ offset, sender: info?.user, type });
        controller.enqueue({
          data: dataOf(data),
          ...Object.fromEntries(known.filter(([, value]) => value !== undefined)),
        });
      });
      sub.on("subscribing", ({ code, reason }) => {
        if (code !== 0) controller.enqueue({ signal: reason });
      });
      sub.on("unsubscribed", ({ reason }) => controller.enqueue({ signal: reason }));
      sub.subscribe();
      client.connect();
    },
  }, { highWaterMark: Infinity }).getReader();
  await client.getSubscription(room)?.ready(ANSWER_MS);
  return {
    answer: await answer.promise,
    next: async () => (await messages.read()).value!,
    leave: () => client.disconnect(),
  };
}

/** Which reads deltas if the room has them: docs/centrifugo.md. */
export async function centrifugo(seat: Seat): Promise<Reader> {
  const { next, leave } = await centrifuge(seat, { delta: "fossil" });
  return {
    receive: (got) => upToEnd(next, got),
    [Symbol.asyncDispose]: () => Promise.resolve(leave()),
  };
}

/** A reader that reconnects after its first message, in the Protobuf form. */
export async function centrifugoBack(seat: Seat): Promise<Reader> {
  const { row } = seat;
  let one = await centrifuge(seat, {}, Protobuf);
  const first: TextMessage[] = [];
  return {
    async half({ epoch }) {
      if (!hasFirst(row)) return;
      const message = await one.next();
      first.push(message);
      one.leave();
      const since = { offset: message.offset ?? 0, epoch };
      one = await centrifuge(seat, { since }, Protobuf);
      const { wasRecovering, recovered } = one.answer;
      const is_right = wasRecovering && recovered === (lostOf(row, "first") === "");
      if (!is_right) throw new Error(`recovering ${wasRecovering}, recovered ${recovered}`);
    },
    receive: (got) =>
      upToEnd(() => first.length > 0 ? Promise.resolve(first.shift()!) : one.next(), got),
    [Symbol.asyncDispose]: () => Promise.resolve(one.leave()),
  };
}
