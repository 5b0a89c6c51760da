// The rules of `arq doctor` that depend on nothing of the machine, or only on a test's certificate, port and files.
import assert from "node:assert/strict";
import fc from "fast-check";
import { testCertificate } from "../../shared/listeners/testing/certificate.ts";
import { clockOffset_ms } from "../bus/admin.ts";
import { diskIo } from "../testing/disk_io.ts";
import { greetingFinding, parseGreeting } from "./nats.ts";
import { dataFinding, privateFinding } from "./paths.ts";
import { configFrom } from "../../shared/config/load.ts";
import { placesOf, requireFreePorts, sharedWith } from "../../shared/listeners/port_check.ts";
import type { Place } from "../../shared/listeners/port_check.ts";
import { outsideFindings } from "./config_files.ts";
import {
  clockFinding,
  denoFinding,
  fileLimit,
  fileLimitFinding,
  lsofOwner,
  portFinding,
  ssOwner,
} from "./system.ts";
import { isAtLeast } from "../../shared/deno_versions.ts";
import { certificateFinding } from "./keys.ts";

const NOW_MS = Date.UTC(2026, 10, 20);
const signal = new AbortController().signal;

Deno.test("versions are compared by their numbers", () => {
  assert.ok(
    isAtLeast("2.9.6", "2.9.6") && isAtLeast("2.10.0", "2.9.6") && isAtLeast("3.0.0", "2.9.6"),
  );
  assert.ok(
    !isAtLeast("2.9.5", "2.9.6") && !isAtLeast("1.99.99", "2.9.6") && !isAtLeast("x", "2.9.6"),
  );
  assert.equal(denoFinding("2.8.0").status, "fail");
});

Deno.test("a NATS server that is too old or without JetStream fails, by its greeting", () => {
  const greet = (info: object) => {
    const greeting = parseGreeting(`INFO ${JSON.stringify(info)} \r`);
    return greeting === undefined ? undefined : greetingFinding("h:1", greeting);
  };
  assert.match(
    greet({ version: "2.10.29", jetstream: true })?.text ?? "",
    /2\.10\.29; 2\.11\.0 or newer/,
  );
  assert.match(greet({ version: "2.12.1" })?.fix ?? "", /--jetstream/);
  assert.equal(greet({ version: "2.12.1", jetstream: true })?.status, "ok");
  assert.equal(
    greet({ version: "2.12.1", cluster: "c" })?.status,
    "ok",
    "another of it may have it",
  );
  assert.equal(greet({ version: 2 }), undefined);
  fc.assert(fc.property(fc.string(), (text) => assert.equal(parseGreeting(text), undefined)));
});

Deno.test("too few open files for the connections that are allowed fail, with the figure to set", async () => {
  const finding = fileLimitFinding(1_024, 18_000, "linux");
  assert.equal(finding.status, "fail");
  assert.match(finding.fix ?? "", /ulimit -n 18256 .*LimitNOFILE=18256/);
  assert.equal(fileLimitFinding(Infinity, 18_000, "darwin").status, "ok");
  assert.equal(fileLimitFinding(undefined, 18_000, "linux").status, "warn");
  assert.equal(fileLimitFinding(undefined, 18_000, "windows").status, "ok");
  if (Deno.build.os !== "windows") assert.ok((await fileLimit(signal) ?? 0) >= 256);
});

Deno.test("the clock is compared as far as an answer in whole seconds allows", () => {
  const answer = (offset_ms: number) => ({
    date_ms: Math.floor((NOW_MS + offset_ms) / 1_000) * 1_000,
    sent_ms: NOW_MS,
    received_ms: NOW_MS + 50,
    server: "bus",
  });
  fc.assert(fc.property(fc.integer({ min: -90_000, max: 90_000 }), (offset_ms) => {
    assert.ok(Math.abs(clockOffset_ms(answer(offset_ms)) - offset_ms) <= 1_050);
  }));
  assert.equal(clockOffset_ms(answer(20)), 0);
  assert.equal(clockFinding(NOW_MS, answer(20), 30).status, "ok");
  assert.match(clockFinding(NOW_MS, answer(10_000), 30).text, /behind the clock of bus/);
  assert.equal(clockFinding(NOW_MS, answer(-10_000), 30).status, "warn");
  assert.equal(clockFinding(NOW_MS, answer(60_000), 30).status, "fail");
  assert.equal(clockFinding(0, undefined, 30).status, "fail");
});

Deno.test("a certificate must be in force, of its key and for the name", async () => {
  const pair = await testCertificate();
  const at = (now_ms: number, name?: string) => certificateFinding(pair, now_ms, name);
  assert.equal(at(NOW_MS).status, "ok");
  assert.equal(at(NOW_MS, "localhost").status, "ok");
  assert.equal(at(NOW_MS, "127.0.0.1").status, "ok");
  assert.match(
    at(NOW_MS, "bus.example.com").text,
    /not for bus\.example\.com, but for DNS:localhost/,
  );
  assert.match(at(Date.UTC(2050, 0, 1)).text, /ended on 2049-12-31/);
  assert.equal(at(Date.UTC(2049, 11, 20)).status, "warn");
  assert.match(at(Date.UTC(2024, 0, 1)).text, /good from 2025-01-01 on/);
  const { key } = await testCertificate();
  assert.match(certificateFinding({ ...pair, key }, NOW_MS, undefined).text, /another certificate/);
  assert.match(certificateFinding({ cert: "x", key }, NOW_MS, undefined).fix ?? "", /must be PEM/);
});

Deno.test("a port in use is reported with the program that uses it", async () => {
  await using taken = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("hello"),
  );
  const place = { name: "client", table: "server", host: "127.0.0.1", tls: false } as const;
  const finding = await portFinding(
    { ...place, port: taken.addr.port },
    AbortSignal.timeout(30_000),
  );
  assert.equal(finding.status, "fail");
  assert.match(finding.text, /is in use by (another program|.+ \(pid \d+\))/);
  assert.match(finding.fix ?? "", /\[server\] port/);
  const elsewhere = await portFinding({ ...place, host: "192.0.2.1", port: 4_000 }, signal);
  assert.match(elsewhere.fix ?? "", /\[server\] host/);
  assert.equal(lsofOwner("p77\ncnode\nf12\n"), "node (pid 77)");
  assert.equal(ssOwner('LISTEN 0 1 *:1 *:* users:(("deno",pid=7,fd=1))'), "deno (pid 7)");
  assert.equal(lsofOwner("") ?? ssOwner(""), undefined);
});

Deno.test("a port of two listeners is reported with both, if one of them could not be opened", async () => {
  const config = configFrom({ server: { host: "0.0.0.0", port: 4_101 }, ops: { port: 4_101 } });
  const places = placesOf(config);
  const ops = await portFinding(places[1] as Place, signal, places);
  assert.deepEqual([ops.status, ops.check], ["fail", "ops port"]);
  assert.match(
    ops.text,
    /4101 on 127\.0\.0\.1 is that of the client listener, too \(\[server\] port\)/,
  );
  await assert.rejects(requireFreePorts(places), /ops listener: port 4101 .* that of the client/);
  const apart = placesOf(configFrom({
    server: { host: "127.0.0.2", port: 4_101 },
    ops: { port: 4_101 },
    admin: { port: 0 },
  }));
  assert.deepEqual(apart.map((place) => sharedWith(place, apart)), [
    undefined,
    undefined,
    undefined,
  ]);
  const chosen = placesOf(
    configFrom({ server: { port: 0 }, ops: { port: 0 }, admin: { port: 0 } }),
  );
  assert.ok(chosen.every((place) => sharedWith(place, chosen) === undefined));
});

Deno.test("an unreachable or refusing quota server or collector is named, and a reachable one answers", async () => {
  const io = diskIo(await Deno.makeTempDir());
  const statuses = [200, 401];
  await using collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) =>
      new Response(null, {
        status: new URL(request.url).pathname === "/v1/traces" ? statuses.shift()! : 404,
      }),
  );
  const otlp_url = `http://127.0.0.1:${collector.addr.port}`;
  const find = async (config: object) =>
    (await outsideFindings(io, configFrom(config))).map(({ check, status, text }) =>
      `${status} ${check}: ${text}`
    );
  assert.deepEqual(await find({}), []);
  assert.match(
    (await find({ telemetry: { otlp_url } }))[0] ?? "",
    /^ok collector: 127\.0\.0\.1:\d+ answers$/,
  );
  assert.match(
    (await find({ telemetry: { otlp_url } }))[0] ?? "",
    /^warn collector: .* answers 401/,
  );
  const away = await find({
    telemetry: { otlp_url: "http://127.0.0.1:1" },
    quota: { url: "redis://127.0.0.1:1" },
  });
  assert.match(away[0] ?? "", /^warn quota server: 127\.0\.0\.1:1 does not answer: .*ECONNREFUSED/);
  assert.match(away[1] ?? "", /^warn collector: 127\.0\.0\.1:1 does not answer: /);
});

Deno.test("data_dir must be writable; a private key must be its owner's only", async () => {
  const folder = await Deno.makeTempDir();
  const io = diskIo(folder);
  assert.match((await dataFinding(io, "data/below")).text, /can be created$/);
  assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), [], "it leaves nothing behind");
  await Deno.writeTextFile(`${folder}/key`, "{}", { mode: 0o600 });
  assert.equal((await privateFinding(io, "key", "key")).status, "ok");
  assert.match((await dataFinding(io, "key")).text, /is not a folder/);
  assert.match((await privateFinding(io, "key", "gone")).fix ?? "", /relative paths are relative/);
  if (Deno.build.os !== "windows") {
    await Deno.chmod(`${folder}/key`, 0o640);
    const open = await privateFinding(io, "key", "key");
    assert.deepEqual([open.status, open.fix], ["fail", `chmod 600 ${folder}/key`]);
  }
  await Deno.remove(folder, { recursive: true });
});
