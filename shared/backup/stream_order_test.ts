/** The saved streams and their order: a stream that refers to another one is first. */
import assert from "node:assert/strict";
import { inBackupOrder, isBeforeLogs, restoredReplicas } from "./stream_order.ts";

const stream = (name: string, ...subjects: string[]) => ({ name, subjects });

/** Entries of the first stream refer to entries of the second. */
const NAMES: readonly [string, string][] = [
  ["KV_ARQON_TENANTS", "KV_ARQON_SCHEMAS"],
  ["KV_ARQON_SCHEMAS", "KV_ARQON_SCHEMAS_VERSIONS"],
  ["KV_ARQON_POLICIES", "OBJ_ARQON_MODULES"],
  ["KV_ARQON_ROOMS", "LOG_acme_1"],
  ["KV_ARQON_LOGS", "LOG_acme_1"],
  ["KV_ARQON_ROOMS", "LOGS_03_1"],
  ["KV_ARQON_LOGS", "LOGS_03_1"],
  ["KV_ARQON_POLICIES", "ARQON_AUDIT"],
];

Deno.test("backup order: a referenced stream is after the stream that refers to it", () => {
  const all = [...new Set(NAMES.flat())].sort().map((name) =>
    name.startsWith("LOG_")
      ? stream(name, "log.t.acme.r.*")
      : stream(name, ...(name.startsWith("LOGS_") ? ["log.s.03.t.*.r.*"] : []))
  );
  const order = inBackupOrder(all, "ARQON_SCHEMAS").map(({ name }) => name);
  assert.equal(order.length, all.length);
  for (const [one, other] of NAMES) {
    assert.ok(order.indexOf(one) < order.indexOf(other), `${one} before ${other}: ${order}`);
  }
  assert.equal(order.at(-1), "ARQON_AUDIT");
});

Deno.test("backup order: a renamed schema bucket has the default's position", () => {
  const all = ["KV_ARQON_TENANTS", "KV_SCHEMAS_VERSIONS", "KV_SCHEMAS"].map((name) => stream(name));
  const order = inBackupOrder(all, "SCHEMAS").map(({ name }) => name);
  assert.deepEqual(order, ["KV_ARQON_TENANTS", "KV_SCHEMAS", "KV_SCHEMAS_VERSIONS"]);
  assert.ok(isBeforeLogs("KV_SCHEMAS", "SCHEMAS"));
});

Deno.test("backup order: foreign streams are excluded, unknown buckets included", () => {
  const all = [
    stream("ORDERS", "orders.>"),
    stream("LOG_of_mine", "my.logs.>"),
    stream("LOG_EMPTY"),
    stream("KV_mine", "$KV.mine.>"),
    stream("KV_ARQON_NEW", "$KV.ARQON_NEW.>"),
    stream("LOG_acme_x1", "log.t.acme.r.*"),
  ];
  const names = inBackupOrder(all, "ARQON_SCHEMAS").map(({ name }) => name);
  assert.deepEqual(names, ["KV_ARQON_NEW", "LOG_acme_x1"]);
});

Deno.test("backup order: neither the journal nor its user keys are saved", () => {
  const all = ["ARQON_JOURNAL", "KV_ARQON_JOURNAL_KEYS", "ARQON_AUDIT"].map((name) => stream(name));
  const names = inBackupOrder(all, "ARQON_SCHEMAS").map(({ name }) => name);
  assert.deepEqual(names, ["ARQON_AUDIT"]);
});

Deno.test("replicas: unchanged on a cluster, three from one server to a cluster, one on one server", () => {
  const of = (replicas: number, was_clustered: boolean, is_clustered: boolean) =>
    restoredReplicas({ replicas, was_clustered, is_clustered });
  assert.deepEqual([of(3, true, true), of(1, true, true), of(5, true, true)], [3, 1, 5]);
  assert.equal(of(1, false, true), 3);
  assert.deepEqual([of(3, true, false), of(1, false, false)], [1, 1]);
});
