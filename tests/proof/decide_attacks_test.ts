/**
 * Attacks on journalled decisions by an owner of the storage: the module, the fuel, the inputs, the verdict or the time
 * is replaced. `arq proof decide` finds each that has no key; a reader with a checkpoint, and Python, find the rest.
 */
import assert from "node:assert/strict";
import { decide } from "../../arq/commands/proof/decide.ts";
import type { Flags } from "../../arq/program/flags.ts";
import { builtModule, builtReady, Recorder } from "../../arq/replay/testing/recorded.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { encodeLeaf, payloadHash } from "../../shared/proof/entry.ts";
import { encodeVerifier } from "@arqon/proto";
import { createRandom } from "../../shared/testing/seeded.ts";
import { serving } from "../../shared/testing/serving.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { filesOf, signerOf } from "./made_tree.ts";
import { verifierPy, writeFiles } from "./verifier.ts";

const OLD = 30;
const SIZE = 40;
const ATTACKS = 60;
/** Every n-th attack goes to Python. */
const SHOWN = 5;

const leafOf = (record: JournalRecord, at: number) =>
  encodeLeaf({
    epoch: "e",
    offset: at + 1,
    time_ms: record.time_ms,
    sha256: payloadHash(canonicalJson(record)),
  });

const decidedBy = async (module: string) => {
  const recorder = new Recorder("size", await builtReady(module));
  // Each third is too large.
  const payloadAt = (at: number) => `${at}`.repeat(at % 3 === 0 ? 17_000 : 10);
  return Array.from({ length: SIZE }, (_, at) => recorder.record({ payload: payloadAt(at) }));
};

const REPEATED = /: repeated\n$/;

type Lie = (record: JournalRecord) => JournalRecord;
const inPolicy = (change: (policy: PolicyRecord) => Partial<PolicyRecord>): Lie => (record) => ({
  ...record,
  policies: record.policies.map((policy) => ({ ...policy, ...change(policy) })),
});

/** Each with the text of `decide` if the log has it, too. */
function liesOf(other_sha256: string, others: readonly JournalRecord[]): [Lie, RegExp][] {
  const payload = new TextEncoder().encode("small").toBase64();
  const flipped: Lie = (record) => {
    const { allowed } = record;
    const verdict = allowed
      ? { allowed: false, code: 413, reason: "too large" }
      : { allowed: true, code: 0, reason: "" };
    return inPolicy(() => verdict)({
      ...record,
      ...verdict,
      reason: allowed ? "policy-rejected" : "",
    });
  };
  return [
    [inPolicy(() => ({ module: other_sha256 })), /decided differently: .*fuel/],
    [inPolicy(() => ({ module: payloadHash("gone") })), /its module is missing/],
    [inPolicy(({ units }) => ({ units: units + 1 })), /decided differently: fuel/],
    [inPolicy(() => ({ budget_units: 10 })), /decided differently: /],
    [
      (record) => ({ ...record, payload: { form: "kept", data: payload } }),
      /decided differently: /,
    ],
    [flipped, /decided differently: verdict/],
    // Nobody but the log can say these: the module has no part in them, or agrees.
    [(record) => ({ ...record, time_ms: record.time_ms - 86_400_000 }), REPEATED],
    [(record) => ({ ...record, sender: { ...record.sender!, user: "bob" } }), REPEATED],
    [(record) => others.find(({ id }) => id === record.id)!, REPEATED],
    [
      (record) => ({ ...inPolicy(() => ({ units: 1 }))(record), meter_version: 5 }),
      /: repeated; its fuel has other prices and is not compared\n$/,
    ],
  ];
}

Deno.test("another module, fuel, input, verdict or time of a journalled decision is found", async () => {
  const signer = await signerOf("bus.example/journal@default");
  const vkey = encodeVerifier(signer);
  const honest = await decidedBy("content_size");
  const lies = liesOf(
    payloadHash(await builtModule("mask_digits")),
    await decidedBy("mask_digits"),
  );
  await using made = await temporaryFolder();
  const folder = made.path;
  for (const name of ["content_size", "mask_digits"]) {
    await Deno.writeFile(`${folder}/${name}.wasm`, await builtModule(name));
  }
  const module = ["content_size.wasm", "mask_digits.wasm"];
  const decided = async (log: string, record: JournalRecord, more: Flags = { module }) => {
    const io = diskIo(folder);
    await Deno.writeTextFile(`${folder}/line.ndjson`, JSON.stringify(record));
    const code = await decide(io, "line.ndjson", { log, vkey: [vkey], ...more });
    return [code, io.stdout.text()] as const;
  };
  const old = new TextDecoder().decode(
    (await filesOf(honest.slice(0, OLD).map(leafOf), signer)).get("checkpoint"),
  );
  await Deno.writeTextFile(`${folder}/older`, old);
  await writeFiles(`${folder}/log`, await filesOf(honest.map(leafOf), signer));
  for (const record of honest) {
    const [code, output] = await decided("./log", record);
    assert.equal(code, 0, output);
    assert.match(output, REPEATED);
  }
  assert.equal((await decided("./log", honest[0]!, { module, older: ["older"] }))[0], 0);
  const random = createRandom(58);
  for (let turn = 0; turn < ATTACKS; turn++) {
    const kind = turn % lies.length;
    const [lie, found] = lies[kind]!;
    // Of a message that is refused: another payload is another verdict.
    const at = 3 * random.int(0, OLD / 3 - 1);
    const lied = lie(honest[at]!);
    const [code, output] = await decided("./log", lied);
    assert.equal(code, 1, `attack ${kind}: ${output}`);
    assert.match(output, /is not among the 40 of the log/, `attack ${kind}`);

    // With the key: the log has it, too.
    const forged = await filesOf(honest.with(at, lied).map(leafOf), signer);
    await writeFiles(`${folder}/forged`, forged);
    const [forged_code, forged_output] = await decided("./forged", lied);
    assert.match(forged_output, found, `attack ${kind}`);
    assert.equal(forged_code, /: repeated/.test(forged_output) ? 0 : 1, `attack ${kind}`);
    const held = decided("./forged", lied, { module, older: ["older"] });
    await assert.rejects(held, /two signed trees/, `attack ${kind}`);
    if (turn % SHOWN !== 0) continue;
    const args = ["--vkey", vkey, "--older", `${folder}/older`, `${folder}/forged`];
    assert.match((await verifierPy(args)).wrong ?? "", /^wrong: /, `attack ${kind}`);
  }
});

Deno.test("a module whose stored bytes were exchanged decides nothing", async () => {
  const signer = await signerOf("bus.example/journal@default");
  const [record] = await decidedBy("content_size") as [JournalRecord];
  await using made = await temporaryFolder();
  const folder = made.path;
  await writeFiles(`${folder}/log`, await filesOf([leafOf(record, 0)], signer));
  await Deno.writeTextFile(`${folder}/line.ndjson`, JSON.stringify(record));
  let served = await builtModule("content_size");
  // The answers of a Shield with a forged storage.
  await using shield = serving(({ url }) =>
    url.includes(`/v1/policies/modules/${record.policies[0]!.module}`)
      ? new Response(served, { headers: { "content-type": "application/wasm" } })
      : new Response(null, { status: 404 })
  );
  const flags = {
    log: "./log",
    vkey: [encodeVerifier(signer)],
    adminUrl: shield.url,
    token: "e30.e30.e30",
  };
  const io = diskIo(folder);
  assert.equal(await decide(io, "line.ndjson", flags), 0, io.stdout.text());
  served = await builtModule("mask_digits");
  const again = diskIo(folder);
  assert.equal(await decide(again, "line.ndjson", flags), 1);
  assert.match(again.stdout.text(), /its module is missing/);
});
