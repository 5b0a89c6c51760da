/**
 * `arq serve` with a room that is a program is killed (SIGKILL) while it is called, again and again: each call
 * that was answered is applied once, each that was not is applied once when it is repeated, and each has one event.
 * A deploy that is under way meanwhile is done or was never, and the next one goes through. Who watches its values
 * sees them grow all the time, and in the end what they are, also of a bus that has lost all.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { type Called, reduced, type WatchedValues } from "@arqon/sdk/reducers";
import { until } from "../shared/testing/until.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";

const ROUNDS = 4;
const CALLS = 40;
const WASM = new URL("../policies/build/reducers/counter.wasm", import.meta.url);
const OTHER = new URL("../policies/build/reducers/counter_rust.wasm", import.meta.url);
const CONFIG = `
[limits]
#constant limits.command_timeout_ms = 60_000
[[reducers]]
name = "counter"
file = "counter.wasm"
#constant reducers.snapshot_entries = 25
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
reducer_visible = ["total"]
`;

/** All is lost, and entries begin at 1 again: who watches has what the room is then. */
async function watchAnew(
  before: ServedBus,
  path: string,
  token: string,
  onPort: (port: number) => void,
  watched: WatchedValues | undefined,
): Promise<void> {
  await before.stop();
  await Deno.remove(`${path}/data`, { recursive: true });
  await using bus = await startServe(path);
  await using client = await connect({ url: bus.url, token });
  onPort(Number(new URL(bus.url).port));
  const room = reduced<{ add: [number, number] }>(client.room("count-1"));
  assert.equal((await room.call("add", 7, { timeout_ms: 60_000 })).entry, 1);
  await until("what the room is now", () => watched?.read("total") === "7");
  assert.deepEqual([watched?.version, watched?.is_current], [1, true]);
}

/** Deploys another module with the same answers, which nobody waits for when the bus is killed; and what came of it. */
class Deploys {
  /** The number of the last one that was answered. */
  #known = 0;
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  async #ask({ admin_url }: ServedBus, method: string, body?: Uint8Array<ArrayBuffer>) {
    const response = await fetch(`${admin_url}/v1/tenants/default/reducers/count-*`, {
      ...{ method, ...(body && { body }) },
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/wasm" },
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text).reducer;
  }

  async deploy(bus: ServedBus): Promise<number> {
    const { number } = await this.#ask(bus, "PUT", await Deno.readFile(OTHER));
    return this.#known = number;
  }

  /** One that was under way is done or was never; the next one goes through. */
  async goOn(bus: ServedBus): Promise<void> {
    const known = this.#known;
    const { number } = await this.#ask(bus, "GET");
    assert.ok(number === known || number === known + 1, `${number} after ${known}`);
    assert.equal(await this.deploy(bus), number + 1);
  }
}

Deno.test("a bus that is killed while it is called applies each call once", async () => {
  await using folder = await initFolder();
  await Deno.copyFile(WASM, `${folder.path}/counter.wasm`);
  await Deno.writeTextFile(`${folder.path}/config.toml`, CONFIG, { append: true });
  const token = await tokenOf(folder.path, "service");
  const deploys = new Deploys(await tokenOf(folder.path, "admin"));
  const answers = new Map<string, number>();
  let port: number | undefined;
  await using stack = new AsyncDisposableStack();
  const proxy = stack.use(startTcpProxy(() => port));
  const watcher = { watched: undefined as WatchedValues | undefined, totals: [0], versions: [0] };
  for (let round = 0; round < ROUNDS; round++) {
    await using bus = await startServe(folder.path);
    await using client = await connect({ url: bus.url, token });
    port = Number(new URL(bus.url).port);
    if (round === 0) {
      const url = bus.url.replace(`:${port}`, `:${proxy.port}`);
      const far = await connect({ url, token, backoff: { base_ms: 50, max_ms: 200 } });
      stack.use(far);
      const watched = watcher.watched = reduced(far.room("count-1")).state.watch("tot");
      watched.changed(({ version }) => {
        watcher.versions.push(version);
        watcher.totals.push(Number(watched.read("total") ?? 0));
      });
      await watched.ready;
    }
    const room = reduced<{ add: [number, number] }>(client.room("count-1"));
    const take = (id: string, { answer }: Called<number>) => {
      assert.equal(answers.get(id) ?? answer, answer, `the answer of ${id} is the same again`);
      answers.set(id, answer);
    };
    // What the one before was asked and may not have answered.
    for (let at = 0; round > 0 && at < CALLS; at++) {
      const id = `${round - 1}-${at}`;
      take(id, await room.call("add", 1, { call_id: id, timeout_ms: 60_000 }));
    }
    if (round > 0) await deploys.goOn(bus);
    const running = Array.from({ length: CALLS }, async (_, at) => {
      const id = `${round}-${at}`;
      try {
        take(id, await room.call("add", 1, { call_id: id, timeout_ms: 60_000 }));
      } catch {
        // It was killed: the next one is asked again.
      }
    });
    if (round === ROUNDS - 1) {
      await Promise.all(running);
      const { watched, totals, versions } = watcher;
      await until("the last value", () => watched?.read("total") === String(ROUNDS * CALLS));
      assert.deepEqual(totals, totals.toSorted((one, other) => one - other), "never back");
      assert.deepEqual(versions, versions.toSorted((one, other) => one - other));
      assert.equal(watched?.is_current, true);
      break;
    }
    const deploying = deploys.deploy(bus).catch(() => {});
    await running[round * 3];
    await bus.stop("SIGKILL");
    await Promise.all([client.close(), deploying, ...running]);
  }
  assert.equal(answers.size, ROUNDS * CALLS);
  const counted = [...answers.values()].sort((one, other) => one - other);
  assert.deepEqual(counted, counted.map((_, at) => at + 1), "each is applied once");
  await using bus = await startServe(folder.path);
  await using client = await connect({ url: bus.url, token });
  const eventsOf = async () =>
    (await history(client.room("count-1"), { limit: 1_000 })).messages.map((one) => one.text());
  await until("every event", async () => (await eventsOf()).length >= counted.length);
  assert.deepEqual(await eventsOf(), counted.map(String), "each has one event, in order");
  await watchAnew(bus, folder.path, token, (own) => void (port = own), watcher.watched);
});
