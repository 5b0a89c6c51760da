/** Shares and bounds of the storage, and the warnings about too little of it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { configFrom } from "../../config/load.ts";
import {
  BUCKET_BYTES_MIN,
  bucketBound,
  bucketShare,
  controlBudget,
  ledgerBound,
  ledgerShare,
  promisedBytes,
  smaller,
  storageProblem,
} from "./storage_plan.ts";
import { namedTenants } from "../metrics.ts";

const MIB = 1_048_576;
const BUCKETS = [
  "ROOMS",
  "BANS",
  "MODULES",
  "SCHEMAS",
  "SCHEMAS_VERSIONS",
  "REVOCATIONS",
  "POLICIES",
]
  .concat(["TENANTS", "LOGS", "POLICY_VERDICTS", "POLICY_QUARANTINE", "JOURNAL_KEYS"])
  .map((name) => `ARQON_${name}`);

const report = {
  used_bytes: 0,
  promised_bytes: 0,
  limit_bytes: undefined,
  logs: 0,
  shared_streams: 0,
  unbounded: [],
};

Deno.test("the shares of all buckets are the budget, which is at most a quarter of the storage", () => {
  const sum = (budget: number) =>
    BUCKETS.reduce((bytes, bucket) => bytes + bucketShare(bucket, budget), 0);
  assert.equal(sum(1_024 * MIB), 1_024 * MIB);
  assert.equal(controlBudget(1_024 * MIB, undefined), 1_024 * MIB);
  assert.equal(controlBudget(1_024 * MIB, 256 * MIB), 64 * MIB);
  assert.equal(controlBudget(1_024 * MIB, 8_192 * MIB), 1_024 * MIB);
  assert.equal(bucketShare("ARQON_POLICY_VERDICTS", 1_000), BUCKET_BYTES_MIN);
  assert.equal(bucketShare("SOMEBODYS", 128 * MIB), 2 * MIB);
});

Deno.test("a limit follows the share, but always leaves room to grow", () => {
  const bytes = fc.integer({ min: 0, max: 2 ** 40 });
  fc.assert(fc.property(bytes, bytes, bytes, (bound, used, share) => {
    const next = bucketBound(bound, used, share);
    assert.ok(next >= share, "never less than its share");
    assert.ok(next <= Math.max(share, bound, 2 * used), "nor more than it needs");
    if (next < bound || bound === 0) assert.ok(next >= 2 * used, "nor nearly full by our doing");
    assert.equal(bucketBound(next, used, share), next, "the next start leaves it");
  }));
});

Deno.test("smaller limits are requested down to the smallest", () => {
  const requests: number[] = [];
  for (let bound = 512 * MIB; !requests.includes(bound); bound = smaller(bound)) {
    requests.push(bound);
  }
  assert.deepEqual(requests.slice(0, 2), [512 * MIB, 64 * MIB]);
  assert.equal(requests.at(-1), BUCKET_BYTES_MIN);
});

Deno.test("a ledger takes an eighth of a small storage, and loses entries only on request", () => {
  assert.equal(ledgerShare(1_024 * MIB, undefined), 1_024 * MIB);
  assert.equal(ledgerShare(1_024 * MIB, 256 * MIB), 32 * MIB);
  assert.equal(ledgerShare(1_024 * MIB, 2 * MIB), MIB);
  assert.equal(ledgerBound(-1, 100 * MIB, 1_024 * MIB, 32 * MIB), 200 * MIB);
  assert.equal(ledgerBound(64 * MIB, 64 * MIB, 1_024 * MIB, 32 * MIB), 64 * MIB);
  assert.equal(ledgerBound(64 * MIB, 64 * MIB, 16 * MIB, 32 * MIB), 16 * MIB);
});

Deno.test("a problem names both figures and what to change", () => {
  const wish = { log_bytes: 64 * MIB, tenants: 0 };
  assert.equal(
    storageProblem({ ...report, promised_bytes: 1e15 }, wish),
    undefined,
    "nobody knows",
  );
  const full = { ...report, promised_bytes: 200 * MIB, limit_bytes: 256 * MIB, logs: 3 };
  assert.match(
    storageProblem(full, wish) ?? "",
    /209715200 bytes are promised of the 268435456 .* one more tenant needs log_bytes = 67108864/,
  );
  assert.equal(storageProblem({ ...full, promised_bytes: 192 * MIB }, wish), undefined);
  const named = { log_bytes: 64 * MIB, tenants: 5 };
  assert.equal(promisedBytes(full, named), 328 * MIB);
  assert.match(
    storageProblem(full, named) ?? "",
    /343932928 bytes are promised of the 268435456 .*5 tenants .*max_file_store.*log_bytes/,
  );
  assert.equal(storageProblem(full, { ...named, tenants: 3 }), undefined, "all that are named fit");
  const unbounded = Array.from({ length: 7 }, (_, n) => `LOG_t${n}_1`);
  assert.match(
    storageProblem({ ...report, unbounded }, wish) ?? "",
    /nothing bounds LOG_t0_1, .*LOG_t4_1 and 2 more/,
  );
});

Deno.test("shared streams are promised whether they are made or not, and what tenants are sure of fits in", () => {
  const shared = { streams: 16, bytes: 64 * MIB, tenant_bytes: MIB };
  const wish = { log_bytes: 64 * MIB, tenants: 400, shared };
  const some = { ...report, promised_bytes: 200 * MIB, shared_streams: 3, logs: 2 };
  assert.equal(promisedBytes(some, wish), (200 + 13 * 64) * MIB);
  assert.equal(storageProblem({ ...some, limit_bytes: 1_032 * MIB }, wish), undefined);
  assert.match(
    storageProblem({ ...some, limit_bytes: 1_031 * MIB }, wish) ?? "",
    /16 shared streams with shared_bytes = 67108864 each, 2 tenants' own/,
  );
  assert.match(
    storageProblem(some, { ...wish, tenants: 430 }) ?? "",
    /430 tenants share 16 streams.*lower tenants/,
  );
});

Deno.test("tenants are counted if the configuration names all possible ones", () => {
  const issuer = (tenants: string[]) => ({
    issuer: tenants.join(),
    audience: "a",
    jwks_file: "f",
    tenants,
  });
  const count = (rooms: object[], ...issuers: string[][]) =>
    namedTenants(configFrom({ rooms, auth: { issuers: issuers.map(issuer) } }));
  const any = { room: "o-*", durable: true };
  assert.equal(count([any], ["acme", "bolt"], ["bolt", "cork"]), 3);
  assert.equal(count([any], ["acme"], ["*"]), 0);
  assert.equal(count([{ room: "o-*" }], ["acme"]), 0);
  assert.equal(count([{ ...any, tenant: "acme" }, { ...any, tenant: "bolt" }], ["*"]), 2);
});
