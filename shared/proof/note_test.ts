/**
 * Signed notes, checkpoints, proofs and leaves: valid ones, and refused ones. A witness signs only extensions of the
 * tree that it has signed; its cosignatures match the specification.
 */
import assert from "node:assert/strict";
import {
  cosigner,
  cosignersOf,
  decodeCheckpoint,
  decodeProof,
  decodeVerifier,
  decodeWitness,
  encodeCheckpoint,
  encodeProof,
  encodeVerifier,
  leafHash,
  openCheckpoint,
  openNote,
  signNote,
  verifierOf,
} from "@arqon/proto";
import { filesOf, signerOf } from "../../tests/proof/made_tree.ts";
import { decodeLeaf, encodeLeaf, encodeLeaves } from "./entry.ts";
import { createRandom } from "../testing/seeded.ts";
import { TreeReader } from "./reader.ts";
import { decodeShown, encodeShown, Witness } from "./witness.ts";

/** The example of c2sp.org/signed-note. */
const VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE = "This is an example message.\n\n— example.com/foo " +
  "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

Deno.test("the note of the specification opens with its key", async () => {
  const verifier = decodeVerifier(VKEY)!;
  assert.equal(encodeVerifier(verifier), VKEY);
  assert.equal((await openNote(NOTE, [verifier])).text, "This is an example message.\n");
  await assert.rejects(openNote(NOTE.replace("an", "no"), [verifier]), /is not of this text/);
  await assert.rejects(openNote(NOTE, []), /no known key/);
  await assert.rejects(openNote(NOTE.trimEnd(), [verifier]), /no signed note/);
  for (const wrong of ["", VKEY.replace("530d", "530e"), VKEY.replace("+Aek", "+Bek")]) {
    assert.equal(decodeVerifier(wrong), undefined);
  }
});

Deno.test("checkpoints and proofs are read as they were written", async () => {
  const log = await signerOf("bus.example/acme.bets");
  const witness = await signerOf("witness.example");
  const root = leafHash(Uint8Array.of(1));
  const checkpoint = { origin: log.name, size: 7, root };
  const note = await signNote(encodeCheckpoint(checkpoint), [witness, log]);
  assert.deepEqual(await openCheckpoint(note, log), checkpoint);
  await assert.rejects(openCheckpoint(note, witness), /it is of bus.example/);
  assert.equal((await openNote(note, [log, witness])).by.length, 2);
  for (const wrong of ["", "a\n01\nAA==\n", `a\n1\nAA==\n`, `a\n1\n${root.toBase64()}`]) {
    assert.throws(() => decodeCheckpoint(wrong), /no checkpoint/);
  }
  for (const extra of [undefined, Uint8Array.of(1, 2)]) {
    for (const hashes of [[], [root, root]]) {
      const proof = { index: 3, hashes, checkpoint: note, extra };
      assert.deepEqual(decodeProof(encodeProof(proof)), proof);
    }
  }
  assert.throws(() => decodeProof("index 1\n\n"), /no c2sp/);
});

Deno.test("a leaf has one form only", () => {
  const entry = { time_ms: 5, epoch: "e", offset: 3, sha256: "ab".repeat(32) };
  const text = `{"epoch":"e","offset":3,"sha256":"${entry.sha256}","time_ms":5}`;
  const bytes = new TextEncoder().encode(text);
  assert.deepEqual(encodeLeaf(entry), bytes);
  assert.deepEqual(decodeLeaf(bytes), entry);
  const gap = { break: "gap", epoch: "e", offset: 9 } as const;
  assert.deepEqual(decodeLeaf(encodeLeaf(gap)), gap);
  const use = { block: "nöde-\ud83d\ude00/1/\ud800", minute: 7, counts: { messages_in: 1 } };
  const several = [entry, { ...entry, use }, gap, entry];
  assert.deepEqual(encodeLeaves(several), several.map(encodeLeaf));
  for (
    const wrong of [` ${text}`, text.replace("3", "-"), text.replace('"e"', "1"), "[]", "null"]
  ) {
    assert.equal(decodeLeaf(new TextEncoder().encode(wrong)), undefined, wrong);
  }
});

const entryOf = (at: number) => new TextEncoder().encode(`entry ${at}`);

const rootOf = (note: string) => decodeCheckpoint(note.slice(0, note.lastIndexOf("\n\n") + 1)).root;

async function world() {
  const log = await signerOf("bus.example/log/acme.bets");
  const signer = cosigner(await signerOf("witness.example"), () => 1_700_000_000_999);
  const seen = new Map<string, string>();
  const kept = { fails: false, times: 0 };
  const keep = () => {
    kept.times++;
    return kept.fails ? Promise.reject(new Error("the disk is full")) : Promise.resolve();
  };
  const witness = new Witness({ signer, logs: [log], seen, keep });
  const noteOf = async (size: number, as = log, first = entryOf) => {
    const files = await filesOf(Array.from({ length: size }, (_, at) => first(at)), as);
    return new TextDecoder().decode(files.get("checkpoint"));
  };
  const proofOf = async (old_size: number, size: number, first = entryOf) => {
    const files = await filesOf(Array.from({ length: size }, (_, at) => first(at)), log);
    const tree = await TreeReader.open((path) => Promise.resolve(files.get(path)!), log);
    const old = await filesOf(Array.from({ length: old_size }, (_, at) => first(at)), log);
    const before = await TreeReader.open((path) => Promise.resolve(old.get(path)!), log);
    return await tree.continues(before.checkpoint);
  };
  /** The root of the first entries, which a proof from a power of two leaves out. */
  const pastOf = async (size: number, first = entryOf) => [rootOf(await noteOf(size, log, first))];
  const show = async (old_size: number, size: number) =>
    await witness.add(
      encodeShown({ old_size, proof: await proofOf(old_size, size), note: await noteOf(size) }),
    );
  return { log, signer, seen, kept, witness, noteOf, pastOf, proofOf, show };
}

Deno.test("a witness cosigns an append-only log, and its key verifies that", async () => {
  const { signer, show, noteOf, kept } = await world();
  const random = createRandom(58);
  for (let [size, turn] = [0, 0]; turn < 20; turn++) {
    const next = size + random.int(0, 40);
    const { status, body } = await show(size, next);
    assert.equal(status, 200, body);
    const note = await noteOf(next) + body;
    const vkey = encodeVerifier(verifierOf(signer.name, signer.public_key));
    assert.equal((await cosignersOf(note, [decodeWitness(vkey)!])).length, 1);
    const { by, lines } = await openNote(note, [signer]);
    assert.deepEqual([by, lines.join("")], [[signer], body]);
    await assert.rejects(
      openNote(note.replace(`\n${next}\n`, `\n${next + 1}\n`), [signer]),
      /is not of/,
    );
    size = next;
  }
  assert.equal(kept.times, 20);
  assert.deepEqual(await cosignersOf(await noteOf(1), [signer]), []);
});

Deno.test("a witness refuses forks, unseen trees and unknown logs, as in the specification", async () => {
  const { log, seen, witness, noteOf, proofOf, show, kept } = await world();
  assert.equal((await show(0, 10)).status, 200);
  const note = seen.get(log.name)!;
  // A log that does not know the last seen tree receives it.
  assert.deepEqual(await show(0, 12), { status: 409, body: "10\n" });
  assert.deepEqual(await show(0, 7), { status: 409, body: "10\n" });
  const another = (at: number) => entryOf(at + 1);
  const forked = await noteOf(12, log, another);
  const proof = await proofOf(10, 12, another);
  const fork = await witness.add(encodeShown({ old_size: 10, proof, note: forked }));
  assert.deepEqual([fork.status, fork.fork], [422, [note, forked]]);
  // A proof that somebody made up shows none.
  for (const made_up of [[], proof.with(0, new Uint8Array(32)), proof.toReversed()]) {
    for (const shown of [forked, await noteOf(12)]) {
      const body = encodeShown({ old_size: 10, proof: made_up, note: shown });
      const { status, fork } = await witness.add(body);
      assert.deepEqual([status, fork], [422, undefined]);
    }
  }
  const same = await noteOf(10, log, (at) => entryOf(at + 1));
  const twin = await witness.add(encodeShown({ old_size: 10, proof: [], note: same }));
  assert.deepEqual([twin.status, twin.fork], [409, [note, same]]);
  const stranger = await noteOf(3, await signerOf(log.name));
  assert.equal(
    (await witness.add(encodeShown({ old_size: 0, proof: [], note: stranger }))).status,
    403,
  );
  const other = await noteOf(3, await signerOf("bus.example/log/other.bets"));
  assert.equal(
    (await witness.add(encodeShown({ old_size: 0, proof: [], note: other }))).status,
    404,
  );
  const shown = encodeShown({ old_size: 11, proof: [], note: await noteOf(10) });
  assert.equal((await witness.add(shown)).status, 400);
  for (const wrong of ["", "old 01\n\nx", "old 1\nAA==\n\nx", "old 1\n\n", `old 1\nx\n\n${note}`]) {
    assert.equal(decodeShown(wrong), undefined, wrong);
    assert.equal((await witness.add(wrong)).status, 400);
  }
  for (
    const origin of ["acme.a b", "acme.a+b", "acme.\u009b", "acme.", ".x", "", " ", "__proto__"]
  ) {
    const odd = `${origin === "" ? "" : `bus.example/log/${origin}`}${note.slice(log.name.length)}`;
    const { status } = await witness.add(encodeShown({ old_size: 0, proof: [], note: odd }));
    assert([400, 403, 404].includes(status), `${origin}: ${status}`);
  }
  // Another room of the tenant has the same key.
  const sibling = { ...log, ...verifierOf("bus.example/log/acme.darts", log.public_key) };
  const darts = encodeShown({ old_size: 0, proof: [], note: await noteOf(3, sibling) });
  assert.equal((await witness.add(darts)).status, 200);
  // A tree that cannot be stored is not signed.
  kept.fails = true;
  await assert.rejects(show(10, 12), /disk is full/);
  kept.fails = false;
  assert.equal(seen.get(log.name), note);
  const both = await Promise.all([show(10, 12), show(10, 13)]);
  assert.deepEqual(both.map(({ status }) => status).toSorted(), [200, 409]);
});

Deno.test("a fork is shown at every size by a proof with the past in it, and by no other", async () => {
  const another = (at: number) => entryOf(at + 1);
  for (const old_size of [1, 2, 3, 8, 11, 16]) {
    const { log, seen, witness, noteOf, pastOf, proofOf, show } = await world();
    assert.equal((await show(0, old_size)).status, 200);
    const note = seen.get(log.name)!;
    const forked = await noteOf(20, log, another);
    const shown = async (proof: readonly Uint8Array[]) => {
      const { status, fork } = await witness.add(encodeShown({ old_size, proof, note: forked }));
      return [status, fork];
    };
    const proof = await proofOf(old_size, 20, another);
    const past = Number.isInteger(Math.log2(old_size)) ? await pastOf(old_size, another) : [];
    assert.deepEqual(await shown([...past, ...proof]), [422, [note, forked]], `${old_size}`);
    // A proof that somebody made up shows none.
    const made_up = [new Uint8Array(32), ...await pastOf(old_size)];
    for (const first of made_up) {
      assert.deepEqual(await shown([first, ...proof]), [422, undefined], `${old_size}`);
    }
    const honest = await noteOf(20);
    const body = encodeShown({ old_size, proof: [...past, ...proof], note: honest });
    assert.equal((await witness.add(body)).fork, undefined);
  }
});
