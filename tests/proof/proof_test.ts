/**
 * Trees on one bus, of rooms, of the audit log, and of a tenant's decisions and use: their readers, and their content,
 * which is what was published and what the bus shows.
 */
import assert from "node:assert/strict";
import { payloadHash, type RecordEntry } from "../../shared/proof/entry.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import {
  grown,
  PROOF_CONFIG,
  publish,
  RECORDS_CONFIG,
  served,
  textsOf,
  treeUrl,
  verifierOf,
} from "./served.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import type { TreeReader } from "../../shared/proof/reader.ts";
import { until } from "../../shared/testing/until.ts";

Deno.test("a room's tree has each message, and continues every earlier one", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const files = served(bus, "default.bets");
  await publish(bus, "bets", 1);
  const verifier = await verifierOf(files);
  assert.equal(verifier.name, "bus.example/default.bets");
  const first = await grown(files, verifier, 1);
  for (const size of [2, 255, 256, 257, 700]) {
    const { checkpoint } = await grown(files, verifier, 1);
    await publish(bus, "bets", size - checkpoint.size, checkpoint.size);
    const tree = await grown(files, verifier, size);
    assert.equal(tree.checkpoint.size, size);
    await tree.continues(checkpoint);
    await tree.continues(first.checkpoint);
  }
  const tree = await grown(files, verifier, 700);
  const entries: RecordEntry[] = [];
  for await (const { entry, index, bytes } of tree.whole()) {
    assert("sha256" in entry);
    entries.push(entry);
    if (index % 97 === 0) {
      assert.match(await tree.proofOf({ index, bytes }), /^c2sp.org\/tlog-proof@v1/);
    }
  }
  const texts = await textsOf(bus, "bets");
  assert.deepEqual(entries.map(({ sha256 }) => sha256), texts.map((text) => payloadHash(text)));
  assert.deepEqual(
    entries.map(({ offset }) => offset),
    texts.map((text) => JSON.parse(text).offset),
  );
});

Deno.test("whoever publishes again after a restart has a receipt of the same entry", async () => {
  await using folder = await temporaryFolder();
  const promised: string[] = [];
  for (const _turn of [1, 2]) {
    await using bus = await startLocalBus(PROOF_CONFIG, { data_dir: folder.path });
    const message = { type: "t", message_id: "one", headers: { "x-arqon-receipt": "1" } };
    const peer = new HttpPeer(bus.http_url, bus.token);
    const { receipt } = await peer.done("POST", "rooms/bets/messages", message);
    promised.push(receipt.split("\n")[2]);
    const files = served(bus, "default.bets");
    const tree = await grown(files, await verifierOf(files), 1);
    const entries = [];
    for await (const { bytes } of tree.whole()) entries.push(new TextDecoder().decode(bytes));
    assert.deepEqual(entries, [promised[0]]);
  }
  assert.equal(promised[1], promised[0]);
});

Deno.test("who reads a tree, and who keeps what of it", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  await publish(bus, "open", 300);
  await publish(bus, "own-1", 3);
  const ask = async (tree: string, path: string, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(`${treeUrl(bus, tree)}/${path}`, { headers });
    await answer.body?.cancel();
    return [answer.status, answer.headers.get("cache-control")];
  };
  const verifier = await verifierOf(served(bus, "default.open"));
  await grown(served(bus, "default.open"), verifier, 300);
  const own = served(bus, "default.own-1", bus.token);
  await grown(own, await verifierOf(own), 3);
  assert.deepEqual(await ask("default.open", "checkpoint"), [200, "public, max-age=1"]);
  assert.deepEqual(await ask("default.open", "tile/0/000"), [
    200,
    "public, max-age=31536000, immutable",
  ]);
  assert.deepEqual(await ask("default.open", "tile/0/001.p/44"), [
    200,
    "public, max-age=3600, immutable",
  ]);
  assert.equal((await ask("default.open", "tile/0/001.p/45"))[0], 404);
  assert.equal((await ask("default.open", "tile/0/001"))[0], 404);
  assert.equal((await ask("default.open", "tile/0/01"))[0], 404);
  assert.equal((await ask("made-up.open", "checkpoint"))[0], 404, "nobody makes keys and logs up");
  assert.equal((await ask("made-up.open", "key"))[0], 404);
  assert.deepEqual(await ask("default%2Eo%70en", "checkpoint"), [200, "public, max-age=1"]);
  assert.equal((await ask("default.open%zz", "checkpoint"))[0], 400);
  assert.equal((await ask("default.own-1%", "checkpoint", bus.token))[0], 400);
  assert.equal((await ask("default.own-1", "checkpoint"))[0], 401);
  assert.deepEqual(await ask("default.own-1", "checkpoint", bus.token), [
    200,
    "private, max-age=1",
  ]);
  const authorization = `Bearer ${bus.token}`;
  const tile = `${treeUrl(bus, "default.own-1")}/tile/0/000.p/3`;
  const read = await fetch(tile, { headers: { authorization } });
  await read.body?.cancel();
  assert.match(read.headers.get("vary") ?? "", /authorization/, "not for the browser's next user");
  const other = await bus.tokenFor({ tenant: "other" });
  assert.equal((await ask("default.own-1", "checkpoint", other))[0], 403);
  const narrow = await bus.tokenFor({
    claims: { grants: [{ room: "x", actions: ["subscribe"] }] },
  });
  assert.equal((await ask("default.own-1", "checkpoint", narrow))[0], 403);
  assert.equal((await ask("default.plain", "checkpoint", bus.token))[0], 404);
  assert.equal((await ask("audit", "checkpoint", bus.token))[0], 403);
});

Deno.test("the audit log has a tree, whose entries are those of the log", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const token = await bus.tokenFor({ role: "admin" });
  const admin = new AdminClient(bus.admin_url, token);
  const ask = async (method: string, path: string) => {
    const { status, text } = await admin.ask(method, path);
    assert.equal(status, 200, text);
    return text;
  };
  await ask("DELETE", "/v1/bans?tenant=default&user=u1");
  const lines = (await ask("GET", "/v1/audit/entries?limit=1000")).trimEnd().split("\n");
  assert(lines.length > 0);
  const files = served(bus, "audit", token);
  const tree = await grown(files, await verifierOf(files), lines.length);
  const hashes: string[] = [];
  for await (const { entry } of tree.whole()) hashes.push("sha256" in entry ? entry.sha256 : "");
  assert.deepEqual(hashes, lines.map((line) => payloadHash(line)));
});

async function entriesOf(tree: TreeReader): Promise<RecordEntry[]> {
  const entries: RecordEntry[] = [];
  for await (const { entry } of tree.whole()) {
    assert("sha256" in entry, JSON.stringify(entry));
    entries.push(entry);
  }
  assert.deepEqual(entries.map(({ offset }) => offset), entries.map((_, at) => at + 1));
  return entries;
}

Deno.test("the journal's tree has each decision as the bus shows it, and what is erased stays proven", async () => {
  await using bus = await startLocalBus(RECORDS_CONFIG);
  const token = await bus.tokenFor({ role: "admin" });
  const admin = new AdminClient(bus.admin_url, token);
  const lines = async (): Promise<string[]> =>
    (await admin.get("/v1/journal?tenant=default")).text.trim().split("\n").slice(0, -1);
  const hashOf = (line: string) => payloadHash(canonicalJson(JSON.parse(line)));
  await publish(bus, "bets", 30);
  const files = served(bus, "journal@default", token);
  const verifier = await verifierOf(files);
  assert.equal(verifier.name, "bus.example/journal@default");
  const tree = await grown(files, verifier, 30);
  const before = await lines();
  assert.deepEqual((await entriesOf(tree)).map(({ sha256 }) => sha256), before.map(hashOf));
  const { sender: { user } } = JSON.parse(before[0]!);
  const erased = await admin.ask("POST", "/v1/journal/erase", { tenant: "default", user });
  assert.equal(erased.status, 200, erased.text);
  assert(!(await lines()).some((line) => before.includes(line)), "every line named the user");
  await publish(bus, "bets", 10, 30);
  const later = await grown(files, verifier, 40);
  await later.continues(tree.checkpoint);
  const entries = await entriesOf(later);
  assert.deepEqual(entries.slice(0, 30).map(({ sha256 }) => sha256), before.map(hashOf));
});

Deno.test("the tree of use has each minute of each process once", async () => {
  let ahead_ms = 0;
  const now = () => Date.now() + ahead_ms;
  await using bus = await startLocalBus(RECORDS_CONFIG, { now });
  const token = await bus.tokenFor({ role: "admin" });
  const files = served(bus, "usage@default", token);
  const verifier = await verifierOf(files);
  let size = 0;
  for (const count of [20, 30]) {
    await publish(bus, "bets", count);
    ahead_ms += 60_000;
    size = (await grown(files, verifier, size + 1)).checkpoint.size;
  }
  // A minute of the machine may end while messages are on their way.
  await until("all use is in the tree", async () => {
    const entries = await entriesOf(await grown(files, verifier, size));
    assert(entries.every(({ epoch }) => epoch === "usage"));
    const blocks = new Set(entries.map(({ use }) => use?.block));
    assert.equal(blocks.size, entries.length);
    const sum = entries.reduce((all, { use }) => all + (use?.counts["messages_in"] ?? 0), 0);
    assert(sum <= 50);
    return sum === 50;
  });
});

Deno.test("the records of a tenant are read by its admins and by operators", async () => {
  await using bus = await startLocalBus(
    `${RECORDS_CONFIG}[admin]\noperator_tenants = ["ops"]\n`,
  );
  await publish(bus, "bets", 1);
  const status = async (tree: string, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(`${treeUrl(bus, tree)}/key`, { headers });
    await answer.body?.cancel();
    return answer.status;
  };
  const [own, other, operator] = await Promise.all(
    ["default", "other", "ops"].map((tenant) => bus.tokenFor({ role: "admin", tenant })),
  );
  for (const record of ["journal", "usage"]) {
    assert.equal(await status(`${record}@default`, own), 200);
    assert.equal(await status(`${record}@default`, operator), 200);
    assert.equal(await status(`${record}@default`, other), 403);
    assert.equal(await status(`${record}@default`, bus.token), 403);
    assert.equal(await status(`${record}@default`), 401, "it is public never");
    assert.equal(await status(`${record}@a.b`, operator), 404);
  }
  assert.equal(await status("ledger@default", operator), 404);
});
