/** The grants from Centrifugo's claims, and subscription tokens. */
import assert from "node:assert/strict";
import type { Claims } from "../auth/claims.ts";
import { grantsOf, memberMetaOf } from "./tokens.ts";
import { ChannelTokens } from "./channel_tokens.ts";

Deno.test("each of Centrifugo's claims grants exactly what it lists", () => {
  const subscribe = (room: string) => ({ room, actions: ["subscribe"] });
  const rows: [Claims, unknown][] = [
    [{ sub: "ann" }, undefined],
    [{ channel: "$a" }, [subscribe("c:=24a")]],
    [{ channels: ["a", "b c"] }, [subscribe("c:a"), subscribe("c:b=20c")]],
    [{ channels: [] }, []],
    [{ subs: { a: { info: 1 } } }, [subscribe("c:a")]],
    [{ caps: [] }, []],
    [{ caps: [{ channels: ["a", "b*"], allow: ["pub", "hst"] }] }, [
      { room: "c:a", actions: ["publish"] },
      { room: "c:b=2a", actions: ["publish"] },
    ]],
    [{ caps: [{ channels: ["a", "b *"], match: "wildcard", allow: ["sub", "prs"] }] }, [
      { room: "c:a", actions: ["subscribe", "presence"] },
      { room: "c:b=20*", actions: ["subscribe", "presence"] },
    ]],
  ];
  for (const [claims, grants] of rows) assert.deepEqual(grantsOf(claims, "c:"), grants);
  const all = { caps: [{ channels: ["*"], match: "wildcard", allow: ["sub"] }] };
  assert.deepEqual(grantsOf(all, "c:"), [subscribe("c:*")]);
  assert.deepEqual(grantsOf(all, ""), [subscribe("*")]);
});

Deno.test("grantsOf refuses claims that the bus cannot enforce", () => {
  const cap = (more: Claims) => ({ caps: [{ channels: ["a"], allow: ["sub"], ...more }] });
  const rows: Claims[] = [
    ...[{ channels: "a" }, { channels: [1] }, { channel: 1 }, { subs: 7 }, { caps: {} }],
    ...[{ subs: ["a"] }, { subs: [] }],
    ...[{ caps: [null] }, { channels: Array(65).fill("a") }, { subs: null, channels: 1 }],
    ...[cap({ match: "regex" }), cap({ allow: ["all"] }), cap({ allow: "sub" })],
    ...["*a", "a*b", "a**"].map((name) => cap({ match: "wildcard", channels: [name] })),
  ];
  for (const claims of rows) {
    assert.throws(() => grantsOf(claims, ""), { reason: "token-claim" }, JSON.stringify(claims));
  }
  assert.throws(() => grantsOf({ channels: ["x".repeat(65)] }, ""), { reason: "token-claim" });
});

Deno.test("b64info takes precedence over info if it is JSON", () => {
  assert.deepEqual(memberMetaOf({ info: 1, b64info: btoa('{"a":1}') }), { a: 1 });
  assert.deepEqual(memberMetaOf({ info: 1, b64info: btoa("no JSON") }), 1);
  assert.equal(memberMetaOf({}), undefined);
});

// Subscription tokens when the wall clock is set.

Deno.test("a subscription token expires on time if the clock is set forward", () => {
  const timers: { run: () => void; wait_ms: number }[] = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = ((run: () => void, wait_ms: number) => {
    timers.push({ run, wait_ms });
    return 0;
  }) as unknown as typeof setTimeout;
  try {
    let now = 0;
    const ended: string[] = [];
    const tokens = new ChannelTokens({
      verify: () => Promise.reject(new Error("no token")),
      connection: () => undefined,
      onEnd: (room_id) => void ended.push(room_id),
      now: () => now,
      untilOf: (expire_at) => expire_at * 1_000,
    });
    tokens.hold("news", 3_600_000, undefined);
    now = 3_600_000;
    const [first] = timers;
    assert.ok(first!.wait_ms <= 10_000, `${first!.wait_ms}`);
    first!.run();
    assert.deepEqual(ended, ["news"]);
  } finally {
    globalThis.setTimeout = setTimeout;
  }
});
