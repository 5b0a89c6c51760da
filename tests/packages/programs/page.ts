/**
 * A page of the tests, bundled for Chromium: the tour, and a connection that stays open while the test injects faults.
 * Its interface is `globalThis.arqon`.
 */
import { connect, type Connection, type ConnectOptions } from "@arqon/sdk";
import { tour } from "./tour.ts";

/** A connection and a room of the page, controlled by the test. */
export interface PageProgram {
  readonly tour: typeof tour;
  /** Connects and subscribes to the room; the results are in `states` and `received`. */
  open(url: string, token: string, options?: Partial<ConnectOptions>): Promise<void>;
  publish(text: string): Promise<void>;
  /** The tour in a web worker of the page. */
  inWorker(url: string, token: string, name: string): Promise<unknown>;
  /** All states of the connection so far. */
  readonly states: readonly string[];
  /** Texts of messages, and `GAP`. */
  readonly received: readonly string[];
}

const states: string[] = [];
const received: string[] = [];
let bus: Connection | undefined;
const ROOM = "page";

const program: PageProgram = {
  tour,
  states,
  received,
  async open(url, token, options = {}) {
    bus = await connect({ ...options, url, token, onStatus: ({ state }) => states.push(state) });
    const loop = bus.room(ROOM).subscribe();
    await loop.ready;
    void (async () => {
      for await (const message of loop) received.push(message.signal?.kind ?? message.text());
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
