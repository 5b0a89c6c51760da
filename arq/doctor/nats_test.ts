/**
 * The findings of `arq doctor` about NATS servers that reject logins, lack JetStream or space, or have no limits. Real
 * servers.
 */
import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-deno";
import { jetstreamManager } from "@nats-io/jetstream";
import { startNats } from "../../tests/harness/nats_server.ts";
import { folderWith } from "../testing/disk_io.ts";
import { type ArqResult, runArq } from "../testing/run_arq.ts";

const findings = (result: ArqResult): { check: string; status: string; text: string }[] =>
  JSON.parse(result.stdout).findings;

Deno.test("doctor finds a NATS server without JetStream, without the right login, or not at all", async () => {
  await using plain = await startNats();
  const config = 'authorization { user: "arqon", password: "sesame" }';
  await using whole = await startNats({ jetstream: true, config });
  const good = whole.url.replace("//", "//arqon:sesame@");
  const head = "[server]\nport = 0\n[ops]\nport = 0\n[admin]\nport = 0\n[nats]\nurls = ";
  const nats = async (...urls: string[]) => {
    await using folder = await folderWith({ "config.toml": head + JSON.stringify(urls) });
    const result = await runArq(["doctor", "--json"], { cwd: folder.path });
    assert.doesNotMatch(result.stdout + result.stderr, /sesame|wrong/);
    return findings(result).filter(({ check }) => check.startsWith("NATS"))
      .map(({ status, text }) => `${status} ${text}`).join("\n");
  };
  assert.match(await nats(plain.url), /^fail .*runs without JetStream$/);
  assert.match(
    await nats(good),
    /^ok .* with JetStream\nok .* and JetStream answer\nok 0 bytes are promised; .* has started/,
  );
  assert.match(await nats(good.replace("sesame", "wrong")), /\nfail .*Authorization Violation$/);
  assert.match(await nats("nats://127.0.0.1:1"), /^fail .*does not answer: Connection refused/);
  assert.match(await nats(good, "nats://127.0.0.1:1"), /\nwarn .*\nok .*JetStream answer\nok .*$/);
});

Deno.test("doctor compares reserved storage with available storage, and names what is unlimited", async () => {
  const store_dir = await Deno.makeTempDir();
  const config = `jetstream { store_dir: ${JSON.stringify(store_dir)}, max_file: 16MB }`;
  await using server = await startNats({ config });
  const connection = await connect({ servers: server.url.replace("nats://", "") });
  const { streams } = await jetstreamManager(connection);
  const doctor = async (durable: string) => {
    const toml = `[server]\nport = 0\n[ops]\nport = 0\n[admin]\nport = 0\n${durable}[nats]\n` +
      `urls = ["${server.url}"]\n`;
    await using folder = await folderWith({ "config.toml": toml });
    const result = await runArq(["doctor", "--json"], { cwd: folder.path });
    const found = findings(result).find(({ check }) => check === "NATS storage");
    return `${found?.status} ${found?.text}`;
  };
  const log = (tenant: string, max_bytes: number) => ({
    name: `LOG_${tenant}_1`,
    subjects: [`log.t.${tenant}.r.*`],
    max_bytes,
  });
  try {
    await streams.add(log("acme", 4_194_304));
    const small = "[durable]\nlog_bytes = 4_194_304\n";
    assert.match(
      await doctor(small),
      /^ok 4194304 bytes are promised of 16777216, .* 1 durable log$/,
    );
    assert.match(
      await doctor(""),
      /^warn 4194304 .* of the 16777216 .* needs log_bytes = 1073741824/,
    );
    assert.match(
      await doctor(`${small}tenants = 5\n`),
      /^warn 20971520 bytes are promised of the 16777216 .*5 tenants/,
    );
    const shared = `${small}shared_streams = 2\nshared_bytes = 4_194_304\n`;
    const name = "LOGS_00_1";
    await streams.add({ name, subjects: ["log.s.00.t.*.r.*"], max_bytes: 4_194_304 });
    assert.match(
      await doctor(shared),
      /^ok 12582912 bytes are promised .* 1 durable log, 1 shared stream$/,
    );
    assert.match(
      await doctor(shared.replace("= 2", "= 4")),
      /^warn 20971520 .*4 shared streams with shared_bytes = 4194304/,
    );
    assert.match(await doctor(`${shared}tenants = 8\n`), /^warn 8 tenants share 2 streams/);
    await streams.delete(name);
    await streams.add(log("bolt", -1));
    assert.match(await doctor(small), /^warn nothing bounds LOG_bolt_1: /);
    assert.deepEqual((await streams.list().next()).length, 2, "nothing was made");
  } finally {
    await connection.close();
    await server.stop();
    await Deno.remove(store_dir, { recursive: true });
  }
});
