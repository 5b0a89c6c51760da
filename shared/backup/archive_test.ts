/** A backup is complete or refused: a truncated, changed, added or missing part is named. */
import assert from "node:assert/strict";
import { BackupError, type GivenPart, packBackup, readBackup } from "./archive.ts";
import type { BackupHead } from "./manifest.ts";
import { readTar, tarEnd, tarHeader, tarPadding } from "../tar.ts";

const HEAD: BackupHead = { format: 1, version: "0.1.0", engine: "embedded", begun_ms: 1_000 };
const encoder = new TextEncoder();

function partOf(name: string, texts: Readonly<Record<string, string>>): GivenPart {
  return {
    facts: { kind: "file", name, taken_ms: 1_001, mode: 0o600 },
    files: Object.entries(texts).map(([path, text]) => {
      const bytes = encoder.encode(text);
      return { path, size_bytes: bytes.length, bytes: [bytes] };
    }),
  };
}

const PARTS = [
  partOf("/etc/a", { "files/000/a": "a".repeat(600), "files/000/more": "" }),
  partOf("/etc/b", { "files/001/b": "b" }),
];

async function packed(head = HEAD, parts = PARTS): Promise<Uint8Array<ArrayBuffer>> {
  const pieces = await Array.fromAsync(packBackup(head, parts, { now: () => 2_000 }));
  return new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
}

Deno.test("backup: files are restored unchanged, and the manifest describes them", async () => {
  const files = new Map<string, string>();
  const bytes = await packed();
  const manifest = await readBackup(ReadableStream.from([bytes]), {
    async onFile({ path, bytes }) {
      files.set(path, await new Response(ReadableStream.from(bytes)).text());
    },
  });
  assert.deepEqual([...files], [
    ["files/000/a", "a".repeat(600)],
    ["files/000/more", ""],
    ["files/001/b", "b"],
  ]);
  assert.deepEqual(manifest.parts.map(({ name }) => name), ["/etc/a", "/etc/b"]);
  assert.equal(manifest.ended_ms, 2_000);
});

Deno.test("backup: a truncated one is refused at every length", async () => {
  const bytes = await packed();
  for (let length = 0; length < bytes.length; length += 64) {
    const cut = ReadableStream.from([bytes.subarray(0, length)]);
    await assert.rejects(readBackup(cut), BackupError, String(length));
  }
});

Deno.test("backup: a byte that is changed anywhere in a file is found, and the file is named", async () => {
  const whole = await packed();
  const at = whole.indexOf(0x61, 1_536) + 300;
  const bytes = whole.slice();
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await assert.rejects(readBackup(ReadableStream.from([bytes])), /files\/000\/a is damaged/);
});

/** The archive with changed files. */
async function repacked(
  change: (files: [path: string, bytes: Uint8Array][]) => [string, Uint8Array][],
): Promise<ReadableStream<Uint8Array>> {
  const files: [string, Uint8Array][] = [];
  for await (const { path, bytes } of readTar(ReadableStream.from([await packed()]))) {
    files.push([
      path,
      new Uint8Array(await new Response(ReadableStream.from(bytes)).arrayBuffer()),
    ]);
  }
  const pieces = change(files).flatMap(([path, bytes]) => [
    tarHeader(path, bytes.length),
    bytes,
    tarPadding(bytes.length),
  ]);
  return ReadableStream.from([...pieces, tarEnd()]);
}

Deno.test("backup: a file too many, too few or twice, and a foreign manifest are refused", async () => {
  const stranger: [string, Uint8Array] = ["files/009/x", encoder.encode("x")];
  const cases: [RegExp, Parameters<typeof repacked>[0]][] = [
    [/files\/009\/x is not in the manifest/, (files) => files.toSpliced(2, 0, stranger)],
    [/files\/001\/b is missing/, (files) => files.filter(([path]) => path !== "files/001/b")],
    [/files\/000\/a occurs twice/, (files) => files.toSpliced(1, 0, files[1]!)],
    [/it has no manifest/, (files) => files.slice(0, -1)],
    [/files\/009\/x is after the manifest/, (files) => [...files, stranger]],
    [/does not begin with arqon-backup\.json/, (files) => files.slice(1)],
    [
      /its manifest belongs to another backup/,
      (files) =>
        files.map(([path, bytes]) => {
          const text = new TextDecoder().decode(bytes);
          return path === "manifest.json"
            ? [path, encoder.encode(text.replace('"begun_ms": 1000', '"begun_ms": 999'))]
            : [path, bytes];
        }),
    ],
    [/arqon-backup\.json: format: expected 1: another ArqonBus has made it/, (files) => [
      ["arqon-backup.json", encoder.encode(JSON.stringify({ ...HEAD, format: 2 }))],
      ...files.slice(1),
    ]],
  ];
  for (const [expected, change] of cases) {
    await assert.rejects(readBackup(await repacked(change)), (error) => {
      assert.ok(error instanceof BackupError);
      assert.match(error.message, expected);
      return true;
    });
  }
});

Deno.test("backup: a file with another length than announced aborts the backup", async () => {
  const lying: GivenPart = {
    facts: { kind: "file", name: "/x", taken_ms: 1, mode: 0o600 },
    files: [{ path: "files/000/x", size_bytes: 5, bytes: [encoder.encode("four")] }],
  };
  await assert.rejects(packed(HEAD, [lying]), /files\/000\/x has other than 5 bytes/);
});
