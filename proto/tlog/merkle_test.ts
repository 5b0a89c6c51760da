/**
 * Trees, proofs and tiles against published vectors and against each other; `tests/proof/third_party_test.ts` has Go
 * and Rust. SHA-256 compared with OpenSSL, for every length around the block size.
 */
import assert from "node:assert/strict";
import { consistencyProof, emptyRoot, inclusionProof, isConsistent, leafHash } from "./merkle.ts";
import { nodeHash, rootOfInclusion } from "./merkle.ts";
import type { Hash } from "./merkle.ts";
import { rootOf } from "../testing/tree_root.ts";
import { decodeBundle, Edge, encodeBundle, tileOf, tilePath, tileReader } from "./tiles.ts";
import { tilesOf } from "./tiles.ts";
import type { TileName } from "./tiles.ts";
import { createHash } from "node:crypto";
import { sha256 } from "./sha256.ts";
import { sha256All } from "./sha256_lanes.ts";

/** The entries of the vectors that Certificate Transparency's implementations share. */
const LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
  .concat("606162636465666768696a6b6c6d6e6f").map((hex) => Uint8Array.fromHex(hex));
const ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/** A tree in memory, in tiles. */
function treeOf(entries: readonly Uint8Array[], steps: readonly number[] = [entries.length]) {
  const tiles = new Map<string, Uint8Array>();
  const edge = new Edge();
  let from = 0;
  for (const to of steps) {
    for (const { tile, bytes } of edge.append(entries.slice(from, to))) {
      tiles.set(tilePath(tile), bytes);
    }
    from = to;
  }
  const read = (tile: TileName) => {
    const bytes = tiles.get(tilePath(tile));
    return bytes === undefined ? Promise.reject(new Error(tilePath(tile))) : Promise.resolve(bytes);
  };
  return { edge, tiles, read };
}

Deno.test("roots and proofs match RFC 6962", async () => {
  assert.equal(
    emptyRoot().toHex(),
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
  for (const [at, root] of ROOTS.entries()) {
    const { edge, read } = treeOf(LEAVES.slice(0, at + 1));
    assert.equal(edge.root().toHex(), root);
    assert.equal((await rootOf(tileReader(at + 1, read), at + 1)).toHex(), root);
  }
  const reader = tileReader(8, treeOf(LEAVES).read);
  const path = (hashes: readonly Hash[]) => hashes.map((hash) => hash.toHex().slice(0, 8));
  assert.deepEqual(path(await inclusionProof(reader, 0, 8)), ["96a296d2", "5f083f0a", "6b47aaf2"]);
  assert.deepEqual(path(await inclusionProof(reader, 5, 8)), ["bc1a0643", "ca854ea1", "d37ee418"]);
  const seven = tileReader(7, treeOf(LEAVES.slice(0, 7)).read);
  assert.deepEqual(
    path(await inclusionProof(seven, 6, 7)),
    [...path([nodeHash(leafHash(LEAVES[4]!), leafHash(LEAVES[5]!))]), "d37ee418"],
  );
  assert.deepEqual(path(await consistencyProof(reader, 6, 8)), [
    "0ebc5d34",
    "ca854ea1",
    "d37ee418",
  ]);
});

Deno.test("every proof of small trees is right, and none is of another tree", async () => {
  const entries = Array.from({ length: 40 }, (_, at) => Uint8Array.of(at));
  const { read } = treeOf(entries, entries.map((_, at) => at + 1));
  const roots = await Promise.all(
    [...entries, 0].map((_, size) => rootOf(tileReader(size, read), size)),
  );
  for (let size = 1; size <= entries.length; size++) {
    const reader = tileReader(size, read);
    const head = { size, root: roots[size]! };
    for (let index = 0; index < size; index++) {
      const proof = await inclusionProof(reader, index, size);
      const leaf = leafHash(entries[index]!);
      assert.deepEqual(rootOfInclusion(leaf, index, size, proof), head.root);
      assert.notDeepEqual(
        rootOfInclusion(leafHash(Uint8Array.of(99)), index, size, proof),
        head.root,
      );
      assert.notDeepEqual(
        rootOfInclusion(leaf, (index + 1) % size, size, proof),
        size > 1 ? head.root : 0,
      );
      assert.equal(rootOfInclusion(leaf, index, size, [...proof, leaf]), undefined);
      assert.equal(rootOfInclusion(leaf, size, size, proof), undefined);
    }
    for (let old_size = 0; old_size <= size; old_size++) {
      const proof = await consistencyProof(reader, old_size, size);
      const old = { size: old_size, root: roots[old_size]! };
      assert.equal(isConsistent(old, head, proof), true, `${old_size} ${size}`);
      const other = { ...old, root: leafHash(Uint8Array.of(old_size)) };
      assert.equal(isConsistent(other, head, proof), false);
      if (old_size < size) assert.equal(isConsistent(head, old, proof), false);
      if (proof.length === 0) continue;
      assert.equal(isConsistent(old, head, proof.slice(1)), false);
      assert.equal(isConsistent(old, head, [...proof, proof[0]!]), false);
    }
  }
  await assert.rejects(inclusionProof(tileReader(3, read), 3, 3), RangeError);
  await assert.rejects(consistencyProof(tileReader(3, read), 4, 3), RangeError);
});

Deno.test("tiles are the same for any steps of growth", async () => {
  const entries = Array.from(
    { length: 70_000 },
    (_, at) => Uint8Array.of(at & 255, at >> 8, at >> 16),
  );
  const whole = treeOf(entries);
  const stepped = treeOf(entries, [1, 255, 256, 257, 511, 30_000, 65_535, 65_536, 65_537, 70_000]);
  const names = [...tilesOf(entries.length)];
  const hashed = names.filter(({ level }) => level !== "entries");
  assert.equal(names.length - hashed.length, 274);
  assert.equal(hashed.length, 274 + 2 + 1);
  for (const tile of hashed) {
    const path = tilePath(tile);
    assert.deepEqual(stepped.tiles.get(path), whole.tiles.get(path), path);
  }
  assert.deepEqual(whole.edge.root(), await rootOf(tileReader(70_000, stepped.read), 70_000));
});

Deno.test("paths of tiles, and bundles", () => {
  const path = "tile/3/x001/x234/067.p/112";
  assert.deepEqual(tileOf(path), { level: 3, index: 1_234_067, width: 112 });
  assert.equal(tilePath({ level: "entries", index: 0, width: 256 }), "tile/entries/000");
  for (
    const wrong of ["tile/64/000", "tile/0/000.p/256", "tile/0/x000/001", "tile/00/000", "tile/0/1"]
  ) {
    assert.equal(tileOf(wrong), undefined, wrong);
  }
  const bundle = encodeBundle(LEAVES);
  assert.deepEqual(decodeBundle(bundle), LEAVES);
  assert.deepEqual(decodeBundle(bundle, 3), LEAVES.slice(0, 3));
  assert.equal(decodeBundle(bundle, 9), undefined);
  assert.equal(decodeBundle(bundle.subarray(0, -1)), undefined);
  assert.throws(() => encodeBundle([new Uint8Array(65_536)]), RangeError);
});

const opensslOf = (...parts: readonly Uint8Array[]) => {
  const made = createHash("sha256");
  for (const part of parts) made.update(part);
  return made.digest("hex");
};

Deno.test("the hash equals OpenSSL's, also for parts of buffers", () => {
  const all = crypto.getRandomValues(new Uint8Array(65_536));
  for (let length = 0; length < 400; length++) {
    const bytes = all.subarray(length, 2 * length);
    assert.equal(sha256(bytes).toHex(), opensslOf(bytes));
  }
  assert.equal(sha256(all).toHex(), opensslOf(all));
});

Deno.test("hashes of many inputs equal OpenSSL's, whatever their lengths are", () => {
  const all = crypto.getRandomValues(new Uint8Array(20_000));
  const inputs = [...Array(300).keys(), 2_037, 2_038, 2_039, 2_048, 20_000]
    .map((length) => all.subarray(0, length));
  const shuffled = inputs.toSorted((a, b) => a.length * 97 % 101 - b.length * 97 % 101);
  // Neighbours of any lengths share the lanes.
  for (const order of [inputs, inputs.toReversed(), shuffled]) {
    for (const prefix of [0, 1]) {
      const expected = order.map((input) => opensslOf(Uint8Array.of(prefix), input));
      assert.equal(sha256All(prefix, order).toHex(), expected.join(""));
    }
  }
});
