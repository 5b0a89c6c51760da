/** Logins and certificates of NATS in files that change, on real servers. */
import assert from "node:assert/strict";
import { nkeys } from "@nats-io/nats-core";
import { createNatsOperator } from "../../../../tests/harness/nats_jwt.ts";
import { type NatsServer, startNats } from "../../../../tests/harness/nats_server.ts";
import { testCertificate } from "../../../listeners/testing/certificate.ts";
import { temporaryFolder } from "../../../testing/temporary_folder.ts";
import { until } from "../../../testing/until.ts";
import { refusedWith } from "../../testing/conformance.ts";
import { type Watched, watched } from "../testing/nats_harness.ts";

const TLS = new URL("../../../../tests/tls/", import.meta.url).pathname;
const SERVER_TLS = `cert_file: "${TLS}server.pem", key_file: "${TLS}server_key.pem"`;
const DEADLINE_MS = 60_000;
const files = { read: (path: string) => Deno.readTextFileSync(path) };
const refused = refusedWith("spine-unavailable");

/** A folder whose files a test writes; `at` returns a path in it. */
async function withFolder(
  body: (write: (name: string, text: string) => string) => Promise<void>,
): Promise<void> {
  await using dir = await temporaryFolder();
  await body((name, text) => {
    Deno.writeTextFileSync(`${dir.path}/${name}`, text);
    return `${dir.path}/${name}`;
  });
}

const open = ({ port }: NatsServer, table: Record<string, unknown>) =>
  watched(port, table, { files });

/** The number of refused logins in the server's log since it was last read. */
const refusals = (server: NatsServer) =>
  server.logTail().split("\n").filter((line) => /authentication error/i.test(line)).length;

/** The server accepts `config` from now on; a refused login is followed by an accepted one. */
async function rotates(
  server: NatsServer,
  { spine }: Watched,
  config: string,
  rotate: () => void,
): Promise<void> {
  await server.reload(config);
  // The server logs the disconnect of this user like a refused login, and before the client can know of it.
  await until("the end of the connection", () => spine.status.state !== "connected");
  const thrown_out = refusals(server);
  await until("a refused login", () => refusals(server) > thrown_out);
  assert.notEqual(spine.status.state, "connected");
  rotate();
  await until("the connection", () => spine.status.state === "connected");
  await spine.flush();
}

const user = (password: string) =>
  `authorization { users: [{ user: "shield", password: "${password}" }] }`;

Deno.test("a password in a file is read again for each attempt to connect", async () => {
  await using server = await startNats({ config: user("first-hunter2") });
  await withFolder(async (write) => {
    const table = { user: "shield", password_file: write("password", "first-hunter2\n") };
    await using one = await open(server, table);
    await rotates(
      server,
      one,
      user("second-hunter2"),
      () => void write("password", "second-hunter2"),
    );
    // The file may be empty while it is written: the last valid login stays in use.
    write("password", "");
    await server.restart();
    await until("the second connection", () => one.spine.status.reconnects >= 2);
    assert.match(one.lines.join(""), /nats\.password_file.*is empty/);
    assert.doesNotMatch(one.lines.join(""), /hunter2/);
    await assert.rejects(open(server, table), /nats\.password_file: ".*" is empty/);
    write("password", "third-hunter2");
    await assert.rejects(open(server, table), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /Authorization Violation/);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  });
});

Deno.test("the user of a password in a file may be in the URL", async () => {
  await using server = await startNats({ config: user("hunter2") });
  await withFolder(async (write) => {
    const password_file = write("password", "hunter2\r\n");
    const urls = [server.url.replace("//", "//shield@")];
    await using one = await open(server, { urls, password_file });
    await one.spine.flush();
  });
});

Deno.test("a token in a file is read again for each attempt to connect", async () => {
  const config = (token: string) => `authorization { token: "${token}" }`;
  await using server = await startNats({ config: config("first") });
  await withFolder(async (write) => {
    await using one = await open(server, { token_file: write("token", "first\n") });
    await rotates(server, one, config("second"), () => void write("token", " second \n"));
  });
});

Deno.test("the seed of an nkey in a file is read again for each attempt to connect", async () => {
  const first = nkeys.createUser();
  const second = nkeys.createUser();
  const other = nkeys.createAccount();
  const seed = (pair: typeof first) => new TextDecoder().decode(pair.getSeed());
  const config = (pair: typeof first) =>
    `authorization { users: [{ nkey: "${pair.getPublicKey()}" }] }`;
  await using server = await startNats({ config: config(first) });
  await withFolder(async (write) => {
    const nkey_file = write("seed", `${seed(first)}\n`);
    await using one = await open(server, { nkey_file });
    const decorated = `-----BEGIN USER NKEY SEED-----\n${
      seed(second)
    }\n------END USER NKEY SEED------\n`;
    await rotates(server, one, config(second), () => void write("seed", decorated));
    assert.doesNotMatch(one.lines.join(""), new RegExp(`${seed(first)}|${seed(second)}`));
    for (const bad of [seed(other), seed(first).slice(0, -4), first.getPublicKey(), "hunter2"]) {
      write("seed", bad);
      await assert.rejects(open(server, { nkey_file }), (error) => {
        assert.ok(error instanceof Error);
        assert.match(error.message, /^nats\.nkey_file: ".*" holds no seed of a user's nkey/);
        assert.ok(!error.message.includes(bad));
        return true;
      });
    }
  });
});

Deno.test("credentials that end are replaced by those that the file has by then", async () => {
  const operator = createNatsOperator();
  await using server = await startNats({ config: operator.config });
  await withFolder(async (write) => {
    const credentials_file = write("a.creds", "");
    // They must last until the connection is made, however slow the machine is.
    const openFor = async (seconds: number): Promise<Watched> => {
      const now_seconds = Math.floor(Date.now() / 1_000);
      write("a.creds", operator.credentials("short", now_seconds + seconds));
      try {
        return await open(server, { credentials_file });
      } catch (error) {
        if (seconds > DEADLINE_MS / 1_000) throw error;
        return await openFor(2 * seconds);
      }
    };
    await using one = await openFor(5);
    // Before the old ones expire: in the second in which they do, the server may still accept them, and disconnect the
    // client at once.
    write("a.creds", operator.credentials("long"));
    await one.reached("disconnected");
    await until("the connection", () => one.spine.status.state === "connected");
    await one.spine.flush();
    write("a.creds", "no credentials");
    await assert.rejects(
      open(server, { credentials_file }),
      /nats\.credentials_file: ".*" is no \.creds file/,
    );
  });
});

Deno.test("a server that wants to see a certificate is shown the one that is there by then", async () => {
  const first = await testCertificate();
  const second = await testCertificate();
  await withFolder(async (write) => {
    const trusted = write("clients.pem", first.cert);
    const config = `tls { ${SERVER_TLS}, ca_file: "${trusted}", verify: true }`;
    await using server = await startNats({ config });
    const table = {
      urls: [`tls://127.0.0.1:${server.port}`],
      tls_ca_file: `${TLS}ca.pem`,
      tls_cert_file: write("cert.pem", first.cert),
      tls_key_file: write("key.pem", first.key),
    };
    const { tls_cert_file: _cert, tls_key_file: _key, ...without } = table;
    await assert.rejects(open(server, without), refused);
    await using one = await open(server, table);
    await one.spine.flush();
    write("clients.pem", second.cert);
    await server.restart();
    await until("a refused certificate", () => /tls.*certificate/i.test(server.logTail()));
    assert.notEqual(one.spine.status.state, "connected");
    // Half of a pair is invalid: the previous one is shown, and refused.
    write("cert.pem", second.cert);
    await until("a word of it", () => /not the key/.test(one.lines.join("")));
    write("key.pem", second.key);
    await until("the connection", () => one.spine.status.state === "connected");
    await one.spine.flush();
    assert.doesNotMatch(one.lines.join(""), /BEGIN/);
    for (
      const [name, text, expected] of [
        ["key.pem", first.key, /nats\.tls_key_file: ".*" is not the key of the certificate/],
        ["key.pem", "no key", /nats\.tls_key_file: ".*" holds no private key/],
        ["cert.pem", "no certificate", /nats\.tls_cert_file: ".*" holds no certificate/],
      ] as const
    ) {
      write(name, text);
      await assert.rejects(open(server, table), expected);
    }
  });
});

Deno.test("a certificate alone is a login where the server maps it to a user", async () => {
  const { cert, key } = await testCertificate();
  await withFolder(async (write) => {
    const trusted = write("clients.pem", cert);
    const config = `tls { ${SERVER_TLS}, ca_file: "${trusted}", verify_and_map: true }
authorization { users: [{ user: "CN=arqon test" }] }`;
    await using server = await startNats({ config });
    await using one = await open(server, {
      urls: [`tls://127.0.0.1:${server.port}`],
      tls_ca_file: `${TLS}ca.pem`,
      tls_cert_file: write("cert.pem", cert),
      tls_key_file: write("key.pem", key),
    });
    await one.spine.flush();
  });
});

Deno.test("a server's certificate must have the name or address of its URL", async () => {
  for (const only of ["127.0.0.1", "localhost"] as const) {
    const { cert, key } = await testCertificate(undefined, undefined, only);
    await withFolder(async (write) => {
      const tls = `cert_file: "${write("cert.pem", cert)}", key_file: "${write("key.pem", key)}"`;
      await using server = await startNats({ config: `tls { ${tls} }` });
      const at = (host: string) =>
        open(server, {
          urls: [`tls://${host}:${server.port}`],
          tls_ca_file: write("ca.pem", cert),
        });
      await using one = await at(only);
      await one.spine.flush();
      const other = only === "localhost" ? "127.0.0.1" : "localhost";
      await assert.rejects(at(other), /does not match certificate/);
    });
  }
});
