/** Alerts about dependencies: servers of quotas, identities and telemetry, receivers, the certificate, the log. */
import assert from "node:assert/strict";
import { testCertificate } from "../../shared/listeners/testing/certificate.ts";
import { until } from "../../shared/testing/until.ts";
import { freePort } from "../harness/free_ports.ts";
import { startValkey, type ValkeyServer } from "../harness/valkey_server.ts";
import { hookTables, Receiver } from "../hooks/receiver.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { type LocalStage, startLocalStage } from "./local_stage.ts";
import { again, play, type Row } from "./play.ts";
import { runAsOperator } from "./runbook.ts";

const DAY_MS = 86_400_000;

interface Dependencies extends LocalStage {
  readonly valkey: ValkeyServer;
  readonly receiver: Receiver;
  readonly telemetry_port: number;
  /** Whether the server of identities answers with 500. */
  identities: { is_broken: boolean };
  /** Writes a certificate that ends then; absent: in many years. Resolves with its PEM. */
  certify(end?: Date): Promise<string>;
  readonly cert: string;
}

const ROWS: readonly Row<Dependencies>[] = [{
  alert: "ArqonQuotaDegraded",
  async breaks({ valkey }) {
    await valkey.kill();
    return () => valkey.start();
  },
  says: /restore it; it needs no data/,
  shows: {},
}, {
  alert: "ArqonExportFailing",
  // deno-lint-ignore require-await -- nobody listens there from the beginning
  async breaks({ telemetry_port: port }) {
    return () => {
      const address = { hostname: "127.0.0.1", port, onListen() {} };
      const collector = Deno.serve(
        address,
        async (request) => (await request.bytes(), Response.json({})),
      );
      collector.unref();
    };
  },
  says: /repair it/,
  shows: {},
}, {
  alert: "ArqonCertificateEnds",
  async breaks({ certify }) {
    await certify(new Date(Date.now() + 2 * DAY_MS));
    return () => certify();
  },
  says: /write the renewed pair to the files/,
  shows: {},
}, {
  alert: "ArqonHookOff",
  async breaks(stage) {
    const { bus, receiver, cert } = stage;
    const admin = new HttpPeer(bus.admin_url, stage.token);
    const hook = async () => (await admin.call("GET", "tenants/default/hooks/h")).body.hook;
    await until("a Brain has it", async () => (await hook()).since !== null);
    receiver.answer = () => new Response(null, { status: 410 });
    using client = Deno.createHttpClient({ caCerts: [cert] });
    const published = await fetch(
      `${bus.http_url.replace(/^http:/, "https:")}/v1/rooms/o-1/messages`,
      {
        client,
        method: "POST",
        headers: {
          authorization: `Bearer ${await bus.tokenFor()}`,
          "content-type": "application/json",
        },
        body: '{"type":"t","data":{"n":1}}',
      },
    );
    await published.text();
    return async () => {
      receiver.answer = () => undefined;
      const of = ["h", "--tenant", "default"];
      for (const words of [["hook", "pause", ...of], ["hook", "resume", ...of]]) {
        assert.match(await runAsOperator(stage, words), /exit code 0/);
      }
      await until("the backlog arrives", () => receiver.taken.length === 1);
    };
  },
  says: /repair the receiver, then `arq hook resume ID --tenant TENANT`/,
  shows: {
    "a hook was switched off": /tenant_id=default hook=h why="it answered 410/,
    "arq hook list --tenant TENANT": /^h +off \(PROBLEM\)/m,
    "arq hook test ID --tenant TENANT": /410/,
  },
}, {
  alert: "ArqonJwksFetchFailing",
  // deno-lint-ignore require-await -- it is broken from the beginning
  async breaks({ identities }) {
    return () => void (identities.is_broken = false);
  },
  says: /repair the route/,
  shows: { "the JWK set cannot be fetched": /issuer=away .*500/ },
}, {
  alert: "ArqonLogLinesLeftOut",
  // deno-lint-ignore require-await -- the load continues
  async breaks({ bus, token }) {
    const admin = new HttpPeer(bus.admin_url, token);
    // Each of its questions is a line of the log.
    const stop = again(50, () => admin.call("GET", "journal?tenant=default"));
    return async () => {
      const { status, body } = await admin.call("PUT", "log", {
        component: "shield",
        level: "warn",
      });
      assert.equal(status, 200, JSON.stringify(body));
      await stop();
    };
  },
  says: /remove the cause/,
  shows: { "lines left out": /count=\d+/ },
}];

/** A server of identities. */
function startIdentities() {
  const state = { is_broken: true };
  const answer = () =>
    state.is_broken ? new Response("", { status: 500 }) : Response.json({ keys: [] });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  return { state, port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

async function start(stack: AsyncDisposableStack): Promise<Dependencies> {
  const dir = await Deno.makeTempDir({ prefix: "arqon-certificate-" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const certify = async (end?: Date) => {
    const { cert, key } = await testCertificate(undefined, end);
    await Deno.writeTextFile(`${dir}/cert.pem`, cert);
    await Deno.writeTextFile(`${dir}/key.pem`, key);
    return cert;
  };
  const cert = await certify();
  const valkey = stack.use(await startValkey());
  const receiver = stack.use(new Receiver());
  const identities = stack.use(startIdentities());
  const telemetry_port = freePort();
  const stage = stack.use(
    await startLocalStage(
      `[server]
tls_cert = "${dir}/cert.pem"
tls_key = "${dir}/key.pem"
[quota]
url = "${valkey.url}"
[telemetry]
otlp_url = "http://127.0.0.1:${telemetry_port}"
#constant telemetry.metrics_interval_ms = 1_000
#constant auth.jwks_cooldown_seconds = 1
[[auth.issuers]]
issuer = "away"
audience = "arqon"
tenants = ["*"]
jwks_url = "http://127.0.0.1:${identities.port}/jwks.json"
${hookTables(receiver.url)}`,
      { constants: { log: { lines_per_second: 1 } } },
    ),
  );
  stage.words["ID"] = "h";
  return {
    ...stage,
    valkey,
    receiver,
    telemetry_port,
    identities: identities.state,
    certify,
    cert,
  };
}

Deno.test("alerts about what a bus depends on", async () => {
  await using stack = new AsyncDisposableStack();
  await play(await start(stack), [ROWS]);
});
