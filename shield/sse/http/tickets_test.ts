/** Tickets on a real Spine: valid once, for any concurrent redeemers anywhere, and for a short time. */
import assert from "node:assert/strict";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { overriding } from "../../../shared/testing/overriding.ts";
import { seen } from "../../../shared/testing/until.ts";
import type { Identity } from "../../auth/identity.ts";
import { testSpine } from "../../testing/spine.ts";
import { TicketStore } from "./tickets.ts";

const ANN: Identity = {
  tenant_id: "acme",
  user_id: "ann",
  user_key: "iss ann",
  role: "user",
  issuer: "iss",
  expires_ms: 900_000,
  token_id: "j1",
  grants: undefined,
  claims: { team: "red" },
  signing_key: undefined,
};

const HOUR_MS = 3_600_000;
/** Both directions, of a few seconds and of hours. */
const STEPS_MS = [2_000, -2_000, 20_000, -20_000, 2 * HOUR_MS, -2 * HOUR_MS];

/** A wall clock that a test sets, and time that passes on both clocks. */
class TestClock {
  now_ms = 10 * HOUR_MS;
  monotonic_ms = 0;

  pass(ms: number): void {
    this.now_ms += ms;
    this.monotonic_ms += ms;
  }
}

function storeOn(spine: Pick<Spine, "keyValue">, clock = new TestClock()) {
  const random = (size_bytes: number) => crypto.getRandomValues(new Uint8Array(size_bytes));
  const bounds = { ticket_ms: 30_000, tickets_max: 2, skew_ms: () => 30_000 };
  const clocks = { now: () => clock.now_ms, monotonic_ms: () => clock.monotonic_ms };
  return new TicketStore({ spine, random, ...clocks, ...bounds });
}

Deno.test("a ticket belongs to its owner, for its rooms only", async () => {
  await using test = testSpine();
  const store = storeOn(test.spine);
  const { ticket, expires_ms } = await store.issue(ANN, ["a", "b"]);
  assert.equal(expires_ms, 10 * HOUR_MS + 30_000);
  assert.deepEqual(await store.redeem(ticket), {
    ...ANN,
    grants: [{ room: "a", actions: ["subscribe"] }, { room: "b", actions: ["subscribe"] }],
  });
});

Deno.test("of all concurrent redeemers of a ticket, on two Shields, one succeeds", async () => {
  await using test = testSpine();
  const one = storeOn(test.spine);
  const two = storeOn(test.spine);
  const { ticket } = await one.issue(ANN, ["a"]);
  const taken = await Promise.allSettled([one, two, one, two].map((it) => it.redeem(ticket)));
  assert.equal(taken.filter(({ status }) => status === "fulfilled").length, 1);
  for (const outcome of taken) {
    if (outcome.status === "rejected") assert.equal(outcome.reason.reason, "ticket-invalid");
  }
  await assert.rejects(two.redeem(ticket), { reason: "ticket-invalid" });
});

Deno.test("an expired, invented or changed ticket is refused", async () => {
  await using test = testSpine();
  const clock = new TestClock();
  const store = storeOn(test.spine, clock);
  const { ticket } = await store.issue(ANN, ["a"]);
  const [, secret = ""] = ticket.split(".");
  const later = `${(99_000).toString(36)}.${secret}`;
  for (const wrong of ["", "x", `${ticket}x`, later, `${ticket.slice(0, -2)}zz`, `.${secret}`]) {
    await assert.rejects(store.redeem(wrong), { reason: "ticket-invalid" }, wrong);
  }
  clock.pass(30_000);
  await assert.rejects(store.redeem(ticket), { reason: "ticket-invalid" });
});

Deno.test("the number of a user's valid tickets is limited, and does not limit other users", async () => {
  await using test = testSpine();
  const clock = new TestClock();
  const store = storeOn(test.spine, clock);
  await store.issue(ANN, ["a"]);
  await store.issue(ANN, ["a"]);
  await assert.rejects(store.issue(ANN, ["a"]), { reason: "too-many-pending" });
  await store.issue({ ...ANN, user_key: "iss bob" }, ["a"]);
  clock.pass(30_000);
  const { ticket } = await store.issue(ANN, ["a"]);
  await store.issue(ANN, ["a"]);
  await store.redeem(ticket);
  await store.issue(ANN, ["a"]);
  await assert.rejects(
    store.issue(ANN, ["a"]),
    { reason: "too-many-pending" },
    "a used one is free",
  );
});

Deno.test("a tenant whose users take large tickets leaves room in the bucket for another's", async () => {
  await using test = testSpine();
  const clock = new TestClock();
  const bucket = overriding(await test.spine.keyValue("ARQON_TICKETS"), { limit_bytes: 40_000 });
  const store = storeOn({ keyValue: () => Promise.resolve(bucket) }, clock);
  const large = (at: number) =>
    store.issue({ ...ANN, user_key: `iss ${at}`, claims: { text: "x".repeat(1_000) } }, ["a"]);
  const taken = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => large(at)));
  const issued = taken.filter(({ status }) => status === "fulfilled").length;
  assert.ok(issued > 2 && issued < 7, `${issued} tickets`);
  await store.issue({ ...ANN, tenant_id: "globex" }, ["a"]);
  await assert.rejects(large(20), { reason: "too-many-pending" });
  clock.pass(61_000);
  await seen("there is room again", () => large(21).catch(() => undefined), Boolean);
});

Deno.test("expired entries are deleted from the bucket", async () => {
  await using test = testSpine();
  const clock = new TestClock();
  const store = storeOn(test.spine, clock);
  const { ticket } = await store.issue(ANN, ["a"]);
  await store.redeem(ticket);
  await store.issue(ANN, ["a"]);
  const bucket = await test.spine.keyValue("ARQON_TICKETS");
  assert.equal((await bucket.keys()).length, 2);
  // The first sweep sees the entries, the second one knows their age.
  clock.pass(61_000);
  await store.issue(ANN, ["a"]);
  clock.pass(200_000);
  await store.issue(ANN, ["a"]);
  // The sweep begins with the ticket and is not awaited.
  for (let turns = 0; turns < 1_000 && (await bucket.keys()).length > 1; turns++);
  assert.equal((await bucket.keys()).length, 1);
});

for (const step_ms of STEPS_MS) {
  Deno.test(`a ticket is valid for its lifetime although its Shield's clock jumps by ${step_ms} ms`, async () => {
    await using test = testSpine();
    const clock = new TestClock();
    const store = storeOn(test.spine, clock);
    const early = await store.issue(ANN, ["a"]);
    const late = await store.issue(ANN, ["a"]);
    clock.now_ms += step_ms;
    clock.pass(29_999);
    await store.redeem(early.ticket);
    clock.pass(1);
    await assert.rejects(store.redeem(late.ticket), { reason: "ticket-invalid" });
    // Expired tickets do not count, and another jump revives none.
    for (let times = 0; times < 2; times++) {
      clock.pass(61_000);
      await store.issue(ANN, ["a"]);
    }
    const bucket = await test.spine.keyValue("ARQON_TICKETS");
    for (let turns = 0; turns < 1_000 && (await bucket.keys()).length > 2; turns++);
    clock.now_ms -= 2 * HOUR_MS;
    await assert.rejects(store.redeem(late.ticket), { reason: "ticket-invalid" });
  });

  Deno.test(`a ticket of another Shield is good, this one's clock is off by ${step_ms} ms, where the store has a clock`, async () => {
    await using test = testSpine();
    const clock = new TestClock();
    const bucket = await test.spine.keyValue("ARQON_TICKETS");
    let age_ms = 29_999;
    const aging = overriding(bucket, {
      get: async (key) => {
        const entry = await bucket.get(key);
        return entry && { ...entry, age_ms };
      },
    });
    const redeeming = storeOn({ keyValue: () => Promise.resolve(aging) }, clock);
    const issuing = storeOn(test.spine);
    const early = await issuing.issue(ANN, ["a"]);
    const late = await issuing.issue(ANN, ["a"]);
    clock.now_ms += step_ms;
    await redeeming.redeem(early.ticket);
    if (step_ms < 60_000) return;
    age_ms = 30_000;
    await assert.rejects(redeeming.redeem(late.ticket), { reason: "ticket-invalid" });
  });

  Deno.test(`a Shield whose clock is set by ${step_ms} ms deletes no ticket of another`, async () => {
    await using test = testSpine();
    const clock = new TestClock();
    const other = new TestClock();
    const sweeping = storeOn(test.spine, clock);
    const issuing = storeOn(test.spine, other);
    clock.now_ms += step_ms;
    const { ticket } = await issuing.issue(ANN, ["a"]);
    // Its sweep begins with its next ticket.
    clock.monotonic_ms += 61_000;
    await sweeping.issue(ANN, ["b"]);
    const bucket = await test.spine.keyValue("ARQON_TICKETS");
    await bucket.keys();
    // If the clocks differ by no more than the tolerance, either Shield accepts it.
    await (Math.abs(step_ms) <= 20_000 ? sweeping : issuing).redeem(ticket);
  });
}
