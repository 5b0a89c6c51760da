/** Work of many requests shares the event loop by time, and tenants share it by their used time. */
import assert from "node:assert/strict";
import { pace } from "../testing/pace.ts";
import { SLICE_MS, Slices } from "./slices.ts";

/** An event loop by hand. */
function loop() {
  let now_ms = 0;
  const turns: (() => void)[] = [];
  const soon: (() => void)[] = [];
  const slices = new Slices({
    now_ms: () => now_ms,
    nextTurn: (job) => void turns!.push(job),
    soon: (job) => void soon!.push(job),
  });
  const log: string[] = [];
  /** Pieces of work of a tenant, each of this many ms. */
  const work = async (tenant: string, pieces: number, piece_ms: number) => {
    for (let piece = 1; piece <= pieces; piece++) {
      await slices.enter(tenant);
      log.push(`${tenant}${piece}`);
      now_ms += piece_ms;
    }
  };
  const settle = () => pace(0);
  /** Ends this turn, and runs the next one; returns the work done in it. */
  const turn = async () => {
    const from = log.length;
    for (const job of turns!.splice(0)) job();
    do {
      await settle();
      for (const job of soon!.splice(0)) job();
      await settle();
    } while (soon!.length > 0);
    return log.slice(from).join(" ");
  };
  return { work, turn, settle, log };
}

Deno.test("work continues at once while the turn has time, then in the next turn", async () => {
  const { work, turn, settle, log } = loop();
  void work("a", 5, SLICE_MS / 2);
  await settle();
  assert.equal(log.join(" "), "a1");
  assert.equal(await turn(), "a2");
  assert.deepEqual([await turn(), await turn(), await turn()], ["a3 a4", "a5", ""]);
});

Deno.test("however many requests one tenant has, another's runs before their next pieces", async () => {
  const { work, turn, settle, log } = loop();
  for (let request = 0; request < 8; request++) void work("a", 2, 40);
  await settle();
  assert.equal(log.join(" "), "a1", "one large piece is a turn");
  await turn();
  void work("b", 2, 1);
  const order = [];
  for (let at = 0; at < 5; at++) order.push(await turn());
  assert.equal(order.slice(0, 2).join(" ").includes("b1"), true, order.join(" | "));
  assert.equal(order.join(" ").includes("b2"), true, order.join(" | "));
});

Deno.test("all waiting work is done, and the next work then runs at once", async () => {
  const { work, turn, settle, log } = loop();
  const all = Promise.all(["a", "b", "c"].map((tenant) => work(tenant, 7, 3)));
  for (let at = 0; at < 25; at++) await turn();
  await all;
  assert.equal(log.length, 21);
  log.length = 0;
  void work("a", 1, 1);
  await settle();
  assert.equal(log.join(" "), "a1");
});
