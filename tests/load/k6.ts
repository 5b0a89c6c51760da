/**
 * `deno task k6 [inspect | run] [options of k6]`: finds or builds k6 and gives it `load_test.js`. `inspect` (the
 * default) only checks that k6 accepts the script. Building takes some minutes, so no test does it; a k6 on the PATH is
 * preferred.
 */
import { endOnSignal } from "../harness/end_on_signal.ts";

/** The version to build. */
const VERSION = "v1.8.1";
const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname);
const CACHE = `${ROOT}.arqon/cache`;
const CACHED = `${CACHE}/k6-${VERSION}`;
const SCRIPT = `${ROOT}tests/load/load_test.js`;

async function works(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["version"] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function build(): Promise<void> {
  await Deno.mkdir(CACHE, { recursive: true });
  const bin = await Deno.makeTempDir({ dir: CACHE, prefix: "go-" });
  console.error(`building k6 ${VERSION}, which takes some minutes ...`);
  try {
    const { success, stderr } = await new Deno.Command("go", {
      args: ["install", `go.k6.io/k6@${VERSION}`],
      env: { GOBIN: bin },
    }).output();
    if (!success) throw new Error(`go install failed: ${new TextDecoder().decode(stderr)}`);
    await Deno.rename(`${bin}/k6`, CACHED);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error("k6 is not on the PATH, and without Go it cannot be built", { cause: error });
  } finally {
    await Deno.remove(bin, { recursive: true });
  }
}

/** The path of a k6, which is built if there is none. Throws an Error that says what to do. */
export async function ensureK6(): Promise<string> {
  if (await works("k6")) return "k6";
  if (!await works(CACHED)) await build();
  return CACHED;
}

if (import.meta.main) {
  endOnSignal();
  const [verb = "inspect", ...options] = Deno.args;
  const program = await ensureK6();
  const args = [verb, ...options, SCRIPT];
  const { code } = await new Deno.Command(program, { args, stdin: "null" }).spawn().status;
  Deno.exit(code);
}
