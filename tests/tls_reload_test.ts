/** A Shield whose certificate is replaced while clients are connected. Listeners alone: `shared/listeners/tls_reload_test.ts`. */
import assert from "node:assert/strict";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";

/** Whether somebody who trusts only this certificate gets an answer. */
async function trusts({ ready }: ServerProcess, cert: string): Promise<boolean> {
  using client = Deno.createHttpClient({ caCerts: [cert] });
  try {
    const response = await fetch(`${ready.url}/v1/auth/check`, { client });
    await response.body?.cancel();
    return response.status === 401;
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return false;
  }
}

interface Client extends Disposable {
  readonly socket: WebSocket;
  readonly messages: string[];
  /** `CODE reason`, once it is closed. */
  readonly ends: string[];
}

async function open({ ready }: ServerProcess, issuer: Issuer, cert: string): Promise<Client> {
  const client = Deno.createHttpClient({ caCerts: [cert] });
  const socket = new WebSocket(`${ready.url?.replace(/^http/, "ws")}/v1/socket`, {
    protocols: ["arqon.v1.json", `arqon.token.${await issuer.tokenFor()}`],
    client,
  });
  const messages: string[] = [];
  const ends: string[] = [];
  socket.onmessage = ({ data }) => void messages.push(String(data));
  socket.onclose = ({ code, reason }) => void ends.push(`${code} ${reason}`);
  await until("a WELCOME", () => messages.length === 1 || ends.length > 0);
  return {
    socket,
    messages,
    ends,
    [Symbol.dispose]() {
      socket.onclose = null;
      socket.close();
      client.close();
    },
  };
}

for (const websocket of ["native", "ws", "own"] as const) {
  Deno.test(`a Shield serves another certificate without a restart (${websocket})`, async () => {
    const issuer = await createIssuer();
    const [first, second] = [await testCertificate(), await testCertificate()];
    const [cert_file, key_file] = [`${issuer.dir}/cert.pem`, `${issuer.dir}/key.pem`];
    await Deno.writeTextFile(cert_file, first.cert);
    await Deno.writeTextFile(key_file, first.key);
    const lines = [
      `websocket = "${websocket}"`,
      `tls_cert = "${cert_file}"`,
      `tls_key = "${key_file}"`,
    ];
    await using shield = await startServer("shield", issuer.config, issuer.dir, lines.join("\n"));
    assert.equal(await trusts(shield, first.cert), true);
    using client = await open(shield, issuer, first.cert);
    await Deno.writeTextFile(cert_file, second.cert);
    await until("half a pair is told", () => shield.log().includes("cannot be used"));
    assert.equal(await trusts(shield, first.cert), true);
    assert.deepEqual(client.ends, []);
    await Deno.writeTextFile(key_file, second.key);
    await until("the new certificate is served", () => trusts(shield, second.cert));
    assert.equal(await trusts(shield, first.cert), false);
    client.socket.send(JSON.stringify({ op: "ping" }));
    await until("the connection lives", () => client.messages.length === 2);
    assert.deepEqual(client.ends, []);
    using again = await open(shield, issuer, second.cert);
    assert.deepEqual(again.ends, []);
    await Deno.remove(issuer.dir, { recursive: true });
  });
}
