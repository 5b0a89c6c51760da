/** The examples of the pages about React, Vue and Svelte, unchanged, in Chromium. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { lastLine, run } from "../../tasks/checkout/programs.ts";
import { bundle, openPage, type Scenario, type World } from "./world.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

/** An example, and its packages. */
interface Example {
  readonly framework: string;
  readonly document: string;
  readonly project: string;
  /** The language of its block, and its file. */
  readonly language: string;
  readonly file: string;
  readonly entry: string;
}

const EXAMPLES: readonly Example[] = [
  {
    framework: "React",
    document: "sdk/react/README.md",
    project: "19",
    language: "tsx",
    file: "Chat.tsx",
    entry: `import { createElement } from "react";
      import { createRoot } from "react-dom/client";
      import { App } from "./Chat.tsx";
      createRoot(document.querySelector("#app")).render(createElement(App));`,
  },
  {
    framework: "Vue",
    document: "docs/vue.md",
    project: "vue",
    language: "vue",
    file: "Chat.vue",
    entry: `import { createApp } from "vue";
      import Chat from "./Chat.vue.js";
      createApp(Chat).mount("#app");`,
  },
  {
    framework: "Svelte",
    document: "docs/svelte.md",
    project: "svelte",
    language: "svelte",
    file: "Chat.svelte",
    entry: `import { mount } from "svelte";
      import Chat from "./Chat.svelte.js";
      mount(Chat, { target: document.querySelector("#app") });`,
  },
];

/** The example as one script; the bus's address is the test's. */
async function scriptOf(example: Example, world: World): Promise<string> {
  const project = world.projects[example.project]!;
  const page = await Deno.readTextFile(ROOT + example.document);
  const block = new RegExp(`^\`\`\`${example.language}\\n([^]*?)^\`\`\`$`, "m").exec(page)?.[1] ??
    "";
  assert.ok(block.includes("wss://bus.example.com"), `${example.document} has an example`);
  const text = block.replace("wss://bus.example.com", world.bus.url);
  const path = `${project.folder}/${example.file}`;
  await Deno.writeTextFile(path, text);
  await Deno.writeTextFile(`${project.folder}/entry.js`, example.entry);
  if (!path.endsWith(".tsx")) {
    const done = await run("node", [`${project.folder}/compile.mjs`, path]);
    assert.ok(done?.ok, lastLine(done?.text ?? "no node"));
  }
  return await bundle(project, "entry.js");
}

async function chat(example: Example, world: World): Promise<void> {
  const script = await scriptOf(example, world);
  await using first = await openPage(world, script);
  await using second = await openPage(world, script);
  await first.page.getByText("open, 1 others").waitFor();
  await second.page.getByText("open, 1 others").waitFor();
  const count = () => second.page.locator("li").count();
  const before = await count();
  await first.page.getByRole("button", { name: "Say hello" }).click();
  await until("it is received", async () => await count() === before + 1);
  assert.equal((await second.page.locator("li").last().textContent())?.trim(), "hello");
  await first.page.reload();
  await first.page.getByText("open, 1 others").waitFor();
  await until("it still exists", async () => await first.page.locator("li").count() > before);
}

/** One after another in one room, whose messages are kept. */
export const PAGE_SCENARIOS: readonly Scenario[] = EXAMPLES.map((example) => ({
  name: `the example for ${example.framework} in ${example.document}`,
  run: (world) => chat(example, world),
}));
