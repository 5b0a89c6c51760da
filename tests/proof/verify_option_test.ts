/** `verify` of subscribe on a real bus: what it reads, what it refuses before that, and how a loop ends meanwhile. */
import assert from "node:assert/strict";
import { connect, type Message } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { proof, ProofError } from "@arqon/sdk/proof";
import type { ProofOptions } from "@arqon/sdk/proof";
import { encodeVerifier } from "@arqon/proto";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { proxied } from "../harness/tcp_proxy.ts";
import { filesOf, signerOf } from "./made_tree.ts";
import { PROOF_CONFIG, publish, type Served, served, vkeyOf } from "./served.ts";

const BEGIN = { begin: replay({ from: "start" }) };

/** The key of the tenant, as a reader may have it from another room. */
const keyOf = async (bus: Served) => {
  await publish(bus, "bets", 1);
  return await vkeyOf(served(bus, "default.bets"));
};

Deno.test("one vkey verifies every room of its tenant, also with a log that needs the token", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const given = { url: bus.url, token: bus.token };
  await using client = await connect({ ...given, proof: proof({ vkeys: [await keyOf(bus)] }) });
  for (const name of ["bets", "own-1"]) {
    await publish(bus, name, name === "bets" ? 2 : 3, name === "bets" ? 1 : 0);
    await using loop = client.room(name).subscribe({ verify: true, ...BEGIN });
    const read = async () => (await loop.next()).value?.json<{ n: number }>().n;
    assert.deepEqual([await read(), await read(), await read()], [0, 1, 2]);
    await client.room(name).publish("t", { n: 3 }, { headers: { b: "1", a: "2", "7": "3" } });
    assert.equal(await read(), 3);
    const kept = loop.checkpoint!;
    assert.match(kept, new RegExp(`^bus.example/default.${name}\\n4\\n`));
    loop.close();
    await using later = client.room(name).subscribe({ verify: kept, ...BEGIN });
    assert.equal((await later.next()).value?.json<{ n: number }>().n, 0);
  }
});

Deno.test("with a filter or without echo, what does not come is no gap", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const given = { url: bus.url, token: bus.token };
  await using client = await connect({ ...given, proof: proof({ vkeys: [await keyOf(bus)] }) });
  for (const options of [{ filter: "data.n != 2" }, { no_echo: true }]) {
    const room = client.room("bets");
    await using loop = room.subscribe({ verify: true, ...options });
    await loop.ready;
    for (const [n, from] of [1, 2, 3].entries()) {
      if ("filter" in options || n !== 1) await publish(bus, "bets", 1, from);
      else await room.publish("t", { n: 2 });
    }
    const read = async () => (await loop.next()).value?.json<{ n: number }>().n;
    assert.deepEqual([await read(), await read()], [1, 3]);
  }
});

Deno.test("what the class of a room leaves out for its readers is no gap", async () => {
  const classes = `
[[rooms]]
room = "some-*"
durable = true
proof = true
filter = '!("x-to" in headers)' # as that of a program, for whoever an event is not
[[rooms]]
room = "quiet-*"
durable = true
proof = true
echo = false
`;
  await using bus = await startLocalBus(PROOF_CONFIG + classes);
  const given = { url: bus.url, token: bus.token };
  const vkeys = [await keyOf(bus)];
  for (const complete of [true, false]) {
    await using client = await connect({ ...given, proof: proof({ vkeys, complete }) });
    for (const name of [`some-${complete}`, `quiet-${complete}`]) {
      const room = client.room(name);
      await using loop = room.subscribe({ verify: true });
      await loop.ready;
      await publish(bus, name, 1, 1);
      const headers = name.startsWith("some-") ? { "x-to": "user:other" } : {};
      await room.publish("t", { n: 2 }, { headers });
      await publish(bus, name, 1, 3);
      const read = async () => (await loop.next()).value?.json<{ n: number }>().n;
      assert.equal(await read(), 1, name);
      if (!complete) assert.equal(await read(), 3, name);
      else await assert.rejects(read(), { name: "Error", message: /class .* complete: false/ });
    }
  }
});

Deno.test("what cannot be verified is refused, with what would be right", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const vkey = await keyOf(bus);
  const other = encodeVerifier(await signerOf("bus.example/default.bets"));
  const strange = encodeVerifier(await signerOf("bus.example/acme.bets"));
  const audit = encodeVerifier(await signerOf("bus.example/audit"));
  const wrong: readonly (readonly [unknown, string])[] = [
    [{}, "proof.vkeys is undefined; expected the vkeys of `arq proof key`"],
    [{ vkeys: [] }, "proof.vkeys is []; expected the vkeys of `arq proof key`"],
    [{ vkeys: vkey }, `proof.vkeys is "${vkey}"; expected the vkeys of \`arq proof key\``],
    [{ vkeys: ["key"] }, 'vkeys has "key": expected NAME+ID+KEY'],
    [{ vkeys: [audit] }, `proof.vkeys has "${audit}": expected that of a room's log`],
    [{ vkeys: [vkey], witnesses: ["w"] }, 'witnesses has "w": expected NAME+ID+KEY'],
    [{ vkeys: [vkey], quorum: 1 }, "quorum is 1, of 0 witnesses"],
    [{ vkeys: [vkey], quorum: 1.5 }, "proof.quorum is 1.5; expected a number of witnesses"],
    [{ vkeys: [vkey], witnesses: [other, other], quorum: 2 }, "quorum is 2, of 1 witnesses"],
    [{ vkeys: [vkey], witnesses: [other], quorum: 0 }, "quorum is 0, of 1 witnesses"],
    [{ vkeys: [vkey], wait_ms: -1 }, "proof.wait_ms is -1; expected at least 0"],
    [
      { vkeys: [vkey], witness: "w" },
      'proof.witness is "w"; expected no such option; there are vkeys, witnesses, quorum, wait_ms, complete',
    ],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => proof(options as ProofOptions), { message });
  }
  const given = { url: bus.url, token: bus.token };
  await assert.rejects(connect({ ...given, proof: { vkeys: [vkey] } as never }), /a function/);
  await using bare = await connect(given);
  assert.throws(() => bare.room("bets").subscribe({ verify: true }), { message: "no `proof`" });
  await using guest = await connect({ ...given, proof: proof({ vkeys: [strange] }) });
  assert.throws(() => guest.room("bets").subscribe({ verify: true }), {
    message: "proof.vkeys has none of tenant default",
  });
  const opened = async (vkeys: string[]) =>
    await connect({ ...given, proof: proof({ vkeys, wait_ms: 1 }) });
  await using client = await opened([vkey]);
  assert.throws(() => client.room("bet*").subscribe({ verify: true }), /each room of bet\*/);
  // The bus is asked with the first message.
  await using misled = await opened([other]);
  for (
    const [from, name, text] of [
      [client, "plain", /default.plain\/checkpoint: HTTP 404 .*no such transparency log/],
      [misled, "bets", /default.bets\/checkpoint: no known key has signed it/],
    ] as const
  ) {
    await publish(bus, name, 1);
    const loop = from.room(name).subscribe({ verify: true, ...BEGIN });
    await assert.rejects(loop.next(), text);
    assert.equal((await loop.next()).done, true);
  }
});

Deno.test("a loop that waits for the log ends with its connection, its signal or by close", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const vkey = await keyOf(bus);
  const { proxy, url } = proxied(bus);
  await using _proxy = proxy;
  const errors: unknown[] = [];
  const given = {
    url,
    token: bus.token,
    onError: (error: unknown) => errors.push(error),
  };
  for (const how of ["close", "signal", "connection"] as const) {
    const client = await connect({ ...given, proof: proof({ vkeys: [vkey] }) });
    const stop = new AbortController();
    const loop = client.room("bets").subscribe({ verify: true, ...BEGIN, signal: stop.signal });
    await loop.ready;
    // The message is there, and the log is not.
    await proxy.cut();
    const next = loop.next();
    if (how === "close") loop.close();
    else if (how === "signal") stop.abort(new Error("left"));
    else await client.close();
    if (how === "signal") await assert.rejects(next, /left/);
    else assert.equal((await next).done, true);
    await client.close();
    proxy.restore();
  }
  assert.deepEqual(errors, []);
});

Deno.test("a listener that verifies reports what it finds, and goes on while the log is away", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const vkey = await keyOf(bus);
  const { proxy, url } = proxied(bus);
  await using _proxy = proxy;
  const errors: { message: string }[] = [];
  await using client = await connect({
    url,
    token: bus.token,
    backoff: { base_ms: 1, max_ms: 5 },
    proof: proof({ vkeys: [vkey] }),
    onError: (error) => errors.push(error),
  });
  const came: number[] = [];
  const receive = (message: Message) => void came.push(Number(message.offset));
  const listener = client.room("bets").listen(receive, { verify: true, ...BEGIN });
  await until("the stored message", () => came.length === 1);
  await proxy.cut();
  await publish(bus, "bets", 2, 1);
  proxy.restore();
  await until("what was missed", () => came.length === 3);
  listener.close();
  await listener.ended;
  assert.deepEqual([came, errors], [[1, 2, 3], []]);

  // Of another log, which the bus has never signed.
  const signer = await signerOf("bus.example/default.bets");
  const made = await filesOf([], signer);
  const kept = new TextDecoder().decode(made.get("checkpoint"));
  const wrong = client.room("bets").listen(receive, { verify: kept, ...BEGIN });
  await assert.rejects(wrong.ended, /no known key/);
  assert.match(errors[0]!.message, /no known key/);
  assert.equal(new ProofError("fork", "", { checkpoints: [] }).name, "ProofError");
});
