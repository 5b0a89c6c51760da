/**
 * A bus whose journal cannot be stored: its disk is full, or NATS has no room. Messages continue, and once there is
 * room the journal reports what is missing. `shield/journal/queue_test.ts` has queues with test stores.
 */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as dialNats, type NatsConnection } from "@nats-io/transport-deno";
import { connect, type Connection } from "../sdk/typescript/mod.ts";
import { isHole, type JournalLine } from "../shared/journal/record.ts";
import { until } from "../shared/testing/until.ts";
import { DEV_DEFAULTS } from "../arq/serve/dev_bus.ts";
import { journalLines } from "./harness/journal_lines.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { mountSmallDisk, noSmallDisk } from "./harness/small_disk.ts";
import { samplesOf } from "./harness/server_state.ts";

const TENANT = "default";
/** NATS's limit on disk: space for the initial streams of a bus, and for a journal. */
const STORAGE_BYTES = 2_147_483_648;
const why_not = noSmallDisk();
if (why_not !== undefined) console.error(`full disks are not tested: ${why_not}`);

const dial = async (bus: TestBus): Promise<Connection> =>
  await connect({ url: bus.url, token: await bus.tokenFor({ role: "service" }) });

const count = async (bus: TestBus, series: string): Promise<number> =>
  (await samplesOf(bus.ops_url)).get(series) ?? 0;

const stored = (bus: TestBus) => count(bus, 'shield_journal_records_total{outcome="stored"}');
const holes = (bus: TestBus, why: string) => count(bus, `shield_journal_holes_total{why="${why}"}`);

/** The bytes that the server has reserved for its streams. */
async function promisedBytes(link: NatsConnection): Promise<number> {
  const { streams } = await jetstreamManager(link);
  let sum = 0;
  for await (const { config } of streams.list()) sum += Math.max(0, config.max_bytes);
  return sum;
}

/** Sends a message that must pass; its content does not compress. */
async function say(client: Connection): Promise<void> {
  await client.room("plain").publish("t", crypto.getRandomValues(new Uint8Array(20_000)));
}

/** The journal reports what is missing, and has later decisions. */
function checkHoles(lines: readonly JournalLine[], why: string): void {
  const found = lines.filter(isHole).filter(({ hole }) => hole.why === why);
  assert(found.length > 0, JSON.stringify(lines.filter(isHole)));
  const { records, to_ms } = found.at(-1)!.hole;
  assert(records !== null && records > 0);
  assert(lines.some((line) => !isHole(line) && line.time_ms > to_ms), "it goes on behind it");
}

if (why_not === undefined) {
  Deno.test("journal: on a full disk messages continue, and with free space the hole is reported", async () => {
    await using disk = await mountSmallDisk(24);
    const data_dir = `${disk.folder}/data`;
    await using bus = await startLocalBus(DEV_DEFAULTS, { data_dir });
    await using client = await dial(bus);
    await say(client);
    await until("a first block is stored", async () => await stored(bus) > 0);
    await disk.fill();
    await until("decisions are missing", async () => {
      await say(client);
      return await holes(bus, "storage-full") > 0;
    });
    await disk.clear();
    const before = await stored(bus);
    await until("decisions are stored again", async () => {
      await say(client);
      return await stored(bus) > before;
    });
    await client.close();
    await bus.stop();
    checkHoles(await journalLines({ server: { data_dir } }, TENANT), "storage-full");
  });
}

Deno.test("journal: without storage in NATS messages continue, and with storage the hole is reported", async () => {
  await using nats = await startNats({ jetstream: true, max_file: String(STORAGE_BYTES) });
  await using bus = await startLocalBus(`${DEV_DEFAULTS}[nats]\nurls = ["${nats.url}"]\n`);
  const link = await dialNats({ servers: nats.url });
  try {
    const { streams } = await jetstreamManager(link);
    // The journal has no stream yet, since nobody has connected: now there is no space for one.
    const rest = STORAGE_BYTES - await promisedBytes(link);
    await streams.add({ name: "OTHER", subjects: ["other"], max_bytes: rest });
    await using client = await dial(bus);
    await until("decisions are missing", async () => {
      await say(client);
      return await holes(bus, "storage-full") > 0;
    });
    await streams.delete("OTHER");
    await until("decisions are stored", async () => {
      await say(client);
      return await stored(bus) > 0;
    });
  } finally {
    await link.close();
  }
  await bus.stop();
  checkHoles(await journalLines({ nats: { urls: [nats.url] } }, TENANT), "storage-full");
});
