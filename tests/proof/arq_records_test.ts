/** `arq usage invoice` and `arq proof decide` against a bus, and on a machine that has only files. */
import assert from "node:assert/strict";
import { runArq } from "../../arq/testing/run_arq.ts";
import { payloadHash } from "../../shared/proof/entry.ts";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import type { LocalBusOptions } from "../harness/local_bus.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import { enforce } from "../peers/policy_admin.ts";
import { grown, publish, RECORDS_CONFIG, served, verifierOf, vkeyOf } from "./served.ts";
import { HttpPeer } from "../peers/http_peer.ts";

const WORDS = new URL("../../policies/build/bad_words.wasm", import.meta.url).pathname;
const SIZE = new URL("../../policies/build/content_size.wasm", import.meta.url).pathname;

/** A bus with a record's tree, and `arq` in a folder of its own. */
async function started(record: string, options: LocalBusOptions = {}) {
  const bus = await startLocalBus(RECORDS_CONFIG + PATIENT_POLICIES, options);
  const cwd = await Deno.makeTempDir();
  const token = await bus.tokenFor({ role: "admin" });
  const files = served(bus, `${record}@default`, token);
  const run = async (code: number, ...args: string[]) => {
    const result = await runArq(args, { cwd });
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}${result.stdout}`);
    return result;
  };
  return {
    ...{ bus, cwd, run, files },
    to: ["--url", bus.url, "--admin-url", bus.admin_url, "--token", token],
    write: (name: string, text: string) => Deno.writeTextFile(`${cwd}/${name}`, text),
    async [Symbol.asyncDispose]() {
      await bus[Symbol.asyncDispose]();
      await Deno.remove(cwd, { recursive: true });
    },
  };
}

Deno.test("a decision can be repeated from its line, its module and the log", async () => {
  await using world = await started("journal");
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
  await using world = await started("usage", { now });
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
  await write("mine.ndjson", own(1));
  const [[minute, count]] = [...counts] as [[number, number]];
  const { stdout } = await run(
    1,
    ...["usage", "invoice", "bill.proofs", ...key, "--own", "mine.ndjson"],
  );
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
