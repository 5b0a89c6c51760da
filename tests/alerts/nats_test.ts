/** Alerts about the connection to NATS and about its storage: slow, cut off, full, frozen. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-deno";
import { until } from "../../shared/testing/until.ts";
import { incompatiblePing, ping } from "../../shield/schema/testing/schemas.ts";
import { type NatsServer, startNats } from "../harness/nats_server.ts";
import { samplesOf } from "../harness/server_state.ts";
import { startTcpProxy, type TcpProxy } from "../harness/tcp_proxy.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { operator } from "../../shared/spine/nats/testing/nats_log_harness.ts";
import { ask, openText } from "../peers/raw_client.ts";
import { runAsOperator } from "./runbook.ts";
import { again, play, type Row } from "./play.ts";
import { type ServerStage, socketUrl, startServerStage } from "./server_stage.ts";

const MIB = 1_048_576;
const SCHEMA = "v1.events.made";

interface Natted extends ServerStage {
  readonly nats: NatsServer;
  /** Between the Shield and NATS. */
  readonly proxy: TcpProxy;
}

/** Publishes to a durable room of the tenant; resolves with the answer's status. */
async function store({ url, issuer }: ServerStage, tenant_id: string, bytes = 10): Promise<number> {
  const client = new HttpPeer(url, await issuer.tokenFor({ tenant_id }));
  const message = { type: "t", data: "x".repeat(bytes) };
  return (await client.call("POST", "rooms/log-1/messages", message)).status;
}

const SLOW: readonly Row<Natted>[] = [{
  alert: "ArqonSpineSlow",
  // deno-lint-ignore require-await -- of a sudden
  async breaks({ proxy }) {
    proxy.slow(80, Infinity);
    return () => proxy.slow(0, Infinity);
  },
  says: /give NATS its own disk/,
  shows: {},
}];

const TORN: readonly Row<Natted>[] = [{
  alert: "ArqonGaps",
  async breaks({ url, issuer, proxy, ops_url }) {
    const client = await openText(socketUrl(url), await issuer.tokenFor());
    await ask(client, { op: "sub", room: "lobby" });
    const reconnects = async () =>
      (await samplesOf(ops_url)).get("arqon_spine_reconnects_total") ?? 0;
    const stop = again(100, async () => {
      const before = await reconnects();
      await proxy.cut();
      proxy.restore();
      await until("it is back", async () => await reconnects() > before);
    });
    return async () => {
      await stop();
      client[Symbol.dispose]();
    };
  },
  says: /Rooms that need every message should be \[durable\]/,
  shows: { "arqon_spine_reconnects_total": / [1-9]/ },
}, {
  alert: "ArqonSpineReconnecting",
  // deno-lint-ignore require-await -- the same fault
  breaks: async () => () => {},
  says: /Network: repair it/,
  shows: { "arqon_spine_pending_bytes": /\d/ },
}];

const LOST: readonly Row<Natted>[] = [{
  alert: "ArqonSpineDisconnected",
  async breaks({ nats }) {
    await nats.kill();
    return () => nats.start();
  },
  says: /restore NATS .* restart none/,
  shows: {
    "arqon_spine_state": /\d/,
    "the connection to NATS is lost": /127\.0\.0\.1/,
  },
}];

const FROZEN: readonly Row<Natted>[] = [{
  alert: "ArqonLogPendingHigh",
  async breaks({ nats, url, issuer }) {
    const client = await openText(socketUrl(url), await issuer.tokenFor({ tenant_id: "pending" }));
    await nats.freeze();
    const data = "x".repeat(50_000);
    let id = 0;
    const stop = again(20, async () => {
      client.send({ op: "pub", room: "log-1", type: "t", data, id: ++id });
      await Promise.resolve();
    });
    return async () => {
      nats.resume();
      await stop();
      client[Symbol.dispose]();
    };
  },
  says: /restore the replicas/,
  shows: {
    "shield_log_pending_limit_bytes": /\d/,
    "shield_log_lag_seconds": /\d/,
  },
}];

const AUDIT: readonly Row<Natted>[] = [{
  alert: "ArqonAuditFailing",
  async breaks(stage) {
    const { nats, admin_url, token, words } = stage;
    const admin = new AdminClient(admin_url, token);
    const change = () =>
      admin.ask("PUT", "/v1/tenants/acme/schedules/s", {
        room: "lobby",
        message: { type: "t" },
        every_ms: 3_600_000,
      });
    assert.equal((await change()).status, 200);
    const line = () => stage.log().split("\n").find((line) => line.includes('msg="audit"')) ?? "";
    await until("it is in the log", () => line() !== "");
    const [, seq, hash] = /\bseq=(\d+)[^\n]*\bhash=([0-9a-f]+)/.exec(line()) ?? [];
    Object.assign(words, { SEQ: seq, HASH: hash });
    const connection = await connect({ servers: nats.url });
    const { streams } = await jetstreamManager(connection);
    const stop = again(1_000, async () => {
      await streams.delete("ARQON_AUDIT").catch(() => {});
      await change();
    });
    return async () => {
      await stop();
      await connection.close();
    };
  },
  says: /run `arq audit verify --anchor SEQ:HASH`/,
  shows: {
    'msg="audit"': /seq=1 hash=/,
    "arq audit verify --anchor SEQ:HASH": /exit code 1/,
    "shield_audit_entries_total": /"outcome":"breaks"[^\n]* [1-9]/,
    "shield_audit_pending_entries": / 0$/m,
  },
}];

const STORED: readonly Row<Natted>[] = [{
  alert: "ArqonStoragePromised",
  async breaks(stage) {
    for (const tenant of ["acme", "loose"]) assert.equal(await store(stage, tenant), 200);
    return async () => {
      const output = await runAsOperator(stage, ["tenant", "delete", "acme", "--yes"]);
      assert.match(output, /exit code 0/);
      await using outside = await operator(stage.nats.url);
      for await (const { config: { name } } of outside.streams.list()) {
        if (/^LOG_.*acme/.test(name)) await outside.streams.delete(name);
      }
    };
  },
  says: /raise `max_file_store` and disk/,
  shows: {
    "arqon_spine_storage_promised_bytes": /\d/,
    "arqon_spine_storage_limit_bytes": /\d/,
    "arq doctor": /promised/,
  },
}];

const UNBOUNDED: readonly Row<Natted>[] = [{
  alert: "ArqonUnboundedStreams",
  async breaks(stage) {
    const { nats, url, issuer } = stage;
    const tenant_id = "loose";
    assert.equal(await store(stage, tenant_id), 200);
    const reader = await openText(socketUrl(url), await issuer.tokenFor({ tenant_id }));
    reader.send({ op: "sub", room: "log-1", id: 1 });
    await reader.json();
    const outside = await operator(nats.url);
    for await (const { config: { name, max_bytes } } of outside.streams.list()) {
      if (!/^LOG_.*loose/.test(name)) continue;
      await outside.streams.update(name, { max_bytes: -1 });
      // More than what it gives back, so that there is no room for its bound.
      const filling = { name: "FILLING", subjects: ["filling"], max_bytes: 1.5 * max_bytes };
      await outside.streams.add(filling);
    }
    await until("no message is accepted", async () => await store(stage, tenant_id) === 503);
    return async () => {
      await outside.streams.delete("FILLING");
      await outside[Symbol.asyncDispose]();
      await until("it is bounded", async () => await store(stage, tenant_id) === 200);
      reader[Symbol.dispose]();
    };
  },
  says: /give NATS more/,
  shows: { "arq doctor": /LOG_\S*loose/, "keeps the bound that it has": /loose/ },
}];

const DOCUMENTS: readonly Row<Natted>[] = [{
  alert: "ArqonSchemaRefused",
  async breaks(stage) {
    const { nats } = stage;
    const connection = await connect({ servers: nats.url });
    const bucket = await new Kvm(connection).open("ARQON_SCHEMAS");
    await bucket.put(SCHEMA, ping());
    const admin = new AdminClient(stage.admin_url, stage.token);
    const served = async () => (await admin.get(`/v1/schemas/${SCHEMA}`)).status === 200;
    await until("it serves", served);
    await bucket.put(SCHEMA, incompatiblePing());
    return async () => {
      const words = ["schema", "push", "--id", SCHEMA, "--compat", "NONE"];
      assert.match(await runAsOperator(stage, words), /exit code 0/);
      await bucket.put(SCHEMA, incompatiblePing());
      await connection.close();
    };
  },
  says: /`arq schema push --id ID --compat MODE`, then put again/,
  shows: {
    "arq schema list": /v1\.events\.made.*not compatible|not compatible/s,
    "is refused": /component=registry .*not compatible/,
  },
}];

async function start(stack: AsyncDisposableStack, max_file: string, more = ""): Promise<Natted> {
  const nats = stack.use(await startNats({ jetstream: true, max_file }));
  const proxy = stack.use(startTcpProxy(nats.port));
  const stage = stack.use(
    await startServerStage((issuer) =>
      `[nats]\nurls = ["nats://127.0.0.1:${proxy.port}"]\n${issuer.config}
[[rooms]]
room = "log-*"
durable = true
${more}`
    ),
  );
  return { ...stage, nats, proxy };
}

Deno.test("alerts about the connection to NATS", async () => {
  await using stack = new AsyncDisposableStack();
  const limits = `[limits]\n#constant limits.log_pending_bytes = 1_000_000\n`;
  const stage = await start(stack, "2GB", `${limits}bytes_per_second = 1_000_000_000\n`);
  assert.equal(await store(stage, "pending"), 200);
  await play(stage, [SLOW], 15);
  await play(stage, [TORN, FROZEN, LOST]);
});

Deno.test("alerts about what is stored in NATS", async () => {
  await using stack = new AsyncDisposableStack();
  const durable = `[durable]\nlog_bytes = ${128 * MIB}\n#constant durable.verify_ms = 500\n`;
  await play(await start(stack, "485MB", durable), [AUDIT, [...STORED, ...DOCUMENTS], UNBOUNDED]);
});
