/**
 * What a page of the tests can do, bundled for Chromium: the tour, and a connection that lives on while
 * the test breaks things. It tells through `globalThis.arqon`.
 */
import { connect } from "@arqon/sdk";
import type { Connection, ConnectOptions } from "@arqon/sdk";
import { tour } from "./tour.ts";

/** A connection and a room of the page, as the test asks for them. */
export interface PageProgram {
  readonly tour: typeof tour;
  /** Connects and hears the room; what comes of it is in `states` and `heard`. */
  open(url: string, token: string, options?: Partial<ConnectOptions>): Promise<void>;
  publish(text: string): Promise<void>;
  /** The tour in a web worker of the page. */
  inWorker(url: string, token: string, name: string): Promise<unknown>;
  /** Every state of the connection so far. */
  readonly states: readonly string[];
  /** Texts of messages, and `GAP`. */
  readonly heard: readonly string[];
}

const states: string[] = [];
const heard: string[] = [];
let bus: Connection | undefined;
const ROOM = "page";

const program: PageProgram = {
  tour,
  states,
  heard,
  async open(url, token, options = {}) {
    bus = await connect({ ...options, url, token, onStatus: ({ state }) => states.push(state) });
    const loop = bus.room(ROOM).subscribe();
    await loop.ready;
    void (async () => {
      for await (const message of loop) heard.push(message.signal?.kind ?? message.text());
    })();
  },
  async publish(text) {
    await bus?.room(ROOM).publish("text", text, { message_id: crypto.randomUUID() });
  },
  inWorker(url, token, name) {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const worker = new Worker("/worker.js", { type: "module" });
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.onmessage = ({ data }) => resolve(data.seen ?? data.error);
    worker.postMessage({ url, token, name });
    return promise.finally(() => worker.terminate());
  },
};
Object.assign(globalThis, { arqon: program });
