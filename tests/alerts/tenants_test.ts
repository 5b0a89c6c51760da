/** Alerts about what tenants and their clients do to a bus: policies, schemas, readers, storage, and refusals. */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import { BAD_PING } from "../../shield/schema/testing/schemas.ts";
import { fromText } from "../../wasm/testing/bytes.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { enforce, policyAdmin } from "../peers/policy_admin.ts";
import { sendUpgrade } from "../peers/raw_upgrade.ts";
import { requirePing } from "../peers/schema_admin.ts";
import { openBinary, openText } from "../peers/raw_client.ts";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { type LocalStage, startLocalStage } from "./local_stage.ts";
import { again, play, type Row } from "./play.ts";
import { runAsOperator } from "./runbook.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const READERS = 16;
/** Clients that connect at once. */
const CROWD = 16;
/** Of use, each a block of the ledger. */
const MINUTES = 20;
const FLUSH_MS = 50;

const CONFIG = `
[limits]
unsent_bytes = 65_536
bytes_per_second = 1_000_000_000
[policy]
stall_ms = 60_000
timeout_ms = 60_000
fuel_per_second = 1_000_000_000_000
[platform.overseer]
fuel_limit = 1_000_000
[platform.mirroring]
rules = [{ prefix = "in.t.mirrored.*", percent = 1.0 }]
#constant platform.mirroring.buffer_bytes = 1_000
[brain]
room_bytes_per_tenant = 1_048_576
`;

/** A policy whose hook does this; the last instruction leaves an i32. */
const module = (body: string, hook = "on_message") =>
  fromText(`(module (memory (export "memory") 1)
    (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "arqon_${hook}") (result i32) (local $left i32) ${body}))`);

/** Loops this many times; a million take a millisecond or more. */
const spins = (times: number) =>
  `(local.set $left (i32.const ${times}))
  (loop (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (i32.const 0)`;

/** Puts a module in force for a tenant, in the chain's version after a good one; its sha256. */
const deploy = ({ bus }: LocalStage, tenant: string, bytes: Uint8Array<ArrayBuffer>) =>
  enforce(bus, bytes, { tenant, name: "p" });

/** A client of a tenant over HTTP. */
const clientOf = async ({ bus }: LocalStage, tenant: string) =>
  new HttpPeer(bus.http_url, await bus.tokenFor({ tenant }));

/** Publishes to a room of the tenant, five times a second. */
async function publishing(stage: LocalStage, tenant: string, data: unknown = { n: 1 }) {
  const client = await clientOf(stage, tenant);
  return again(200, () => client.call("POST", "rooms/r/messages", { type: "t", data }));
}

/** A tenant whose policy does this publishes; what ends it removes the policy, too. */
async function judged(
  stage: LocalStage,
  tenant: string,
  bytes: Uint8Array<ArrayBuffer>,
  data?: unknown,
) {
  const sha256 = await deploy(stage, tenant, bytes);
  const stop = await publishing(stage, tenant, data);
  const end = async () => {
    await (await policyAdmin(stage.bus)).remove(tenant, "p");
    await stop();
  };
  return { sha256, stop, end };
}

const POLICIES: readonly Row<LocalStage>[] = [{
  alert: "ArqonPolicySlow",
  async breaks(stage) {
    await deploy(stage, "slow", module("(i32.const 0)"));
    const { stop } = await judged(stage, "slow", module(spins(10_000_000)));
    return async () => {
      const output = await runAsOperator(stage, ["policy", "rollback", "--tenant", "slow"]);
      assert.match(output, /exit code 0/);
      await stop();
    };
  },
  says: /roll the module back \(`arq policy rollback --tenant TENANT`\)/,
  shows: {
    "arq top": /slow/,
    "GET /v1/policies/stats": /slow/,
    "shield_policy_queue_depth": /\d/,
  },
}, {
  alert: "ArqonHandshakeSlow",
  async breaks(stage) {
    // The most fuel takes less than 100 ms, so that clients come together and wait for each other.
    await deploy(stage, "crowd", module(spins(70_000_000), "on_connect"));
    const token = await stage.bus.tokenFor({ tenant: "crowd" });
    const arrive = async () => (await openText(stage.bus.url, token))[Symbol.dispose]();
    const stop = again(1_000, async () => {
      await Promise.all(Array.from({ length: CROWD }, arrive));
    });
    return async () => {
      await (await policyAdmin(stage.bus)).remove("crowd", "p");
      await stop();
    };
  },
  says: /If it persists, add Shields or lower `\[limits\] handshakes_per_second`/,
  shows: { "shield_handshakes_under_way": /\d/ },
}, {
  alert: "ArqonServerErrors",
  async breaks(stage) {
    return (await judged(stage, "faulty", module("unreachable"))).end;
  },
  says: /`policy-fault`: roll the module back/,
  shows: {},
}, {
  alert: "ArqonRejectsHigh",
  async breaks(stage) {
    const words = await Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
    return (await judged(stage, "rude", words, "malware")).end;
  },
  says: /`policy-rejected`, `schema-violation`: a new policy or schema is stricter/,
  shows: {},
}];

const WEDGED: readonly (readonly Row<LocalStage>[])[] = [[{
  alert: "ArqonPolicyWorkersReplaced",
  async breaks(stage) {
    const { sha256, end } = await judged(
      stage,
      "wedged",
      module("(loop $l (br $l)) (i32.const 0)"),
    );
    stage.words["SHA256"] = sha256;
    return end;
  },
  says: /replace the module or roll back/,
  shows: { "arq policy quarantine": /wedge/ },
}], [{
  alert: "ArqonPolicyQuarantined",
  // deno-lint-ignore require-await -- the same module
  async breaks(stage) {
    return async () => {
      const sha256 = stage.words["SHA256"] ?? "";
      const output = await runAsOperator(stage, ["policy", "release", sha256]);
      assert.match(output, /exit code 0/);
    };
  },
  says: /`arq policy release SHA256`/,
  shows: { "arq policy quarantine": /wedge/ },
}]];

const DATA: readonly Row<LocalStage>[] = [{
  alert: "ArqonSchemaViolations",
  async breaks(stage) {
    await requirePing(stage.bus, "strict", "pings-*");
    stage.words["id"] = "ping";
    const client = await openBinary(stage.bus.url, await stage.bus.tokenFor({ tenant: "strict" }));
    const event = { type: "ping", data: BAD_PING, content_type: "application/protobuf" };
    const stop = again(100, async () => {
      client.send(encodePub(writeEnvelope({ room_id: "pings-1", request_id: 5, event })));
      await client.frame();
    });
    return async () => {
      await stop();
      client[Symbol.dispose]();
    };
  },
  says: /set the mapping's `mode` to `observe`/,
  shows: { "GET /v1/schemas/{id}": /"version":1/ },
}, {
  alert: "ArqonMirrorFailing",
  breaks: (stage) => publishing(stage, "mirrored", "x".repeat(5_000)),
  says: /lower the rule's `percent`/,
  shows: { "shield_mirror_buffered_bytes": / 0$/m },
}, {
  alert: "ArqonRoomBytesHigh",
  async breaks(stage) {
    const client = await clientOf(stage, "full");
    const value = "x".repeat(98_000);
    for (let room = 0; room < 10; room++) {
      const command = { name: "room.set", data: { key: "k", value } };
      const { body } = await client.call("POST", `rooms/r${room}/commands`, command);
      assert.equal(body.code, 0, JSON.stringify(body));
    }
    const token = await stage.bus.tokenFor({ tenant: "full" });
    return async () => {
      for (const room of ["r0", "r1", "r2"]) {
        const output = await runAsOperator({ ...stage, token }, ["room", "delete", room, "k"]);
        assert.match(output, /exit code 0/);
      }
    };
  },
  says: /let the tenant delete unused keys or rooms/,
  shows: { "brain_room_bytes_largest": / 9\d{5}$/m, "brain_room_bytes_limit": / 1048576$/m },
}, {
  alert: "ArqonSlowReadersCut",
  async breaks(stage) {
    const { bus } = stage;
    const token = await bus.tokenFor({ tenant: "lazy" });
    const client = await clientOf(stage, "lazy");
    const subscribe = new TextEncoder().encode('{"op":"sub","room":"flood"}');
    const frame = new Uint8Array([0x81, 0x80 | subscribe.length, 0, 0, 0, 0, ...subscribe]);
    const sockets: Deno.TcpConn[] = [];
    const read = async () => {
      const headers = ["Sec-WebSocket-Protocol: arqon.v1.json"];
      const socket = await sendUpgrade(bus.http_url, { token, headers });
      sockets.push(socket);
      await socket.read(new Uint8Array(4_096));
      await socket.write(frame);
    };
    const arrive = again(2_000, async () => {
      for (const socket of sockets.splice(0)) socket.close();
      await Promise.all(Array.from({ length: READERS }, read));
    });
    const data = "x".repeat(60_000);
    const flood = again(0, () => client.call("POST", "rooms/flood/messages", { type: "t", data }));
    return async () => {
      await Promise.all([arrive(), flood()]);
      for (const socket of sockets) socket.close();
    };
  },
  says: /`slow_reader = "latest"` or `"drop-oldest"`/,
  shows: { "/v1/connections?sort=unsent": /"room.*lazy|lazy/ },
}];

Deno.test("alerts about what tenants do", async () => {
  await using stage = await startLocalStage(CONFIG);
  await play(stage, [POLICIES, DATA]);
});

Deno.test("alerts about a policy that does not recover", async () => {
  // The most fuel takes longer.
  await using stage = await startLocalStage(
    `[policy]\n#constant policy.wedge_ms = 40\n[platform.overseer]\nfuel_limit = 1_000_000\n`,
  );
  await play(stage, WEDGED);
});

interface Metered extends LocalStage {
  /** A minute passes. */
  readonly clock: { ahead_ms: number };
}

const LEDGER: readonly Row<Metered>[] = [{
  alert: "ArqonUsageLedgerHigh",
  async breaks(stage) {
    const client = await clientOf(stage, "default");
    for (let minute = 0; minute < MINUTES; minute++) {
      const { status } = await client.call("POST", "rooms/r/messages", { type: "t" });
      assert.equal(status, 200);
      // A minute is stored when the next one has begun.
      stage.clock.ahead_ms += 60_000;
      await pace(4 * FLUSH_MS);
    }
    return () => {};
  },
  says: /raise `\[usage\] log_bytes`/,
  shows: {
    "shield_usage_ledger_used_ratio": /"of":"tenant"[^\n]* (0\.[89]|[1-9])/,
    "arq usage --by day --csv": /^day,[^]*\n2\d{3}-/,
  },
  stays: "the ledger shrinks when days are old enough",
}];

Deno.test("the alert about the ledger of use", async () => {
  const clock = { ahead_ms: 0 };
  await using stage = await startLocalStage(
    `[usage]\nenabled = true\n#constant usage.flush_ms = ${FLUSH_MS}\n#constant usage.tenant_bytes = 1_000\n`,
    { now: () => Date.now() + clock.ahead_ms },
  );
  await play({ ...stage, clock }, [LEDGER]);
});
