/**
 * Served trees read by what others have written: Go's tlog and note, tessera's client and fsck, Cloudflare's tlog_tiles
 * and ct-merkle in Rust, and a verifier in Python.
 */
import assert from "node:assert/strict";
import {
  consistencyProof,
  Edge,
  encodeBundle,
  encodeCheckpoint,
  encodeVerifier,
  inclusionProof,
  openCheckpoint,
  signNote,
  TILE_WIDTH,
  tilePath,
  tileReader,
} from "@arqon/proto";
import { encodeLeaves, payloadHash } from "../../shared/proof/entry.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { createRandom } from "../presence_simulation/random.ts";
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

  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/older`, older.note);
    const history = await fetch(`${bus.http_url}/v1/rooms/bets/messages?limit=1000`, {
      headers: { authorization: `Bearer ${bus.token}` },
    });
    const messages = await history.text();
    await Deno.writeTextFile(`${folder}/messages`, `${messages}\n`);
    const options = [
      "--vkey",
      vkey,
      "--older",
      `${folder}/older`,
      "--messages",
      `${folder}/messages`,
    ];
    assert.deepEqual(await verifierPy([...options, url]), {
      found: { ...seen, breaks: [], messages: SIZE },
    });
    await Deno.writeTextFile(`${folder}/messages`, messages.replace('"n":137,', '"n":138,'));
    const { wrong } = await verifierPy([...options, url]);
    assert.match(wrong ?? "", /the message at offset \d+ is not the logged one/);
    for await (const one of older.entries(41)) {
      await Deno.writeTextFile(`${folder}/a.tlog-proof`, await older.proofOf(one));
      const { found } = await verifierPy(["--vkey", vkey, "--proof", `${folder}/a.tlog-proof`]);
      assert.deepEqual(found, { index: 41, size: 300, entry: one.entry });
      break;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
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
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) => {
      const bytes = files.get(new URL(url).pathname.slice(1));
      return new Response(bytes && new Uint8Array(bytes), { status: bytes ? 200 : 404 });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  assert.deepEqual(await proofTool(["fsck", url, encodeVerifier(signer)]), { whole: true });
});
