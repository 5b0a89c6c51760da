/**
 * Checkpoints and proof files against Go's `note` and `sumdb/tlog`. `third_party_test.ts` has 10,000 proofs of served
 * trees in Go and Rust, `proto/tlog/merkle_test.ts` the published vectors.
 */
import assert from "node:assert/strict";
import {
  encodeCheckpoint,
  encodeProof,
  encodeVerifier,
  type Hash,
  inclusionProof,
  leafHash,
  nodeHash,
  signNote,
  type SubtreeReader,
} from "@arqon/proto";
import { rootOf } from "../../proto/testing/tree_root.ts";
import { signerOf } from "./made_tree.ts";
import { proofTool } from "./go_tool.ts";

const SIZE = 2_500;

/** The tree of the entries 0, 1, 2 … as text, with each subtree hashed once. */
function tree(): SubtreeReader {
  const known = new Map<string, Hash>();
  const hash = (level: number, index: number): Hash => {
    const name = `${level}/${index}`;
    const found = known.get(name) ??
      (level === 0
        ? leafHash(new TextEncoder().encode(String(index)))
        : nodeHash(hash(level - 1, 2 * index), hash(level - 1, 2 * index + 1)));
    known.set(name, found);
    return found;
  };
  return (level, index) => Promise.resolve(hash(level, index));
}

Deno.test("oracle: Go's tlog and note find checkpoints and proof files right, and each changed one wrong", async () => {
  const read = tree();
  const good: unknown[] = [];
  const wrong: unknown[] = [];
  const below = (n: number) => Math.floor(Math.random() * n);
  const log = await signerOf("bus.example/acme.bets");
  for (let turn = 0; turn < 20; turn++) {
    const size = 1 + below(SIZE);
    const checkpoint = encodeCheckpoint({ origin: log.name, size, root: await rootOf(read, size) });
    const note = await signNote(checkpoint, [log]);
    const claim = { Kind: "checkpoint", Vkey: encodeVerifier(log), Note: note };
    const index = below(size);
    const hashes = await inclusionProof(read, index, size);
    const extra = turn % 2 === 0 ? undefined : Uint8Array.of(turn);
    const file = (hashes: readonly Hash[]) => (
      { ...claim, Kind: "proof", Note: encodeProof({ index, hashes, checkpoint: note, extra }) }
    );
    good.push(claim, file(hashes));
    wrong.push(file([...hashes.slice(1), leafHash(Uint8Array.of(1))]));
    wrong.push({ ...claim, Note: note.replace(`${size}\n`, `${size + 1}\n`) });
  }
  const lines = (claims: readonly unknown[]) => claims.map((one) => JSON.stringify(one)).join("\n");
  assert.deepEqual(await proofTool(["check"], lines(good)), { good: good.length, wrong: 0 });
  assert.deepEqual(await proofTool(["check"], lines(wrong)), { good: 0, wrong: wrong.length });
});
