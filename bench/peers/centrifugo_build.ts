/**
 * Builds Centrifugo: by `go install`, and where the Go module proxy refuses its module, from a clone of its
 * source, whose own packages the proxy may still give. It starts nothing.
 */
import { TargetUnavailable } from "../load/targets/target.ts";
import { lastLine, run } from "./installed.ts";

/** The version that is built. */
export const VERSION = "6.9.1";
const MODULE = "github.com/centrifugal/centrifugo/v6";
const SOURCE = "https://github.com/centrifugal/centrifugo";
// A build by hand does not know its own version.
const LINK = ["-ldflags", `-X ${MODULE}/internal/build.Version=${VERSION}`];
const HINT =
  "put centrifugo 6 on the PATH (https://centrifugal.dev/docs/getting-started/installation), " +
  "a release or your own `go build` of its source";

/** Builds from a clone in `folder`. Undefined when it succeeded, else the reason. */
async function fromSource(
  folder: string,
  program: string,
  env: Record<string, string>,
): Promise<string | undefined> {
  const source = `${folder}/source`;
  const clone = ["clone", "--quiet", "--depth", "1", "--branch", `v${VERSION}`, SOURCE, source];
  // Git must not ask for a name where the source is not to be had.
  const cloned = await run("git", clone, { ...env, GIT_TERMINAL_PROMPT: "0" });
  if (cloned === undefined) return "there is no git";
  if (!cloned.ok) return `git clone: ${lastLine(cloned.text)}`;
  const built = await run("go", ["-C", source, "build", ...LINK, "-o", program, "."], env);
  await Deno.remove(source, { recursive: true });
  return built?.ok === true ? undefined : `go build: ${lastLine(built?.text ?? "there is no Go")}`;
}

/**
 * Builds Centrifugo in `folder`, with these variables of the environment changed. Resolves with the program's
 * path; rejects with TargetUnavailable, which says what was refused and what to do.
 */
export async function buildCentrifugo(
  folder: string,
  env: Record<string, string> = {},
): Promise<string> {
  const program = `${folder}/centrifugo`;
  const args = ["install", ...LINK, `${MODULE}@v${VERSION}`];
  const installed = await run("go", args, { ...env, GOBIN: folder });
  if (installed === undefined) throw new TargetUnavailable(`no Centrifugo, and no Go: ${HINT}`);
  if (installed.ok) return program;
  const refused = await fromSource(folder, program, env);
  if (refused === undefined) return program;
  const first = `go install: ${lastLine(installed.text)}`;
  throw new TargetUnavailable(`Centrifugo does not build here (${first}; ${refused}): ${HINT}`);
}
