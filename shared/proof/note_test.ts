/** Signed notes, checkpoints, proofs and leaves: valid ones, and refused ones. */
import assert from "node:assert/strict";
import {
  decodeCheckpoint,
  decodeProof,
  decodeVerifier,
  encodeCheckpoint,
  encodeProof,
  encodeVerifier,
  leafHash,
  openCheckpoint,
  openNote,
  signNote,
} from "@arqon/proto";
import { signerOf } from "../../tests/proof/made_tree.ts";
import { decodeLeaf, encodeLeaf, encodeLeaves } from "./entry.ts";

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
