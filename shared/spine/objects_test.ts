/** Object stores with damage, restarts and unreachable servers. Real files, real servers. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { startNats } from "../../tests/harness/nats_server.ts";
import { QUIET } from "../testing/logs.ts";
import { temporaryFolder } from "../testing/temporary_folder.ts";
import { bytes, refusedWith, text, within } from "./testing/conformance.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { connectNats } from "./nats/connection/nats_connect.ts";
import { natsConfig, watched } from "./nats/testing/nats_harness.ts";

const log = QUIET;
const unavailable = refusedWith("spine-unavailable");
const internal = refusedWith("internal");

Deno.test("embedded: objects outlive the process, and a damaged one is refused", async () => {
  await using data_dir = await temporaryFolder();
  const first = openEmbedded({ log, now: Date.now, data_dir: data_dir.path });
  const storing = await first.objects("MODULES");
  await storing.put("good", bytes("good"));
  await storing.put("bad", bytes("bad"));
  await first.drain();
  await assert.rejects(storing.get("good"), unavailable);
  await assert.rejects(storing.put("good", bytes("")), unavailable);
  await assert.rejects(first.objects("MODULES"), unavailable);
  const database = new DatabaseSync(`${data_dir.path}/spine.sqlite`);
  database.exec("UPDATE object SET value = x'00' WHERE name = 'bad'");
  database.close();
  const second = openEmbedded({ log, now: Date.now, data_dir: data_dir.path });
  const reading = await second.objects("MODULES");
  assert.equal(text(await reading.get("good") ?? bytes("")), "good");
  await assert.rejects(reading.get("bad"), internal);
  await second.drain();
});

Deno.test("nats: objects survive the server; while it is down they are refused", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port);
  const store = await one.spine.objects("MODULES");
  const large = new Uint8Array(600_000).fill(7);
  await store.put("a", large);
  await server.kill();
  await one.reached("disconnected");
  await assert.rejects(store.get("a"), unavailable);
  await assert.rejects(store.put("a", large), unavailable);
  await assert.rejects(store.delete("a"), unavailable);
  await assert.rejects(one.spine.objects("OTHERS"), unavailable);
  await server.start();
  await one.gaps(1);
  assert.deepEqual(await within(store.get("a"), "the object"), large);
});

Deno.test("nats: a store whose stream is deleted is recreated; reads leave no consumers", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 10_000 });
  const config = natsConfig({ urls: [server.url] });
  const observer = await connectNats({ config, reconnectDelay: () => 100 });
  const { streams } = await jetstreamManager(observer);
  const store = await one.spine.objects("MODULES");
  await store.put("a", bytes("1"));
  for (let n = 0; n < 5; n++) await store.get("a");
  await one.spine.flush();
  const { state, config: made } = await streams.info("OBJ_MODULES");
  assert.equal(state.consumer_count, 0);
  assert.equal(made.allow_direct, false);
  await streams.delete("OBJ_MODULES");
  assert.equal(await within(store.get("a"), "the answer"), undefined);
  await store.put("a", bytes("2"));
  assert.equal(text(await store.get("a") ?? bytes("")), "2");
  await observer.close();
});

Deno.test("nats: an object that contradicts its digest is refused", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 1_000 });
  const config = natsConfig({ urls: [server.url] });
  const observer = await connectNats({ config, reconnectDelay: () => 100 });
  const store = await one.spine.objects("MODULES");
  const forge = async (name: string, size: number, digest: string, chunk?: string) => {
    const meta = btoa(name).replaceAll("+", "-").replaceAll("/", "_");
    // Acknowledged: a mere publish may reach the stream after the next read.
    const js = jetstream(observer);
    if (chunk !== undefined) await js.publish(`$O.MODULES.C.${name}`, chunk);
    const info = { name, bucket: "MODULES", nuid: name, size, chunks: 1, digest };
    await js.publish(`$O.MODULES.M.${meta}`, JSON.stringify(info));
  };
  const other = "SHA-256=ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs=";
  await forge("changed", 3, other, "abc");
  await assert.rejects(within(store.get("changed"), "the refusal"), internal);
  await forge("huge", 1e12, other);
  await assert.rejects(within(store.get("huge"), "the refusal"), internal);
  await forge("lost", 3, other);
  await assert.rejects(within(store.get("lost"), "the refusal"), unavailable);
  await observer.close();
});
