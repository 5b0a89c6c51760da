/** The NATS engine with little storage, and its reports about it. Real servers with a small `max_file`. */
import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-deno";
import { startNatsCluster } from "../../../../tests/harness/nats_cluster.ts";
import { type NatsServer, startNats } from "../../../../tests/harness/nats_server.ts";
import { BANS_BUCKET } from "../../../records/bans.ts";
import { bytes, refusedWith } from "../../testing/conformance.ts";
import { callApi } from "./nats_log_api.ts";
import { ALL, logEngine, operator, RETENTION } from "../testing/nats_log_harness.ts";
import { atEnd } from "../../../testing/at_end.ts";

const MIB = 1_048_576;
const unavailable = refusedWith("log-unavailable");

/** A server with this much storage, in a folder that is removed with it. */
async function smallServer(max_file: number): Promise<NatsServer> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-nats-storage-" });
  const config = `jetstream { store_dir: ${JSON.stringify(folder)}, max_file: ${max_file} }`;
  const server = await startNats({ config });
  return {
    ...server,
    get pid() {
      return server.pid;
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Appends 100 kB at a time until it is refused; returns the refusal. */
async function fill(
  append: (payload: Uint8Array) => Promise<unknown>,
): Promise<{ stored: number; error: unknown }> {
  for (let stored = 0;; stored++) {
    try {
      await append(new Uint8Array(100_000).fill(stored));
    } catch (error) {
      return { stored, error };
    }
  }
}

Deno.test("a tenant whose log has no space is refused with what to change; all others continue", async () => {
  await using server = await smallServer(32 * MIB);
  await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
  await using outside = await operator(server.url);
  const tenants = ["t1", "t2", "t3", "t4", "t5"];
  const opened = await Promise.allSettled(tenants.map((id) => one.spine.log(id, RETENTION)));
  const logs = opened.flatMap((outcome) => outcome.status === "fulfilled" ? [outcome.value] : []);
  assert.equal(logs.length, 3, "control data have their part");
  for (const outcome of opened) {
    if (outcome.status === "fulfilled") continue;
    unavailable(outcome.reason);
    assert.match(
      String(outcome.reason),
      /no room to promise .*log_bytes = 8388608 of \[durable\].*max_file_store.*lower \[durable\] log_bytes/,
    );
  }
  for await (const { config } of outside.streams.list()) {
    assert.ok(config.max_bytes > 0, `${config.name} is bounded`);
  }
  for (const log of logs) {
    const { stored, error } = await fill((payload) => log.append("a", payload));
    unavailable(error);
    assert.ok(stored * 100_000 <= 8 * MIB, "its bound holds");
    assert.ok(stored * 100_000 >= 6 * MIB, `it has what was promised, and not only ${stored}`);
  }
  const bans = await one.spine.keyValue(BANS_BUCKET);
  const rooms = await one.spine.keyValue("ARQON_ROOMS");
  for (let n = 0; n < 20; n++) {
    await bans.put(["t1", `user${n}`], bytes("banned"));
    await rooms.put(["t1", `room${n}`], new Uint8Array(10_000));
  }
  assert.equal((await logs[0]?.read("a", ALL))?.messages.length !== 0, true);
});

Deno.test("an account that limits each stream, or their number, is answered at once", async () => {
  const limited = (limits: string) =>
    `accounts { A: { jetstream: { ${limits} }, users: [{ user: u, password: p }] } }
no_auth_user: u`;
  const config = limited(`max_streams: 9, store_max_stream_bytes: ${4 * MIB}`);
  await using server = await startNats({ jetstream: true, config });
  await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
  const began_ms = performance.now();
  await assert.rejects(one.spine.log("t1", RETENTION), /no room to promise .* account limit/);
  const rooms = await one.spine.keyValue("ARQON_ROOMS");
  await rooms.put(["acme", "room"], bytes("kept"));
  const more = (async () => {
    for (let n = 0;; n++) await one.spine.keyValue(`MORE${n}`);
  })();
  await assert.rejects(more, /may have no more streams/);
  // A retry would take `patience_ms` for each.
  assert.ok(performance.now() - began_ms < 15_000);
});

Deno.test("a full bucket reports that at once, and what to increase", async () => {
  await using server = await smallServer(8 * MIB);
  await using one = await logEngine([server.url]);
  const rooms = await one.spine.keyValue("ARQON_ROOMS");
  const began_ms = performance.now();
  let n = 0;
  const { error } = await fill((payload) => rooms.put(["acme", `room${n++}`], payload));
  refusedWith("spine-unavailable")(error);
  assert.match(String(error), /ARQON_ROOMS: it is full .*raise \[nats\] control_bytes/);
  assert.ok(performance.now() - began_ms < 60_000);
  await rooms.put(["acme", "room0"], new Uint8Array(99_000));
  const bans = await one.spine.keyValue(BANS_BUCKET);
  await bans.put(["acme", "ann"], bytes("banned"));
});

Deno.test("an unlimited log is limited when it is opened; one that cannot be is read only", async () => {
  await using server = await smallServer(64 * MIB);
  await using outside = await operator(server.url);
  const streams: string[] = [];
  {
    await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
    for (const tenant of ["t1", "t2"]) {
      const log = await one.spine.log(tenant, RETENTION);
      await log.append("a", bytes("before"));
      streams.push(log.stream);
    }
  }
  for (const stream of streams) await outside.streams.update(stream, { max_bytes: -1 });
  // As for an operator who promised all storage to others.
  await outside.streams.add({ name: "OTHERS", subjects: ["others"], max_bytes: 32 * MIB });
  await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
  const bounded = await one.spine.log("t1", RETENTION);
  await bounded.append("a", bytes("after"));
  const first = await outside.streams.info(streams[0] ?? "");
  assert.equal(first.config.max_bytes, 8 * MIB);
  const { promised_bytes, limit_bytes = 0 } = await one.spine.storage();
  const rest = Math.floor((limit_bytes - promised_bytes) / 65_536) * 65_536;
  await outside.streams.update("OTHERS", { max_bytes: 32 * MIB + rest - 65_536 });
  const unbounded = await one.spine.log("t2", RETENTION);
  assert.equal((await unbounded.read("a", ALL)).messages.length, 1, "it is read");
  const append = unbounded.append("a", bytes("after"));
  await assert.rejects(append, unavailable);
  await assert.rejects(append, /nothing bounds the stream LOG_t2_.*log_bytes = 8388608/);
  assert.deepEqual((await one.spine.storage()).unbounded, [streams[1]]);
  assert.ok(one.lines.some((line) => line.includes("keeps the bound that it has")));
  await bounded.append("a", bytes("others go on"));
  await outside.streams.delete("OTHERS");
  await unbounded.retain(RETENTION);
  await unbounded.append("a", bytes("after"));
  assert.deepEqual((await one.spine.storage()).unbounded, []);
});

Deno.test("another log_bytes is in force for the logs that are there, up and down", async () => {
  await using server = await startNats({ jetstream: true });
  await using outside = await operator(server.url);
  for (const log_bytes of [4 * MIB, 16 * MIB, 2 * MIB]) {
    await using one = await logEngine([server.url], { log_bytes });
    const { stream } = await one.spine.log("acme", RETENTION);
    assert.equal((await outside.streams.info(stream)).config.max_bytes, log_bytes);
  }
});

Deno.test("an unlimited bucket is limited when it is opened, with room to grow", async () => {
  await using server = await startNats({ jetstream: true });
  await using outside = await operator(server.url);
  const stream = "KV_ARQON_ROOMS";
  const write = async (control_bytes: number, rooms: number) => {
    await using one = await logEngine([server.url], {}, { control_bytes });
    const bucket = await one.spine.keyValue("ARQON_ROOMS");
    for (let n = 0; n < rooms; n++) {
      await bucket.put(["acme", crypto.randomUUID()], new Uint8Array(900_000));
    }
  };
  const bound = async () => (await outside.streams.info(stream)).config.max_bytes;
  await write(8 * MIB, 1);
  assert.equal(await bound(), 4 * MIB);
  await outside.streams.update(stream, { max_bytes: -1 });
  await write(8 * MIB, 0);
  assert.equal(await bound(), 4 * MIB);
  await write(64 * MIB, 4);
  assert.equal(await bound(), 32 * MIB);
  await outside.streams.update(stream, { max_bytes: -1 });
  await write(8 * MIB, 1);
  const { state } = await outside.streams.info(stream);
  assert.ok(await bound() > 4 * MIB && await bound() <= 2 * state.bytes);
});

Deno.test("the available storage is determined: the server's limit, the account's, or the configuration's", async () => {
  await using server = await smallServer(64 * MIB);
  await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
  await using outside = await operator(server.url);
  const log = await one.spine.log("acme", RETENTION);
  await log.append("a", new Uint8Array(100_000));
  const found = await one.spine.storage();
  assert.equal(found.logs, 1);
  assert.ok(found.used_bytes > 100_000 && found.used_bytes < 200_000);
  assert.ok(Math.abs((found.limit_bytes ?? 0) - 64 * MIB) <= 65_536, `${found.limit_bytes}`);
  let promised = 0;
  for await (const { config } of outside.streams.list()) {
    promised += config.max_bytes;
    assert.match(config.name, /^(KV_ARQON_|LOG_acme_)/, "nothing was made to find out");
  }
  assert.equal(found.promised_bytes, promised);
  await using configured = await logEngine([server.url], {}, { storage_bytes: 20 * MIB });
  assert.equal((await configured.spine.storage()).limit_bytes, 20 * MIB);
  const accounts = `accounts { A { jetstream { max_file: ${
    16 * MIB
  } }, users: [{ user: a, password: a }] } }
no_auth_user: a`;
  await using limited = await startNats({ jetstream: true, config: accounts });
  await using two = await logEngine([limited.url]);
  await two.spine.keyValue("ARQON_ROOMS");
  const { limit_bytes = 0 } = await two.spine.storage();
  assert.ok(Math.abs(limit_bytes - 16 * MIB) <= 65_536, `${limit_bytes}`);
});

Deno.test("many publishes of a tenant without room do not ask NATS as often", async () => {
  await using server = await smallServer(8 * MIB);
  await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
  const connection = await connect({ servers: server.url.replace("nats://", "") });
  const asked = async () => {
    const { api } = await callApi<{ api: { total: number } }>(connection, "INFO", {}, 2_000);
    return api.total;
  };
  await using _end = atEnd(() => connection.close());
  await assert.rejects(one.spine.log("acme", RETENTION), unavailable);
  const before = await asked();
  const began_ms = performance.now();
  for (let n = 0; n < 1_000; n++) {
    await assert.rejects(one.spine.log("acme", RETENTION), unavailable);
  }
  // It is retried once in two seconds, with some requests each time.
  const tries = 1 + (performance.now() - began_ms) / 2_000;
  assert.ok(await asked() - before < 20 * tries);
});

Deno.test("on three servers a tenant without room is refused as well, and each copy counts", async () => {
  const accounts = `accounts {
    A { jetstream { max_file: ${192 * MIB} }, users: [{ user: a, password: a }] }
  }
  no_auth_user: a`;
  await using cluster = await startNatsCluster(accounts);
  const more = { request_timeout_ms: 20_000 };
  await using one = await logEngine(cluster.urls, { log_bytes: 16 * MIB }, more);
  const tenants = ["t1", "t2", "t3", "t4", "t5"];
  const opened = await Promise.allSettled(tenants.map((id) => one.spine.log(id, RETENTION)));
  const refused = opened.flatMap((outcome) =>
    outcome.status === "rejected" ? [outcome.reason] : []
  );
  assert.equal(refused.length, 2);
  for (const reason of refused) assert.match(String(reason), /no room to promise .*16777216/);
  const { promised_bytes, limit_bytes = 0, logs, unbounded } = await one.spine.storage();
  assert.deepEqual([limit_bytes, logs, unbounded], [64 * MIB, 3, []]);
  assert.ok(promised_bytes > 48 * MIB && promised_bytes <= limit_bytes);
  const rooms = await one.spine.keyValue("ARQON_ROOMS");
  for (let n = 0; n < 20; n++) await rooms.put(["t5", `r${n}`], new Uint8Array(10_000));
});
