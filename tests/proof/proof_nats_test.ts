/**
 * Trees of two Shields on NATS with the accounts that the documents tell to make: both serve one tree, and when the
 * Shield that writes it is stopped or killed, the other goes on, without a fork.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { VerifiedLog } from "@arqon/sdk/proof";
import type { VerifiedLogOptions } from "@arqon/sdk/proof";
import { backup } from "../../arq/commands/backup/backup.ts";
import { restore } from "../../arq/commands/backup/restore.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { payloadHash } from "../../shared/proof/entry.ts";
import { cosigner, cosignersOf, encodeVerifier, openNote } from "../../shared/proof/note.ts";
import type { Verifier } from "../../shared/proof/note.ts";
import type { TreeFiles, TreeReader } from "../../shared/proof/reader.ts";
import { Witness } from "../../shared/proof/witness.ts";
import { until } from "../../shared/testing/until.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";
import { signerOf } from "./made_tree.ts";
import { grown, publish, served, textsOf, treeUrl, verifierOf } from "./served.ts";

const ROOMS = `
[[rooms]]
room = "*"
durable = true
proof = true
proof_public = true
`;

Deno.test("two Shields on NATS write one tree, also when one of them is stopped, goes on, or is killed", async () => {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const issuer = await createIssuer();
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
    await Deno.remove(issuer.dir, { recursive: true });
  }
});

Deno.test("two Shields on NATS write one tree of a tenant's decisions, also when one is killed", async () => {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["nats://shield:secret@127.0.0.1:${nats.port}"]\n` +
    `${issuer.config}${ROOMS}[proof]\nrecords = ["journal", "usage"]\n` +
    '[usage]\nenabled = true\n[journal]\njournal = "all"\n#constant journal.flush_ms = 50\n';
  const start = (name: string) => startServer("shield", config, issuer.dir, `node_id = "${name}"`);
  const shields = await Promise.all(["one", "two"].map(start));
  try {
    const token = await issuer.tokenFor({ role: "service" });
    const admin = await issuer.tokenFor({ role: "admin" });
    const [one, two] = shields.map(({ ready }) => ({
      token,
      http_url: new URL(ready.url ?? "").origin.replace(/^ws/, "http"),
    }));
    await Promise.all([publish(one!, "bets", 40), publish(two!, "bets", 40, 40)]);
    const tree = "journal@acme";
    const verifier = await verifierOf(served(one!, tree, admin));
    const first = await grown(served(one!, tree, admin), verifier, 80);
    await first.continues((await grown(served(two!, tree, admin), verifier, 80)).checkpoint);
    await shields[0]!.stop("SIGKILL");
    await publish(two!, "bets", 20, 80);
    const last = await grown(served(two!, tree, admin), verifier, 100);
    await last.continues(first.checkpoint);
    const offsets: number[] = [];
    for await (const { entry } of last.whole()) {
      assert("sha256" in entry, JSON.stringify(entry));
      offsets.push(entry.offset);
    }
    assert.deepEqual(offsets, Array.from({ length: 100 }, (_, at) => at + 1));
    // The minute of the killed Shield has not ended: its tree has a checkpoint of nothing, or of a minute.
    const usage = served(two!, "usage@acme", admin);
    await grown(usage, await verifierOf(usage), 0);
  } finally {
    await Promise.all(shields.map((shield) => shield.stop()));
    await Deno.remove(issuer.dir, { recursive: true });
  }
});

/** What a Shield is asked at. */
const placeOf = ({ ready }: ServerProcess, token: string) => ({
  ...{ token, url: ready.url ?? "", admin_url: ready.admin_url ?? "" },
  http_url: new URL(ready.url ?? "").origin.replace(/^ws/, "http"),
});

/** Two witnesses who know the keys in `logs`, and the forks that they have seen. */
async function twoWitnesses() {
  const logs: Verifier[] = [];
  const forks: (readonly [string, string])[] = [];
  const opened = await Promise.all(["w1", "w2"].map(async (name) => {
    const signer = cosigner(await signerOf(name), Date.now);
    const keep = () => Promise.resolve();
    const witness = new Witness({ signer, logs, seen: new Map(), keep });
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (asked) => {
      const { status, body, fork } = await witness.add(await asked.text());
      if (fork !== undefined) forks.push(fork);
      return new Response(body, { status });
    });
    return { signer, server, vkey: encodeVerifier(signer) };
  }));
  const named = opened.map(({ server: { addr }, vkey }) =>
    `{ url = "http://127.0.0.1:${addr.port}", vkey = "${vkey}" }`
  );
  const signers = opened.map(({ signer }) => signer);
  return {
    ...{ logs, forks, vkeys: opened.map(({ vkey }) => vkey) },
    config: `[proof]\nwitnesses = [${named.join(", ")}]\n`,
    /** Waits until both have cosigned a tree of that size. */
    async cosigned(files: TreeFiles, verifier: Verifier, size: number): Promise<TreeReader> {
      let tree = await grown(files, verifier, size);
      await until("both witnesses have cosigned", async () => {
        tree = await grown(files, verifier, size);
        return (await cosignersOf(tree.note, signers)).length === 2;
      }, 120_000);
      return tree;
    },
    [Symbol.asyncDispose]: async () =>
      void await Promise.all(opened.map(({ server }) => server.shutdown())),
  };
}

/** The NATS of one test, with what starts Shields on it, which end before it. */
async function natsWorld(more: string) {
  const nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const issuer = await createIssuer();
  const as = (user: string) => `[nats]\nurls = ["nats://${user}:secret@127.0.0.1:${nats.port}"]\n`;
  const started: ServerProcess[] = [];
  return {
    ...{ issuer, as, log: () => started.map((one) => one.log()).join("\n") },
    token: await issuer.tokenFor({ role: "service" }),
    admin: await issuer.tokenFor({ role: "admin" }),
    async start(name: string, config = more) {
      const whole = `${as("shield")}${issuer.config}${config}`;
      const shield = await startServer("shield", whole, issuer.dir, `node_id = "${name}"`);
      started.push(shield);
      return shield;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(started.map((shield) => shield.stop("SIGKILL")));
      await nats[Symbol.asyncDispose]();
      await Deno.remove(issuer.dir, { recursive: true });
    },
  };
}

const TREE = "acme.bets";

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

/** Reads a room from its start, verified, up to so many messages. */
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
  // A consistency proof from a power of two says nothing of the past.
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

/** That each offset up to the last one is an entry, or behind a gap, and no history has what they do not say. */
async function accountsForAll(tree: TreeReader, texts: readonly string[]): Promise<number> {
  const hashes = new Map<number, string>();
  let [last, gaps] = [0, 0];
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
  for (let turn = 0; turn < 8; turn++) {
    const [wrote] = await Promise.all([
      publish(turn % 2 === 0 ? one! : two!, "bets", 120, 2 + turn * 120),
      grown(served(two!, TREE), verifier, 0).then((tree) => accountsForAll(tree, [])),
    ]);
    assert.equal(wrote, undefined);
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
