/** Clients of the Pusher protocol: `pusher-js`, a socket that sends what no library would, and a backend's library. */
import { createHmac } from "node:crypto";
import Backend from "pusher";
import pusher_js, { type Options } from "pusher-js";
import { secretFile } from "../../shared/config/testing/secret_file.ts";
import { until } from "../../shared/testing/until.ts";

/** A CommonJS module: its types declare `default`, but it is the class itself. */
export const Pusher = pusher_js as unknown as typeof pusher_js.default;
/** A client of `pusher-js`. */
export type Pusher = InstanceType<typeof Pusher>;

/** An app of tenant `default`. */
export const APP = { appId: "app-1", key: "key-1", secret: "a secret of the app" };

/** The section `[pusher]` with that app, which may have `more`. */
export const pusherConfig = (more = ""): string => `
[pusher]
[[pusher.apps]]
id = "${APP.appId}"
key = "${APP.key}"
secret_file = "${secretFile(APP.secret)}"
tenant = "default"
${more}
`;

/** The backend of an app, with Pusher's own library. */
export function backendOf(url: string, app: typeof APP = APP): Backend {
  const { hostname: host, port } = new URL(url);
  return new Backend({ ...app, host, port, useTLS: false });
}

/** Options with which `pusher-js` and Laravel Echo come to a bus. */
export function placeOf(url: string) {
  const { hostname: wsHost, port } = new URL(url);
  return {
    wsHost,
    wsPort: Number(port),
    forceTLS: false,
    cluster: "none",
    disableStats: true,
    enabledTransports: ["ws"],
  } satisfies Options;
}

interface Event {
  readonly event: string;
  readonly channel?: string;
  // deno-lint-ignore no-explicit-any -- What a peer says has any form; the test looks at it.
  readonly data: any;
}

/** A socket, with everything that it has received and was not asked for yet. */
export class PusherPeer {
  readonly received: Event[] = [];
  closed: CloseEvent | undefined;
  readonly #socket: WebSocket;
  readonly #opened: Promise<unknown>;

  constructor(url: string, path = `/app/${APP.key}?protocol=7`) {
    this.#socket = new WebSocket(new URL(path, url));
    this.#opened = new Promise((resolve) => this.#socket.onopen = resolve);
    this.#socket.onmessage = ({ data }) => void this.received.push(JSON.parse(data));
    this.#socket.onclose = (event) => this.closed = event;
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  async next(event: string): Promise<Event> {
    const find = () => this.received.find((one) => one.event === event);
    await until(() => `${event}: ${JSON.stringify(this.received)}`, () => find() !== undefined);
    return this.received.splice(this.received.indexOf(find() as Event), 1)[0] as Event;
  }

  async socketId(): Promise<string> {
    return JSON.parse((await this.next("pusher:connection_established")).data).socket_id;
  }

  /** Asks for a channel, without waiting for the answer. */
  subscribe(channel: string, more = {}): void {
    this.send({ event: "pusher:subscribe", data: { channel, ...more } });
  }

  /** Is in a channel; returns the answer. */
  async join(channel: string, more = {}): Promise<Event> {
    await this.#opened;
    this.subscribe(channel, more);
    return await this.next("pusher_internal:subscription_succeeded");
  }

  async end(): Promise<CloseEvent> {
    await until("an end", () => this.closed !== undefined);
    return this.closed as CloseEvent;
  }

  /** Leaves, unless it was closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.end();
  }
}

/** What the app's backend signs a text with. */
export const signed = (text: string): string =>
  `${APP.key}:${createHmac("sha256", APP.secret).update(text).digest("hex")}`;
