// The output's backlog over a sink that is slow, takes pieces or breaks; files that are written as a whole; waits that
// a stop signal ends.
import assert from "node:assert/strict";
import { turn } from "../../shared/testing/pace.ts";
import { symbolicLink } from "../../shared/testing/symbolic_link.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { diskIo } from "../testing/disk_io.ts";
import { diskFiles } from "./disk_files.ts";
import type { CommandError } from "./exit.ts";
import { newOutput } from "./input.ts";
import { behind, createOutput, print, resolvePath, unlessStopped } from "./io.ts";

/** A sink that takes a few bytes at a time, on demand. */
function slowSink() {
  const taken: number[] = [];
  let go = Promise.withResolvers<void>();
  return {
    taken,
    release() {
      go.resolve();
      go = Promise.withResolvers();
    },
    async write(bytes: Uint8Array): Promise<number> {
      await go.promise;
      const size = Math.min(3, bytes.length);
      taken.push(...bytes.subarray(0, size));
      return size;
    },
  };
}

Deno.test("everything is written in order, also by a sink that accepts it in pieces", async () => {
  const sink = slowSink();
  const output = createOutput(sink, false, (error) => assert.fail(String(error)));
  await print(output, "hello ");
  await print(output, "world, ");
  await print(output, "again");
  let flushed = false;
  output.flush().then(() => flushed = true);
  while (!flushed) {
    sink.release();
    await turn();
  }
  assert.equal(String.fromCharCode(...sink.taken), "hello world, again");
});

Deno.test("an empty write works, and later ones, too", async () => {
  const taken: Uint8Array[] = [];
  const sink = { write: (bytes: Uint8Array) => Promise.resolve(taken.push(bytes) && bytes.length) };
  const output = createOutput(sink, false, (error) => assert.fail(String(error)));
  await print(output, "");
  await output.flush();
  await print(output, "x");
  await output.flush();
  assert.deepEqual(taken, [Uint8Array.of(0x78)]);
});

Deno.test("a write waits once much is unwritten", async () => {
  const go = Promise.withResolvers<void>();
  const sink = { write: (bytes: Uint8Array) => go.promise.then(() => bytes.length) };
  const output = createOutput(sink, false, (error) => assert.fail(String(error)));
  await output.write(new Uint8Array(60_000));
  await output.write(new Uint8Array(60_000));
  let waited = false;
  const third = output.write(new Uint8Array(60_000)).then(() => waited = true);
  await turn();
  assert.equal(waited, false);
  go.resolve();
  await third;
});

Deno.test("a closed reader is reported at once and to every later write", async () => {
  const errors: unknown[] = [];
  const broken = new Error("EPIPE");
  const output = createOutput(
    { write: () => Promise.reject(broken) },
    false,
    (e) => errors.push(e),
  );
  await print(output, "x");
  await assert.rejects(output.flush(), broken);
  await assert.rejects(print(output, "y"), broken);
  assert.deepEqual(errors, [broken]);
});

Deno.test("relative paths begin where the caller is", () => {
  assert.equal(resolvePath("/home/me/", "a/b"), "/home/me/a/b");
  assert.equal(resolvePath("/home/me", "/a"), "/a");
});

Deno.test("an output is written after the previous one, and waits no longer than its limit", async () => {
  const shown: string[] = [];
  const go = Promise.withResolvers<void>();
  const sinkOf = (until: Promise<void>) => ({
    async write(bytes: Uint8Array) {
      await until;
      shown.push(new TextDecoder().decode(bytes));
      return bytes.length;
    },
  });
  const fail = (error: unknown) => assert.fail(String(error));
  const lines = createOutput(sinkOf(go.promise), true, fail);
  const plain = createOutput(sinkOf(Promise.resolve()), true, fail);
  await print(lines, "lines");
  const summed = print(behind(plain, lines, 60_000), "sum");
  go.resolve();
  await summed;
  await plain.flush();
  assert.deepEqual(shown, ["lines", "sum"]);
  const still = createOutput(sinkOf(new Promise(() => {})), true, fail);
  await print(still, "never");
  await print(behind(plain, still, 1), "late");
  await plain.flush();
  assert.deepEqual(shown, ["lines", "sum", "late"]);
});

Deno.test("a new file has its name only once it is whole, and what a killed command left names the remedy", async () => {
  await using folder = await temporaryFolder();
  const io = diskIo(folder.path);
  const names = async () => (await io.files.list(folder.path)).sort();
  const killed = await newOutput(io, "out.ndjson");
  await killed.write(new TextEncoder().encode("half"));
  assert.deepEqual(await names(), ["out.ndjson.partial"]);
  await assert.rejects(newOutput(io, "out.ndjson"), (error: CommandError) => {
    assert.match(`${error.message}\n${error.hint}`, /partial exists already\n.*remove it/);
    return true;
  });
  await killed.abandon(false);
  const whole = await newOutput(io, "out.ndjson");
  await whole.write(new TextEncoder().encode("whole"));
  await whole.finish();
  await whole.abandon(false);
  assert.deepEqual(await names(), ["out.ndjson"]);
  await assert.rejects(newOutput(io, "out.ndjson"), /it is there already/);
});

Deno.test("a command that is killed while it writes a file leaves the old one, or none", async () => {
  await using folder = await temporaryFolder();
  const child = new URL("../testing/killed_write.ts", import.meta.url).pathname;
  const path = `${folder.path}/a`;
  const killed = async (how: "write" | "create") => {
    // A cache of code would be the first file above the limit.
    const args = ["run", "-A", "--no-check", "--no-code-cache", child, how, path];
    const { signal } = await new Deno.Command(Deno.execPath(), { args, stderr: "null" }).output();
    assert.equal(signal, "SIGXFSZ");
  };
  for (const how of ["write", "create"] as const) {
    await killed(how);
    assert.equal(await diskFiles.state(path), undefined, how);
  }
  await diskFiles.create(path, "old", 0o640);
  await assert.rejects(diskFiles.create(path, "new", 0o640), Deno.errors.AlreadyExists);
  await killed("write");
  assert.equal(await Deno.readTextFile(path), "old");
  const link = `${folder.path}/link`;
  await symbolicLink(path, link);
  await diskFiles.write(link, "new");
  assert.equal(await Deno.readTextFile(path), "new");
  assert.equal((await diskFiles.state(link))?.mode, 0o640);
});

/** Without root's right to write everywhere: it applies to these tests, but to few users. */
const LIMITED = Deno.uid() === 0
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
  : [];

/** Writes the file in a process of its own; resolves with what that wrote to its output and whether it succeeded. */
async function writeIn(path: string): Promise<string> {
  const module = new URL("./whole_file.ts", import.meta.url).href;
  const program = `import { replaceWhole } from "${module}"; await replaceWhole("${path}", "new");`;
  const command = [...LIMITED, Deno.execPath(), "eval", "--no-check", program];
  const script = `"$@" 2>&1 | grep -o "new\\|Permission denied"`;
  const args = ["-c", script, "sh", ...command];
  const { stdout } = await new Deno.Command("sh", { args }).output();
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("a file that may be written is written, also where none may be made; links, names, mode and owner stay", async () => {
  await using folder = await temporaryFolder();
  const closed = `${folder.path}/closed`;
  const [path, frozen, link, name, later] = ["a", "frozen", "link", "name", "later"]
    .map((one) => `${closed}/${one}`) as [string, string, string, string, string];
  await Deno.mkdir(closed);
  for (const one of [path, frozen]) await Deno.writeTextFile(one, "older and longer");
  await Deno.chmod(path, 0o640);
  await Deno.chmod(frozen, 0o440);
  await symbolicLink("a", link);
  await Deno.chmod(closed, 0o555);
  assert.equal(await writeIn(link), "");
  assert.equal(await Deno.readTextFile(path), "new");
  assert.equal(await writeIn(frozen), "Permission denied");
  await Deno.chmod(closed, 0o755);
  assert.equal(await writeIn(frozen), "Permission denied", "its folder alone permits nothing");
  assert.equal(await Deno.readTextFile(frozen), "older and longer");

  await Deno.link(path, name);
  await diskFiles.write(path, "both");
  assert.equal(await Deno.readTextFile(name), "both");
  await Deno.remove(name);
  if (Deno.uid() === 0) await Deno.chown(path, 1, 2);
  const { uid, gid, mode } = await Deno.stat(path);
  await diskFiles.write(link, "last");
  const now = await Deno.stat(path);
  assert.deepEqual([now.uid, now.gid, now.mode], [uid, gid, mode]);
  assert.equal((await Deno.lstat(link)).isSymlink, true);
  await symbolicLink("later", `${later}-link`);
  await diskFiles.write(`${later}-link`, "made");
  assert.equal(await Deno.readTextFile(later), "made");
  assert.equal(await writeIn("/dev/stdout"), "new");
  const names = (await diskFiles.list(closed)).toSorted();
  assert.deepEqual(names, ["a", "frozen", "later", "later-link", "link"]);
});

Deno.test("waiting ends with the signal, or earlier with its own end", async () => {
  const stop = new AbortController();
  assert.equal(await unlessStopped(stop.signal, Promise.resolve(1)), 1);
  await assert.rejects(unlessStopped(stop.signal, Promise.reject(new Error("its own"))), /its own/);
  const waiting = unlessStopped(stop.signal, new Promise(() => {}));
  stop.abort(new Error("stopped"));
  await assert.rejects(waiting, /stopped/);
  await assert.rejects(unlessStopped(stop.signal, Promise.resolve(1)), /stopped/);
});
