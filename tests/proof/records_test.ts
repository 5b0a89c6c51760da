/** Trees of a tenant's decisions and of its use: their readers, and their content, which is what the bus shows. */
import assert from "node:assert/strict";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { payloadHash } from "../../shared/proof/entry.ts";
import type { RecordEntry } from "../../shared/proof/entry.ts";
import type { TreeReader } from "../../shared/proof/reader.ts";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { grown, publish, RECORDS_CONFIG, served, treeUrl, verifierOf } from "./served.ts";

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
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const lines = async (): Promise<string[]> => {
    const answer = await fetch(`${bus.admin_url}/v1/journal?tenant=default`, { headers });
    return (await answer.text()).trim().split("\n").slice(0, -1);
  };
  const hashOf = (line: string) => payloadHash(canonicalJson(JSON.parse(line)));
  await publish(bus, "bets", 30);
  const files = served(bus, "journal@default", token);
  const verifier = await verifierOf(files);
  assert.equal(verifier.name, "bus.example/journal@default");
  const tree = await grown(files, verifier, 30);
  const before = await lines();
  assert.deepEqual((await entriesOf(tree)).map(({ sha256 }) => sha256), before.map(hashOf));
  const { sender: { user } } = JSON.parse(before[0]!);
  const body = JSON.stringify({ tenant: "default", user });
  const erased = await fetch(`${bus.admin_url}/v1/journal/erase`, {
    method: "POST",
    headers,
    body,
  });
  assert.equal(erased.status, 200, await erased.text());
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
