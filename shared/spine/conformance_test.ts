/**
 * Runs the conformance suite against every engine: embedded in memory, on disk, and a real NATS; its logs
 * also where tenants share a stream.
 */
import { atEnd } from "../testing/at_end.ts";
import { QUIET } from "../testing/logs.ts";
import { bytes, type Case } from "./testing/conformance.ts";
import { BLOCK_CASES } from "./testing/conformance_blocks.ts";
import { KV_CASES } from "./testing/conformance_kv.ts";
import { LOG_CASES } from "./testing/conformance_log.ts";
import { LOG_READ_CASES } from "./testing/conformance_log_read.ts";
import { MESSAGE_CASES } from "./testing/conformance_messages.ts";
import { OBJECT_CASES } from "./testing/conformance_objects.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { configFrom } from "../config/load.ts";
import { openSpine } from "./open.ts";
import type { Spine } from "./contract/spine.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { overriding } from "../testing/overriding.ts";

const log = QUIET;

function embedded(engine: string, cases: readonly Case[], data_dir?: string): void {
  cases.forEach(({ behaviour, run }, number) => {
    Deno.test(`${engine}: ${behaviour}`, async () => {
      const options = { log, now: Date.now };
      const spine = openEmbedded(data_dir === undefined ? options : { ...options, data_dir });
      await using _end = atEnd(() => spine.drain());
      await run({ spine, other: spine, name: `case-${number}` });
    });
  });
}

/** The server answers at once on a free machine; no case depends on a timeout. */
const REQUEST_TIMEOUT_MS = 60_000;

const folder = Deno.makeTempDirSync({ prefix: "arqon-spine-" });
Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));

const STATE_CASES = [
  ...KV_CASES,
  ...OBJECT_CASES,
  ...BLOCK_CASES,
  ...LOG_CASES,
  ...LOG_READ_CASES,
];
embedded("embedded", [...MESSAGE_CASES, ...STATE_CASES]);
embedded("embedded on disk", STATE_CASES, folder);

/** Two connections to one server, which all cases share. */
function nats(cases: readonly Case[]): void {
  const server = startNats({ jetstream: true });
  // A server that does not start fails the tests that await it, not the whole file.
  server.catch(() => {});
  Deno.test.afterAll(async () => await (await server)[Symbol.asyncDispose]());
  cases.forEach(({ behaviour, run }, number) => {
    Deno.test(`nats: ${behaviour}`, async () => {
      const config = configFrom({
        nats: { urls: [(await server).url], request_timeout_ms: REQUEST_TIMEOUT_MS },
      });
      const spine = await openSpine(config, { log, now: Date.now });
      const other = await openSpine(config, { log, now: Date.now });
      await using _end = atEnd(() => Promise.all([spine.drain(), other.drain()]));
      await run({ spine, other, name: `case-${number}` });
    });
  });
}

nats([...MESSAGE_CASES, ...STATE_CASES]);

/** A stream shared by all tenants: the retention that one requests applies to all. */
function sharing(spine: Spine): Spine {
  const log: Spine["log"] = (tenant_id, retention) =>
    spine.log(tenant_id, { ...retention, common: retention });
  return overriding(spine, { log });
}

/** Two connections to the case's own server, where another tenant has already stored messages. */
function sharedLogs(cases: readonly Case[]): void {
  for (const { behaviour, is_own = false, run } of cases) {
    if (is_own) continue;
    Deno.test(`nats, a shared stream: ${behaviour}`, async () => {
      await using server = await startNats({ jetstream: true });
      const durable = { shared_streams: 1 };
      const config = configFrom({ nats: { urls: [server.url] }, durable });
      const spine = await openSpine(config, { log, now: Date.now });
      const other = await openSpine(config, { log, now: Date.now });
      await using _end = atEnd(() => Promise.all([spine.drain(), other.drain()]));
      const neighbour = await sharing(other).log("neighbour", {
        history_size: 100,
        history_ttl_seconds: 3_600,
        replicas: undefined,
      });
      for (const key of ["a/k", "k", "twice"]) await neighbour.append("a", bytes("x"), { key });
      const peers = { spine: sharing(spine), other: sharing(other) };
      await run({ ...peers, name: "case", neighbours: 3 });
    });
  }
}

sharedLogs([...LOG_CASES, ...LOG_READ_CASES]);
