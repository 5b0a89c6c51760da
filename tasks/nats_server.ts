/**
 * Finds or installs `nats-server` for tests, benchmarks and `deno task dev --nats`. As a program it prints the path.
 * Not for production, where the operator provides the server.
 */
import { EXE, goInstall, installed, run } from "./checkout/programs.ts";
import { sha256Hex } from "../shared/sha256.ts";

/** Set by tests that must run without servers, to their task. */
export const NO_SERVERS = "ARQON_NO_SERVERS";

/** The version to install. */
const VERSION = "2.15.2";
/** The oldest accepted version. Earlier servers accept two concurrent compare-and-set writes. */
const OLDEST = [2, 11] as const;
/** Whether the output of `nats-server --version` names an accepted version. */
export function isNewEnough(versionText: string): boolean {
  const found = versionText.match(/\bv(\d+)\.(\d+)\.\d+/);
  if (found === null) return false;
  const major = Number(found[1]);
  const minor = Number(found[2]);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

async function works(program: string): Promise<boolean> {
  const version = await run(program, ["--version"]);
  return version !== undefined && version.ok && isNewEnough(version.text);
}

/** Builds the server with Go. The reason of a failure; undefined on success. */
const installWithGo = (folder: string): Promise<string | undefined> =>
  goInstall(folder, [`github.com/nats-io/nats-server/v2@v${VERSION}`]);

async function download(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(120_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return await response.bytes();
}

/** Downloads the server's release. The reason of a failure; undefined on success. */
async function installRelease(folder: string): Promise<string | undefined> {
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
  const name = `nats-server-v${VERSION}-${Deno.build.os}-${arch}`;
  // The tar of Windows reads both formats.
  const archive_name = `${name}.${EXE === "" ? "tar.gz" : "zip"}`;
  const base = `https://github.com/nats-io/nats-server/releases/download/v${VERSION}`;
  try {
    const archive = await download(`${base}/${archive_name}`);
    const sums = new TextDecoder().decode(await download(`${base}/SHA256SUMS`));
    const digest = await sha256Hex(archive);
    const listed = sums.split("\n").some((line) => {
      const [sum, file] = line.trim().split(/\s+\*?/);
      return sum === digest && file === archive_name;
    });
    if (!listed) return `the checksum of ${archive_name} is not the published one`;
    await Deno.writeFile(`${folder}/archive`, archive);
    const unpacked = await run("tar", ["-xf", `${folder}/archive`, "-C", folder]);
    if (unpacked?.ok !== true) return `tar failed: ${unpacked?.text ?? "it is not installed"}`;
    await Deno.rename(`${folder}/${name}/nats-server${EXE}`, `${folder}/nats-server${EXE}`);
    return undefined;
  } catch (error) {
    return `download failed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Installs the server into the folder, and returns its path. */
async function install(folder: string): Promise<string> {
  const problems: string[] = [];
  const program = `${folder}/nats-server${EXE}`;
  for (const way of [installWithGo, installRelease]) {
    const problem = await way(folder);
    if (problem === undefined && await works(program)) return program;
    problems.push(problem ?? `what was installed as ${program} does not run`);
  }
  throw new Error(
    `nats-server ${OLDEST.join(".")} or newer is needed and could not be installed:\n` +
      problems.map((problem) => `  - ${problem}\n`).join("") +
      `Install Go 1.26 or newer, or put nats-server (https://nats.io/download) on the PATH.`,
  );
}

/**
 * The path of an accepted `nats-server`: from the PATH, else from `.arqon/cache`, where it is installed if it is
 * missing. Concurrent calls wait for each other. Throws an Error with the remedy.
 */
export async function ensureNatsServer(): Promise<string> {
  // Most programs that start a server may not read the environment.
  const may_read = Deno.permissions.querySync({ name: "env", variable: NO_SERVERS }).state;
  const task = may_read === "granted" ? Deno.env.get(NO_SERVERS) : undefined;
  if (task !== undefined) {
    throw new Error(`${task} starts no nats-server: let test:cluster run this test`);
  }
  if (await works("nats-server")) return "nats-server";
  return await installed(`nats-server-${VERSION}${EXE}`, install);
}

if (import.meta.main) console.log(await ensureNatsServer());
