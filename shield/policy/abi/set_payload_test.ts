/** `host_set_payload` of `arqon_host_v2`: one call of a guest, and its effect in a chain. */
import assert from "node:assert/strict";
import type { WorkerRequest } from "../ring/ring_message.ts";
import type { WorkerEntry } from "../ring/ring_last.ts";
import { requestOf, runnerOf } from "../testing/chains.ts";
import { type GuestText, runnableGuest } from "../testing/guests.ts";
import { Instances, runChain } from "../worker/worker_chain.ts";
import { NOT_A_MESSAGE, SIGNED } from "./policy.ts";

const decoder = new TextDecoder();

/** A policy that replaces the payload with `text`, and then runs `then`. */
function says(text: string, then = "i32.const 0"): GuestText {
  const body = `(call $set_payload (i32.const 0) (i32.const ${text.length})) ${then}`;
  return { abi: 2, more: `(data (i32.const 0) "${text}")`, body };
}

/** A policy that logs the payload that it sees. */
const TELLS: GuestText = { abi: 2, body: "(call $show (call $get_payload)) i32.const 0" };

function run(
  chain: readonly (readonly [GuestText, WorkerEntry["mode"]])[],
  more: Partial<WorkerRequest> = {},
) {
  const instances = new Instances(10);
  chain.forEach(([guest], at) => instances.load(at + 1, runnableGuest(guest)));
  const entries = chain.map(([, mode], at) => ({ module: at + 1, mode }));
  const given = { payload_most: 100, payload: new TextEncoder().encode("unchanged"), ...more };
  const reply = runChain(runnerOf(instances), requestOf(entries, given));
  return {
    payload: reply.payload === undefined ? undefined : decoder.decode(reply.payload),
    outcomes: reply.outcomes,
    logs: reply.logs.map(({ message }) => message),
  };
}

const faultOf = (guest: GuestText, more: Partial<WorkerRequest> = {}) => {
  const { payload, outcomes: [ran] } = run([[guest, "enforce"]], more);
  assert.equal(payload, undefined);
  return [ran?.fault, ran?.code, ran?.detail];
};

Deno.test("later policies see the replacement, and the last replacement counts", () => {
  const { payload, outcomes, logs } = run([
    [TELLS, "enforce"],
    [says("first"), "enforce"],
    [TELLS, "enforce"],
    [says("second"), "enforce"],
    [TELLS, "observe"],
  ]);
  assert.equal(payload, "second");
  assert.deepEqual(logs, ["unchanged", "first", "second"]);
  const replaced = outcomes.map((ran) => ran.replaced === true);
  assert.deepEqual(replaced, [false, true, false, true, false]);
});

Deno.test("the last of two replacements in a call counts, and the call itself sees the original", () => {
  const more = '(data (i32.const 0) "one") (data (i32.const 8) "two")';
  const body = `(call $set_payload (i32.const 0) (i32.const 3))
    (call $show (call $get_payload))
    (call $set_payload (i32.const 8) (i32.const 3)) (i64.store (i32.const 8) (i64.const 0)) i32.const 0`;
  const { payload, logs } = run([[{ abi: 2, more, body }, "enforce"]]);
  assert.equal(payload, "two", "as it was when it was given");
  assert.deepEqual(logs, ["unchanged"]);
  assert.equal(run([[says(""), "enforce"]]).payload, "", "without any payload");
});

Deno.test("a policy that refuses, fails or only observes replaces nothing", () => {
  const refusing = says("new", "i32.const 1");
  const rejects = "(call $reject (i32.const 403) (i32.const 0) (i32.const 0)) unreachable";
  const rejecting = says("new", rejects);
  for (const guest of [refusing, rejecting, says("new", "unreachable")]) {
    const { payload, outcomes: [ran] } = run([[guest, "enforce"]]);
    assert.deepEqual([payload, ran?.allowed, ran?.replaced], [undefined, false, undefined]);
  }
  const { payload, outcomes, logs } = run([[says("new"), "observe"], [TELLS, "enforce"]]);
  assert.deepEqual([payload, outcomes[0]?.replaced, logs], [undefined, undefined, ["unchanged"]]);
});

Deno.test("a payload that must not be replaced is a fault with the reason", () => {
  const large = ["payload-too-large", 413, "host_set_payload: 101 bytes; at most 100 here"];
  assert.deepEqual(faultOf(says("x".repeat(101))), large);
  assert.equal(run([[says("x".repeat(100)), "enforce"]]).payload?.length, 100);
  const signed = "host_set_payload: the message is signed by its sender";
  const refused = faultOf(says("new"), { payload_most: SIGNED });
  assert.deepEqual(refused, ["signed-payload", 422, signed]);
  const other = ["abi", 503, "host_set_payload: only a message has a payload"];
  assert.deepEqual(faultOf(says("new"), { payload_most: NOT_A_MESSAGE }), other);
  const outside = "(call $set_payload (i32.const 65530) (i32.const 8)) i32.const 0";
  assert.deepEqual(faultOf({ abi: 2, body: outside }).slice(0, 2), ["abi", 503]);
});

Deno.test("a replacement is charged by the byte", () => {
  const unitsOf = (size: number) => {
    const body = `(call $set_payload (i32.const 0) (i32.const ${size})) i32.const 0`;
    return run([[{ abi: 2, body }, "enforce"]], { payload_most: 65_536 }).outcomes[0]!.units;
  };
  assert.equal(unitsOf(60_000) - unitsOf(10_000), 50_000);
});
