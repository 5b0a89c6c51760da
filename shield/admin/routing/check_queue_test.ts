/** Checks wait behind those of their own tenant, never behind all of another's, and not without end. */
import assert from "node:assert/strict";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import { turn } from "../../../shared/testing/pace.ts";
import { CheckQueue } from "./check_queue.ts";

/** Checks that end when they are told to, and the order in which they began. */
class Held {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  readonly of = (name: string) => () => {
    this.begun.push(name);
    return new Promise<string>((resolve) => this.#ends.set(name, () => resolve(name)));
  };

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    // What follows has begun when the timers have their turn.
    await turn();
  }
}

Deno.test("tenants take turns, and one has one check at a time", async () => {
  const queue = new CheckQueue({ admin_checks: 16 });
  const held = new Held();
  const all = ["a1", "a2", "a3", "b1", "c1"].map((name) => queue.run(name[0]!, held.of(name)));
  await held.end("");
  assert.deepEqual(held.begun, ["a1", "b1"]);
  assert.equal(queue.waiting, 3);
  await held.end("b1");
  assert.deepEqual(held.begun, ["a1", "b1", "c1"], "not behind all of a's");
  await held.end("a1");
  assert.deepEqual(held.begun.slice(3), ["a2"]);
  for (const name of ["c1", "a2", "a3"]) await held.end(name);
  assert.deepEqual(await Promise.all(all), ["a1", "a2", "a3", "b1", "c1"]);
  assert.equal(queue.waiting, 0);
});

Deno.test("too-many-pending: a tenant's queue has an end, others are served", async () => {
  const queue = new CheckQueue({ admin_checks: 2 });
  const held = new Held();
  const waiting = ["a1", "a2", "a3"].map((name) => queue.run("a", held.of(name)));
  await held.end("");
  await assert.rejects(queue.run("a", held.of("a4")), refusedWith("too-many-pending"));
  assert.equal(queue.refused, 1);
  const other = queue.run("b", held.of("b1"));
  for (const name of ["", "b1", "a1", "a2", "a3"]) await held.end(name);
  await Promise.all([...waiting, other]);
});

Deno.test("a check that fails lets the next one begin", async () => {
  const queue = new CheckQueue({ admin_checks: 2 });
  const failed = queue.run("a", () => Promise.reject(new Error("bad module")));
  const next = queue.run("a", () => Promise.resolve("good"));
  await assert.rejects(failed, /bad module/);
  assert.equal(await next, "good");
});

Deno.test("a bound that changes counts for the next check, also where some wait already", async () => {
  const limits = { admin_checks: 1 };
  const queue = new CheckQueue(limits);
  const held = Promise.withResolvers<void>();
  const checks = [1, 2].map(() => queue.run("acme", () => held.promise));
  await assert.rejects(queue.run("acme", () => Promise.resolve()), /[Tt]oo many/);
  limits.admin_checks = 2;
  checks.push(queue.run("acme", () => Promise.resolve()));
  held.resolve();
  await Promise.all(checks);
});
