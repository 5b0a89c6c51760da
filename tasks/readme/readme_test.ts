/** `deno task readme` on small pages: real terminals, files and processes, and the failures of a page. */
import assert from "node:assert/strict";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { runDeno } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { doSteps } from "./reader.ts";
import { readSteps } from "./readme_steps.ts";

/** A page with every feature; `hello` is the command whose output is compared. */
const page = (hello: string) => `
## Run it

<!-- keeps running -->
~~~sh
echo ready
while read -r -p '> ' line; do echo "< \${#line} letters"; done
~~~

~~~text
ready
> hello
< 5 letters
> you
< 3 letters
~~~

<!-- test command -->
~~~sh
echo tested >tests.txt
~~~

<!-- keeps running -->
~~~sh
mkfifo letters
echo listening
cat letters
~~~

~~~sh
mkdir folder
cd folder
TOKEN=secret
~~~

~~~text file=hello.txt
hello
~~~

~~~sh
${hello}
~~~

~~~text
hello …
~~~

~~~sh
echo "from $TOKEN" >../letters
~~~

<!-- in that terminal -->
~~~text
listening
from secret
~~~

## Talk to it

<!-- fails -->
~~~sh
ls ~/nothing
~~~
`;
const HELLO = 'echo "$(cat hello.txt) $TOKEN"';

interface Outcome {
  readonly code: number;
  readonly lines: readonly string[];
  /** The names in the folder after the run. */
  readonly left: readonly string[];
}

/** Runs the task in a separate folder with this README. */
async function readme(text: string, ...options: string[]): Promise<Outcome> {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/README.md`, text);
  const permissions = ["read", "write", "run", "net=127.0.0.1", "env=PATH"].map((name) =>
    `--allow-${name}`
  );
  const args = ["run", "--quiet", "--config", `${ROOT}deno.json`, ...permissions];
  const task = `${ROOT}tasks/readme/readme.ts`;
  const pages = options.includes("--test-command") ? [] : ["README.md"];
  const words = [...args, task, ...options, ...pages];
  const { code, stdout, stderr } = await runDeno(words, { cwd: folder.path });
  const lines = (stderr + stdout).trimEnd().split("\n");
  return { code, lines, left: [...Deno.readDirSync(folder.path)].map(({ name }) => name).sort() };
}

Deno.test("a README with correct commands passes, and leaves no file", async () => {
  const { code, lines, left } = await readme(page(HELLO));
  assert.equal(lines.at(-1), "8 passed, 0 failed", lines.join("\n"));
  assert.equal(code, 0);
  assert.deepEqual(left, ["README.md"]);
});

Deno.test("a README with a wrong command fails, with the expected and the actual output", async () => {
  const wrong = await readme(page("echo good-bye"), "--without-tests");
  assert.equal(wrong.code, 1);
  assert.equal(wrong.lines.at(-1), "6 passed, 1 failed", wrong.lines.join("\n"));
  const at = wrong.lines.findIndex((line) => line.startsWith("FAIL"));
  assert.deepEqual(wrong.lines.slice(at, at + 6), [
    "FAIL README.md:40: echo good-bye",
    "  other text was printed",
    "  expected:",
    "    hello …",
    "  came:",
    "    good-bye",
  ]);
  const unknown = await readme(page("no-such-command"), "--without-tests");
  assert.equal(unknown.lines.at(-1), "6 passed, 1 failed");
  assert.ok(unknown.lines.includes("  exit code 0 was expected, 127 came"));
});

Deno.test("a README that lacks the output of the other terminal fails", async () => {
  const { lines } = await readme(page(HELLO).replace("from secret", "from nobody"));
  assert.equal(lines.at(-1), "7 passed, 1 failed", lines.join("\n"));
  assert.ok(lines.includes("FAIL README.md:53: mkfifo letters"), lines.join("\n"));
  assert.ok(lines.includes("  it has ended"));
});

Deno.test("a heading of the README without commands fails before anything runs", async () => {
  const { code, lines } = await readme(page(HELLO).replace("<!-- fails -->\n~~~sh", "~~~"));
  assert.equal(code, 1);
  assert.deepEqual(lines, [
    'FAIL README.md: nothing is run below the heading "Talk to it"',
    "",
    "0 passed, 1 failed",
  ]);
});

Deno.test("an occupied port that the README needs fails before anything runs", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const { lines } = await readme(`${page(HELLO)}\nhttp://127.0.0.1:${port}/\n`);
  assert.match(lines[0] ?? "", new RegExp(`^FAIL README\\.md: port ${port} is in use`));
  assert.equal(lines.at(-1), "0 passed, 1 failed");
});

Deno.test("the test command is printed as in the README", async () => {
  assert.deepEqual((await readme(page(HELLO), "--test-command")).lines, ["echo tested >tests.txt"]);
});

Deno.test("a process that outlives its page is reported and killed", async () => {
  await using folder = await temporaryFolder();
  const daemon = "setsid sh -c 'echo $$ >pid; exec sleep 1000' &";
  const steps = readSteps(`~~~sh\n${daemon}\nuntil [ -s pid ]; do sleep 0.1; done\n~~~\n`);
  const setting = { folder: folder.path, ending_ms: 200 };
  const results = await Array.fromAsync(doSteps(steps, setting));
  assert.deepEqual(results.map(({ problem }) => problem), [
    undefined,
    "processes of this page were left running; they are killed",
  ]);
  const pid = (await Deno.readTextFile(`${folder.path}/pid`)).trim();
  const { success } = await new Deno.Command("sh", {
    args: ["-c", `grep -qz sleep /proc/${pid}/cmdline`],
  }).output();
  assert.equal(success, false);
});
