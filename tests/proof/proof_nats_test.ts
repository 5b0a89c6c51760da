/** A tree that two Shields on NATS serve with the documented accounts, of a room that forgets its oldest messages. */
import assert from "node:assert/strict";
import { payloadHash } from "../../shared/proof/entry.ts";
import type { TreeReader } from "../../shared/proof/reader.ts";
import { natsWorld, placeOf, ROOMS, TREE } from "./nats_world.ts";
import { grown, publish, served, textsOf, verifierOf } from "./served.ts";

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
