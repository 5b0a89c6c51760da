/** Trees, proofs and checkpoints of `shared/proof` against Go's `sumdb/tlog` and `note`: 10,000 proofs, none wrong. */
import assert from "node:assert/strict";
import {
  consistencyProof,
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
const base64 = (hash: Hash) => hash.toBase64();

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

Deno.test("oracle: Go's tlog and note find 10,000 random proofs right, and each changed one wrong", async () => {
  const read = tree();
  const roots = new Map<number, Promise<Hash>>();
  const root = (size: number) => {
    const known = roots.get(size) ?? rootOf(read, size);
    roots.set(size, known);
    return known;
  };
  const good: unknown[] = [];
  const wrong: unknown[] = [];
  const below = (n: number) => Math.floor(Math.random() * n);
  for (let turn = 0; turn < 5_000; turn++) {
    const size = 1 + below(SIZE);
    const index = below(size);
    const common = { Size: size, Root: base64(await root(size)), Other: index };
    const leaf = base64(await read(0, index));
    const inclusion = (await inclusionProof(read, index, size)).map(base64);
    good.push({ ...common, Kind: "inclusion", Old: leaf, Proof: inclusion });
    const old_size = 1 + below(size);
    const old = {
      ...common,
      Kind: "consistency",
      Other: old_size,
      Old: base64(await root(old_size)),
    };
    const consistency = (await consistencyProof(read, old_size, size)).map(base64);
    good.push({ ...old, Proof: consistency });
    if (turn % 10 > 0) continue;
    good.push({ Kind: "root", Size: size, Root: common.Root });
    const other = base64(leafHash(Uint8Array.of(1)));
    wrong.push({ ...common, Kind: "inclusion", Old: other, Proof: inclusion });
    wrong.push({ ...old, Old: other, Proof: consistency });
  }
  const log = await signerOf("bus.example/acme.bets");
  for (let turn = 0; turn < 20; turn++) {
    const size = 1 + below(SIZE);
    const checkpoint = encodeCheckpoint({ origin: log.name, size, root: await root(size) });
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
