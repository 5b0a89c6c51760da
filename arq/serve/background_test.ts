/**
 * Records, the lock and the log of a bus in the background, on the disk. How a bus is started as its own process, and
 * the message for a failed start.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  devFiles,
  isAlive,
  olderLog,
  openLog,
  parseRecord,
  readLog,
  readRecord,
  takeLock,
  writeRecord,
} from "./background.ts";
import { diskIo } from "../testing/disk_io.ts";
import { backgroundCommand, busFlags } from "../commands/dev/dev_up.ts";
import { CommandError } from "../terminal/exit.ts";
import { ConfigError } from "../../shared/config/load.ts";
import { ListenError } from "../../shared/listeners/listen.ts";
import { startProblem, takenPlaces } from "./start_problem.ts";

async function place() {
  const path = await Deno.makeTempDir({ prefix: "arq-dev-" });
  await Deno.mkdir(join(path, ".arqon/dev"), { recursive: true });
  return {
    files: devFiles(path),
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

Deno.test("a record is read back unchanged; anything else is ignored", async () => {
  await using here = await place();
  assert.equal(await readRecord(here.files), undefined);
  for (
    const record of [
      { kind: "embedded", pid: 12, started_ms: 1 },
      { kind: "compose", file: "/c.yaml", started_ms: 2 },
    ] as const
  ) {
    await writeRecord(here.files, record);
    assert.deepEqual(await readRecord(here.files), record);
  }
  for (
    const text of [
      "",
      "null",
      "[]",
      '{"kind":"embedded","pid":1,"started_ms":1}',
      '{"kind":"embedded","pid":-5,"started_ms":1}',
      '{"kind":"embedded","pid":"7; rm","started_ms":1}',
      '{"kind":"compose","started_ms":1}',
      '{"kind":"compose","file":"f"}',
      '{"kind":"other","pid":7,"started_ms":1}',
    ]
  ) assert.equal(parseRecord(text), undefined, text);
});

Deno.test("a bus counts as alive while its lock is held", async () => {
  await using here = await place();
  assert.equal(await isAlive(here.files), false);
  const lock = await takeLock(here.files);
  assert.ok(lock);
  assert.equal(await isAlive(here.files), true);
  assert.equal(await takeLock(here.files), undefined);
  lock.close();
  assert.equal(await isAlive(here.files), false);
});

Deno.test("a log is followed to its last line, also over the beginning of another file", async () => {
  await using here = await place();
  const write = openLog(here.files.log, 64);
  write("first\n");
  let left = 2;
  const pause = () => {
    if (left-- === 2) { for (let n = 0; n < 3; n++) write(`line ${n} of a long log\n`); }
    if (left === 0) write("last\n");
    return Promise.resolve(left > 0);
  };
  let text = "";
  for await (const bytes of readLog(here.files.log, pause)) text += new TextDecoder().decode(bytes);
  const lines = Array.from({ length: 3 }, (_, n) => `line ${n} of a long log\n`);
  assert.equal(text, ["first\n", ...lines, "last\n"].join(""));
  // One file of up to 64 bytes and a line, and the previous one.
  assert.equal(await Deno.readTextFile(olderLog(here.files.log)), ["first\n", ...lines].join(""));
});

Deno.test("a missing log is NotFound", async () => {
  await using here = await place();
  const all = Array.fromAsync(readLog(here.files.log, () => Promise.resolve(false)));
  await assert.rejects(all, Deno.errors.NotFound);
});

/** If the system is slow to tell who has the port, the message says "another program". */
const ASK_MS = 500;
const shown = (error: unknown) =>
  startProblem(
    error,
    (places) => `fix ${places.map(({ table }) => table).join()}`,
    AbortSignal.timeout(ASK_MS),
  );

Deno.test("a bus may read our sources and write its state, and all files only with a configuration", () => {
  const places = { root: "/src", state_dir: "/w/.arqon", data_dir: "/d" };
  const flags = busFlags(places, ["/bin/deno"]);
  assert.ok(flags.includes("--allow-read=/src,/w/.arqon,/d"));
  assert.ok(flags.includes("--allow-write=/w/.arqon,/d"));
  assert.ok(flags.includes("--allow-run=/bin/deno"));
  assert.ok(busFlags({ ...places, config_file: "/c.toml" }, []).includes("--allow-read"));
  assert.ok(!flags.some((flag) => ["-A", "--allow-all", "--allow-env"].includes(flag)));
});

Deno.test("the background is this program again, compiled or not, with absolute paths", () => {
  const io = diskIo("/my folder");
  const files = devFiles(io.cwd);
  const flags = { port: 0, config: "c.toml" };
  const own = [
    ...["dev", "--background", "--port", "0"],
    ...["--data-dir", files.data_dir, "--config", "/my folder/c.toml"],
  ];
  assert.deepEqual(backgroundCommand(io, flags, files, true), {
    command: Deno.execPath(),
    args: own,
  });
  const { args } = backgroundCommand(io, flags, files, false);
  const main = args.findIndex((arg) => arg.endsWith("/arq/main.ts"));
  assert.equal(args[0], "run");
  assert.deepEqual(args.slice(main + 1), own);
});

Deno.test("a port in use is reported with its listener and how to choose another", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const message = `ops listener: port ${port} on 127.0.0.1 is in use; stop the other process`;
  assert.deepEqual(takenPlaces(message), [
    { name: "ops", table: "ops", host: "127.0.0.1", port, tls: false },
  ]);
  const two = `${message}; admin listener: port ${port} on ::1 is in use ([admin] port)`;
  assert.deepEqual(takenPlaces(two).map(({ table, host }) => [table, host]), [
    ["ops", "127.0.0.1"],
    ["admin", "::1"],
  ]);
  const error = await shown(new ListenError(message));
  assert.ok(error instanceof CommandError);
  assert.match(error.message, new RegExp(`^ops port: 127\\.0\\.0\\.1:${port} is in use by `));
  assert.equal(error.hint, "fix ops");
});

Deno.test("an invalid configuration is a usage error, other failures keep their text", async () => {
  const problem = { position: undefined, key: "nats.urls", text: "wrong" };
  const usage = await shown(new ConfigError("--nats", [problem]));
  assert.ok(usage instanceof CommandError);
  assert.deepEqual([usage.exit_code, usage.message], [2, "--nats nats.urls: wrong"]);
  const foreign = await shown(new ListenError("client listener: 9.9.9.9 is not an address"));
  assert.ok(foreign instanceof CommandError);
  assert.equal(foreign.message, "client listener: 9.9.9.9 is not an address");
  const denied = await shown(new Deno.errors.PermissionDenied("no"));
  assert.ok(denied instanceof CommandError && denied.hint?.includes("may write"));
  const bug = new Error("bug");
  assert.equal(await shown(bug), bug);
});
