#!/usr/bin/env node
// Runs `arq` on the Deno that npm has installed beside this package. It finds Deno's executable by
// itself, so that no package has to run a script at install time. Flags and permissions are in
// flags.json, which `deno task pack` writes.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";

const { deno_version, flags } = JSON.parse(
  readFileSync(new URL("./flags.json", import.meta.url), "utf8"),
);
const { platform, arch } = process;

/** Ends with one sentence. 127 is what a shell says of a command that it cannot find. */
function fail(sentence) {
  process.stderr.write(`arq: ${sentence}\n`);
  process.exit(127);
}

function isMusl() {
  // Node knows the version of glibc where it runs on one.
  return platform === "linux" && !process.report?.getReport().header.glibcVersionRuntime;
}

function findDeno() {
  if (isMusl()) {
    fail("Deno needs glibc, which this system (musl) does not have; run arq in a Debian container");
  }
  const name = `@deno/${platform}-${arch}${platform === "linux" ? "-glibc" : ""}`;
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
    const program = join(folder, platform === "win32" ? "deno.exe" : "deno");
    if (existsSync(program)) return program;
  } catch {
    // Not installed.
  }
  const known = ["linux", "darwin", "win32"].includes(platform) && ["x64", "arm64"].includes(arch);
  return fail(
    known
      ? `${name} ${deno_version} is not installed; npm install arqon without --omit=optional ` +
        "and --no-optional brings it"
      : `there is no Deno for ${platform} ${arch}; it runs on Linux, macOS and Windows, x64 and arm64`,
  );
}

const RUNNERS = { bun: "bunx", pnpm: "pnpm exec", yarn: "yarn" };

/** What the person typed to get here: `arq`, `npx arq`, `bunx arq`. */
function calledAs() {
  const name = basename(process.argv[1] ?? "arq").replace(/\.\w+$/, "");
  const { npm_command, npm_config_user_agent: agent = "" } = process.env;
  if (process.versions.bun !== undefined) return `bunx ${name}`;
  if (npm_command === undefined && agent === "") return name;
  return `${RUNNERS[agent.split("/")[0]] ?? "npx"} ${name}`;
}

/** Deno's environment: no look for updates, and no folder but the one where we are. */
function environment() {
  const env = { ...process.env, DENO_NO_UPDATE_CHECK: "1", ARQON_CALLED_AS: calledAs() };
  // npm leaves its own start folder here; the folder of a script is the package's.
  delete env.INIT_CWD;
  return env;
}

const deno = findDeno();
const main = fileURLToPath(new URL("../arq/main.js", import.meta.url));
const args = ["run", ...flags.map((flag) => flag.replace("{deno}", deno)), main];
args.push(...process.argv.slice(2));

if (platform !== "win32" && process.execve !== undefined) {
  // This process becomes Deno: signals, exit codes and the terminal are its own.
  process.removeAllListeners("warning");
  process.on("warning", () => {});
  try {
    process.execve(deno, [deno, ...args], environment());
  } catch {
    // Not possible in a worker thread or under some sandboxes.
  }
}

const child = spawn(deno, args, { stdio: "inherit", env: environment() });
child.on("error", (error) => fail(`Deno cannot be started: ${error.message}`));
// From a terminal everybody in the foreground gets Ctrl-C, and a second one means "at once".
// Not `process.stdout.isTTY`: Node makes a pipe non-blocking when it looks, and the child shares it.
const has_terminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
process.on("SIGINT", () => has_terminal || child.kill("SIGINT"));
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  process.exit(code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 15));
});
