/**
 * SIGHUP to real processes, with clients connected: a Shield and a Brain on NATS, several Shields of a supervisor, `arq
 * serve`; and listeners whose certificates move to other paths.
 */
import assert from "node:assert/strict";
import { exportSPKI, generateKeyPair } from "@panva/jose";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { logged } from "./harness/server_state.ts";

/** Changes the file of a process that `startServer` has started, which is the only one of its part. */
async function edit({ dir }: Issuer, part: string, change: (text: string) => string) {
  for await (const { name } of Deno.readDir(dir)) {
    if (!name.startsWith(`${part}-`)) continue;
    const text = await Deno.readTextFile(`${dir}/${name}`);
    assert.notEqual(change(text), text);
    return await Deno.writeTextFile(`${dir}/${name}`, change(text));
  }
  assert.fail(`no file of a ${part}`);
}

const count = (text: string, part: string) => text.split(part).length - 1;
const READ = 'msg="the configuration was read again"';

/** Sends SIGHUP and waits for the process's log line about it. */
async function hangUp(server: Pick<ServerProcess, "signal" | "log">, text: string, times = 1) {
  const before = count(server.log(), text);
  server.signal("SIGHUP");
  await until(text, () => count(server.log(), text) === before + times);
}

async function start() {
  const stack = new AsyncDisposableStack();
  const nats = stack.use(await startNats({ jetstream: true }));
  const issuer = stack.use(await createIssuer());
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  return { issuer, config, stack, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

Deno.test("SIGHUP: a Shield and a Brain read their files again, and a broken one changes nothing", async () => {
  await using world = await start();
  const { issuer, config } = world;
  await using brain = await startServer("brain", config, issuer.dir);
  const lines = "drain_ms = 1";
  await using shield = await startServer("shield", config, issuer.dir, lines);
  const { ready } = shield;
  const client = await openText(shield.socket_url, await issuer.tokenFor());
  await edit(
    issuer,
    "shield",
    (text) =>
      text.replace("drain_ms = 1", 'drain_ms = 77\nheartbeat_ms = 9_000\n[log]\nlevel = "debug"'),
  );
  await hangUp(shield, READ);
  await logged(shield, /by=SIGHUP .*changed="server\.drain_ms log\.level"/);
  await until("the rest is reported", () => /keys=server\.heartbeat_ms/.test(shield.log()));
  await edit(
    issuer,
    "brain",
    (text) => `${text}\n[log]\nlevel = "loud"\n`,
  );
  await hangUp(brain, "the one before stays in force");
  await logged(brain, /log\.level/);
  await edit(issuer, "brain", (text) => text.replace("loud", "debug"));
  await hangUp(brain, READ);
  const token = await issuer.tokenFor({ role: "admin" });
  const { configs, nodes } = await new AdminClient(ready.admin_url ?? "", token).read("/v1/config");
  assert.deepEqual(nodes.silent, []);
  const shown = configs.map((
    one: { kind: string; changed: string[]; needs_restart: string[]; problem: string | null },
  ) => [one.kind, one.changed, one.needs_restart, one.problem]);
  assert.deepEqual(shown.sort(), [
    ["brain", ["log.level"], [], null],
    ["shield", ["server.drain_ms", "log.level"], ["server.heartbeat_ms"], null],
  ]);
  // The Brain continues to serve, and so does the connection; the refused update shows the window in force.
  await ask(client, { op: "cmd", room: "r", name: "room.set", data: { key: "k", value: 1 } });
  shield.signal("SIGTERM");
  assert.match((await client.closed()).reason, /^restart;spread_ms=77$/);
});

Deno.test("SIGHUP: a new key in an issuer's file is used, and the previous one no longer verifies", async () => {
  await using issuer = await createIssuer();
  await using shield = await startServer("shield", issuer.config, issuer.dir);
  const check = `${shield.ready.url}/v1/auth/check`;
  const headers = { authorization: `Bearer ${await issuer.tokenFor()}` };
  const status = async () => {
    const response = await fetch(check, { headers });
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await status(), 200);
  const file = `${issuer.dir}/public.pem`;
  const before = await Deno.readTextFile(file);
  const { publicKey } = await generateKeyPair("RS256");
  await Deno.writeTextFile(file, await exportSPKI(publicKey));
  await hangUp(shield, READ);
  await logged(shield, /changed="?auth\.issuers\[0\]\.pem_file/);
  assert.equal(await status(), 401);
  await Deno.writeTextFile(file, "no key");
  await hangUp(shield, "a file of the configuration cannot be used");
  assert.equal(await status(), 401);
  await Deno.writeTextFile(file, before);
  await hangUp(shield, READ);
  assert.equal(await status(), 200);
});

Deno.test("SIGHUP: a file of thousands of classes is read in a thread of its own, also when it is wrong", async () => {
  await using issuer = await createIssuer();
  await using shield = await startServer("shield", issuer.config, issuer.dir);
  const classes = Array.from({ length: 2_000 }, (_, at) => `[[rooms]]\nroom = "r-${at}-*"\n`);
  await edit(issuer, "shield", (text) => `${text}\n${classes.join("")}`);
  await hangUp(shield, READ);
  await logged(shield, /by=SIGHUP .*changed=rooms/);
  await edit(issuer, "shield", (text) => text.replace('"r-7-*"', '"r-7-*"\nhistory_siz = 2'));
  await hangUp(shield, "the one before stays in force");
  await logged(shield, /history_siz: unknown key/);
});

Deno.test("SIGHUP: the Shields of a supervisor read their file again, and stay", async () => {
  await using world = await start();
  const { issuer, config } = world;
  const more = `${config}\n[limits]\nrooms_per_connection = 2\n`;
  const args = ["--processes", "2"];
  await using node = await startServer("shield", more, issuer.dir, "", { args });
  const client = await openText(node.socket_url, await issuer.tokenFor());
  await edit(issuer, "shield", (text) => text.replace("connection = 2", "connection = 1"));
  // The supervisor and its two processes.
  await hangUp(node, READ, 3);
  await ask(client, { op: "sub", room: "one" });
  await assert.rejects(ask(client, { op: "sub", room: "two" }), /429/);
  client[Symbol.dispose]();
});

/** Whether a client that trusts only this certificate gets any answer. */
async function trusts(url: string, cert: string): Promise<boolean> {
  using client = Deno.createHttpClient({ caCerts: [cert] });
  try {
    await (await fetch(url, { client })).body?.cancel();
    return true;
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return false;
  }
}

Deno.test("SIGHUP: the three listeners follow certificates at other paths", async () => {
  await using issuer = await createIssuer();
  const { dir } = issuer;
  const pairs = [await testCertificate(), await testCertificate()];
  for (const [index, { cert, key }] of pairs.entries()) {
    await Deno.writeTextFile(`${dir}/${index}.pem`, cert);
    await Deno.writeTextFile(`${dir}/${index}.key`, key);
  }
  const lines = `tls_cert = "${dir}/0.pem"\ntls_key = "${dir}/0.key"\n`;
  const same = { admin_lines: lines, ops_lines: lines };
  await using shield = await startServer("shield", issuer.config, dir, lines, same);
  const { url = "", ops_url = "", admin_url = "" } = shield.ready;
  const urls = [`${url}/v1/auth/check`, `${ops_url}/health/live`, `${admin_url}/v1/access`];
  for (const one of urls) assert.equal(await trusts(one, pairs[0]?.cert ?? ""), true, one);
  await edit(issuer, "shield", (text) => text.replaceAll("/0.", "/1."));
  await hangUp(shield, READ);
  for (const one of urls) {
    await until(`the other certificate at ${one}`, () => trusts(one, pairs[1]?.cert ?? ""));
  }
});
