/**
 * The program of `deno task bench yjs`: editors that type into one document, over the bus and over
 * `y-websocket`, each behind a relay that counts bytes. Editors type into texts of their own, so that it is
 * known which letter has come.
 */
import { connect } from "@arqon/sdk";
import { YjsProvider } from "@arqon/yjs";
import { Awareness } from "y-protocols/awareness.js";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { Latencies } from "../measure/histogram.ts";
import type { Latency } from "../measure/histogram.ts";
import { ROOT } from "../measure/scenario.ts";
import { startBus } from "../measure/targets.ts";
import { cpuSecondsBetween, usagesOf } from "../measure/usage.ts";
import { startYWebsocket } from "../peers/y_websocket.ts";

/** What is measured. */
export interface YjsPlan {
  readonly editors: number;
  readonly seconds: number;
  /** Letters a second of each editor. */
  readonly letters: number;
}

/** One way over which editors write. */
export interface YjsRow {
  readonly target: "ArqonBus" | "y-websocket";
  /** Whether a cursor moves with each letter. */
  readonly cursors: boolean;
  readonly letters: number;
  /** Bytes of all editors on the wire, frames and all, for a letter: what they send, and what they get. */
  readonly sent_bytes: number;
  readonly got_bytes: number;
  /** CPU time of the server's process for a letter, in µs. */
  readonly cpu_us: number;
  /** From a letter that is typed until the first editor has it. */
  readonly latency: Latency;
}

/** One editor with the document open. */
interface Editor {
  readonly doc: Y.Doc;
  readonly awareness: Awareness;
  close(): Promise<void>;
}

type Open = (doc: Y.Doc, awareness: Awareness, room: string) => Promise<() => Promise<void>>;

/** A server, and how one opens a document there. */
interface Target extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  readonly open: (url: string) => Open;
}

const PATIENCE_MS = 60_000;

async function arqon(): Promise<Target> {
  const bus = await startBus(`${ROOT}/bench/yjs/yjs.toml`);
  return {
    pid: bus.pid,
    url: bus.url,
    open: (url) => async (doc, awareness, room) => {
      const connection = await connect({ url, token: bus.token });
      const provider = new YjsProvider(connection.room(room), doc, { awareness });
      await provider.ready;
      return async () => {
        await provider.saved();
        provider.destroy();
        await connection.close();
      };
    },
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

async function yWebsocket(): Promise<Target> {
  const server = await startYWebsocket();
  return {
    pid: server.pid,
    url: server.ready,
    open: (url) => async (doc, awareness, room) => {
      // Tabs of one browser would pass the server by.
      const provider = new WebsocketProvider(url, room, doc, { awareness, disableBc: true });
      const { promise, resolve } = Promise.withResolvers<void>();
      provider.on("sync", (is_synced: boolean) => is_synced && resolve());
      await promise;
      return () => Promise.resolve(provider.destroy());
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Passes bytes on and counts them. */
class Relay implements Disposable {
  sent = 0;
  got = 0;
  readonly url: string;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections: Deno.TcpConn[] = [];

  constructor(url: string) {
    const { hostname, port, pathname } = new URL(url);
    this.url = `ws://127.0.0.1:${this.#listener.addr.port}${pathname === "/" ? "" : pathname}`;
    void this.#accept({ hostname, port: Number(port) });
  }

  async #accept(to: Deno.ConnectOptions): Promise<void> {
    for await (const client of this.#listener) {
      const server = await Deno.connect(to);
      for (const one of [client, server]) one.setNoDelay();
      this.#connections.push(client, server);
      const counted = (add: (bytes: number) => void) =>
        new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            add(chunk.length);
            controller.enqueue(chunk);
          },
        });
      const up = counted((bytes) => this.sent += bytes);
      const down = counted((bytes) => this.got += bytes);
      // Who closes first ends both.
      client.readable.pipeThrough(up).pipeTo(server.writable).catch(() => {});
      server.readable.pipeThrough(down).pipeTo(client.writable).catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const one of this.#connections) {
      try {
        one.close();
      } catch {
        // It has ended by itself.
      }
    }
  }
}

async function until(what: string, is_so: () => boolean): Promise<void> {
  const end_ms = performance.now() + PATIENCE_MS;
  while (!is_so()) {
    if (performance.now() > end_ms) throw new Error(`it takes too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Notes when letters are typed, and how long after that the first editor has them. */
class Watch {
  readonly latencies = new Latencies();
  readonly #typed_ms: number[][];

  constructor(first: Y.Doc, editors: number) {
    this.#typed_ms = Array.from({ length: editors }, () => []);
    for (const [at, typed_ms] of this.#typed_ms.entries()) {
      if (at === 0) continue;
      let seen = 0;
      const text = first.getText(`text-${at}`);
      text.observe(() => {
        const now_ms = performance.now();
        for (; seen < text.length; seen++) this.latencies.add(now_ms - (typed_ms[seen] ?? now_ms));
      });
    }
  }

  typed(editor: number): void {
    this.#typed_ms[editor]!.push(performance.now());
  }
}

/** Types with even pauses, the editors one after the other. */
async function type(editors: readonly Editor[], plan: YjsPlan, cursors: boolean): Promise<Watch> {
  const watch = new Watch(editors[0]!.doc, editors.length);
  const letters = plan.seconds * plan.letters;
  const began_ms = performance.now();
  for (let letter = 0; letter < letters * editors.length; letter++) {
    const due_ms = began_ms + letter * 1_000 / (plan.letters * editors.length);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due_ms - performance.now())));
    const at = letter % editors.length;
    const { doc, awareness } = editors[at]!;
    const text = doc.getText(`text-${at}`);
    watch.typed(at);
    text.insert(text.length, "x");
    if (cursors) awareness.setLocalStateField("cursor", { text: at, at: text.length });
  }
  await until(
    "every editor has every letter",
    () =>
      editors.every(({ doc }) =>
        editors.every((_, at) => doc.getText(`text-${at}`).length === letters)
      ),
  );
  return watch;
}

async function measure(target: Target, plan: YjsPlan, cursors: boolean) {
  using relay = new Relay(target.url);
  const open = target.open(relay.url);
  const room = `doc-${crypto.randomUUID()}`;
  const editors: Editor[] = [];
  for (let at = 0; at < plan.editors; at++) {
    const doc = new Y.Doc();
    const awareness = new Awareness(doc);
    awareness.setLocalStateField("user", { name: `Editor ${at}`, color: "#3a7" });
    editors.push({ doc, awareness, close: await open(doc, awareness, room) });
  }
  await until(
    "everybody is there",
    () => editors.every(({ awareness }) => awareness.getStates().size === plan.editors),
  );
  const [before] = await usagesOf([[target.pid]]);
  const [sent, got] = [relay.sent, relay.got];
  const { latencies } = await type(editors, plan, cursors);
  const [after] = await usagesOf([[target.pid]]);
  const letters = plan.seconds * plan.letters * plan.editors;
  const row = {
    cursors,
    letters,
    sent_bytes: (relay.sent - sent) / letters,
    got_bytes: (relay.got - got) / letters,
    cpu_us: cpuSecondsBetween(before!, after!) * 1e6 / letters,
    latency: latencies.figures(),
  };
  for (const { awareness, close } of editors) {
    await close();
    awareness.destroy();
  }
  return row;
}

async function run(plan: YjsPlan): Promise<YjsRow[]> {
  await using bus = await arqon();
  await using peer = await yWebsocket();
  const rows: YjsRow[] = [];
  for (const cursors of [false, true]) {
    rows.push({ target: "ArqonBus", ...await measure(bus, plan, cursors) });
    rows.push({ target: "y-websocket", ...await measure(peer, plan, cursors) });
  }
  return rows;
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? "{}"))));
  Deno.exit(0);
}
