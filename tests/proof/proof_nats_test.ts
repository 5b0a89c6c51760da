/**
 * Trees of two Shields on NATS with the documented accounts: both serve one tree, and when the Shield that writes it is
 * stopped or killed, the other continues it, without a fork.
 */
import assert from "node:assert/strict";
import { payloadHash } from "../../shared/proof/entry.ts";
import type { TreeReader } from "../../shared/proof/reader.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";
import { natsWorld, placeOf, ROOMS, TREE } from "./nats_world.ts";
import { grown, publish, served, textsOf, verifierOf } from "./served.ts";

Deno.test("two Shields on NATS write one tree, also when one of them is stopped, goes on, or is killed", async () => {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["nats://shield:secret@127.0.0.1:${nats.port}"]\n` +
    `${issuer.config}${ROOMS}`;
  const start = (name: string) => startServer("shield", config, issuer.dir, `node_id = "${name}"`);
  const shields = await Promise.all(["one", "two"].map(start));
  try {
    const token = await issuer.tokenFor({ role: "service" });
    const [one, two] = shields.map(({ ready }) => ({
      token,
      http_url: new URL(ready.url ?? "").origin.replace(/^ws/, "http"),
    }));
    const tree = "acme.bets";
    await Promise.all([publish(one!, "bets", 100), publish(two!, "bets", 100, 100)]);
    const files = served(one!, tree);
    const verifier = await verifierOf(files);
    assert.deepEqual(await verifierOf(served(two!, tree)), verifier);
    const seen = [
      await grown(files, verifier, 200),
      await grown(served(two!, tree), verifier, 200),
    ];
    // Each is stopped while the other continues, also over the end of a tile, and then continues as well.
    for (const [turn, at] of [0, 1, 0].entries()) {
      const other = [one!, two!][1 - at]!;
      shields[at]!.signal("SIGSTOP");
      await publish(other, "bets", 40, 200 + turn * 40);
      seen.push(await grown(served(other, tree), verifier, 240 + turn * 40));
      shields[at]!.signal("SIGCONT");
      seen.push(await grown(served([one!, two!][at]!, tree), verifier, 240 + turn * 40));
    }
    await shields[0]!.stop("SIGKILL");
    await publish(two!, "bets", 30, 320);
    const last = await grown(served(two!, tree), verifier, 350);
    assert(!shields.some((shield) => shield.log().includes("is not the one that was signed")));
    for (const { checkpoint } of seen) await last.continues(checkpoint);
    const offsets: number[] = [];
    for await (const { entry } of last.whole()) {
      assert("sha256" in entry, JSON.stringify(entry));
      offsets.push(entry.offset);
    }
    assert.equal(new Set(offsets).size, 350);
    assert.deepEqual(offsets, offsets.toSorted((a, b) => a - b));
  } finally {
    await Promise.all(shields.map((shield) => shield.stop()));
  }
});

/** Asserts that each offset up to the last one is an entry or in a gap, and that no history contains anything else. */
async function accountsForAll(tree: TreeReader, texts: readonly string[]): Promise<number> {
  const hashes = new Map<number, string>();
  let last = 0;
  let gaps = 0;
  for await (const { entry } of tree.whole()) {
    if ("break" in entry) {
      assert.equal(entry.break, "gap");
      assert(entry.offset > last, `a gap up to ${entry.offset} behind ${last}`);
      [last, gaps] = [entry.offset, gaps + 1];
      continue;
    }
    assert.equal(entry.offset, last + 1);
    last = entry.offset;
    hashes.set(last, entry.sha256);
  }
  for (const text of texts) {
    const { offset } = JSON.parse(text);
    if (offset <= last) assert.equal(hashes.get(offset), payloadHash(text), `message ${offset}`);
  }
  return gaps;
}

Deno.test("retention on NATS that cuts messages while proofs are asked leaves gaps, and no lie", async () => {
  const bounded = `${ROOMS}history_size = 40\nhistory_ttl_seconds = 2\n`;
  await using world = await natsWorld(bounded);
  const { start, token } = world;
  const shields = await Promise.all(["one", "two"].map((name) => start(name)));
  const [one, two] = shields.map((shield) => placeOf(shield, token));
  const files = served(one!, TREE);
  await Promise.all([publish(one!, "bets", 1), publish(two!, "bets", 1, 1)]);
  const verifier = await verifierOf(files);
  const seen: TreeReader[] = [];
  let gaps = 0;
  for (let turn = 0; turn < 4; turn++) {
    await Promise.all([
      publish(turn % 2 === 0 ? one! : two!, "bets", 120, 2 + turn * 120),
      grown(served(two!, TREE), verifier, 0).then((tree) => accountsForAll(tree, [])),
    ]);
    const texts = await textsOf(two!, "bets");
    const before = seen.at(-1)?.checkpoint.size ?? 0;
    const tree = await grown(files, verifier, before + 1);
    gaps = await accountsForAll(tree, texts);
    for (const { checkpoint } of seen) await tree.continues(checkpoint);
    seen.push(tree);
  }
  assert(gaps > 0, "nothing was cut");
  assert.doesNotMatch(world.log(), /is not the one that was signed/);
});
