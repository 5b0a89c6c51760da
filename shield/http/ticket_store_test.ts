/** Tickets on a real Spine: good once, whoever takes them at once and wherever, and not for long. */
import assert from "node:assert/strict";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { Identity } from "../auth/identity.ts";
import { testSpine } from "../testing/spine.ts";
import { TicketStore } from "./ticket_store.ts";

const ANN: Identity = {
  ...{ tenant_id: "acme", user_id: "ann", user_key: "iss ann", role: "user", issuer: "iss" },
  ...{ expires_ms: 900_000, token_id: "j1", grants: undefined, claims: { team: "red" } },
  signing_key: undefined,
};

function storeOn(spine: Pick<Spine, "keyValue">, clock = { now_ms: 1_000 }) {
  const random = (size_bytes: number) => crypto.getRandomValues(new Uint8Array(size_bytes));
  const bounds = { ticket_ms: 30_000, tickets_max: 2 };
  return new TicketStore({ spine, random, now: () => clock.now_ms, ...bounds });
}

Deno.test("a ticket is whose it is, for its rooms only", async () => {
  await using test = testSpine();
  const store = storeOn(test.spine);
  const { ticket, expires_ms } = await store.issue(ANN, ["a", "b"]);
  assert.equal(expires_ms, 31_000);
  assert.deepEqual(await store.redeem(ticket), {
    ...ANN,
    grants: [{ room: "a", actions: ["subscribe"] }, { room: "b", actions: ["subscribe"] }],
  });
});

Deno.test("of all who take a ticket at once, on two Shields, one gets it", async () => {
  await using test = testSpine();
  const [one, two] = [storeOn(test.spine), storeOn(test.spine)];
  const { ticket } = await one.issue(ANN, ["a"]);
  const taken = await Promise.allSettled([one, two, one, two].map((it) => it.redeem(ticket)));
  assert.equal(taken.filter(({ status }) => status === "fulfilled").length, 1);
  for (const outcome of taken) {
    if (outcome.status === "rejected") assert.equal(outcome.reason.reason, "ticket-invalid");
  }
  await assert.rejects(two.redeem(ticket), { reason: "ticket-invalid" });
});

Deno.test("a ticket that is late, made up or changed is none", async () => {
  await using test = testSpine();
  const clock = { now_ms: 1_000 };
  const store = storeOn(test.spine, clock);
  const { ticket } = await store.issue(ANN, ["a"]);
  const [, secret = ""] = ticket.split(".");
  const later = `${(99_000).toString(36)}.${secret}`;
  for (const wrong of ["", "x", `${ticket}x`, later, `${ticket.slice(0, -2)}zz`, `.${secret}`]) {
    await assert.rejects(store.redeem(wrong), { reason: "ticket-invalid" }, wrong);
  }
  clock.now_ms = 31_000;
  await assert.rejects(store.redeem(ticket), { reason: "ticket-invalid" });
});

Deno.test("a user has so many good tickets, and others none less", async () => {
  await using test = testSpine();
  const clock = { now_ms: 1_000 };
  const store = storeOn(test.spine, clock);
  await store.issue(ANN, ["a"]);
  await store.issue(ANN, ["a"]);
  await assert.rejects(store.issue(ANN, ["a"]), { reason: "too-many-pending" });
  await store.issue({ ...ANN, user_key: "iss bob" }, ["a"]);
  clock.now_ms = 31_000;
  await store.issue(ANN, ["a"]);
});

Deno.test("what is over leaves the bucket", async () => {
  await using test = testSpine();
  const clock = { now_ms: 1_000 };
  const store = storeOn(test.spine, clock);
  const { ticket } = await store.issue(ANN, ["a"]);
  await store.redeem(ticket);
  await store.issue(ANN, ["a"]);
  const bucket = await test.spine.keyValue("ARQON_TICKETS");
  assert.equal((await bucket.keys()).length, 2);
  clock.now_ms = 200_000;
  await store.issue(ANN, ["a"]);
  // The sweep begins with the ticket and is not waited for.
  for (let turns = 0; turns < 1_000 && (await bucket.keys()).length > 1; turns++);
  assert.equal((await bucket.keys()).length, 1);
});
