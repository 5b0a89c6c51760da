/** How a bus is started as its own process, and the message for a failed start. */
import assert from "node:assert/strict";
import { diskIo } from "../testing/disk_io.ts";
import { backgroundCommand, busFlags } from "../commands/dev/dev_up.ts";
import { CommandError } from "../terminal/exit.ts";
import { ConfigError } from "../../shared/config/load.ts";
import { ListenError } from "../../shared/listeners/listen.ts";
import { devFiles } from "./background.ts";
import { startProblem, takenPlaces } from "./start_problem.ts";

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
