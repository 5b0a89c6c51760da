/**
 * Two witnesses of Shields on NATS: keys that rotate while Shields are killed are no fork, and a restored older backup
 * is one, to them and to readers that have read more.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { VerifiedLog } from "@arqon/sdk/proof";
import type { VerifiedLogOptions } from "@arqon/sdk/proof";
import { backup } from "../../arq/commands/backup/backup.ts";
import { restore } from "../../arq/commands/backup/restore.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { encodeVerifier, openNote } from "@arqon/proto";
import type { TreeReader } from "../../shared/proof/reader.ts";
import { until } from "../../shared/testing/until.ts";
import { natsWorld, placeOf, ROOMS, TREE } from "./nats_world.ts";
import { grown, publish, served, treeUrl, verifierOf } from "./served.ts";
import { twoWitnesses } from "./two_witnesses.ts";

/** The key that signs the log; a Shield without witnesses makes it, so that they can know it before they are asked. */
async function firstKey({ start, token }: Awaited<ReturnType<typeof natsWorld>>) {
  const shield = await start("zero", ROOMS);
  const place = placeOf(shield, token);
  // A tenant has a key once it has been there.
  await publish(place, "darts", 1);
  const verifier = await verifierOf(served(place, TREE));
  await shield.stop();
  return verifier;
}

Deno.test("keys rotate while Shields are killed, beside two witnesses who see no fork", async () => {
  await using witnesses = await twoWitnesses();
  await using world = await natsWorld(ROOMS + witnesses.config);
  const { start, token, admin } = world;
  const keys = [await firstKey(world)];
  witnesses.logs.push(keys[0]!);
  const shields = await Promise.all(["one", "two"].map((name) => start(name)));
  const at = (turn: number) => placeOf(shields[turn % 2]!, token);
  const trees: TreeReader[] = [];
  await Promise.all([publish(at(0), "bets", 40), publish(at(1), "bets", 40, 40)]);
  for (const turn of [0, 1]) {
    const size = 80 + turn * 50;
    trees.push(await witnesses.cosigned(served(at(turn), TREE), keys[0]!, size));
    const rotate = async () => {
      const headers = { authorization: `Bearer ${admin}` };
      const url = `${at(turn + 1).admin_url}/v1/proof/rotate?tenant=acme`;
      const answer = await fetch(url, { method: "POST", headers });
      assert.equal(answer.status, 200, await answer.text());
    };
    await Promise.all([
      ...[publish(at(turn + 1), "bets", 50, size), rotate(), shields[turn]!.stop("SIGKILL")],
    ]);
    const files = served(at(turn + 1), TREE);
    keys.unshift(await verifierOf(files));
    witnesses.logs.push(keys[0]!);
    assert.notEqual(keys[0]!.id, keys[1]!.id);
    const tree = await grown(files, keys[0]!, size + 50);
    for (const { checkpoint } of trees) await tree.continues(checkpoint);
    const { by } = await openNote(tree.note, keys);
    assert.deepEqual(new Set(by), new Set(keys.slice(0, 2)), "the new one, and the one before");
    if (turn === 0) shields[0] = await start("one");
  }
  const last = await witnesses.cosigned(served(at(0), TREE), keys[0]!, 180);
  for (const { checkpoint } of trees) await last.continues(checkpoint);
  for await (const { entry } of last.whole()) assert("sha256" in entry, JSON.stringify(entry));
  assert.deepEqual(witnesses.forks, []);
  assert.doesNotMatch(world.log(), /is not the one that was signed|has signed another/);
});

/** Reads a room from its start, verified, up to `count` messages. */
async function verified(
  { url, token }: { readonly url: string; readonly token: string },
  options: VerifiedLogOptions,
  count: number,
): Promise<string> {
  const log = new VerifiedLog(options);
  await using client = await connect({ url, token });
  const messages = client.room("bets").subscribe({ begin: replay({ from: "start" }) });
  let seen = 0;
  for await (const _ of log.verify(messages)) if (++seen === count) break;
  return log.checkpoint!;
}

Deno.test("an older backup that is restored is a fork to witnesses and readers of later checkpoints, and none to others", async () => {
  await using witnesses = await twoWitnesses();
  await using world = await natsWorld(ROOMS + witnesses.config);
  const { start, token, as, issuer: { dir } } = world;
  const verifier = await firstKey(world);
  witnesses.logs.push(verifier);
  const shield = await start("one");
  const bus = placeOf(shield, token);
  const options = { url: treeUrl(bus, TREE), vkeys: [encodeVerifier(verifier)] };
  const files = served(bus, TREE);
  await publish(bus, "bets", 100);
  await witnesses.cosigned(files, verifier, 100);
  const older = await verified(bus, options, 100);
  for (const user of ["backup", "restore"]) {
    await Deno.writeTextFile(`${dir}/${user}.toml`, as(user));
  }
  const io = diskIo(dir);
  await backup(io, `${dir}/bus.tar`, { config: "backup.toml", files: true });
  // A consistency proof from a power of two contains no earlier hash.
  await publish(bus, "bets", 28, 100);
  await witnesses.cosigned(files, verifier, 128);
  const newer = await verified(bus, { ...options, witnesses: witnesses.vkeys }, 128);
  await shield.stop();
  await restore(io, `${dir}/bus.tar`, { config: "restore.toml", force: true });
  const again = placeOf(await start("one"), token);
  const now = { ...options, url: treeUrl(again, TREE) };
  await verified(again, { ...now, checkpoint: older }, 100);
  const isFork = (error: { kind?: string; evidence?: { checkpoints: string[] } }) =>
    error.kind === "fork" && error.evidence?.checkpoints[0] === newer;
  await assert.rejects(verified(again, { ...now, checkpoint: newer, wait_ms: 3_000 }, 1), isFork);
  await publish(again, "bets", 60, 200);
  const tree = await grown(served(again, TREE), verifier, 160);
  await verified(again, { ...now, checkpoint: older }, 160);
  await assert.rejects(verified(again, { ...now, checkpoint: newer }, 1), isFork);
  const cosigned = { ...now, witnesses: witnesses.vkeys, wait_ms: 1 };
  await assert.rejects(verified(again, cosigned, 1), /0 of 2 witnesses have cosigned/);
  await until("both witnesses have seen the fork", async () => {
    await served(again, TREE)("checkpoint");
    return witnesses.forks.length >= 2;
  }, 120_000);
  for (const [was] of witnesses.forks) assert.match(was, /^[^\n]+\n128\n/);
  for await (const { entry } of tree.whole()) assert("sha256" in entry, JSON.stringify(entry));
});
