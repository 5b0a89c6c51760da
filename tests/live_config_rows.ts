/**
 * Each live key of the configuration, another value for it, and how its effect shows on a running bus. A key whose
 * effect needs many clients, a wait or a certificate names the test that covers it.
 */
import assert from "node:assert/strict";
import type { LiveKey } from "../shared/config/keys/live_keys.ts";
import { until } from "../shared/testing/until.ts";
import {
  adminOf,
  crowded,
  journaled,
  levels,
  limit,
  quota,
  rate,
  refused,
  SENT_AWAY,
} from "./live_config_world.ts";
import type { Row, World } from "./live_config_world.ts";
import { answered } from "./peers/raw_client.ts";
import { refusedUpgrade, sendUpgrade } from "./peers/raw_upgrade.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

/** The file's content while no row is tested. */
export const BASE = `
[admin]
operator_tenants = ["default"]
[quota]
url = "redis://127.0.0.1:1"
tenant_messages_per_second = 1_000_000
[usage]
enabled = true
#constant usage.flush_ms = 100
[journal]
journal = "off"
#constant journal.flush_ms = 100
[centrifugo]
enabled = true
${durableRooms("kept-*")}
`;

const RATE_ROWS = {
  "limits.messages_per_second": rate("messages_per_second", "connection", "messages"),
  "limits.bytes_per_second": rate("bytes_per_second", "connection", "bytes"),
  "limits.user_messages_per_second": rate("user_messages_per_second", "user", "messages"),
  "limits.tenant_messages_per_second": rate("tenant_messages_per_second", "tenant", "messages"),
  "limits.tenant_bytes_per_second": rate("tenant_bytes_per_second", "tenant", "bytes"),
  "limits.process_messages_per_second": rate("process_messages_per_second", "process", "messages"),
  "quota.tenant_messages_per_second": quota("tenant_messages_per_second = 1"),
  "quota.tenant_bytes_per_second": quota("tenant_bytes_per_second = 1_000"),
  "quota.tenants": quota('tenants = [{ tenant = "default", messages_per_second = 1 }]'),
};

const CLIENT_ROWS = {
  "limits.handshakes_per_second": {
    tables: { limits: "handshakes_per_second = 1" },
    see: SENT_AWAY,
  },
  "limits.connections_per_user": crowded(
    limit("connections_per_user", "1"),
    "too-many-connections",
  ),
  "limits.connections_per_tenant": crowded(
    limit("connections_per_tenant", "1"),
    "too-many-connections",
  ),
  "limits.rooms_per_connection": {
    tables: limit("rooms_per_connection", "1"),
    async see({ client }: World) {
      await answered(client, { op: "sub", room: "one" });
      assert.equal((await answered(client, { op: "sub", room: "two" })).reason, "too-many-rooms");
      await answered(client, { op: "unsub", room: "one" });
    },
  },
  "auth.require_signature": refused(
    { auth: 'require_signature = [{ role = "user", room = "*" }]' },
    {},
    "signature-required",
  ),
  "platform.registry.mappings": refused(
    {
      "platform.registry":
        'mappings = [{ subject = "in.t.default.*", schema_id = "absent", message = "A" }]',
    },
    { data: "x" },
    "schema-unavailable",
  ),
  "rooms": {
    tables: { "[rooms]": 'room = "*"\npresence = false' },
    async see({ client }: World) {
      const { code } = await answered(client, { op: "sub", room: "hidden", presence: true });
      assert.ok(code > 0, "presence is refused");
    },
  },
  "server.allowed_origins": {
    tables: { server: 'allowed_origins = ["https://only.example"]' },
    async see({ bus }: World) {
      const headers = ["Origin: https://other.example"];
      assert.equal((await refusedUpgrade(bus.http_url, { token: bus.token, headers }))[0], "403");
      const origin = "https://only.example";
      for (const [path, method] of [["v1/events?room=a", "GET"], ["emulation", "OPTIONS"]]) {
        const asked = {
          method: method!,
          headers: { origin, authorization: `Bearer ${bus.token}` },
        };
        const answer = await fetch(`${bus.http_url}/${path}`, asked);
        await answer.body?.cancel();
        assert.equal(answer.headers.get("access-control-allow-origin"), origin, path);
      }
    },
  },
};

/** Used operations have a cost now. */
async function seesCost({ bus, client }: World): Promise<void> {
  assert.equal((await answered(client, { op: "pub", room: "priced" })).code, 0);
  const admin = await adminOf(bus, "payer");
  await until("a cost", async () => {
    const { text } = await admin.get("/v1/usage?tenant=default");
    return /"cost":[1-9]/.test(text);
  });
}

const OPERATOR_ROWS = {
  "admin.operator_tenants": {
    tables: { admin: 'operator_tenants = ["default", "other"]' },
    async see({ bus }: World) {
      await (await adminOf(bus, "ops", "other")).read("/v1/cluster");
    },
  },
  "admin.backup_days": {
    tables: { admin: 'operator_tenants = ["default"]\nbackup_days = 30' },
    async see({ bus }: World) {
      const read = await (await adminOf(bus, "ops")).read("/v1/data?tenant=default");
      assert.match(
        JSON.stringify(read),
        /have it until \d{4}-\d\d-\d\d \(\[admin\] backup_days = 30\)/,
      );
    },
  },
  "limits.memory_bytes": {
    tables: limit("memory_bytes", "4_000_000_000"),
    async see({ bus }: World) {
      const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
      assert.match(page, /^shield_memory_limit_bytes 4000000000$/m);
    },
  },
  "platform.mirroring.rules": {
    tables: { "platform.mirroring": 'rules = [{ prefix = "in.t.default.*", percent = 1 }]' },
    async see({ bus, client }: World) {
      await answered(client, { op: "pub", room: "mirrored" });
      await until("a copy", async () => {
        const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
        return /^shield_mirror_traffic_total\{.*outcome="published".*\} [1-9]/m.test(page);
      });
    },
  },
  "journal.journal": journaled('journal = "all"', "noted"),
  "usage.prices": {
    tables: { usage: "enabled = true\nprices = { messages_in = 7 }" },
    see: seesCost,
  },
  "usage.prices_from": {
    tables: {
      usage: "enabled = true\nprices = { messages_in = 7 }\n" +
        'prices_from = "2026-01-01"',
    },
    see: seesCost,
  },
  "log.level": {
    tables: { log: 'level = "error"' },
    async see({ bus }: World) {
      assert.equal((await levels(bus)).level, "error");
    },
  },
};

const BRAIN_ROWS = {
  "usage.budgets": {
    tables: {
      usage: "enabled = true\n" +
        'budgets = [{ tenant = "default", per = "day", unit = "messages_in", limit = 0, action = "refuse" }]',
    },
    async see({ client }: World) {
      const publish = { op: "pub", room: "budgeted" };
      await until(
        "429",
        async () => (await answered(client, publish)).reason === "budget-exhausted",
      );
    },
  },
  "auth.clock_skew_seconds": {
    tables: { auth: "clock_skew_seconds = 300" },
    async see({ bus }: World) {
      const token = await bus.tokenFor({ user: "late", ttl_seconds: -100 });
      using socket = await sendUpgrade(bus.http_url, { token });
      const bytes = new Uint8Array(64);
      await socket.read(bytes);
      assert.match(new TextDecoder().decode(bytes), /^HTTP\/1\.1 101/);
    },
  },
};

const IN_SAMPLER = "shared/telemetry/trace_sampler_test.ts";
const IN_PROCESSES = "tests/live_config_process_test.ts";

/** A row for each key, or the test that covers its effect. */
export const LIVE_ROWS: Readonly<Record<LiveKey, Row | string>> = {
  ...RATE_ROWS,
  ...CLIENT_ROWS,
  ...OPERATOR_ROWS,
  ...BRAIN_ROWS,
  "hooks": "tests/hooks_test.ts",
  "webhooks.private_hosts": "tests/hooks_test.ts",
  "webhooks.tenant_private_hosts": "tests/hooks_test.ts",
  "webhooks.tenant_hooks": "tests/hooks_test.ts",
  "policy.fuel_per_second": "shared/rates/fuel_bucket_test.ts",
  "server.drain_ms": IN_PROCESSES,
  "server.tls_cert": IN_PROCESSES,
  "server.tls_key": IN_PROCESSES,
  "ops.tls_cert": IN_PROCESSES,
  "ops.tls_key": IN_PROCESSES,
  "admin.tls_cert": IN_PROCESSES,
  "admin.tls_key": IN_PROCESSES,
  "telemetry.traces_ratio": IN_SAMPLER,
};
