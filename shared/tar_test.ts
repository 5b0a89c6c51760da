/** Archives of the system's `tar` and of this program are read by both. */
import { concat } from "./containers/concat.ts";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { anyNumber } from "./testing/any_number.ts";
import { readTar, tarEnd, TarError, tarHeader, tarPadding } from "./tar.ts";
import { temporaryFolder } from "./testing/temporary_folder.ts";

type File = readonly [path: string, bytes: Uint8Array];

function archiveOf(files: readonly File[]): Uint8Array<ArrayBuffer> {
  const parts = files.flatMap(([path, bytes]) => [
    tarHeader(path, bytes.length),
    bytes,
    tarPadding(bytes.length),
  ]);
  return concat([...parts, tarEnd()]);
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<File[]> {
  const files: File[] = [];
  for await (const { path, bytes } of readTar(source)) {
    files.push([path, concat(await Array.fromAsync(bytes))]);
  }
  return files;
}

const textOf = (text: string) => new TextEncoder().encode(text);

Deno.test("tar: whatever is written is read again, however it arrives", async () => {
  const file = fc.tuple(
    fc.stringMatching(/^[a-z]{1,20}(\/[a-zö]{1,20}){0,3}$/),
    fc.uint8Array({ maxLength: 1_500 }),
  );
  await fc.assert(fc.asyncProperty(
    fc.array(file, { maxLength: 6 }),
    fc.integer({ min: 1, max: 2_000 }),
    async (files, size) => {
      assert.deepEqual(await readAll(inPieces(archiveOf(files), size)), files);
    },
  ));
});

Deno.test("tar: the unread rest of a file is skipped", async () => {
  const files: File[] = [["a", new Uint8Array(5_000)], ["b", textOf("b")], ["c", textOf("c")]];
  const found: string[] = [];
  for await (const { path, bytes } of readTar(inPieces(archiveOf(files), 700))) {
    found.push(path);
    // One piece of the first, nothing of the second.
    if (path === "a") { for await (const _ of bytes) break; }
  }
  assert.deepEqual(found, ["a", "b", "c"]);
});

Deno.test("tar: an archive that is cut short anywhere is refused", async () => {
  const archive = archiveOf([["a", textOf("a".repeat(700))], ["b", textOf("b")]]);
  for (let length = 0; length < archive.length; length += 128) {
    await assert.rejects(
      readAll(inPieces(archive.subarray(0, length), 512)),
      TarError,
      `${length}`,
    );
  }
});

Deno.test("tar: links, ways out of the folder and damaged headers are refused", async () => {
  const link = tarHeader("link", 0);
  link[156] = 0x32;
  link.set(textOf("        "), 148);
  const sum = link.reduce((total, byte) => total + byte, 0);
  link.set(textOf(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  await assert.rejects(readAll(inPieces(concat([link, tarEnd()]), 512)), /link is no regular file/);
  for (const path of ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a\\b"]) {
    const archive = concat([tarHeader(path, 0), tarEnd()]);
    await assert.rejects(readAll(inPieces(archive, 512)), TarError, path);
  }
  const damaged = archiveOf([["a", textOf("a")]]);
  damaged[3] = (damaged[3] ?? 0) ^ 1;
  await assert.rejects(readAll(inPieces(damaged, 512)), /no tar archive, or it is damaged/);
});

Deno.test("tar: any size is written and read, also above eight GiB, or refused, as is a time", async () => {
  await fc.assert(fc.asyncProperty(anyNumber, async (number) => {
    const isWhole = Number.isSafeInteger(number) && number >= 0;
    if (!isWhole || number >= 8 ** 11) {
      assert.throws(() => tarHeader("a", 0, 0o644, number), RangeError);
    }
    if (!isWhole) return assert.throws(() => tarHeader("a", number), RangeError);
    const entries = readTar(inPieces(tarHeader("big", number), 512));
    const { value } = await entries.next();
    assert.equal(value?.size_bytes! - number, 0);
    await entries.return(undefined);
  }));
});

Deno.test("tar: archives of the system's tar are read", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/one.txt`, "one");
  await Deno.writeTextFile(`${folder.path}/two.txt`, "two".repeat(400));
  const args = [
    "--format=ustar",
    "-cf",
    `${folder.path}/a.tar`,
    "-C",
    folder.path,
    "one.txt",
    "two.txt",
  ];
  const { code } = await new Deno.Command("tar", { args }).output();
  assert.equal(code, 0);
  const files = await readAll(inPieces(await Deno.readFile(`${folder.path}/a.tar`), 999));
  const texts = files.map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]);
  assert.deepEqual(texts, [["one.txt", "one"], ["two.txt", "two".repeat(400)]]);
});
