/** Runs `examples/proof_verifier/verify.py`, which knows nothing of our code. */
import { must, run } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";

/** Its result, or its error message. */
export async function verifierPy(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly found?: Record<string, unknown>; readonly wrong?: string }> {
  const program = `${ROOT}examples/proof_verifier/verify.py`;
  const options = { env: { ...env, PYTHONUTF8: "1" } };
  const { ok, stdout, stderr } = (await run("python3", [program, ...args], options))!;
  return ok ? { found: JSON.parse(stdout) } : { wrong: stderr.trim() };
}

/** Calls the program's `main` with the arguments of each line, and prints its error message, or "". */
const MANY = `
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
import verify
for line in sys.stdin.read().splitlines():
    sys.argv = ["verify.py", *json.loads(line)]
    end = SystemExit("")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            verify.main()
        except SystemExit as exit:
            end = exit
    print(json.dumps(str(end.code)))
`;

/** Its error messages for many calls in one process; "": none. */
export async function verifiersPy(all: readonly (readonly string[])[]): Promise<string[]> {
  const args = ["-B", "-c", MANY, `${ROOT}examples/proof_verifier`];
  const stdin = all.map((args) => `${JSON.stringify(args)}\n`).join("");
  const { stdout } = await must("python3", args, { env: { PYTHONUTF8: "1" }, stdin });
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** Writes the files of a tree into a folder. */
export async function writeFiles(
  folder: string,
  files: Iterable<readonly [path: string, bytes: Uint8Array]>,
): Promise<void> {
  for (const [path, bytes] of files) {
    const file = `${folder}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(file, bytes);
  }
}
