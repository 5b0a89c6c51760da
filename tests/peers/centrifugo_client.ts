/** Centrifugo's own library as a client of tests. */
import type { Centrifuge } from "centrifuge";

/** Options of a client that reconnects quickly. */
export const HURRY = { minReconnectDelay: 10, maxReconnectDelay: 200, maxServerPingDelay: 60_000 };

/** A subscription, with the messages and events that it has received. */
export async function listen(client: Centrifuge, channel: string, options = {}) {
  const received: number[] = [];
  const codes: number[] = [];
  const recovered: boolean[] = [];
  const sub = client.newSubscription(channel, options);
  sub.on("publication", ({ data }) => void received.push(data.n));
  sub.on("subscribing", ({ code }) => void codes.push(code));
  sub.on("subscribed", (context) => void recovered.push(context.recovered));
  client.on("connecting", ({ code }) => void codes.push(code));
  sub.subscribe();
  await sub.ready(20_000);
  return { sub, received, codes, recovered };
}
