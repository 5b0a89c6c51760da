/**
 * Served trees, checkpoints and proof files read by what others have written: Go's tlog and note, tessera's client and
 * fsck, Cloudflare's tlog_tiles and ct-merkle in Rust, and a verifier in Python. `proto/tlog/merkle_test.ts` has the
 * published vectors.
 */
import assert from "node:assert/strict";
import {
  consistencyProof,
  Edge,
  encodeBundle,
  encodeCheckpoint,
  encodeProof,
  encodeVerifier,
  type Hash,
  inclusionProof,
  leafHash,
  nodeHash,
  openCheckpoint,
  signNote,
  type SubtreeReader,
  TILE_WIDTH,
  tilePath,
  tileReader,
} from "@arqon/proto";
import { rootOf } from "../../proto/testing/tree_root.ts";
import { encodeLeaves, payloadHash } from "../../shared/proof/entry.ts";
import { serving } from "../../shared/testing/serving.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { createRandom } from "../../shared/testing/seeded.ts";
import { proofReader, proofTool } from "./go_tool.ts";
import { type Files, signerOf } from "./made_tree.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";
import { verifierPy } from "./verifier.ts";

const SIZE = 700;

Deno.test("third parties read what a bus serves, and find it whole", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const tree = "default.bets";
  const files = served(bus, tree);
  await publish(bus, "bets", 300);
  const verifier = await verifierOf(files);
  const older = await grown(files, verifier, 300);
  await publish(bus, "bets", SIZE - 300, 300);
  const { note } = await grown(files, verifier, SIZE);
  const { root } = await openCheckpoint(note, verifier);
  const url = treeUrl(bus, tree);
  const vkey = await vkeyOf(files);
  const seen = { size: SIZE, root: root.toBase64() };
  assert.deepEqual(await proofTool(["read", url, vkey]), seen);
  assert.deepEqual(await proofTool(["fsck", url, vkey]), { whole: true });

  await using folder = await temporaryFolder();
  const file = (name: string, text: string) => Deno.writeTextFile(`${folder.path}/${name}`, text);
  await file("older", older.note);
  const history = await fetch(`${bus.http_url}/v1/rooms/bets/messages?limit=1000`, {
    headers: { authorization: `Bearer ${bus.token}` },
  });
  const messages = await history.text();
  await file("messages", `${messages}\n`);
  const beside = ["--older", `${folder.path}/older`, "--messages", `${folder.path}/messages`];
  const options = ["--vkey", vkey, ...beside, url];
  const found = { ...seen, breaks: [], messages: SIZE };
  assert.deepEqual(await verifierPy(options), { found });
  await file("messages", messages.replace('"n":137,', '"n":138,'));
  const { wrong } = await verifierPy(options);
  assert.match(wrong ?? "", /the message at offset \d+ is not the logged one/);
  for await (const one of older.entries(41)) {
    await file("a.tlog-proof", await older.proofOf(one));
    const proof = ["--vkey", vkey, "--proof", `${folder.path}/a.tlog-proof`];
    const { found } = await verifierPy(proof);
    assert.deepEqual(found, { index: 41, size: 300, entry: one.entry });
    break;
  }
});

const PROOFS = 5_000;

Deno.test("10,000 random proofs over served tiles are right in Go and Rust, and each changed one is wrong", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const files = served(bus, "default.bets");
  await publish(bus, "bets", 1);
  const verifier = await verifierOf(files);
  for (let size = 1; size < 2_501; size += 500) {
    await publish(bus, "bets", 500, size);
    await grown(files, verifier, size + 500);
  }
  const { checkpoint: { size: whole } } = await grown(files, verifier, 2_501);
  const read = tileReader(whole, (tile) => files(tilePath(tile)));
  const random = createRandom(58);
  const claims = async (kind: "inclusion" | "consistency") => {
    const size = random.int(1, whole);
    const other = kind === "inclusion" ? random.int(0, size - 1) : random.int(1, size);
    const hashes =
      await (kind === "inclusion"
        ? inclusionProof(read, other, size)
        : consistencyProof(read, other, size));
    const line = (hashes: readonly Uint8Array[]) =>
      [kind, size, other, ...hashes.map((hash) => hash.toBase64())].join(" ");
    const at = random.int(0, hashes.length - 1);
    const changed = hashes.map((hash, n) => n === at ? hash.map((byte) => byte ^ 1) : hash);
    return [line(hashes), ...hashes.length > 0 ? [line(changed)] : []];
  };
  const good: string[] = [];
  const wrong: string[] = [];
  for (let turn = 0; turn < PROOFS; turn++) {
    for (const kind of ["inclusion", "consistency"] as const) {
      const [right = "", ...other] = await claims(kind);
      good.push(right);
      wrong.push(...other);
    }
  }
  const place = [treeUrl(bus, "default.bets"), await vkeyOf(files)];
  assert.deepEqual(await proofTool(["fsck", ...place]), { whole: true });
  for (
    const tool of [
      (lines: string) => proofTool(["proofs", ...place], lines),
      (lines: string) => proofReader(place, lines),
    ]
  ) {
    assert.deepEqual(await tool(good.join("\n")), { good: 2 * PROOFS, wrong: 0 });
    assert.deepEqual(await tool(wrong.join("\n")), { good: 0, wrong: wrong.length });
  }
});

const MILLION = 1_000_000;
/** Bytes of all files: 32 a hash, and of entries 132 with the digits of the offset and two bytes of length. */
const MILLION_BYTES = 172_014_368;

Deno.test("1,000,000 entries take 172 MB in tiles and bundles, which tessera reads whole", async () => {
  const signer = await signerOf("bus.example/acme.bets");
  const edge = new Edge();
  const files: Files = new Map();
  for (let from = 0; from < MILLION; from += TILE_WIDTH) {
    const leaves = encodeLeaves(
      Array.from({ length: Math.min(TILE_WIDTH, MILLION - from) }, (_, at) => ({
        epoch: "1wbvqnr2b1",
        offset: from + at + 1,
        time_ms: 1_795_606_200_000,
        sha256: payloadHash(`${from + at}`),
      })),
    );
    const place = { level: "entries", index: from / TILE_WIDTH, width: leaves.length } as const;
    files.set(tilePath(place), encodeBundle(leaves));
    for (const { tile, bytes } of edge.append(leaves)) {
      if (tile.width === TILE_WIDTH) files.set(tilePath(tile), bytes);
    }
  }
  for (const { tile, bytes } of edge.partial()) files.set(tilePath(tile), bytes);
  const total = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  assert.equal(total, MILLION_BYTES);
  const tree = { origin: signer.name, size: MILLION, root: edge.root() };
  files.set(
    "checkpoint",
    new TextEncoder().encode(await signNote(encodeCheckpoint(tree), [signer])),
  );
  await using server = serving(({ url }) => {
    const bytes = files.get(new URL(url).pathname.slice(1));
    return new Response(bytes && new Uint8Array(bytes), { status: bytes ? 200 : 404 });
  });
  assert.deepEqual(await proofTool(["fsck", server.url, encodeVerifier(signer)]), { whole: true });
});

const CLAIMED_SIZE = 2_500;

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
    const size = 1 + below(CLAIMED_SIZE);
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
