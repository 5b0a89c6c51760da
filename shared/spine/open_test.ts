/** The configuration selects the engine, and the files that it names are read and used. */
import assert from "node:assert/strict";
import { startNats } from "../../tests/harness/nats_server.ts";
import { configFrom } from "../config/load.ts";
import { QUIET } from "../testing/logs.ts";
import { temporaryFolder } from "../testing/temporary_folder.ts";
import { bytes, collect, refusedWith, subject, within } from "./testing/conformance.ts";
import { watched } from "./nats/testing/nats_harness.ts";
import { openSpine } from "./open.ts";

const tls = new URL("../../tests/tls/", import.meta.url).pathname;
const files = { read: (path: string) => Deno.readTextFileSync(path) };
const tlsServer = {
  config: `tls { cert_file: ${JSON.stringify(`${tls}server.pem`)}, key_file: ${
    JSON.stringify(`${tls}server_key.pem`)
  } }`,
};
const log = QUIET;

Deno.test("without a [nats] table the embedded engine opens, in data_dir if it is set", async () => {
  await using folder = await temporaryFolder();
  for (const data_dir of [undefined, `${folder.path}/below/data`]) {
    const config = configFrom({ server: data_dir === undefined ? {} : { data_dir } });
    const spine = await openSpine(config, { log, now: Date.now });
    assert.equal(spine.status.engine, "embedded");
    assert.equal(spine.status.state, "connected");
    await spine.drain();
  }
  assert.ok((await Deno.stat(`${folder.path}/below/data/spine.sqlite`)).isFile);
});

Deno.test("[durable] and [limits] bound the embedded logs", async () => {
  const config = configFrom({
    durable: { log_bytes: 200_000 },
    limits: { log_pending_messages: 12 },
  });
  const spine = await openSpine(config, { log, now: Date.now });
  const retention = { history_size: 1_000, history_ttl_seconds: 60, replicas: undefined };
  const rooms = await spine.log("acme", retention);
  const some = async (count: number, size_bytes: number) => {
    const append = () => rooms.append("a", new Uint8Array(size_bytes));
    const outcomes = await Promise.allSettled(Array.from({ length: count }, append));
    return outcomes.flatMap((one) => one.status === "rejected" ? [String(one.reason)] : []);
  };
  assert.deepEqual(await some(10, 10), []);
  const [refused, ...others] = await some(11, 10);
  assert.match(refused ?? "", /publishes of this tenant wait/);
  assert.deepEqual(others, []);
  assert.match((await some(10, 30_000))[0] ?? "", /raise \[durable\] log_bytes/);
  await spine.drain();
});

Deno.test("a NATS server is trusted by tls_ca_file and by nothing else", async () => {
  await using server = await startNats(tlsServer);
  const urls = [`tls://127.0.0.1:${server.port}`];
  const trusting = { urls, tls_ca_file: `${tls}ca.pem` };
  await using one = await watched(server.port, trusting, { files });
  const received = await collect(one.spine, subject("room"));
  one.spine.publish(subject("room"), bytes("over TLS"));
  await received.count(1);
  await server.restart();
  await one.gaps(1);
  one.spine.publish(subject("room"), bytes("again"));
  await received.count(2);
  const refused = refusedWith("spine-unavailable");
  await assert.rejects(within(watched(server.port, { urls }), "the refusal"), refused);
});

Deno.test("a tls:// URL never falls back to plain text", async () => {
  await using plain = await startNats();
  const urls = [`tls://127.0.0.1:${plain.port}`];
  const refused = refusedWith("spine-unavailable");
  await assert.rejects(within(watched(plain.port, { urls }), "the refusal"), refused);
});

Deno.test("an unreadable file that [nats] names is an error, and not ignored", async () => {
  await using server = await startNats();
  await assert.rejects(watched(server.port, { credentials_file: "/nowhere" }), TypeError);
  await assert.rejects(
    watched(server.port, { credentials_file: "/nowhere" }, { files }),
    /nowhere/,
  );
});
