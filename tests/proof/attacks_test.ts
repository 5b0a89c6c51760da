/**
 * 1,000 attacks by an owner of the storage, most of them with the key, too. A reader with an earlier checkpoint, or one
 * that compares with another reader, finds each, and its evidence convinces the verifier in Python.
 */
import assert from "node:assert/strict";
import { verify } from "../../arq/commands/proof/proof.ts";
import { finish } from "../../arq/terminal/io.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { encodeLeaf, payloadHash } from "../../shared/proof/entry.ts";
import type { RecordBreak } from "../../shared/proof/entry.ts";
import { encodeVerifier, openCheckpoint, type Signer } from "@arqon/proto";
import { TreeReader } from "../../shared/proof/reader.ts";
import { createRandom } from "../../shared/testing/seeded.ts";
import { filesOf, signerOf } from "./made_tree.ts";
import type { Files } from "./made_tree.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { verifierPy, verifiersPy, writeFiles } from "./verifier.ts";

const OLD = 258;
const SIZE = 300;
const ATTACKS = 1_000;
/** Attacks in files at a time, for Python. */
const AT_A_TIME = 100;
/** The number of attacks without the key: the first ones. */
const DAMAGES = 4;

function entryOf(at: number, time_ms = 1_000 + at) {
  return encodeLeaf({ epoch: "e", offset: at + 1, time_ms, sha256: payloadHash(String(at)) });
}

/** What a reader does: the signature, every entry and tile, and each checkpoint that was kept. */
async function read(files: Files, signer: Signer, kept: readonly string[]): Promise<void> {
  const tree = await TreeReader.open((path) => {
    const bytes = files.get(path);
    return bytes === undefined ? Promise.reject(new Error(`no ${path}`)) : Promise.resolve(bytes);
  }, signer);
  for (const note of kept) await tree.continues(await openCheckpoint(note, signer));
  for await (const _ of tree.whole()); // read to its end
}

/** Ways to attack these files of the honest entries; each call makes another attack. */
function attacksOn(honest: readonly Uint8Array[], files: Files, signer: Signer) {
  const random = createRandom(58);
  const at = (size = SIZE) => random.int(0, size - 1);
  /** Rewrites the record, and signs it with the key. */
  const rewritten = (change: (entries: Uint8Array[]) => void) => {
    const entries = [...honest];
    change(entries);
    return filesOf(entries, signer);
  };
  const swap = (entries: Uint8Array[], a: number, b: number) => {
    [entries[a], entries[b]] = [entries[b]!, entries[a]!];
  };
  const damaged = (change: (bytes: Uint8Array) => Uint8Array) => {
    const changed = new Map(files);
    const path = random.pick([...files.keys()]);
    changed.set(path, change(files.get(path)!.slice()));
    return Promise.resolve(changed);
  };
  const attacks: (() => Promise<Files>)[] = [
    () => damaged((bytes) => (bytes[at(bytes.length)]! ^= 1 << random.int(0, 7), bytes)),
    () => damaged((bytes) => bytes.slice(0, at(bytes.length))),
    () => damaged((bytes) => Uint8Array.of(...bytes, random.int(0, 255))),
    () => {
      const changed = new Map(files);
      changed.delete(random.pick([...files.keys()]));
      return Promise.resolve(changed);
    },
    // With the key: what a reader has seen of the first entries is rewritten.
    () => rewritten((entries) => void entries.splice(at(OLD), 1)),
    () => rewritten((entries) => void (entries[at(OLD)] = entryOf(SIZE + at()))),
    () => rewritten((entries) => void entries.splice(at(OLD), 0, entryOf(SIZE + at()))),
    () => {
      const a = at(OLD);
      return rewritten((entries) => swap(entries, a, (a + 1 + at(OLD - 1)) % OLD));
    },
    () => rewritten((entries) => void entries.splice(at(OLD - 2), 3)),
    () => {
      const changed = at(OLD);
      return rewritten((entries) => void (entries[changed] = entryOf(changed, at())));
    },
    // The clock is set back: all from there on is older.
    () => {
      const from = at(OLD);
      return rewritten((entries) => {
        for (let n = from; n < SIZE; n++) entries[n] = entryOf(n, n);
      });
    },
    // An old copy that continues with other entries.
    () => {
      const size = 1 + at(OLD - 1);
      return rewritten((entries) =>
        void entries.splice(size, SIZE, ...honest.slice(0, at()).map((_, n) => entryOf(SIZE + n)))
      );
    },
    // An old copy is put back.
    () => filesOf(honest.slice(0, 1 + at(SIZE - 1)), signer),
    // A fork for one reader, after the entries that this one has seen: the other reader's checkpoint shows it.
    () => {
      const forked = OLD + at(SIZE - OLD);
      return rewritten((entries) => void (entries[forked] = entryOf(SIZE + at())));
    },
  ];
  return attacks;
}

Deno.test("1,000 attacks on what is stored are found", async () => {
  const signer = await signerOf("bus.example/acme.bets");
  const honest = Array.from({ length: SIZE }, (_, at) => entryOf(at));
  const text = (files: Files) => new TextDecoder().decode(files.get("checkpoint"));
  const old_files = await filesOf(honest.slice(0, OLD), signer);
  const files = await filesOf(honest, signer);
  const older = text(old_files);
  const newest = text(files);
  await read(files, signer, [older]);
  await read(files, signer, [older, newest]);
  const attacks = attacksOn(honest, files, signer);
  await using made = await temporaryFolder();
  const folder = made.path;
  await Deno.writeTextFile(`${folder}/older`, older);
  await Deno.writeTextFile(`${folder}/newest`, newest);
  const kept = ["--older", `${folder}/older`, "--older", `${folder}/newest`];
  const key = ["--vkey", encodeVerifier(signer)];
  await writeFiles(`${folder}/honest`, files);
  assert.equal((await verifierPy([...key, ...kept, `${folder}/honest`])).found?.["size"], SIZE);
  for (let turn = 0; turn < ATTACKS;) {
    const places = [];
    for (; places.length < AT_A_TIME; turn++) {
      const kind = turn % attacks.length;
      const attacked = await attacks[kind]!();
      await assert.rejects(read(attacked, signer, [older, newest]), ({ message }: Error) => {
        // Whoever has no key makes no fork.
        if (kind < DAMAGES) assert.doesNotMatch(message, /two signed trees/, `attack ${kind}`);
        return true;
      });
      const place = `${folder}/attack-${kind}-${turn}`;
      await writeFiles(place, attacked);
      places.push(place);
    }
    const outcomes = await verifiersPy(places.map((place) => [...key, ...kept, place]));
    for (const [at, wrong] of outcomes.entries()) {
      assert.match(wrong, /^wrong: /, `${places[at]}: ${wrong}`);
    }
    assert.equal(outcomes.length, places.length);
    for (const place of places) await Deno.remove(place, { recursive: true });
  }
});

Deno.test("the verifier in Python has at most 300 lines", async () => {
  const text = await Deno.readTextFile(`${ROOT}examples/proof_verifier/verify.py`);
  assert(text.split("\n").length - 1 <= 300);
});

Deno.test("a second entry of a message is found by who has kept nothing", async () => {
  const signer = await signerOf("bus.example/acme.bets");
  await using made = await temporaryFolder();
  const folder = made.path;
  const honest = Array.from({ length: 20 }, (_, at) => entryOf(at));
  const breakAt = (kind: RecordBreak["break"], offset: number) =>
    encodeLeaf({ break: kind, epoch: "e", offset });
  for (
    const [place, more, found] of [
      ["end", [...honest, entryOf(7, 1)], /offset 8, after one of 20/],
      ["twin", honest.toSpliced(8, 0, entryOf(7, 1)), /offset 8, after one of 8/],
      ["gap", [...honest, breakAt("gap", 7), entryOf(7, 1)], /offset 8, after one of 20/],
      ["lost", [...honest, breakAt("lost", 0), entryOf(0)], undefined],
      ["restored", [...honest, breakAt("restored", 9), entryOf(9)], undefined],
    ] as const
  ) {
    const files = await filesOf(more, signer);
    await writeFiles(`${folder}/${place}`, files);
    const { wrong } = await verifierPy(["--vkey", encodeVerifier(signer), `${folder}/${place}`]);
    if (found === undefined) {
      await read(files, signer, []);
      assert.equal(wrong, undefined);
    } else {
      await assert.rejects(read(files, signer, []), found);
      assert.match(wrong ?? "", found);
    }
  }
});

Deno.test("messages of an earlier epoch of their log are found in it, and those that it has not yet are not missed", async () => {
  const signer = await signerOf("bus.example/acme.bets");
  const vkey = encodeVerifier(signer);
  await using made = await temporaryFolder();
  const folder = made.path;
  const textOf = (offset: number, n = offset) => `{"n":${n},"offset":${offset}}`;
  const entry = (epoch: string, offset: number, n = offset) =>
    encodeLeaf({ epoch, offset, time_ms: 5, sha256: payloadHash(textOf(offset, n)) });
  const earlier = Array.from({ length: 20 }, (_, at) => entry("a", at + 1));
  const anew = [encodeLeaf({ break: "lost", epoch: "b", offset: 0 }), entry("b", 1), entry("b", 2)];
  const first = [1, 2, 3].map((offset) => textOf(offset));
  // The third epoch is the present one.
  const restored = [
    ...[...earlier, encodeLeaf({ break: "restored", epoch: "b", offset: 1 })],
    ...[entry("b", 2, 7), entry("b", 3, 7), entry("c", 4)],
  ];
  for (
    const [place, entries, texts, wrong, epoch = "b"] of [
      ["earlier", earlier, first, false],
      ["both", earlier.with(2, entry("b", 3)), first, false],
      ["anew", [...earlier, ...anew], first, false],
      ["changed", earlier, first.with(1, textOf(2).replace("2", "7")), true],
      ["changed_anew", [...earlier, ...anew], first.with(1, textOf(2).replace("2", "7")), true],
      ["missing", earlier.toSpliced(1, 1), first, true],
      ["beside_it", earlier, [textOf(2, 7), ...first], true],
      ["nowhere", earlier, [...first, '{"n":7}'], true],
      ["newer", earlier, [...first, textOf(21)], false],
      ["restored", restored, [textOf(1), textOf(2, 7), textOf(3, 7)], false, "c"],
      ["taken_back", restored, first, true, "c"],
    ] as const
  ) {
    await writeFiles(`${folder}/${place}`, await filesOf(entries, signer));
    const messages = `${folder}/${place}/messages.ndjson`;
    await Deno.writeTextFile(messages, `{"epoch":"${epoch}","messages":[${texts.join()}]}\n`);
    const python = await verifierPy(["--vkey", vkey, "--messages", messages, `${folder}/${place}`]);
    assert.equal(python.wrong !== undefined, wrong, `${place}: ${python.wrong}`);
    const io = diskIo(folder);
    const verified = verify(io, `./${place}`, { vkey: [vkey] });
    if (wrong) await assert.rejects(verified, /the message at/, place);
    else {
      assert.equal(await finish(io, await verified, false), 0);
      if (place === "newer") assert.match(io.stdout.text(), /3 messages beside it; 1 newer than/);
    }
  }
});

Deno.test("bytes that are no UTF-8 or no page do not pass beside a log", async () => {
  const signer = await signerOf("bus.example/acme.bets");
  const vkey = [encodeVerifier(signer)];
  await using folder = await temporaryFolder();
  const text = '{"n":"\ufffd","offset":1}';
  const sha256 = payloadHash(text);
  const entry = encodeLeaf({ epoch: "a", offset: 1, time_ms: 5, sha256 });
  await writeFiles(`${folder.path}/log`, await filesOf([entry], signer));
  const file = `${folder.path}/log/messages.ndjson`;
  const utf8 = new TextEncoder().encode(`{"epoch":"a","messages":[${text}]}\n`);
  await Deno.writeFile(file, utf8);
  await verify(diskIo(folder.path), "./log", { vkey });
  const at = utf8.indexOf(0xef);
  await Deno.writeFile(
    file,
    Uint8Array.of(...utf8.subarray(0, at), 0xff, ...utf8.subarray(at + 3)),
  );
  await assert.rejects(verify(diskIo(folder.path), "./log", { vkey }), /not UTF-8/);
  await Deno.writeFile(file, Uint8Array.of(...utf8, 0x35));
  await assert.rejects(verify(diskIo(folder.path), "./log", { vkey }), /a line has no messages/);
});
