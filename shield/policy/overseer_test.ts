/** The Overseer's requests to a chain and its handling of the verdict; chains and pool are data here. */
import assert from "node:assert/strict";
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { ann } from "../auth/testing/identity.ts";
import { type EvaluateRequest, NOT_A_MESSAGE, SIGNED } from "./abi/policy.ts";
import { createOverseer } from "./overseer.ts";
import { binding, outcomeOf } from "./testing/modules.ts";
import type { Caller } from "../message/caller.ts";
import type { PolicyLog, PolicyOutcome, Verdict } from "../../shared/records/verdict.ts";

const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
const BINDING = binding({ name: "words", hooks: ["on_connect", "on_subscribe", "on_message"] });
const ALLOWED: Verdict = {
  allowed: true,
  code: 0,
  reason: "",
  name: "",
  added_headers: [["X-Lang", "en"]],
  outcomes: [],
  logs: [],
};
const caller: Caller = {
  identity: { ...ann, claims: { plan: "free" } },
  connection_id: "c1",
  request_headers: [["user-agent", "test"], ["x-arqon-user", "forged"]],
  remote_ip: "127.0.0.1",
};

function refusal(
  more: Partial<Verdict>,
  fault?: "fuel" | "chain-fuel" | "sender-slowed",
  hold: Pick<PolicyOutcome, "retry_after_ms" | "closes"> = {},
): Verdict {
  const outcome = outcomeOf("words", { ...hold, allowed: false, fault });
  return { ...ALLOWED, allowed: false, name: "words", code: 403, outcomes: [outcome], ...more };
}

/**
 * An Overseer with one policy for everything in `lobby`, and its requests and log lines. `inline` is the immediate
 * verdict about a message.
 */
function overseerWith(verdict: Verdict, inline?: Verdict) {
  const requests: EvaluateRequest[] = [];
  const keys: string[] = [];
  const logged: PolicyLog[] = [];
  const overseer = createOverseer({
    chainFor: (_tenant, hook, room, key) => {
      keys.push(key);
      return room === "lobby" || hook === "on_connect" ? [BINDING] : [];
    },
    evaluate: (request) => {
      requests.push(request);
      return Promise.resolve(verdict);
    },
    evaluateInline: () => inline,
    limits: { ...LIMITS, max_frame_bytes: 262_144, payload_bytes: 262_144 },
    now: () => 1_790_000_000_123,
    onLogs: (_tenant, logs) => logged.push(...logs),
  });
  return { overseer, requests, keys, logged };
}

function envelope(room_id: string, trace_id = "") {
  const data = new TextEncoder().encode("hello");
  const event = { type: "chat", data, content_type: "text/plain", schema_id: "" };
  const headers = { "X-Own": "\uFEFF1", "X-ARQON-Hook": "forged" };
  return scanEnvelope(writeEnvelope({ room_id, trace_id, headers, event }), LIMITS);
}

/** First match without regard to case, as `host_get_header` looks it up. */
function header(request: EvaluateRequest | undefined, name: string): string | undefined {
  return request?.facts().headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

Deno.test("if no policy applies, the answer is immediate", () => {
  const { overseer, requests } = overseerWith(ALLOWED);
  assert.equal(overseer.onMessage(caller, envelope("elsewhere")), undefined);
  assert.equal(overseer.onSubscribe(caller, "elsewhere"), undefined);
  assert.deepEqual(requests, []);
});

Deno.test("a policy sees the message, the caller, and reserved headers that nobody can forge", async () => {
  const { overseer, requests } = overseerWith(ALLOWED);
  assert.deepEqual(await overseer.onMessage(caller, envelope("lobby")), [["X-Lang", "en"]]);
  const [request] = requests;
  assert.equal(new TextDecoder().decode(request?.payload), "hello");
  assert.deepEqual(request?.facts().claims, { plan: "free" });
  const expected: [string, string][] = [
    // As receivers get it, byte order mark included.
    ["x-own", "\uFEFF1"],
    ["user-agent", "test"],
    ["x-arqon-hook", "on_message"],
    ["x-arqon-tenant", "acme"],
    ["x-arqon-room", "lobby"],
    ["x-arqon-user", "ann"],
    ["x-arqon-type", "chat"],
    ["x-arqon-content-type", "text/plain"],
    ["x-arqon-remote-ip", "127.0.0.1"],
    ["x-arqon-now-ms", "1790000000123"],
  ];
  for (const [name, value] of expected) assert.equal(header(request, name), value, name);
});

Deno.test("a policy sees the full name of a command, also where its sender left out `room.`", async () => {
  const { overseer, requests } = overseerWith(ALLOWED);
  for (const name of ["set", "room.set", "growing.append"]) {
    const bytes = writeEnvelope({ room_id: "lobby", command: { name, data: new Uint8Array(2) } });
    await overseer.onMessage(caller, scanEnvelope(bytes, LIMITS));
  }
  const types = requests.map((request) => header(request, "x-arqon-type"));
  assert.deepEqual(types, ["room.set", "room.set", "growing.append"]);
});

Deno.test("the rollout key is the client's trace id, otherwise the connection", async () => {
  const { overseer, keys } = overseerWith(ALLOWED);
  const trace_id = "ab".repeat(16);
  await overseer.onMessage(caller, envelope("lobby", trace_id));
  const traceparent = `00-${trace_id}-b7ad6b7169203331-00`;
  const bytes = writeEnvelope({ room_id: "lobby", headers: { traceparent }, event: {} });
  await overseer.onMessage(caller, scanEnvelope(bytes, LIMITS));
  await overseer.onMessage(caller, envelope("lobby"));
  await overseer.onConnect(caller);
  assert.deepEqual(keys, [trace_id, trace_id, "c1", "c1"]);
});

Deno.test("a refusal has the policy's code and text; a fault is 503 without any", async () => {
  const refusing = overseerWith(refusal({ code: 451, reason: "not in this country" }));
  await assert.rejects(refusing.overseer.onSubscribe(caller, "lobby") ?? Promise.resolve(), {
    reason: "policy-rejected",
    code: 451,
    message: "Message blocked by policy: not in this country",
  });
  const mute = overseerWith(refusal({}));
  await assert.rejects(mute.overseer.onConnect(caller) ?? Promise.resolve(), {
    reason: "policy-rejected",
    code: 403,
    message: "Message blocked by policy",
  });
  const tired = overseerWith(refusal({ code: 503, reason: "out of fuel" }, "fuel"));
  await assert.rejects(async () => await tired.overseer.onMessage(caller, envelope("lobby")), {
    reason: "policy-fault",
    code: 503,
    message: "Message blocked by policy",
  });
  const crowded = overseerWith(refusal({ code: 503 }, "chain-fuel"));
  await assert.rejects(async () => await crowded.overseer.onMessage(caller, envelope("lobby")), {
    reason: "policy-chain-fuel",
    code: 503,
    retry_after_ms: 1_000,
  });
});

Deno.test("a sender that makes a policy fail gets a pause to wait, and is closed if it continues", async () => {
  const slowed = overseerWith(refusal({ code: 429 }, "sender-slowed", { retry_after_ms: 4_000 }));
  await assert.rejects(async () => await slowed.overseer.onMessage(caller, envelope("lobby")), {
    reason: "policy-fault",
    code: 429,
    retry_after_ms: 4_000,
    message: "Message blocked by policy: your messages make it fail, wait for retry_after_ms",
  });
  const hold = { retry_after_ms: 4_000, closes: true } as const;
  const closed = overseerWith(refusal({ code: 429 }, "sender-slowed", hold));
  await assert.rejects(async () => await closed.overseer.onMessage(caller, envelope("lobby")), {
    reason: "flooding",
    retry_after_ms: 4_000,
  });
});

Deno.test("log lines are passed on, also from a policy that refuses", async () => {
  const logs = [{ name: "words", level: 2, message: "seen" }];
  const { overseer, logged } = overseerWith(refusal({ logs }));
  await assert.rejects(async () => await overseer.onMessage(caller, envelope("lobby")));
  assert.deepEqual(logged, logs);
});

Deno.test("an immediate verdict is used at once, and no worker is asked", async () => {
  const logs = [{ name: "words", level: 2, message: "seen" }];
  const allowing = overseerWith(refusal({}), { ...ALLOWED, logs });
  assert.deepEqual(allowing.overseer.onMessage(caller, envelope("lobby")), [["X-Lang", "en"]]);
  assert.deepEqual([allowing.requests, allowing.logged], [[], logs]);
  const refusing = overseerWith(ALLOWED, refusal({ code: 451 }));
  assert.throws(() => refusing.overseer.onMessage(caller, envelope("lobby")), {
    reason: "policy-rejected",
    code: 451,
  });
  assert.deepEqual(refusing.requests, []);
  await refusing.overseer.onConnect(caller);
  assert.equal(refusing.requests.length, 1, "only messages are judged immediately");
});

/** The verdict of two policies, of which one or both replaced the payload. */
function replacedBy(payload: string, ...names: string[]): Verdict {
  const outcomes = ["words", "mask", "trim"].map((name) =>
    outcomeOf(name, names.includes(name) ? { replaced: true } : {})
  );
  return { ...ALLOWED, outcomes, payload: new TextEncoder().encode(payload) };
}

Deno.test("a replaced payload becomes the message's, and a header names the policies that replaced it", async () => {
  const verdict = replacedBy("masked", "mask", "trim");
  for (const inline of [undefined, verdict]) {
    const { overseer } = overseerWith(verdict, inline);
    const message = envelope("lobby");
    const seen: unknown[] = [];
    const note = { asked: () => {}, judged: () => {}, checked: () => {} };
    const onReplaced = (...args: readonly unknown[]) => void seen.push(args);
    const added = await overseer.onMessage(caller, message, "the path", onReplaced, note);
    assert.deepEqual(added, [["X-Lang", "en"], ["x-arqon-replaced", "mask,trim"]]);
    const mark = ["x-arqon-replaced", "mask,trim"];
    assert.deepEqual(seen, [["the path", caller, message, mark, note]]);
    const { data_start, data_end } = message.event!;
    const data = message.bytes.subarray(data_start, data_end);
    assert.equal(new TextDecoder().decode(data), "masked");
    assert.equal(message.event?.content_type, "text/plain");
  }
});

Deno.test("a message that is no longer valid is refused with the error of the check", async () => {
  const { overseer } = overseerWith(replacedBy("masked", "mask"));
  const onReplaced = () => {
    throw new ArqonError("schema-violation", ": n: required");
  };
  const pending = overseer.onMessage(caller, envelope("lobby"), undefined, onReplaced);
  await assert.rejects(Promise.resolve(pending), { reason: "schema-violation" });
});

Deno.test("the limit of a new payload depends on the message, and a signed message allows none", async () => {
  const { overseer, requests } = overseerWith(ALLOWED);
  const event = { type: "chat", data: new Uint8Array(1_000), content_type: "", schema_id: "" };
  const ask = async (more: object) => {
    const bytes = writeEnvelope({ room_id: "lobby", event, ...more });
    await overseer.onMessage(caller, scanEnvelope(bytes, LIMITS));
    return { most: requests.at(-1)!.payload_most, besides_bytes: bytes.length - 1_000 };
  };
  const plain = await ask({});
  assert.ok(plain.most + plain.besides_bytes < 262_144);
  assert.ok(plain.most + plain.besides_bytes > 262_144 - 32);
  assert.equal((await ask({ signature: new Uint8Array(64) })).most, SIGNED);
  await overseer.onSubscribe(caller, "lobby");
  assert.equal(requests.at(-1)!.payload_most, NOT_A_MESSAGE);
});

Deno.test("a piece of a growing message is judged as part of its message, and a refusal gives the reason", async () => {
  const text = { content_type: "text/plain", text: "new", released: "old " };
  const piece = { id: "a1", type: "answer", ...text, is_last: false };
  const verdict = { ...ALLOWED, added_headers: [["Release", "2"]] } as const;
  const { overseer, requests, keys } = overseerWith(verdict);
  assert.equal(overseer.onAppend(caller, "elsewhere", piece), undefined);
  assert.deepEqual(await overseer.onAppend(caller, "lobby", piece), { released: "ne", held: "w" });
  assert.equal(keys.at(-1), "lobby a1");
  const [request] = requests;
  assert.equal(new TextDecoder().decode(request?.payload), "new");
  assert.equal(request?.payload_most, 262_144);
  const expected: [string, string][] = [
    ["x-arqon-hook", "on_append"],
    ["x-arqon-type", "answer"],
    ["x-arqon-content-type", "text/plain"],
    ["x-arqon-growing", "a1"],
    ["x-arqon-growing-before", "old "],
  ];
  for (const [name, value] of expected) assert.equal(header(request, name), value, name);
  const refuses = overseerWith(refusal({ reason: "rather not" })).overseer;
  const rejected = refuses.onAppend(caller, "lobby", piece);
  await assert.rejects(async () => await rejected, { reason: "policy-rejected", code: 403 });
});
