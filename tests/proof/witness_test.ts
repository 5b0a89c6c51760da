/** `arq proof witness` with a bus: it cosigns, it refuses a fork, and nothing waits for an unreachable one. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { checkpoint, verify } from "../../arq/commands/proof/proof.ts";
import { finish } from "../../arq/terminal/io.ts";
import { witness } from "../../arq/commands/proof/witness.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { encodeVerifier, type Signer, verifierOf } from "@arqon/proto";
import { pemKey } from "../../shared/proof/signing.ts";
import { encodeShown } from "../../shared/proof/witness.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { found, until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { proofTool } from "./go_tool.ts";
import { filesOf } from "./made_tree.ts";
import {
  grown,
  PROOF_CONFIG,
  publish,
  served,
  treeUrl,
  verifierOf as servedKey,
} from "./served.ts";
import { verifierPy } from "./verifier.ts";

const TREE = "default.bets";
const NAME = `bus.example/${TREE}`;

/** A new Ed25519 key in a file, and what it verifies under a name. */
async function keyIn(file: string, name: string, is_witness = false) {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  await Deno.writeTextFile(file, pem, { mode: 0o600 });
  const signer = pemKey(pem, name) as Signer;
  const vkey = encodeVerifier(is_witness ? verifierOf(name, signer.public_key, true) : signer);
  return { ...signer, vkey };
}

/** `arq proof witness` until its scope ends. */
async function running(cwd: string, name: string, log: string) {
  const stopping = new AbortController();
  const io = { ...diskIo(cwd), signal: stopping.signal };
  const options = { name, vkey: [log], keyFile: `${name}.pem`, state: `${name}.json` };
  const ended = witness(io, { ...options, listen: "127.0.0.1:0", json: true });
  const lines = () => io.stdout.text().split("\n").slice(0, -1).map((line) => JSON.parse(line));
  await Promise.race([until("the witness listens", () => lines().length > 0), ended]);
  const stop = async () => {
    stopping.abort();
    assert.equal(await ended, 0);
  };
  return { lines, url: lines()[0].url as string, stop, [Symbol.asyncDispose]: stop };
}

/** Asserts that verify.py requires each witness, or a number of different ones. */
async function requiredByPython(url: string, log: string, keys: string[], stranger: string) {
  const py = (witnesses: readonly string[], ...more: string[]) =>
    verifierPy(["--vkey", log, ...witnesses.flatMap((one) => ["--witness", one]), ...more, url]);
  assert.equal((await py(keys)).found?.["size"], 300);
  assert.equal((await py([...keys, stranger], "--quorum", "2")).found?.["size"], 300);
  assert.match((await py([...keys, stranger])).wrong ?? "", /2 of 3 witnesses have cosigned/);
  const twins = [keys[0]!, keys[0]!, stranger];
  assert.match((await py(twins, "--quorum", "2")).wrong ?? "", /1 of 2 witnesses have cosigned/);
}

/** And so does `arq proof`; one that is named twice counts once. */
async function requiredByArq(
  cwd: string,
  url: string,
  log: string,
  keys: readonly string[],
  stranger: string,
): Promise<void> {
  const quorum = { vkey: [log], witness: [...keys, stranger, stranger], quorum: 2 };
  await verify(diskIo(cwd), url, quorum);
  const few = { ...quorum, witness: [keys[0]!, keys[0]!, stranger] };
  await assert.rejects(verify(diskIo(cwd), url, few), /1 of 2 witnesses have cosigned/);
  await assert.rejects(verify(diskIo(cwd), url, { ...few, quorum: 3 }), /expected up to 2/);
}

Deno.test("witnesses cosign what a bus publishes, refuse a fork, and stop nothing when they are away", async () => {
  await using folder = await temporaryFolder();
  const cwd = folder.path;
  const owner = await keyIn(`${cwd}/bus.pem`, NAME);
  const log = owner.vkey;
  const { vkey: first } = await keyIn(`${cwd}/w1.pem`, "w1", true);
  const { vkey: second } = await keyIn(`${cwd}/w2.pem`, "w2", true);
  const keys = [first, second];
  await using one = await running(cwd, "w1", log);
  await using two = await running(cwd, "w2", log);
  const named = [one, two].map(({ url }, at) => `{ url = "${url}/", vkey = "${keys[at]}" }`);
  await using bus = await startLocalBus(PROOF_CONFIG.replace(
    "[proof]",
    `[proof]\nkey_file = "${cwd}/bus.pem"\nwitnesses = [${named.join(", ")}]`,
  ));
  const files = served(bus, TREE);
  const url = treeUrl(bus, TREE);
  /** On a machine under load a witness may count as away for half a minute. */
  const cosigned = () =>
    found("the cosigned checkpoint", () =>
      newest(keys).catch((error) => {
        if (/has not cosigned/.test(error.message)) return undefined;
        throw error;
      }));
  const newest = async (witnesses: readonly string[]) => {
    const io = diskIo(cwd);
    await finish(io, await checkpoint(io, url, { vkey: [log], witness: witnesses }), false);
    return io.stdout.text();
  };
  for (const size of [20, 300]) {
    await publish(bus, "bets", size === 20 ? 20 : 280);
    await grown(files, await servedKey(files), size);
    const note = await cosigned();
    assert.match(note, new RegExp(`^${NAME}\n${size}\n`));
    for (const vkey of keys) {
      assert.deepEqual(await proofTool(["cosigned", vkey], note), { by: vkey });
    }
    assert.deepEqual(await proofTool(["note", log], note), { by: log });
  }
  await verify(diskIo(cwd), url, { vkey: [log], witness: keys });
  const { vkey: stranger } = await keyIn(`${cwd}/w3.pem`, "w3", true);
  await assert.rejects(newest([...keys, stranger]), /w3 has not cosigned the checkpoint/);
  await requiredByPython(url, log, keys, stranger);
  await requiredByArq(cwd, url, log, keys, stranger);

  // Whoever has the bus's key shows a witness another past.
  const others = Array.from({ length: 300 }, (_, at) => new TextEncoder().encode(`other ${at}`));
  const other = new TextDecoder().decode((await filesOf(others, owner)).get("checkpoint"));
  const add = (to: string, note: string, old_size: number) =>
    fetch(`${to}/add-checkpoint`, {
      method: "POST",
      body: encodeShown({ old_size, proof: [], note }),
    });
  const forked = await add(one.url, other, 300);
  assert.deepEqual([forked.status, await forked.text()], [409, "300\n"]);
  const body_too_large = { method: "POST", body: "x".repeat(131_073) };
  const large = await fetch(`${one.url}/add-checkpoint`, body_too_large);
  assert.deepEqual([large.status, await large.text()], [413, "it is too large\n"]);
  await until("it says so", () => one.lines().some(({ fork }) => fork?.[1] === other));
  await two.stop();
  await publish(bus, "bets", 1, 300);
  await grown(files, await servedKey(files), 301);
  assert.match(await newest([]), new RegExp(`^${NAME}\n301\n`));
  await assert.rejects(newest(keys), /w2 has not cosigned the checkpoint/);
  // It continues from its last cosigned checkpoint, and so does the bus.
  await using again = await running(cwd, "w2", log);
  const answer = await add(again.url, await newest([]), 0);
  assert.deepEqual([answer.status, await answer.text()], [409, "300\n"]);
  assert.equal(answer.headers.get("content-type"), "text/x.tlog.size");
});

Deno.test("a witness does not begin anew from a state that is none of its own", async () => {
  await using folder = await temporaryFolder();
  const cwd = folder.path;
  const owner = await keyIn(`${cwd}/bus.pem`, NAME);
  await keyIn(`${cwd}/w1.pem`, "w1", true);
  const note = new TextDecoder().decode((await filesOf([], owner)).get("checkpoint"));
  const wrong = ["", "null", "[]", `["${NAME}"]`, `{"${NAME}":7}`, `{"${NAME}":"cut off"}`];
  const other = JSON.stringify({ [`${NAME}2`]: note });
  for (const state of [...wrong, other]) {
    await Deno.writeTextFile(`${cwd}/w1.json`, state);
    await assert.rejects(running(cwd, "w1", owner.vkey), /w1\.json: /, state);
  }
  await Deno.writeTextFile(`${cwd}/w1.json`, JSON.stringify({ [NAME]: note }));
  await using _right = await running(cwd, "w1", owner.vkey);
});
