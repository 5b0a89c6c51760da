/**
 * Builds Centrifugo from its module, which Go downloads. `go install` would also read the list of versions, which not
 * every module proxy provides. It starts nothing.
 */
import { TargetUnavailable } from "../load/targets/target.ts";
import { lastLine, run } from "../../tasks/checkout/programs.ts";

/** The version of the build. */
export const VERSION = "6.9.1";
const MODULE = "github.com/centrifugal/centrifugo/v6";
// A manual build does not know its own version.
const LINK = ["-ldflags", `-X ${MODULE}/internal/build.Version=${VERSION}`];
const HINT =
  "put centrifugo 6 on the PATH (https://centrifugal.dev/docs/getting-started/installation), " +
  "a release or your own `go build` of its source";

/**
 * Builds Centrifugo in `folder`, with these environment variables changed. Resolves with the program's path; rejects
 * with TargetUnavailable, which names the failure and the remedy.
 */
export async function buildCentrifugo(
  folder: string,
  env: Record<string, string> = {},
): Promise<string> {
  const refused = (why: string) =>
    new TargetUnavailable(`Centrifugo does not build here (${why}): ${HINT}`);
  const got = await run("go", ["mod", "download", "-json", `${MODULE}@v${VERSION}`], { env });
  if (got === undefined) throw new TargetUnavailable(`no Centrifugo, and no Go: ${HINT}`);
  const [, key, text = ""] = /"(Dir|Error)": ("(?:[^"\\]|\\.)*")/.exec(got.text) ?? [];
  if (key !== "Dir") {
    const why = text === "" ? got.text : JSON.parse(text);
    throw refused(`go mod download: ${lastLine(why)}`);
  }
  const program = `${folder}/centrifugo`;
  const build = ["-C", JSON.parse(text), "build", ...LINK, "-o", program, "."];
  const built = await run("go", build, { env });
  if (built?.ok !== true) throw refused(`go build: ${lastLine(built?.text ?? "")}`);
  return program;
}
