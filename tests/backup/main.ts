/**
 * `deno task backup:times [--engine nats|embedded] [--servers 1|3] [--restore-sync always|10s]
 * [--log-mib 1024] [--rooms 10000]`: fills a real bus, saves it while it runs, loses everything, restores it,
 * and says how long each of that took. `--restore-sync` is `sync_interval` of the servers that are restored
 * into. Exits 1 when anything that was acknowledged before the backup is not there afterwards.
 */
import { runArq } from "../../arq/testing/run_arq.ts";
import type { ArqResult } from "../../arq/testing/run_arq.ts";
import { connect } from "../../sdk/typescript/mod.ts";
import type { Connection } from "../../sdk/typescript/mod.ts";
import { roomState } from "@arqon/sdk/state";
import { history } from "@arqon/sdk/history";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "../harness/serve_bus.ts";
import { amount, oneOf, whole } from "../harness/task_arguments.ts";
import type { Option } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";

const MESSAGE_BYTES = 8_192;
const MESSAGES_PER_ROOM = 8_192;
const AT_ONCE = 64;
const MIB = 1_048_576;

interface Wanted {
  readonly engine: "nats" | "embedded";
  /** Of NATS. */
  readonly servers: 1 | 3;
  readonly restore_sync: string;
  readonly log_mib: number;
  readonly rooms: number;
}

function done({ code, stdout, stderr }: ArqResult): string {
  if (code !== 0) throw new Error(`arq ended with ${code}:\n${stderr}`);
  return stdout;
}

/** Runs all of it, so many at a time. */
async function inTurns(count: number, run: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) await run(next++);
  }));
}

async function fill(connection: Connection, { log_mib, rooms }: Wanted): Promise<void> {
  const value = { text: "x".repeat(400) };
  await inTurns(
    rooms,
    (at) => roomState(connection.room(`room-${at}`)).set("value", { ...value, at }),
  );
  const messages = Math.round(log_mib * MIB / MESSAGE_BYTES);
  await inTurns(messages, (at) => {
    const room = connection.room(`orders-${Math.floor(at / MESSAGES_PER_ROOM)}`);
    // Random, so that a snapshot cannot make less of it.
    const random = crypto.getRandomValues(new Uint8Array((MESSAGE_BYTES - 64) * 3 / 4));
    return room.publish("order", { n: at, text: random.toBase64() });
  });
}

/** The newest offsets of some durable rooms, and the values of some rooms. */
async function samples(connection: Connection, { log_mib, rooms }: Wanted): Promise<string> {
  const found: unknown[] = [];
  const durable = Math.ceil(log_mib * MIB / MESSAGE_BYTES / MESSAGES_PER_ROOM);
  for (let at = 0; at < durable; at++) {
    const { messages } = await history(connection.room(`orders-${at}`), {
      limit: 1,
      reverse: true,
    });
    found.push(messages[0]?.offset);
  }
  for (let at = 0; at < rooms; at += Math.max(1, Math.floor(rooms / 100))) {
    found.push((await roomState(connection.room(`room-${at}`)).get("value")).value);
  }
  return JSON.stringify(found);
}

async function timed<T>(say: string, run: () => Promise<T>): Promise<T> {
  const began_ms = performance.now();
  const result = await run();
  console.log(`${say.padEnd(34)} ${((performance.now() - began_ms) / 1_000).toFixed(1)} s`);
  return result;
}

/** NATS, however many servers it is. */
interface Nats extends AsyncDisposable {
  readonly urls: readonly string[];
}

async function startServers(servers: number, sync_interval: string): Promise<Nats> {
  if (servers === 3) return await startNatsCluster();
  const folder = await Deno.makeTempDir({ prefix: "arqon-times-" });
  const store = `jetstream { store_dir: "${folder}", sync_interval: ${sync_interval} }`;
  const nats = await startNats({ config: `${store}\nmax_payload: 1048576` });
  return {
    urls: [nats.url],
    async [Symbol.asyncDispose]() {
      await nats[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function setUp(path: string, nats: Nats | undefined, log_mib: number): Promise<void> {
  const text = await Deno.readTextFile(`${path}/config.toml`);
  const own = `\n[durable]\nlog_bytes = ${Math.round(log_mib * MIB * 4)}\n`;
  const where = nats === undefined ? "" : `\n[nats]\nurls = ${JSON.stringify(nats.urls)}\n`;
  await Deno.writeTextFile(`${path}/config.toml`, `${text}${own}${where}`);
}

async function measure(wanted: Wanted): Promise<string[]> {
  const start = (sync: string) => startServers(wanted.servers, sync);
  let nats = wanted.engine === "nats" ? await start("always") : undefined;
  await using folder = await initFolder();
  const { path } = folder;
  await setUp(path, nats, wanted.log_mib);
  const arq = (...args: string[]) => runArq(args, { cwd: path });
  const token = await tokenOf(path, "service");
  const open = async (url: string) => await connect({ url, token });
  const file = `${path}/bus.tar`;
  let before: string;
  {
    await using bus = await startServe(path);
    const connection = await open(bus.url);
    await timed("filled", () => fill(connection, wanted));
    before = await samples(connection, wanted);
    await connection.close();
    const admin = ["--admin-url", bus.admin_url, "--token", await tokenOf(path, "admin")];
    await timed("arq backup, while it runs", async () => done(await arq("backup", file, ...admin)));
  }
  const { size } = await Deno.stat(file);
  console.log(`${"the file".padEnd(34)} ${(size / MIB).toFixed(0)} MiB`);
  await timed("arq backup verify", async () => done(await arq("backup", "verify", file)));
  if (nats !== undefined) {
    const lost = JSON.stringify(nats.urls);
    await nats[Symbol.asyncDispose]();
    nats = await start(wanted.restore_sync);
    const text = await Deno.readTextFile(`${path}/config.toml`);
    const moved = text.replaceAll(lost, JSON.stringify(nats.urls));
    await Deno.writeTextFile(`${path}/config.toml`, moved);
  } else {
    await Deno.remove(`${path}/data`, { recursive: true });
  }
  try {
    await timed("arq restore", async () => done(await arq("restore", file)));
    await using bus = await timed("arq serve, until it is ready", () => startServe(path));
    const connection = await open(bus.url);
    const after = await samples(connection, wanted);
    await connection.close();
    return before === after ? [] : [`not all is there:\n${before}\n${after}`];
  } finally {
    await nats?.[Symbol.asyncDispose]();
  }
}

const SYNC: Option<string> = {
  takes: "always|10s",
  about: "`sync_interval` of the servers that are restored into",
  initial: "always",
  shown: "always",
  expected: "always or a time as 10s",
  read: (text) => text === "always" || /^\d+m?s$/.test(text) ? text : undefined,
};

const USAGE = {
  command: "deno task backup:times",
  about:
    `How long a backup, its check, a restore and the start after it take. Exits 1 when something is missing
afterwards.`,
  options: {
    engine: oneOf(["nats", "embedded"], "nats", "of the Spine"),
    servers: oneOf(["1", "3"], "1", "NATS servers"),
    "restore-sync": SYNC,
    "log-mib": amount(1_024, "MiB of messages"),
    rooms: whole(10_000, "rooms with a value each"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values) => {
    const { engine, "restore-sync": restore_sync, "log-mib": log_mib, rooms } = values;
    const servers = values.servers === "3" ? 3 : 1;
    const where = engine === "nats" ? `${servers} NATS servers, ${restore_sync}` : engine;
    console.log(`${where}, ${log_mib} MiB of messages, ${rooms} rooms`);
    return { problems: await measure({ engine, servers, restore_sync, log_mib, rooms }) };
  });
}
