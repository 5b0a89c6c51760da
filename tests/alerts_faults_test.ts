/**
 * Alerts by real faults: a bus, its dependencies, and the real Prometheus. Then the runbook is followed, and the alert
 * ends. An hour of the rules is a minute here. `promtool`, in `prometheus_test.ts`, tests the conditions of each alert.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { seen, until } from "../shared/testing/until.ts";
import { activeAlerts, startAlerting } from "./alerting.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { freePort } from "./harness/free_ports.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { mountSmallDisk, noSmallDisk } from "./harness/small_disk.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { startValkey } from "./harness/valkey_server.ts";
import { hookTables, Receiver } from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const OPERATORS = `[admin]\noperator_tenants = ["*"]\n`;
const LIMIT_MS = 90_000;
const DAY_MS = 86_400_000;

/** Prometheus, which reads those pages of metrics; each job by its name. */
async function watch(pages: Readonly<Record<string, string>>) {
  const prometheus = await startAlerting(
    Object.entries(pages).map(([job_name, url]) => ({
      job_name,
      static_configs: [{ targets: [new URL(url).host] }],
    })),
  );
  const firing = () => activeAlerts(prometheus, ["firing"]);
  const active = () => activeAlerts(prometheus, ["pending", "firing"]);
  const isOf = (alert: string) => (one: string) => one.startsWith(`${alert} of `);
  return {
    fires: (alert: string) =>
      seen(`${alert} fires`, firing, (all) => all.some(isOf(alert)), LIMIT_MS),
    ends: (alert: string) =>
      seen(`${alert} ends`, active, (all) => !all.some(isOf(alert)), LIMIT_MS),
    [Symbol.asyncDispose]: () => prometheus[Symbol.asyncDispose](),
  };
}

const runbooks = await Deno.readTextFile(new URL("../docs/runbooks.md", import.meta.url));

/** Fails unless the runbook of the alert says to do that. */
function runbookSays(alert: string, words: RegExp): void {
  const [, section = ""] = runbooks.split(`\n## ${alert}\n`);
  const [, what = ""] = section.split("\n## ")[0]!.split("- **Do**:");
  assert.match(what.replaceAll(/\s+/g, " "), words, alert);
}

/** Runs what a runbook says, as an operator. */
async function arq(bus: Pick<TestBus, "admin_url" | "tokenFor">, ...words: string[]) {
  const token = await bus.tokenFor({ role: "admin" });
  const done = await runArq([...words, "--admin-url", bus.admin_url, "--token", token]);
  assert.equal(done.code, 0, done.stderr);
  return done.stdout;
}

Deno.test("ArqonShieldDown: a Shield is killed, and started again with its node_id", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const start = (ops: string) =>
    startServer("shield", config, issuer.dir, 'node_id = "s1"', 0, [], "", ops);
  await using killed = await start("");
  const ops_url = killed.ready.ops_url!;
  await using prometheus = await watch({ "arqon-shield": ops_url });
  await killed.stop("SIGKILL");
  await prometheus.fires("ArqonShieldDown");
  runbookSays("ArqonShieldDown", /restart it with the same `node_id`/);
  await using back = await start(`port = ${new URL(ops_url).port}`);
  assert.equal(back.ready.ops_url, ops_url);
  await prometheus.ends("ArqonShieldDown");
});

Deno.test("ArqonNoBrain: no Brain lives, until one is started", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  await using shield = await startServer("shield", config, issuer.dir);
  await using prometheus = await watch({ "arqon-shield": shield.ready.ops_url! });
  await prometheus.fires("ArqonNoBrain");
  runbookSays("ArqonNoBrain", /start a Brain/);
  await using _brain = await startServer("brain", config, issuer.dir);
  await prometheus.ends("ArqonNoBrain");
});

Deno.test("ArqonSpineDisconnected: NATS dies and comes back, and no process is restarted", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  await using shield = await startServer("shield", config, issuer.dir);
  await using prometheus = await watch({ "arqon-shield": shield.ready.ops_url! });
  await nats.kill();
  await prometheus.fires("ArqonSpineDisconnected");
  runbookSays("ArqonSpineDisconnected", /restore NATS .* restart none/);
  await nats.start();
  await prometheus.ends("ArqonSpineDisconnected");
});

if (noSmallDisk() === undefined) {
  Deno.test("ArqonStorageFull: the disk is full, and has room again", async () => {
    await using disk = await mountSmallDisk(24);
    await using bus = await startLocalBus("", { data_dir: `${disk.folder}/data` });
    await using prometheus = await watch({ "arqon-dev": bus.ops_url });
    await disk.fill();
    await prometheus.fires("ArqonStorageFull");
    runbookSays("ArqonStorageFull", /When a disk is full.*Restart nothing/);
    await disk.clear();
    await prometheus.ends("ArqonStorageFull");
  });
}

Deno.test("ArqonQuotaDegraded: the server of quotas dies and comes back, empty", async () => {
  await using valkey = await startValkey();
  await using bus = await startLocalBus(`[quota]\nurl = "${valkey.url}"\n`);
  await using prometheus = await watch({ "arqon-dev": bus.ops_url });
  await valkey.kill();
  await prometheus.fires("ArqonQuotaDegraded");
  runbookSays("ArqonQuotaDegraded", /restore it; it needs no data/);
  await valkey.start();
  await prometheus.ends("ArqonQuotaDegraded");
});

Deno.test("ArqonExportFailing: the collector is away, and comes back", async () => {
  const port = freePort();
  const telemetry =
    `[telemetry]\notlp_url = "http://127.0.0.1:${port}"\n#constant telemetry.metrics_interval_ms = 1_000\n`;
  await using bus = await startLocalBus(telemetry);
  await using prometheus = await watch({ "arqon-dev": bus.ops_url });
  await prometheus.fires("ArqonExportFailing");
  runbookSays("ArqonExportFailing", /repair it/);
  await using _collector = Deno.serve(
    { hostname: "127.0.0.1", port, onListen() {} },
    async (request) => (await request.bytes(), Response.json({})),
  );
  await prometheus.ends("ArqonExportFailing");
});

Deno.test("ArqonCertificateEnds: the certificate ends in two days, and the renewed pair is written", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-certificate-" });
  const write = async (end?: Date) => {
    const { cert, key } = await testCertificate(undefined, end);
    await Deno.writeTextFile(`${dir}/cert.pem`, cert);
    await Deno.writeTextFile(`${dir}/key.pem`, key);
  };
  try {
    await write(new Date(Date.now() + 2 * DAY_MS));
    const tls = `tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`;
    await using bus = await startLocalBus(`[server]\n${tls}`);
    await using prometheus = await watch({ "arqon-dev": bus.ops_url });
    await prometheus.fires("ArqonCertificateEnds");
    runbookSays("ArqonCertificateEnds", /write the renewed pair to the files/);
    await write();
    await prometheus.ends("ArqonCertificateEnds");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("ArqonHookOff: a receiver says that it is gone, is repaired, and the hook is resumed", async () => {
  await using receiver = new Receiver();
  await using bus = await startLocalBus(OPERATORS + hookTables(receiver.url, "default"));
  await using prometheus = await watch({ "arqon-dev": bus.ops_url });
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  const hook = async () => (await admin.call("GET", "tenants/default/hooks/h")).body.hook;
  await until("a Brain has it", async () => (await hook()).since !== null);
  receiver.answer = () => new Response(null, { status: 410 });
  await client.call("POST", "rooms/o-1/messages", { type: "t", data: { n: 1 } });
  await prometheus.fires("ArqonHookOff");
  runbookSays("ArqonHookOff", /repair the receiver, then `arq hook resume ID --tenant TENANT`/);
  const { state, problem } = await hook();
  assert.deepEqual([state, /answered 410/.test(problem)], ["off", true], problem);
  assert.match(await arq(bus, "hook", "list", "--tenant", "default"), /^h +off \(PROBLEM\)/m);
  assert.match(
    await arq(bus, "hook", "show", "h", "--tenant", "default"),
    /PROBLEM +it answered 410/,
  );
  receiver.answer = () => undefined;
  await arq(bus, "hook", "resume", "h", "--tenant", "default");
  await prometheus.ends("ArqonHookOff");
  await until("what waited comes", () => receiver.taken.length === 1);
});

Deno.test("ArqonJwksFetchFailing: keys of an issuer cannot be fetched, until they can", async () => {
  let is_broken = true;
  await using identities = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => is_broken ? new Response("", { status: 500 }) : Response.json({ keys: [] }),
  );
  const issuer = `[[auth.issuers]]\nissuer = "away"\naudience = "arqon"\ntenants = ["*"]\n` +
    `jwks_url = "http://127.0.0.1:${identities.addr.port}/jwks.json"\n`;
  await using bus = await startLocalBus(issuer);
  await using prometheus = await watch({ "arqon-dev": bus.ops_url });
  await prometheus.fires("ArqonJwksFetchFailing");
  runbookSays("ArqonJwksFetchFailing", /repair the route/);
  is_broken = false;
  await prometheus.ends("ArqonJwksFetchFailing");
});

Deno.test("ArqonLogLinesLeftOut: a program asks too often, until it is stopped", async () => {
  const constants = { log: { lines_per_second: 1 } };
  await using bus = await startLocalBus(OPERATORS, { constants });
  await using prometheus = await watch({ "arqon-dev": bus.ops_url });
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  // Each of its questions is a line of the log.
  const program = setInterval(async () => {
    for (let n = 0; n < 10; n++) await admin.call("GET", "journal?tenant=default");
  }, 500);
  try {
    await prometheus.fires("ArqonLogLinesLeftOut");
  } finally {
    clearInterval(program);
  }
  runbookSays("ArqonLogLinesLeftOut", /remove the cause/);
  await prometheus.ends("ArqonLogLinesLeftOut");
});

Deno.test("ArqonRoomClassesDiffer: two Brains have other classes of rooms, until both have one file", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  await using one = await startServer("brain", config, issuer.dir);
  const other = '[[rooms]]\nroom = "chat-*"\ndurable = true\n';
  await using prometheus = await watch({ "arqon-brain": one.ready.ops_url! });
  await using second = await startServer("brain", config + other, issuer.dir, 'node_id = "b2"');
  await prometheus.fires("ArqonRoomClassesDiffer");
  runbookSays("ArqonRoomClassesDiffer", /the same file, then `arq config reload` or SIGHUP/);
  for await (const { name } of Deno.readDir(issuer.dir)) {
    const file = `${issuer.dir}/${name}`;
    const text = name.endsWith(".toml") ? await Deno.readTextFile(file) : "";
    if (text.includes(other)) await Deno.writeTextFile(file, text.replace(other, ""));
  }
  second.signal("SIGHUP");
  await prometheus.ends("ArqonRoomClassesDiffer");
});
