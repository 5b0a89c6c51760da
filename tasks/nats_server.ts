/**
 * Finds or installs `nats-server` for tests, benchmarks and `deno task dev --nats`. As a program it prints
 * the path. Not for production, where the operator provides the server.
 */
import { ROOT } from "./checkout/source_files.ts";

/** The version that is installed. */
const VERSION = "2.15.2";
/** The oldest version that is good. Earlier servers let two concurrent compare-and-set writes win. */
const OLDEST = [2, 11] as const;
const IS_WINDOWS = Deno.build.os === "windows";
const EXE = IS_WINDOWS ? ".exe" : "";
const cache = `${ROOT}.arqon/cache`;
const cached = `${cache}/nats-server-${VERSION}${EXE}`;

/** Runs a command to its end; undefined when no such program exists. */
async function run(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<{ ok: boolean; text: string } | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
    const decoder = new TextDecoder();
    return { ok: success, text: `${decoder.decode(stdout)}${decoder.decode(stderr)}`.trim() };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Whether the output of `nats-server --version` is that of a server that is new enough. */
export function isNewEnough(versionText: string): boolean {
  const found = versionText.match(/\bv(\d+)\.(\d+)\.\d+/);
  if (found === null) return false;
  const [major, minor] = [Number(found[1]), Number(found[2])];
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

async function works(program: string): Promise<boolean> {
  const version = await run(program, ["--version"]);
  return version !== undefined && version.ok && isNewEnough(version.text);
}

/** Installs the server with Go. Returns why that did not work, or undefined. */
async function installWithGo(target: string): Promise<string | undefined> {
  const bin = await Deno.makeTempDir({ dir: cache, prefix: "go-" });
  try {
    const source = `github.com/nats-io/nats-server/v2@v${VERSION}`;
    const built = await run("go", ["install", source], { GOBIN: bin });
    if (built === undefined) return "go is not installed";
    if (!built.ok) return `go install failed: ${built.text}`;
    await Deno.rename(`${bin}/nats-server${EXE}`, target);
    return undefined;
  } finally {
    await Deno.remove(bin, { recursive: true });
  }
}

async function download(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(120_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return await response.bytes();
}

/** Installs the server from its release. Returns why that did not work, or undefined. */
async function installRelease(target: string): Promise<string | undefined> {
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
  const name = `nats-server-v${VERSION}-${Deno.build.os}-${arch}`;
  // The tar of Windows reads both formats.
  const archive_name = `${name}.${IS_WINDOWS ? "zip" : "tar.gz"}`;
  const base = `https://github.com/nats-io/nats-server/releases/download/v${VERSION}`;
  const folder = await Deno.makeTempDir({ dir: cache, prefix: "release-" });
  try {
    const archive = await download(`${base}/${archive_name}`);
    const sums = new TextDecoder().decode(await download(`${base}/SHA256SUMS`));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", archive)).toHex();
    const listed = sums.split("\n").some((line) => {
      const [sum, file] = line.trim().split(/\s+\*?/);
      return sum === digest && file === archive_name;
    });
    if (!listed) return `the checksum of ${archive_name} is not the published one`;
    await Deno.writeFile(`${folder}/archive`, archive);
    const unpacked = await run("tar", ["-xf", `${folder}/archive`, "-C", folder]);
    if (unpacked?.ok !== true) return `tar failed: ${unpacked?.text ?? "it is not installed"}`;
    await Deno.rename(`${folder}/${name}/nats-server${EXE}`, target);
    return undefined;
  } catch (error) {
    return `download failed: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function install(): Promise<void> {
  const problems: string[] = [];
  for (const way of [installWithGo, installRelease]) {
    const problem = await way(cached);
    if (problem === undefined && await works(cached)) return;
    problems.push(problem ?? `what was installed as ${cached} does not run`);
  }
  throw new Error(
    `nats-server ${OLDEST.join(".")} or newer is needed and could not be installed:\n` +
      problems.map((problem) => `  - ${problem}\n`).join("") +
      `Install Go 1.26 or newer, or put nats-server (https://nats.io/download) on the PATH.`,
  );
}

/**
 * The path of a `nats-server` that is new enough: from the PATH, else from `.arqon/cache`, where it is
 * installed when it is missing. Calls in parallel wait for each other. Throws an Error that says what to do.
 */
export async function ensureNatsServer(): Promise<string> {
  if (await works("nats-server")) return "nats-server";
  if (await works(cached)) return cached;
  await Deno.mkdir(cache, { recursive: true });
  // The system ends the lock with the process, so a killed run leaves nothing to clean up.
  using lock = await Deno.open(`${cache}/nats-server.lock`, { create: true, write: true });
  await lock.lock(true);
  if (!await works(cached)) await install();
  return cached;
}

if (import.meta.main) console.log(await ensureNatsServer());
