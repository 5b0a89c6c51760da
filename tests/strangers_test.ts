/**
 * Connections that say nothing, many more than the system gives files for, at a Shield with sockets of
 * our own: clients notice nothing, and a new one gets in.
 */
import assert from "node:assert/strict";
import { testCertificate } from "../shared/test_certificate.ts";
import { startBusWith } from "./bus.ts";
import { RawClient } from "./raw_client.ts";

const CONFIG = `
[limits]
strangers = 400
strangers_per_address = 300
[server]
websocket = "own"
`;
const STRANGERS = 3_000;
/** Strangers that stay open at a time; the first of them are ended by the Shield before that. */
const AT_ONCE = 1_000;

async function comeInCrowds(tls: string, client: Deno.HttpClient): Promise<void> {
  const wrapper = ["sh", "-c", 'ulimit -n 900; exec "$@"', "sh"];
  await using bus = await startBusWith(CONFIG + tls, wrapper);
  const options = { token: bus.token, subprotocols: ["arqon.v1.json"], client };
  using known = new RawClient(bus.url, options);
  await known.json();
  known.send({ op: "sub", room: "lobby", id: 1 });
  await known.json();
  const { hostname, port } = new URL(bus.url);
  const strangers: Deno.TcpConn[] = [];
  let heard = 0;
  for (let count = 0; count < STRANGERS; count++) {
    strangers.push(await Deno.connect({ hostname, port: Number(port) }));
    if (strangers.length > AT_ONCE) strangers.shift()?.close();
    if (count % 100 !== 0) continue;
    known.send({ op: "pub", room: "lobby", type: "chat", data: { count } });
    const message = await known.json();
    assert.deepEqual(message.op === "msg" && message.data, { count });
    heard++;
  }
  assert.equal(heard, STRANGERS / 100);
  using late = new RawClient(bus.url, options);
  assert.equal((await late.json()).op, "welcome");
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const strangers_now = Number(/^shield_strangers (\d+)$/m.exec(metrics)?.[1]);
  assert(strangers_now > 0 && strangers_now <= 300, `${strangers_now} strangers`);
  assert.match(metrics, /^shield_strangers_ended_total\{bound="address"\} \d{4}$/m);
  assert.equal((await fetch(`${bus.ops_url}/health/ready`)).status, 200);
  for (const stranger of strangers) stranger.close();
}

Deno.test("thousands of idle strangers leave clients alone, and let new ones in", async () => {
  using client = Deno.createHttpClient({});
  await comeInCrowds("", client);
});

Deno.test("so they do over TLS", async () => {
  const { cert, key } = await testCertificate();
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/cert.pem`, cert);
  await Deno.writeTextFile(`${dir}/key.pem`, key);
  using client = Deno.createHttpClient({ caCerts: [cert] });
  await comeInCrowds(`tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`, client);
  await Deno.remove(dir, { recursive: true });
});
