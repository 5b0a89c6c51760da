/** Checks are queued per tenant, never behind all checks of another tenant, and within a limit. */
import assert from "node:assert/strict";
import { refusedWith } from "../spine/testing/conformance.ts";
import { turn } from "../testing/pace.ts";
import { CheckQueue } from "./check_queue.ts";

/** Checks that a test ends, and the order in which they began. */
class Held {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  readonly of = (name: string) => () => {
    this.begun.push(name);
    return new Promise<string>((resolve) => this.#ends.set(name, () => resolve(name)));
  };

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    // The next check begins within a turn of the event loop.
    await turn();
  }
}

Deno.test("tenants take turns, and each runs one check at a time", async () => {
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

Deno.test("too-many-pending: a tenant's queue has a limit, and other tenants are served", async () => {
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

Deno.test("the next check begins after one that fails", async () => {
  const queue = new CheckQueue({ admin_checks: 2 });
  const failed = queue.run("a", () => Promise.reject(new Error("bad module")));
  const next = queue.run("a", () => Promise.resolve("good"));
  await assert.rejects(failed, /bad module/);
  assert.equal(await next, "good");
});

Deno.test("a changed limit applies to the next check, also when some are queued", async () => {
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
