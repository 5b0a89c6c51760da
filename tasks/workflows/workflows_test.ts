/** A workflow with a mistake for each checker: they must say so, or the gate proves nothing. */
import assert from "node:assert/strict";
import { checkWorkflow, lintWorkflows } from "./workflows.ts";
import { workflowTools } from "./workflows_tools.ts";

const PIN = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1";
const TASKS = new Set(["ok"]);

const workflow = (steps: string, job = "    timeout-minutes: 5\n") =>
  `# For a test.
name: planted
on:
  pull_request:
permissions: {}
concurrency:
  group: planted
  cancel-in-progress: true
jobs:
  one:
    name: one
    runs-on: ubuntu-latest
${job}    steps:
${steps}`;

const SOUND = workflow(`      - uses: ${PIN}
        with:
          persist-credentials: false
      - run: deno task ok
`);

const said = (text: string) => checkWorkflow("w.yml", text, TASKS).map(({ message }) => message);

Deno.test("our rules name an action without commit or version, and a job without an end", () => {
  assert.deepEqual(said(SOUND), []);
  for (const pin of ["actions/checkout@v7", PIN.replace(" # v7.0.1", ""), `${PIN} or so`]) {
    assert.match(said(SOUND.replace(PIN, pin)).join(), /pin a commit and name its version/, pin);
  }
  const steps = "      - run: deno task ok\n";
  assert.deepEqual(said(workflow(steps, "")), ["give the job timeout-minutes"]);
  assert.deepEqual(said(workflow(steps, "    uses: ./a.yml\n").replace(/ +runs-on.*\n/, "")), []);
});

Deno.test("our rules name a registry of npm", () => {
  const steps = "      - run: deno task ok\n        registry-url: https://registry.example\n";
  assert.match(said(workflow(steps)).join(), /name no registry of npm/);
});

Deno.test("our rules name a task that is not there", () => {
  assert.deepEqual(said(workflow("      - run: deno task gone\n")), [
    'deno.json has no task "gone"',
  ]);
});

Deno.test("actionlint, shellcheck and zizmor find planted mistakes, and nothing in a sound file", async () => {
  const tools = await workflowTools();
  const folder = await Deno.makeTempDir();
  const lint = async (text: string) => {
    await Deno.writeTextFile(`${folder}/planted.yml`, text);
    return await lintWorkflows(folder, tools);
  };
  try {
    assert.equal(await lint(SOUND), "");
    const unknown = SOUND.replace("ubuntu-latest", "ubuntu-lastest");
    assert.match(await lint(unknown), /label "ubuntu-lastest" is unknown.*\[runner-label\]/);
    assert.match(await lint(SOUND.replace("deno task ok", "rm $x/*")), /\[shellcheck\]/);
    const injected = SOUND.replace("deno task ok", "echo ${{ github.event.pull_request.title }}");
    assert.match(await lint(injected), /error\[template-injection\]/);
    const broad = SOUND.replace("permissions: {}", "permissions: write-all");
    assert.match(await lint(broad), /\[excessive-permissions\]/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
