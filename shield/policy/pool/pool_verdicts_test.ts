/** Verdicts are reported together, later, and each to its own caller. */
import assert from "node:assert/strict";
import type { Verdict } from "../../../shared/records/verdict.ts";
import { verdictOf } from "./chain_gate.ts";
import { Verdicts } from "./pool.ts";

const VERDICT = verdictOf([], { added_headers: [], logs: [] });

Deno.test("verdicts are reported after the task that gave them, in order, and verdicts given meanwhile follow", async () => {
  const verdicts = new Verdicts();
  const reported: string[] = [];
  const add = (name: string, onVerdict = () => {}) =>
    verdicts.add({
      verdict: VERDICT,
      receiver: {
        onVerdict(verdict: Verdict) {
          assert.equal(verdict, VERDICT);
          reported.push(name);
          onVerdict();
        },
      },
    });
  add("first", () => add("third"));
  add("second");
  assert.deepEqual(reported, []);
  await Promise.resolve();
  assert.deepEqual(reported, ["first", "second"]);
  await Promise.resolve();
  assert.deepEqual(reported, ["first", "second", "third"]);
});

Deno.test("a caller that throws keeps no verdict from the others, and the process gets the error", async () => {
  const verdicts = new Verdicts();
  const { promise: thrown, resolve } = Promise.withResolvers<unknown>();
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    resolve(event.error);
  };
  globalThis.addEventListener("error", onError);
  const error = new Error("the caller throws");
  let reported = false;
  verdicts.add({
    verdict: VERDICT,
    receiver: {
      onVerdict() {
        throw error;
      },
    },
  });
  verdicts.add({ verdict: VERDICT, receiver: { onVerdict: () => void (reported = true) } });
  assert.equal(await thrown, error);
  assert.ok(reported);
  globalThis.removeEventListener("error", onError);
});
