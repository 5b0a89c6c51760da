/**
 * Builds Centrifugo: by `go install`; where the Go module proxy gives its versions but not the list of them,
 * which `go install` reads, from the downloaded module; where it refuses the module, from a clone of its
 * source, whose own packages the proxy may still give. It starts nothing.
 */
import { TargetUnavailable } from "../load/targets/target.ts";
import { goInstall, lastLine, run } from "../../tasks/checkout/programs.ts";

/** The version that is built. */
export const VERSION = "6.9.1";
const MODULE = "github.com/centrifugal/centrifugo/v6";
const SOURCE = "https://github.com/centrifugal/centrifugo";
// A build by hand does not know its own version.
const LINK = ["-ldflags", `-X ${MODULE}/internal/build.Version=${VERSION}`];
const HINT =
  "put centrifugo 6 on the PATH (https://centrifugal.dev/docs/getting-started/installation), " +
  "a release or your own `go build` of its source";

/** The reason why `go build` in a folder of the source failed; undefined when it succeeded. */
async function build(
  source: string,
  program: string,
  env: Record<string, string>,
): Promise<string | undefined> {
  const built = await run("go", ["-C", source, "build", ...LINK, "-o", program, "."], { env });
  return built?.ok === true ? undefined : `go build: ${lastLine(built?.text ?? "there is no Go")}`;
}

/** Builds in the cache of modules, to which nothing is written. Undefined when it succeeded, else the reason. */
async function fromModule(
  _folder: string,
  program: string,
  env: Record<string, string>,
): Promise<string | undefined> {
  const got = await run("go", ["mod", "download", "-json", `${MODULE}@v${VERSION}`], { env });
  const told = /"(Dir|Error)": ("(?:[^"\\]|\\.)*")/.exec(got?.text ?? "");
  if (told?.[2] === undefined) return `go mod download: ${lastLine(got?.text ?? "there is no Go")}`;
  const text: string = JSON.parse(told[2]);
  return told[1] === "Dir" ? await build(text, program, env) : `go mod download: ${lastLine(text)}`;
}

/** Builds from a clone in `folder`. Undefined when it succeeded, else the reason. */
async function fromSource(
  folder: string,
  program: string,
  env: Record<string, string>,
): Promise<string | undefined> {
  const source = `${folder}/source`;
  const clone = ["clone", "--quiet", "--depth", "1", "--branch", `v${VERSION}`, SOURCE, source];
  // Git must not ask for a name where the source is not available.
  const cloned = await run("git", clone, { env: { ...env, GIT_TERMINAL_PROMPT: "0" } });
  if (cloned === undefined) return "there is no git";
  if (!cloned.ok) return `git clone: ${lastLine(cloned.text)}`;
  const failed = await build(source, program, env);
  await Deno.remove(source, { recursive: true });
  return failed;
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
  const problem = await goInstall(folder, [...LINK, `${MODULE}@v${VERSION}`], env);
  if (problem === undefined) return program;
  if (problem.startsWith("Go ")) throw new TargetUnavailable(`no Centrifugo, and no Go: ${HINT}`);
  const refused = [problem];
  for (const way of [fromModule, fromSource]) {
    const reason = await way(folder, program, env);
    if (reason === undefined) return program;
    refused.push(reason);
  }
  throw new TargetUnavailable(`Centrifugo does not build here (${refused.join("; ")}): ${HINT}`);
}
