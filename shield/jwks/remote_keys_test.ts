/**
 * Key sets by URL against real loopback HTTP servers, with a clock that the test sets: fetches, outages and rotations,
 * how many tokens may wait for a set, when cached tokens expire with it, and keys that a set withdraws.
 */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import {
  AUDIENCE,
  authConfig,
  jwksText,
  makeTestKey,
  mint,
  NOW_MS,
  outcomeOf,
  serveKeys,
  type TestAuthenticator,
  testAuthenticator,
  type TestKey,
} from "../auth/testing/issuer.ts";

const first = await makeTestKey("RS256", "k1");
const second = await makeTestKey("RS256", "k2");
const rogue = await makeTestKey("RS256", "k1");

/** A clock that the test moves. */
function clock() {
  const time = {
    now_ms: NOW_MS,
    monotonic_ms: 1,
    forward_ms(by: number) {
      time.now_ms += by;
      time.monotonic_ms += by;
    },
  };
  return time;
}

/** Tokens that outlive every jump of the tests' clock. */
const LONG = { exp: NOW_MS / 1_000 + 86_400 };
const CACHE_MS = 600_000;
const COOLDOWN_MS = 30_000;

function open(
  url: string,
  time: { now_ms: number; monotonic_ms: number },
  auth: Partial<Config["auth"]> = {},
): Promise<TestAuthenticator> {
  const now = () => time.now_ms;
  const monotonic_ms = () => time.monotonic_ms;
  return testAuthenticator(
    authConfig({ jwks_url: url }, auth),
    {},
    now,
    {},
    undefined,
    monotonic_ms,
  );
}

Deno.test("a hundred tokens at once cost one fetch of the key set", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  const authenticator = await open(server.url, clock());
  assert.equal(server.state.requests, 0, "creation does not fetch");
  const token = await mint(first);
  const all = await Promise.all(
    Array.from({ length: 100 }, () => authenticator.authenticate(token)),
  );
  assert.equal(all.length, 100);
  assert.equal(server.state.requests, 1);
  const metrics = await authenticator.registry.metrics();
  assert.match(metrics, /shield_jwks_fetches_total\{.*result="ok"\} 1\n/);
  assert.match(metrics, /shield_authentications_total\{result="ok"\} 100\n/);
});

Deno.test("warm fetches before the first token, and the status says so", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  const authenticator = await open(server.url, clock());
  assert.deepEqual(authenticator.keyStatus()[0]?.keys, 0);
  await authenticator.warm();
  assert.deepEqual(authenticator.keyStatus(), [{
    issuer: "https://id.example.com",
    source: "jwks_url",
    keys: 1,
    healthy: true,
    loaded_ms: NOW_MS,
  }]);
  assert.equal(await outcomeOf(authenticator, await mint(first)), "ok");
  assert.equal(server.state.requests, 1);
});

Deno.test("a rotated key is found with one more fetch, at most one per cooldown", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  const time = clock();
  const authenticator = await open(server.url, time);
  const rotated = await mint(second, LONG);
  assert.equal(await outcomeOf(authenticator, await mint(first, LONG)), "ok");
  server.state.answer = () => new Response(jwksText(first, second));
  time.forward_ms(COOLDOWN_MS - 1);
  assert.equal(await outcomeOf(authenticator, rotated), "token-unknown-key");
  assert.equal(server.state.requests, 1, "within the cooldown nothing is fetched");
  time.forward_ms(1);
  assert.equal(await outcomeOf(authenticator, rotated), "ok");
  assert.equal(server.state.requests, 2);
});

Deno.test("a flood of unknown kids causes one fetch per cooldown and does not affect valid tokens", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  const time = clock();
  const authenticator = await open(server.url, time);
  const good = await mint(first, LONG);
  const unknown = await mint({ ...second, kid: "nobody" }, LONG);
  for (let round = 1; round <= 3; round += 1) {
    const reasons = await Promise.all(
      Array.from({ length: 50 }, () => outcomeOf(authenticator, unknown)),
    );
    assert.ok(reasons.every((reason) => reason === "token-unknown-key"));
    assert.equal(await outcomeOf(authenticator, good), "ok");
    assert.equal(server.state.requests, round);
    time.forward_ms(COOLDOWN_MS);
  }
});

Deno.test("a key that the issuer removed is refused once the cache is old", async () => {
  await using server = serveKeys(() => new Response(jwksText(first, second)));
  const time = clock();
  const authenticator = await open(server.url, time);
  const token = await mint(second, LONG);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  server.state.answer = () => new Response(jwksText(first));
  time.forward_ms(CACHE_MS - 1);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  time.forward_ms(1);
  assert.equal(await outcomeOf(authenticator, token), "token-unknown-key");
});

Deno.test("while the endpoint fails, old keys are used for ten cache times and no longer", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  const time = clock();
  const authenticator = await open(server.url, time);
  const token = await mint(first, LONG);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  server.state.answer = () => new Response("down", { status: 500 });
  time.forward_ms(CACHE_MS);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(server.state.requests, 2);
  assert.equal(authenticator.keyStatus()[0]?.healthy, false);
  const unknown = await mint({ ...second, kid: "nobody" }, LONG);
  assert.equal(await outcomeOf(authenticator, unknown), "keys-unavailable");
  time.forward_ms(CACHE_MS * 9);
  const error = await authenticator.authenticate(token).catch((caught) => caught);
  assert.deepEqual([error.reason, error.code], ["keys-unavailable", 503]);
  assert.ok(error.retry_after_ms > 0);
  server.state.answer = () => new Response(jwksText(first));
  time.forward_ms(COOLDOWN_MS);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(authenticator.keyStatus()[0]?.healthy, true);
});

for (const step_ms of [-7_200_000, 7_200_000]) {
  Deno.test(`a clock that is set by ${step_ms} ms keeps good keys`, async () => {
    await using server = serveKeys(() => new Response(jwksText(first)));
    const time = clock();
    const authenticator = await open(server.url, time);
    const token = await mint(first, LONG);
    assert.equal(await outcomeOf(authenticator, token), "ok");
    server.state.answer = () => new Response("down", { status: 500 });
    time.now_ms += step_ms;
    assert.equal(await outcomeOf(authenticator, token), "ok");
  });
}

Deno.test("a clock that is set back does not delay a rotation", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  const time = clock();
  const authenticator = await open(server.url, time);
  assert.equal(await outcomeOf(authenticator, await mint(first, LONG)), "ok");
  server.state.answer = () => new Response(jwksText(first, second));
  time.now_ms -= 3_600_000;
  time.forward_ms(COOLDOWN_MS);
  assert.equal(await outcomeOf(authenticator, await mint(second, LONG)), "ok");
});

Deno.test("while the endpoint hangs after a failure, old keys are used without a wait", async () => {
  const held = Promise.withResolvers<Response>();
  await using server = serveKeys(() => new Response(jwksText(first)));
  const time = clock();
  const authenticator = await open(server.url, time, { jwks_timeout_ms: 60_000 });
  const token = await mint(first, LONG);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  server.state.answer = () => new Response("down", { status: 500 });
  time.forward_ms(CACHE_MS);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  let answered = false;
  server.state.answer = () => held.promise.finally(() => answered = true);
  time.forward_ms(COOLDOWN_MS);
  assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(answered, false);
  held.resolve(new Response(jwksText(first)));
  // Waits for the running fetch, so that nothing of it is left.
  await authenticator.warm();
  assert.equal(authenticator.keyStatus()[0]?.healthy, true);
});

Deno.test("an endpoint that was never reached is retried after 1 s, 2 s, 4 s up to the cooldown", async () => {
  await using server = serveKeys(() => new Response("down", { status: 503 }));
  const time = clock();
  const authenticator = await open(server.url, time);
  const token = await mint(first, LONG);
  for (const pause_ms of [1_000, 2_000, 4_000, 8_000, 16_000, COOLDOWN_MS, COOLDOWN_MS]) {
    const before = server.state.requests;
    assert.equal(await outcomeOf(authenticator, token), "keys-unavailable");
    assert.equal(server.state.requests, before + 1);
    time.forward_ms(pause_ms - 1);
    assert.equal(await outcomeOf(authenticator, token), "keys-unavailable");
    assert.equal(server.state.requests, before + 1, `again before ${pause_ms} ms`);
    time.forward_ms(1);
  }
});

Deno.test("a refused connection is keys-unavailable, and the log only names the host", async () => {
  const server = serveKeys(() => new Response(""));
  await server.stop();
  const authenticator = await open(server.url, clock());
  assert.equal(await outcomeOf(authenticator, await mint(first)), "keys-unavailable");
  const log = authenticator.lines.join("");
  assert.match(log, /level=warn .*127\.0\.0\.1.*[Cc]onnection refused/);
  assert.ok(!log.includes("hidden"), "the query of the URL is not logged");
});

Deno.test("a fetch without an answer ends after jwks_timeout_ms", async () => {
  const held = Promise.withResolvers<Response>();
  await using server = serveKeys(() => held.promise);
  const authenticator = await open(server.url, clock(), { jwks_timeout_ms: 50 });
  assert.equal(await outcomeOf(authenticator, await mint(first)), "keys-unavailable");
  assert.match(authenticator.lines.join(""), /no answer in 50 ms/);
  held.resolve(new Response(""));
});

Deno.test("a fetch of an endless body also ends after jwks_timeout_ms", async () => {
  const body = () =>
    new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode("{")),
    });
  await using server = serveKeys(() => new Response(body()));
  const authenticator = await open(server.url, clock(), { jwks_timeout_ms: 50 });
  assert.equal(await outcomeOf(authenticator, await mint(first)), "keys-unavailable");
  assert.match(authenticator.lines.join(""), /no answer in 50 ms/);
});

Deno.test("close ends a running fetch", async () => {
  const asked = Promise.withResolvers<void>();
  const held = Promise.withResolvers<Response>();
  await using server = serveKeys(() => {
    asked.resolve();
    return held.promise;
  });
  const authenticator = await open(server.url, clock(), { jwks_timeout_ms: 60_000 });
  const result = outcomeOf(authenticator, await mint(first));
  await asked.promise;
  authenticator.close();
  assert.equal(await result, "keys-unavailable");
  assert.match(authenticator.lines.join(""), /the process is stopping/);
  held.resolve(new Response(""));
});

const USELESS: readonly (readonly [name: string, answer: () => Response, log: RegExp])[] = [
  ["a page", () => new Response("<html>login</html>"), /not JSON/],
  ["JSON that is not a set", () => Response.json({ keys: "none" }), /not a JWK set/],
  ["an empty set", () => Response.json({ keys: [] }), /no usable key for RS256/],
  ["not UTF-8", () => new Response(new Uint8Array([0x7b, 0xff])), /cannot be fetched/],
  ["404", () => new Response("", { status: 404 }), /HTTP 404/],
  ["a redirect", () => Response.redirect("http://127.0.0.1:1/jwks"), /HTTP 302/],
  ["more than 256 KiB", () => new Response(" ".repeat(262_145)), /more than 262144 bytes/],
];

Deno.test("an invalid JWK set is refused, with the reason in the log", async (test) => {
  for (const [name, answer, log] of USELESS) {
    await test.step(name, async () => {
      await using server = serveKeys(answer);
      const authenticator = await open(server.url, clock());
      assert.equal(await outcomeOf(authenticator, await mint(first)), "keys-unavailable");
      assert.match(authenticator.lines.join(""), log);
      authenticator.close();
    });
  }
});

Deno.test("unusable keys of a set are skipped with a warning, and the others are used", async () => {
  const odd = [
    { kty: "oct", k: "AAAA", kid: "secret" },
    { kty: "RSA", kid: "short", e: "AQAB", n: "x".repeat(171) },
    { kty: "RSA", kid: "broken", e: "AQAB", n: "!" },
    { ...first.public_jwk, kid: "private", d: "AAAA" },
    { ...first.public_jwk, kid: "encryption", use: "enc" },
  ];
  const text = JSON.stringify({ keys: [...odd, first.public_jwk] });
  await using server = serveKeys(() => new Response(text));
  const authenticator = await open(server.url, clock());
  assert.equal(await outcomeOf(authenticator, await mint(first)), "ok");
  assert.equal(
    await outcomeOf(authenticator, await mint({ ...first, kid: "short" })),
    "token-unknown-key",
  );
  assert.equal(authenticator.keyStatus()[0]?.keys, 1);
  const log = authenticator.lines.join("");
  for (
    const text of [
      "symmetric",
      "1026 bits|1024 bits",
      "not a valid RSA",
      "private",
    ]
  ) {
    assert.match(log, new RegExp(text));
  }
  assert.ok(!log.includes("encryption"), "encryption keys cause no warning");
});

Deno.test("one issuer's keys never verify another issuer's tokens, also with the same kid", async () => {
  await using server = serveKeys(() => new Response(jwksText(first)));
  await using other = serveKeys(() => new Response(jwksText(rogue)));
  const common = { audience: AUDIENCE, tenants: ["*"] };
  const { auth } = configFrom({
    auth: {
      issuers: [
        { ...common, issuer: "https://a.example", jwks_url: server.url },
        { ...common, issuer: "https://b.example", jwks_url: other.url },
      ],
    },
  });
  const authenticator = await testAuthenticator(auth, {});
  const a = { iss: "https://a.example" };
  const b = { iss: "https://b.example" };
  assert.equal(await outcomeOf(authenticator, await mint(first, a)), "ok");
  assert.equal(await outcomeOf(authenticator, await mint(rogue, b)), "ok");
  assert.equal(await outcomeOf(authenticator, await mint(rogue, a)), "token-signature");
  assert.equal(await outcomeOf(authenticator, await mint(first, b)), "token-signature");
  const one = await authenticator.authenticate(await mint(first, a));
  const two = await authenticator.authenticate(await mint(rogue, b));
  assert.equal(one.user_id, two.user_id);
  assert.notEqual(one.user_key, two.user_key, "an issuer and a subject identify a user");
});

/** A server of these keys that answers when the test lets it. */
function serveHeld(...keys: TestKey[]) {
  const set = { keys, hold: undefined as Promise<void> | undefined };
  const server = serveKeys(async () => {
    await set.hold;
    return new Response(jwksText(...set.keys));
  });
  return { ...server, set };
}

async function count(outcomes: Promise<string>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const one of await Promise.all(outcomes)) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

const tokensOf = (key: typeof first, total: number) =>
  Promise.all(
    Array.from({ length: total }, (_, index) => mint(key, { ...LONG, sub: `u${index}` })),
  );

Deno.test("a set that does not arrive holds waiting_verifications tokens; further ones are keys-unavailable", async () => {
  await using server = serveHeld(first);
  const release = Promise.withResolvers<void>();
  server.set.hold = release.promise;
  const auth = authConfig({ jwks_url: server.url });
  const authenticator = await testAuthenticator(auth, {}, undefined, { waiting_verifications: 10 });
  const outcomes = (await tokensOf(first, 40)).map((token) => outcomeOf(authenticator, token));
  assert.deepEqual(await count(outcomes.slice(10)), { "keys-unavailable": 30 });
  release.resolve();
  assert.deepEqual(await count(outcomes.slice(0, 10)), { ok: 10 });
  assert.equal(server.state.requests, 1);
});

Deno.test("unknown kids hold 64 tokens, and no token whose key is known", async () => {
  await using server = serveHeld(first);
  const time = { now_ms: NOW_MS };
  const authenticator = await testAuthenticator(
    authConfig({ jwks_url: server.url }),
    {},
    () => time.now_ms,
  );
  await authenticator.warm();
  const release = Promise.withResolvers<void>();
  server.set.hold = release.promise;
  time.now_ms += 60_000;
  const outcomes = (await tokensOf(second, 100)).map((token) => outcomeOf(authenticator, token));
  assert.deepEqual(await count(outcomes.slice(64)), { "keys-unavailable": 36 });
  assert.equal(await outcomeOf(authenticator, await mint(first, LONG)), "ok");
  server.set.keys = [first, second];
  release.resolve();
  assert.deepEqual(await count(outcomes.slice(0, 64)), { ok: 64 });
});

Deno.test("a cached token is verified again after a reload of the set, and refused without its key", async () => {
  await using server = serveHeld(first, second);
  const time = { now_ms: NOW_MS };
  const authenticator = await testAuthenticator(
    authConfig({ jwks_url: server.url }),
    {},
    () => time.now_ms,
  );
  const verifications = async () => {
    const text = await authenticator.registry.metrics();
    return Number(/^shield_token_cache_misses_total (\d+)/m.exec(text)?.[1]);
  };
  const token = await mint(second, LONG);
  for (let times = 0; times < 3; times++) assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(await verifications(), 1);
  time.now_ms += CACHE_MS;
  assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(await verifications(), 2);
  server.set.keys = [first];
  await authenticator.warm();
  assert.equal(await outcomeOf(authenticator, token), "token-unknown-key");
});

const key = await makeTestKey("RS256", "k1");
const next = await makeTestKey("RS256", "k2");
const curve = await makeTestKey("ES256", "k1");

/** An issuer with a changeable answer, its authenticator, and a clock that the test moves. */
async function world() {
  const state = { answer: () => new Response(jwksText(key)), now_ms: NOW_MS };
  const server = serveKeys(() => state.answer());
  const auth = authConfig({ jwks_url: server.url });
  const authenticator = await testAuthenticator(auth, {}, () => state.now_ms);
  const ask = (token: string) => outcomeOf(authenticator, token);
  return { state, ask, authenticator, [Symbol.asyncDispose]: server.stop };
}

const WITHOUT: readonly (readonly [name: string, text: string])[] = [
  ["an empty set", '{"keys":[]}'],
  ["only keys of other algorithms", jwksText(curve)],
  ["only a key for encryption", JSON.stringify({ keys: [{ ...key.public_jwk, use: "enc" }] })],
  ["only a broken key", '{"keys":[{"kty":"RSA","kid":"k1","n":"AQ","e":"AQAB"}]}'],
  ["two keys of one kid", jwksText(key, key)],
  [
    "more keys than the limit",
    JSON.stringify({
      keys: Array.from({ length: 65 }, (_, at) => ({ ...key.public_jwk, kid: `${at}` })),
    }),
  ],
];

Deno.test("a set without a usable key withdraws the old ones after the cache time", async (test) => {
  for (const [name, text] of WITHOUT) {
    await test.step(name, async () => {
      await using issuer = await world();
      const { state, ask, authenticator } = issuer;
      const token = await mint(key, LONG);
      assert.equal(await ask(token), "ok");
      state.answer = () => new Response(text);
      state.now_ms += CACHE_MS - 1;
      assert.equal(await ask(token), "ok");
      state.now_ms += 1;
      assert.equal(await ask(token), "keys-unavailable");
      assert.deepEqual(
        authenticator.keyStatus().map(({ keys, healthy }) => ({ keys, healthy })),
        [{ keys: 0, healthy: false }],
      );
      // An additional outage brings nothing back.
      state.answer = () => new Response("down", { status: 500 });
      state.now_ms += 60_000;
      assert.equal(await ask(token), "keys-unavailable");
      state.answer = () => new Response(jwksText(next));
      state.now_ms += 60_000;
      assert.equal(await ask(token), "token-unknown-key");
      assert.equal(await ask(await mint(next, LONG)), "ok");
    });
  }
});

Deno.test("an early set without a usable key leaves the old ones for their cache time", async () => {
  await using issuer = await world();
  const { state, ask } = issuer;
  const token = await mint(key, LONG);
  assert.equal(await ask(token), "ok");
  state.answer = () => Response.json({ keys: [] });
  state.now_ms += CACHE_MS / 2;
  assert.equal(await ask(await mint(next, LONG)), "keys-unavailable", "its kid caused a fetch");
  assert.equal(await ask(token), "ok");
  state.now_ms += CACHE_MS / 2;
  assert.equal(await ask(token), "keys-unavailable");
});

Deno.test("an answer that is not a set is an outage: old keys bridge it", async () => {
  await using issuer = await world();
  const { state, ask } = issuer;
  const token = await mint(key, LONG);
  assert.equal(await ask(token), "ok");
  state.answer = () => new Response("<html>be back soon</html>");
  state.now_ms += 9 * CACHE_MS;
  assert.equal(await ask(token), "ok");
  state.now_ms += CACHE_MS;
  assert.equal(await ask(token), "keys-unavailable");
});
