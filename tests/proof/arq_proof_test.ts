/**
 * `arq proof`, `arq usage invoice` and `arq proof decide` against a bus, and on a machine that has only files: what
 * they check, and their error messages.
 */
import assert from "node:assert/strict";
import { exits, runArq } from "../../arq/testing/run_arq.ts";
import { type LocalBusOptions, startLocalBus } from "../harness/local_bus.ts";
import { connect } from "@arqon/sdk";
import { payloadHash } from "../../shared/proof/entry.ts";
import {
  grown,
  PROOF_CONFIG,
  publish,
  RECORDS_CONFIG,
  served,
  textsOf,
  treeUrl,
  verifierOf,
  vkeyOf,
} from "./served.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { until } from "../../shared/testing/until.ts";
import { proofTool } from "./go_tool.ts";
import { verifierPy } from "./verifier.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import { enforce } from "../peers/policy_admin.ts";
import { HttpPeer } from "../peers/http_peer.ts";

/** A bus, and `arq proof` in a folder of its own. */
async function started() {
  await using stack = new AsyncDisposableStack();
  const { path: cwd } = stack.use(await temporaryFolder());
  const bus = stack.use(await startLocalBus(PROOF_CONFIG));
  const owned = stack.move();
  const arq = (...args: string[]) => runArq(["proof", ...args], { cwd });
  return {
    bus,
    cwd,
    to: ["--url", bus.url, "--token", bus.token],
    async succeeds(...args: string[]) {
      const { code, stdout, stderr } = await arq(...args);
      assert.equal(code, 0, stderr);
      return stdout;
    },
    async fails(why: RegExp, ...args: string[]) {
      const { code, stderr } = await arq(...args);
      assert.equal(code, 1, stderr);
      assert.match(stderr, why);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

Deno.test("arq proof keeps checkpoints, and proves entries and that a log continues", async () => {
  await using world = await started();
  const { bus, cwd, to, succeeds, fails } = world;
  await publish(bus, "own-bets", 200);
  const files = served(bus, "default.own-bets", bus.token);
  const verifier = await verifierOf(files);
  await grown(files, verifier, 200);
  const tree = "default.own-bets";
  const vkey = await vkeyOf(files);
  assert.equal(await succeeds("key", tree, ...to), `${vkey}\n`);
  const key = ["--vkey", vkey];
  await Deno.writeTextFile(`${cwd}/old`, await succeeds("checkpoint", tree, ...to, ...key));
  await publish(bus, "own-bets", 100, 200);
  await grown(files, verifier, 300);
  assert.match(
    await succeeds("consistency", tree, "old", ...to, ...key),
    /of 300 entries continues that of 200/,
  );
  const peer = new HttpPeer(bus.http_url, bus.token);
  const { body: { messages } } = await peer.get("rooms/own-bets/messages?reverse=true&limit=1");
  const { offset } = messages[0];
  const proof = await succeeds("inclusion", tree, String(offset), ...to, ...key);
  await Deno.writeTextFile(`${cwd}/one.tlog-proof`, proof);
  const { found } = await verifierPy([...key, "--proof", `${cwd}/one.tlog-proof`]);
  assert.equal(found?.["index"], 299);
  const output = await succeeds("verify", "one.tlog-proof", ...key);
  assert.match(output, new RegExp(`"offset":${offset},.* is entry 299 of 300`));
  await Deno.writeTextFile(`${cwd}/two.tlog-proof`, proof.replace("index 299", "index 298"));
  await fails(/not in the tree/, "verify", "two.tlog-proof", ...key);
  await fails(/no entry of offset 999999/, "inclusion", tree, "999999", ...to, ...key);
  // The public log of another room, by its address and without a token.
  await publish(bus, "open", 1);
  await grown(served(bus, "default.open"), await verifierOf(served(bus, "default.open")), 1);
  assert.match(await succeeds("verify", treeUrl(bus, "default.open")), /1 entry, complete/);
  await succeeds("save", "default.open", "open", "--url", bus.url);
  assert.match(await succeeds("verify", "open"), /1 entry, complete$/m);
  // Another tenant may have a room of that name, whose messages are none of that log.
  const other = ["--url", bus.url, "--token", await bus.tokenFor({ tenant: "other" })];
  const { code, stderr } = await runArq(["proof", "save", "default.open", "none", ...other], {
    cwd,
  });
  assert.equal(code, 3, stderr);
  assert.match(stderr, /tenant-mismatch/);
  await assert.rejects(Deno.stat(`${cwd}/none`), Deno.errors.NotFound);
});

Deno.test("an ACK has a receipt when it is asked for, and the log keeps its promise", async () => {
  await using world = await started();
  const { bus, cwd, to, succeeds, fails } = world;
  const peer = new HttpPeer(bus.http_url, bus.token);
  const publishWith = async (path: string, message: unknown) => {
    const { status, body } = await peer.call("POST", path, message);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const headers = { "X-Arqon-Receipt": "1" };
  const client = await connect({ url: bus.url, token: bus.token });
  const published = await client.room("own-bets").publish("t", { n: 1 }, { headers });
  await client.close();
  const { receipt } = JSON.parse(new TextDecoder().decode(published.result));
  const message = { type: "t", data: { n: 2 }, headers, message_id: "twice" };
  const one = await publishWith("rooms/own-bets/messages", message);
  const { results: [again] } = await publishWith("messages", {
    messages: [{ ...message, room: "own-bets" }],
  });
  const entryOf = (note: string) => JSON.parse(note.split("\n")[2]!);
  assert.deepEqual(entryOf(again.result.receipt), entryOf(one.result.receipt), "it is stored once");
  assert.equal(entryOf(receipt).offset, published.offset);
  const plain = await publishWith("rooms/plain/messages", { ...message, message_id: "" });
  assert.equal(plain.result, undefined, "the room has no log");
  const unasked = await publishWith("rooms/own-bets/messages", { ...message, headers: {} });
  assert.equal(unasked.result, undefined);

  const tree = "default.own-bets";
  const files = served(bus, tree, bus.token);
  await grown(files, await verifierOf(files), 2);
  const texts = await textsOf(bus, "own-bets");
  assert(!texts.join().toLowerCase().includes("x-arqon-receipt"), "nobody else sees who asked");
  const key = ["--vkey", await vkeyOf(files)];
  for (const [at, note] of [receipt, one.result.receipt].entries()) {
    assert.equal(entryOf(note).sha256, payloadHash(texts[at]!));
    assert.deepEqual(await proofTool(["note", key[1]!], note), { by: key[1] });
    await Deno.writeTextFile(`${cwd}/${at}.receipt`, note);
    assert.match(
      await succeeds("verify", `${at}.receipt`, ...key, "--log", tree, ...to),
      new RegExp(`and is entry ${at} of`),
    );
    assert.match(await succeeds("verify", `${at}.receipt`, ...key), /is promised by 20/);
    assert.equal(
      (await succeeds("inclusion", tree, String(entryOf(note).offset), ...to)).split("\n")[2],
      `index ${at}`,
    );
  }
  await Deno.writeTextFile(`${cwd}/2.receipt`, receipt.replace('"offset":', '"offset":1'));
  await fails(/is not of this text/, "verify", "2.receipt", ...key);
  // A checkpoint is no receipt, and another room's log has not the entry.
  await Deno.writeFile(`${cwd}/3.receipt`, await files("checkpoint"));
  await fails(/it is no receipt/, "verify", "3.receipt", ...key);
});

Deno.test("a tenant's key rotates: both keys sign, and who has either of them goes on reading", async () => {
  await using world = await started();
  const { bus, cwd, to, succeeds, fails } = world;
  await publish(bus, "own-bets", 20);
  const tree = "default.own-bets";
  const files = served(bus, tree, bus.token);
  await grown(files, await verifierOf(files), 20);
  const [first] = (await succeeds("key", tree, ...to)).trim().split("\n");
  await Deno.writeTextFile(`${cwd}/old`, await succeeds("checkpoint", tree, ...to));
  const token = await bus.tokenFor({ role: "admin" });
  const admin = ["--admin-url", bus.admin_url, "--token", token];
  await succeeds("rotate", "default", ...admin);
  const [second, before] = (await succeeds("key", tree, ...to)).trim().split("\n");
  assert.equal(before, first);
  assert.notEqual(second, first);
  // The record is idle: its checkpoint gets the new key's signature when it is asked for.
  await until("both have signed", async () => {
    const note = new TextDecoder().decode(await files("checkpoint"));
    return note.split("\n— ").length === 3;
  });
  assert.deepEqual(
    await proofTool(["note", second!, first!], await succeeds("checkpoint", tree, ...to)),
    { by: `${second} ${first}` },
  );
  for (const [at, key] of [first!, second!].entries()) {
    await succeeds("checkpoint", tree, ...to, "--vkey", key);
    assert.deepEqual(
      await proofTool(["note", key], await succeeds("checkpoint", tree, ...to)),
      { by: key },
    );
    await succeeds("save", tree, `by-${at}`, ...to, "--vkey", key);
    const { found } = await verifierPy(["--vkey", key, `${cwd}/by-${at}`]);
    assert.equal(found?.["size"], 20);
  }
  await publish(bus, "own-bets", 20, 20);
  await grown(files, await verifierOf(files), 40);
  await succeeds("rotate", "default", ...admin);
  const keys = (await succeeds("key", tree, ...to)).trim().split("\n");
  assert.equal(keys[1], second);
  await publish(bus, "own-bets", 1, 40);
  await grown(files, await verifierOf(files), 41);
  await fails(/no known key/, "checkpoint", tree, ...to, "--vkey", first!);
  // A checkpoint of the first key stays valid for readers that know this key.
  await fails(/no known key/, "consistency", tree, "old", ...to, "--vkey", second!);
  await succeeds("consistency", tree, "old", ...to, "--vkey", second!, "--vkey", first!);
  const { code } = await runArq(["proof", "rotate", ...to], { cwd });
  assert.notEqual(code, 0);
});

Deno.test("a saved log proves itself, and what was changed in it is found", async () => {
  await using world = await started();
  const { bus, cwd, to, succeeds, fails } = world;
  const files = served(bus, "default.own-bets", bus.token);
  const verifier = await verifierOf(files);
  await publish(bus, "own-bets", 200);
  await Deno.writeTextFile(`${cwd}/old`, (await grown(files, verifier, 200)).note);
  await publish(bus, "own-bets", 100, 200);
  await grown(files, verifier, 300);
  const tree = "default.own-bets";
  const key = ["--vkey", await vkeyOf(files)];
  await succeeds("save", tree, "bets", ...to, ...key);
  await fails(/there already/, "save", tree, "bets", ...to, ...key);
  const whole = await succeeds("verify", "./bets", ...key, "--older", "old");
  assert.match(whole, /bus.example\/default.own-bets: 300 entries, complete, and 300 messages/);
  const options = ["--older", `${cwd}/old`, "--messages", `${cwd}/bets/messages.ndjson`];
  assert.equal((await verifierPy([...key, ...options, `${cwd}/bets`])).found?.["messages"], 300);
  const changed = async (path: string, change: (text: string) => string, why: RegExp) => {
    const file = `${cwd}/bets/${path}`;
    const bytes = await Deno.readFile(file);
    await Deno.writeTextFile(file, change(new TextDecoder().decode(bytes)));
    await fails(why, "verify", "./bets", ...key);
    await Deno.writeFile(file, bytes);
  };
  await changed(
    "messages.ndjson",
    (text) => text.replace('"n":7,', '"n":8,'),
    /is not the logged one/,
  );
  await changed(
    "tile/entries/000",
    (text) => text.replace("time_ms", "time_mS"),
    /not a complete bundle/,
  );
  await changed("checkpoint", (text) => text.replace("\n300\n", "\n299\n"), /is not of this text/);
  await fails(/no such file/i, "verify", "./nowhere", ...key);
  const strange = await vkeyOf(served(bus, "default.other"));
  await fails(/no known key/, "verify", "./bets", "--vkey", strange);
});

Deno.test("what arq export writes with its logs proves itself, and its evidence is not replaced", async () => {
  await using world = await started();
  const { bus, cwd, succeeds, fails } = world;
  const keys: string[] = [];
  const logs = ["default.open", "default.own-bets"];
  for (const log of logs) {
    await publish(bus, log.slice("default.".length), 3);
    const files = served(bus, log, bus.token);
    await grown(files, await verifierOf(files), 3);
    keys.push("--vkey", await vkeyOf(files));
  }
  const admin = ["--admin-url", bus.admin_url, "--token", await bus.tokenFor({ role: "admin" })];
  const bound = ["--url", bus.url, ...admin, ...keys, ...logs.flatMap((log) => ["--log", log])];
  const exported = async (...more: string[]) =>
    await runArq(["export", "case", ...bound, ...more], { cwd });
  const { code, stderr } = await exported();
  assert.equal(code, 0, stderr);
  assert.equal(
    await succeeds("verify", "./case", ...keys),
    logs.map((log) => `bus.example/${log}: 3 entries, complete, and 3 messages beside it\n`).join(
      "",
    ),
  );
  const saved = `${cwd}/case/logs/default.own-bets`;
  assert.equal((await verifierPy([...keys.slice(2), saved])).found?.["size"], 3);
  const text = await Deno.readTextFile(`${saved}/messages.ndjson`);
  await Deno.writeTextFile(`${saved}/messages.ndjson`, text.replace('"n":2,', '"n":3,'));
  await fails(/is not the logged one/, "verify", "./case", ...keys);
  assert.match((await exported("--force")).stderr, /there already/);
  const { code: planned } = await runArq(["plan", "case", ...admin], { cwd });
  assert.equal(planned, 0, "the logs are no part of the state");
});

const WORDS = new URL("../../policies/build/bad_words.wasm", import.meta.url).pathname;
const SIZE = new URL("../../policies/build/content_size.wasm", import.meta.url).pathname;

/** A bus with a record's tree, and `arq` in a folder of its own. */
async function startRecording(record: string, options: LocalBusOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const { path: cwd } = stack.use(await temporaryFolder());
  const bus = stack.use(await startLocalBus(RECORDS_CONFIG + PATIENT_POLICIES, options));
  const token = await bus.tokenFor({ role: "admin" });
  const owned = stack.move();
  return {
    bus,
    cwd,
    run: (code: number, ...args: string[]) => exits(code, args, { cwd }),
    files: served(bus, `${record}@default`, token),
    to: ["--url", bus.url, "--admin-url", bus.admin_url, "--token", token],
    write: (name: string, text: string) => Deno.writeTextFile(`${cwd}/${name}`, text),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

Deno.test("a decision can be repeated from its line, its module and the log", async () => {
  await using world = await startRecording("journal");
  const { bus, to, run, files, write } = world;
  const bytes = await Deno.readFile(WORDS);
  const sha256 = await enforce(bus, bytes, { name: "words", room: "bets" });
  for (const text of ["fine", "malware"]) {
    const peer = new HttpPeer(bus.http_url, bus.token);
    const { status } = await peer.call("POST", "rooms/bets/messages", { data: { text } });
    assert.equal(status, text === "fine" ? 200 : 403);
  }
  await grown(files, await verifierOf(files), 2);
  const key = ["--vkey", await vkeyOf(files)];
  await run(0, "journal", "export", "--room", "bets", "--out", "both.ndjson", ...to);
  const made = await run(0, "proof", "decide", "both.ndjson", ...to, ...key);
  assert.match(made.stdout, /allowed is entry 0 of 2\n {2}words, module [0-9a-f]{64}: allowed/);
  assert.match(
    made.stdout,
    /refused \(403 policy-rejected\) is entry 1 of 2\n.*: repeated; its fuel differs.*\n$/,
  );

  // Somebody else has three files, and a key.
  await run(0, "proof", "save", "journal@default", "log", ...to, ...key);
  const offline = ["--log", "./log", "--module", WORDS, ...key];
  await run(0, "proof", "decide", "both.ndjson", ...offline);
  const { stdout } = await run(0, "proof", "decide", "both.ndjson", ...offline, "--json");
  const [, { proof, policies: [{ module }] }] = stdout.trim().split("\n").map((l) => JSON.parse(l));
  assert.equal(module, payloadHash(bytes));
  await write("one.tlog-proof", proof);
  assert.match((await run(0, "proof", "verify", "one.tlog-proof", ...key)).stdout, /entry 1 of 2/);

  const text = await Deno.readTextFile(`${world.cwd}/both.ndjson`);
  const [, refused = ""] = text.trim().split("\n");
  await write("other.ndjson", refused.replaceAll('"allowed":false', '"allowed":true'));
  const changed = await run(1, "proof", "decide", "other.ndjson", ...offline);
  assert.match(changed.stdout, /is not among the 2 of the log\n.*decided differently: verdict/);
  await write(
    "swapped.ndjson",
    refused.replaceAll(String(sha256), payloadHash(await Deno.readFile(SIZE))),
  );
  const swapped = ["--log", "./log", "--module", SIZE, ...key];
  const exchanged = await run(1, "proof", "decide", "swapped.ndjson", ...swapped);
  assert.match(exchanged.stdout, /is not among the 2 of the log\n.*decided differently/);
  const without = await run(1, "proof", "decide", "both.ndjson", ...swapped);
  assert.match(without.stdout, /is entry 1 of 2\n.*its module is missing/);
});

Deno.test("a bill is checked by its log, or by proofs alone, and own counts name the minute that differs", async () => {
  let ahead_ms = 0;
  const now = () => Date.now() + ahead_ms;
  await using world = await startRecording("usage", { now });
  const { bus, to, run, files, write } = world;
  const verifier = await verifierOf(files);
  let size = 0;
  for (const count of [20, 10, 20]) {
    await publish(bus, "bets", count);
    ahead_ms += 60_000;
    size = (await grown(files, verifier, size + 1)).checkpoint.size;
  }
  const key = ["--vkey", await vkeyOf(files)];
  const billed = async (...from: string[]) =>
    JSON.parse((await run(0, "usage", "invoice", ...from, ...key, "--json")).stdout);
  // A minute of the machine may end while messages are on their way.
  await until(
    "all is billed",
    async () => (await billed("usage@default", ...to)).total.messages_in === 50,
  );
  await run(0, "proof", "save", "usage@default", "log", ...to, ...key);
  const { stdout: proofs } = await run(0, "usage", "invoice", "./log", "--proof", ...key);
  await write("bill.proofs", proofs);
  const bill = await billed("bill.proofs");
  assert.deepEqual(bill, await billed("./log"));
  assert.equal(bill.total.messages_in, 50);
  assert.match((await run(0, "usage", "invoice", "./log", ...key)).stdout, /messages_in {2}50\n/);

  const counts = countsIn(proofs);
  const own = (less: number) =>
    [...counts].map(([minute, count], at) =>
      JSON.stringify({
        minute: new Date(minute * 60_000).toISOString(),
        messages_in: count - (at === 0 ? less : 0),
      })
    ).join("\n");
  await write("mine.ndjson", own(0));
  await run(0, "usage", "invoice", "bill.proofs", ...key, "--own", "mine.ndjson");
  const compared = ["usage", "invoice", "bill.proofs", ...key, "--own", "mine.ndjson"];
  await write("mine.ndjson", `${own(1)}\n${own(0)}`);
  assert.match((await run(2, ...compared)).stderr, /each minute once/);
  await write("mine.ndjson", own(1));
  const [[minute, count]] = [...counts] as [[number, number]];
  const { stdout } = await run(1, ...compared);
  const named = new Date(minute * 60_000).toISOString();
  assert(stdout.endsWith(`${named}: messages_in ${count}, and ${count - 1} by own count\n`));
  const to_first = ["--to", new Date((minute + 1) * 60_000).toISOString().replace(".000", "")];
  assert.equal((await billed("bill.proofs", ...to_first)).total.messages_in, count);

  const lines = proofs.trim().split("\n");
  await write("cut.proofs", lines.toSpliced(1, 1).join("\n"));
  assert.match((await run(1, "usage", "invoice", "cut.proofs", ...key)).stderr, /not the next one/);
  await write("swapped.proofs", [lines[1], lines[0], ...lines.slice(2)].join("\n"));
  await run(1, "usage", "invoice", "swapped.proofs", ...key);
  const { proof } = JSON.parse(lines[0]!);
  const changed = proof.replace(/^extra (.+)$/m, (_: string, extra: string) => {
    const extra_text = textIn(extra).replace(/messages_in":\d+/, 'messages_in":1');
    return `extra ${new TextEncoder().encode(extra_text).toBase64()}`;
  });
  await write("less.proofs", JSON.stringify({ proof: changed }));
  assert.match((await run(1, "usage", "invoice", "less.proofs", ...key)).stderr, /not in the tree/);
});

const textIn = (extra: string) => new TextDecoder().decode(Uint8Array.fromBase64(extra));

/** What a customer counts: here, what the entries say of each minute. */
function countsIn(proofs: string): Map<number, number> {
  const sums = new Map<number, number>();
  for (const line of proofs.trim().split("\n")) {
    const [, extra = ""] = /^extra (.+)$/m.exec(JSON.parse(line).proof) ?? [];
    const { minute, counts: { messages_in = 0 } } = JSON.parse(textIn(extra)).use;
    sums.set(minute, (sums.get(minute) ?? 0) + messages_in);
  }
  return sums;
}
