/**
 * Trees of two Shields on NATS with the accounts that the documents tell to make: both serve one tree, and when the
 * Shield that writes it is stopped or killed, the other goes on, without a fork.
 */
import assert from "node:assert/strict";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";
import { ROOMS } from "./nats_world.ts";
import { grown, publish, served, verifierOf } from "./served.ts";

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
    // Each is stopped while the other goes on, also over the end of a tile, and then goes on as well.
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
