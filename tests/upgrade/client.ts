/**
 * One client of a bus that is being upgraded: writes numbers into a durable room and the room's state until its stdin
 * ends, reads them back, and prints its progress, then its findings. Runs inside the tree whose SDK it uses;
 * `client.py` is the same in Python.
 */
import { ArqonError, connect } from "@arqon/sdk";
import { pace } from "../../shared/testing/pace.ts";

const [url = "", token = "", name = ""] = Deno.args;
const PAUSE_MS = 10;
const TIMEOUT_MS = 60_000;
/** Publishes for each write of state. */
const PER_WRITE = 5;

const say = (line: object) => console.log(JSON.stringify(line));
const found = { received: [] as (number | string)[], refused: [] as string[] };
let ends = false;
Deno.stdin.readable.pipeTo(new WritableStream()).finally(() => ends = true);

/** Instead of a token: where to get tokens, each valid for a few seconds. */
const source = token.startsWith("http")
  ? { getToken: async () => await (await fetch(token)).text() }
  : { token };
await using bus = await connect({ url, ...source, backoff: { base_ms: 20, max_ms: 200 } });
const room = bus.room(`kept-${name}`);
using messages = room.subscribe();
await messages.ready;
const reading = (async () => {
  for await (const { signal, data } of messages) {
    const one = signal?.reason ?? Number(new TextDecoder().decode(data));
    found.received.push(one);
    if (one === -1) return;
  }
})();

/** Retries temporary refusals; records all others. */
async function done<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ArqonError)) throw error;
    // A Brain that takes over on a loaded machine may take longer than a command waits; everything has an id.
    if (error.reason === "command-timeout") return await done(what, ask);
    found.refused.push(`${what}: ${error.reason}: ${error.message}`);
    return undefined;
  }
}

const publish = (n: number) =>
  done(
    `publish ${n}`,
    () => room.publish("n", String(n), { message_id: `${name}.${n}`, timeout_ms: TIMEOUT_MS }),
  );
const state = bus.room(`state-${name}`);
let acknowledged = 0;
for (let n = 0; !ends; n++) {
  await publish(n);
  acknowledged = n + 1;
  if (n % PER_WRITE === 0) {
    const options = { timeout_ms: TIMEOUT_MS };
    const id = { ...options, command_id: `${name}.${n}` };
    await done(`set ${n}`, () => state.command("room.set", { key: "n", value: n }, id));
    const read = await done(`get ${n}`, () => state.command("room.get", { key: "n" }, options));
    const { value } = (read?.json() ?? {}) as { value?: number };
    if (read !== undefined && value !== n) found.refused.push(`get ${n}: ${value}`);
    say({ acknowledged });
  }
  await pace(PAUSE_MS);
}
await publish(-1);
await reading;
say({ acknowledged, ...found });
