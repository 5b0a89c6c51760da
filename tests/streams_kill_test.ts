/**
 * Streams with the protocol's own client, from npm, over Shields that are killed in the middle of
 * appends: its idempotent producers pipeline and repeat, its reader follows. Both engines. What came
 * is read in the end by a plain request, as the oracle of both.
 */
import assert from "node:assert/strict";
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { freePort } from "./harness/free_ports.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";

/** A bus on some Shields, each of which is killed and comes back where it was. */
interface Killable extends AsyncDisposable {
  readonly urls: readonly string[];
  readonly token: string;
  /** Resolves when it is back. */
  killOne(turn: number): Promise<void>;
}

const KILLS = 4;
const PRODUCERS = 3;
const BACKOFF = { initialDelay: 20, maxDelay: 200, multiplier: 2, maxRetries: Infinity };

async function embedded(): Promise<Killable> {
  const folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const port = freePort();
  const config = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, config.replace(/(\[server\][^[]*?^port = )0$/m, `$1${port}`));
  let bus = await startServe(folder.path);
  return {
    urls: [`http://127.0.0.1:${port}`],
    token: await tokenOf(folder.path, "user"),
    async killOne() {
      await bus.stop("SIGKILL");
      bus = await startServe(folder.path);
    },
    async [Symbol.asyncDispose]() {
      await bus.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function onNats(): Promise<Killable> {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true });
  const config = `[nats]\nurls = ["${nats.url}"]
[[rooms]]
room = "orders*"
durable = true
history_size = 100_000
${issuer.config}`;
  const start = (port: number) => startServer("shield", config, issuer.dir, "", port);
  const ports = [freePort(), freePort()];
  const brain = await startServer("brain", config, issuer.dir);
  const shields = await Promise.all(ports.map(start));
  return {
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    token: await issuer.tokenFor(),
    async killOne(turn) {
      const at = turn % ports.length;
      await shields[at]?.stop("SIGKILL");
      shields[at] = await start(ports[at] as number);
    },
    async [Symbol.asyncDispose]() {
      for (const server of [...shields, brain]) await server.stop();
      await nats[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}

/**
 * Asks the Shields in turns, as a balancer does. An append that got no answer, or 503, is repeated: the
 * client's producer hands that to its `fetch`.
 */
function inTurns(urls: readonly string[]): typeof fetch {
  let turn = 0;
  const ask = (place: unknown, init?: RequestInit) => {
    const { pathname, search } = new URL(String(place));
    return fetch(`${urls[turn++ % urls.length]}${pathname}${search}`, init);
  };
  return async (place, init) => {
    if (init?.method !== "POST") return await ask(place, init);
    for (;;) {
      try {
        const answer = await ask(place, init);
        if (answer.status !== 503) return answer;
        await answer.body?.cancel();
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
}

/** One more append of each producer. */
const lineOf = (producer: number, at: number) => JSON.stringify(`${producer}:${at}`);

/** For each producer: all of its appends, once, in order. */
function requireAll(items: readonly string[], appended: readonly number[]): void {
  for (const [producer, count] of appended.entries()) {
    const own = items.filter((item) => item.startsWith(`${producer}:`));
    const wrong = own.findIndex((item, at) => item !== `${producer}:${at}`);
    const near = own.slice(Math.max(0, wrong - 2), wrong + 3);
    assert.equal(wrong, -1, `not ${producer}:${wrong}, but ${near}, of ${own.length} of ${count}`);
    assert.equal(own.length, count, `appends of ${producer}`);
  }
  assert.equal(items.length, appended.reduce((sum, count) => sum + count, 0));
}

/** All of a stream by plain requests, page after page. */
async function readWhole(ask: (query: string) => Promise<Response>): Promise<string[]> {
  const items: string[] = [];
  for (let offset = "-1";;) {
    const page = await ask(`?offset=${offset}`);
    assert.equal(page.status, 200);
    items.push(...await page.json());
    if (page.headers.has("stream-up-to-date")) return items;
    offset = page.headers.get("stream-next-offset") ?? "";
  }
}

async function overKills(bus: Killable): Promise<void> {
  const url = "http://bus.example/v1/streams/orders-1";
  const own = {
    url,
    fetch: inTurns(bus.urls),
    headers: { authorization: `Bearer ${bus.token}` },
    backoffOptions: BACKOFF,
  };
  await DurableStream.create({ ...own, contentType: "application/json" });
  const errors: unknown[] = [];
  const producers = Array.from({ length: PRODUCERS }, (_, at) => {
    const handle = new DurableStream({ ...own, contentType: "application/json" });
    const onError = (error: unknown) => void errors.push(error);
    return new IdempotentProducer(handle, `p-${at}`, { lingerMs: 1, fetch: own.fetch, onError });
  });
  const leave = new AbortController();
  const read: string[] = [];
  const reading = await stream<string>({ ...own, offset: "-1", live: true, signal: leave.signal });
  reading.subscribeJson(({ items }) => void read.push(...items));
  const appended = producers.map(() => 0);
  const append = () => {
    for (const [at, producer] of producers.entries()) {
      producer.append(lineOf(at, appended[at]!++));
    }
  };
  for (let turn = 0; turn < KILLS; turn++) {
    let is_back = false;
    const killed = bus.killOne(turn).then(() => is_back = true);
    while (!is_back) {
      append();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await killed;
  }
  for (const producer of producers) await producer.flush();
  assert.deepEqual(errors, []);
  requireAll(
    await readWhole((query) => own.fetch(`${url}${query}`, { headers: own.headers })),
    appended,
  );
  const total = appended.reduce((sum, count) => sum + count, 0);
  await until(() => `the reader has ${read.length} of ${total}`, () => read.length >= total);
  requireAll(read, appended);
  leave.abort();
}

Deno.test("streams: the protocol's client over kills of an embedded bus", async () => {
  await using bus = await embedded();
  await overKills(bus);
});

Deno.test("streams: the protocol's client over kills of two Shields on NATS", async () => {
  await using bus = await onNats();
  await overKills(bus);
});
