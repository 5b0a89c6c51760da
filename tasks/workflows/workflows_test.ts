/** A workflow with a mistake for each checker, which must report it; otherwise the gate proves nothing. */
import assert from "node:assert/strict";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { lintWorkflows, workflowTools } from "./workflows.ts";

const PIN = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1";

const SOUND = `# For a test.
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
    steps:
      - uses: ${PIN}
        with:
          persist-credentials: false
      - run: deno task ok
`;

Deno.test("actionlint, shellcheck and zizmor find planted mistakes, and nothing in a valid file", async () => {
  const tools = await workflowTools();
  await using folder = await temporaryFolder();
  const lint = async (text: string) => {
    await Deno.writeTextFile(`${folder.path}/planted.yml`, text);
    return await lintWorkflows(folder.path, tools);
  };
  assert.equal(await lint(SOUND), "");
  assert.match(await lint(SOUND.replace(PIN, "actions/checkout@v7")), /error\[unpinned-uses\]/);
  const unknown = SOUND.replace("ubuntu-latest", "ubuntu-lastest");
  assert.match(await lint(unknown), /label "ubuntu-lastest" is unknown.*\[runner-label\]/);
  assert.match(await lint(SOUND.replace("deno task ok", "rm $x/*")), /\[shellcheck\]/);
  const injected = SOUND.replace("deno task ok", "echo ${{ github.event.pull_request.title }}");
  assert.match(await lint(injected), /error\[template-injection\]/);
  const broad = SOUND.replace("permissions: {}", "permissions: write-all");
  assert.match(await lint(broad), /\[excessive-permissions\]/);
});
