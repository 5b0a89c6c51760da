/** Centrifugo's own library as a client of tests. */
import { Centrifuge, type Options } from "centrifuge";

/** Options of a client that reconnects quickly. */
export const HURRY = { minReconnectDelay: 10, maxReconnectDelay: 200, maxServerPingDelay: 60_000 };

/** The endpoint of a Shield, or of a proxy before it. */
export const endpointOf = (base: string): string =>
  new URL("/connection/websocket", base.replace(/^http/, "ws")).href;

/** A connected client; it disconnects with its scope. */
export async function opened(
  base: string,
  options: Partial<Options>,
): Promise<Centrifuge & Disposable> {
  const client = new Centrifuge(endpointOf(base), { ...HURRY, ...options });
  client.connect();
  await client.ready(20_000);
  return Object.assign(client, { [Symbol.dispose]: () => client.disconnect() });
}

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
