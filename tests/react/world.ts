/**
 * Shared by the scenarios of React: a bus, Chromium, and for each version of React a folder into which npm has
 * installed it with the packed packages, as in a user's project.
 */
import assert from "node:assert/strict";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { lastLine, run } from "../../tasks/checkout/programs.ts";
import { pack } from "../../tasks/pack/pack.ts";
import type { ChildScenario } from "../harness/child_scenarios.ts";
import type { TestBus } from "../harness/bus.ts";

/** A bus, a browser, and the projects by their additional packages. */
export interface World {
  readonly bus: TestBus;
  readonly browser: Browser;
  readonly projects: Readonly<Record<string, Project>>;
}

/** A test of a page. */
export type Scenario = ChildScenario<World>;

/** A folder with packages. */
export interface Project {
  readonly folder: string;
}

/** The packages in addition to ours. */
const PROJECTS: Readonly<Record<string, readonly string[]>> = {
  "18": ["react@18.3.1", "react-dom@18.3.1"],
  "19": ["react@19.3.1", "react-dom@19.3.1"],
  vue: ["vue@3.5.45"],
  svelte: ["svelte@5.57.3"],
};

/** Vue requires bundlers to define them. */
const VUE_FLAGS = {
  __VUE_OPTIONS_API__: "true",
  __VUE_PROD_DEVTOOLS__: "false",
  __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
};

async function install(folder: string, wanted: readonly string[]): Promise<Project> {
  await Deno.mkdir(folder);
  await Deno.writeTextFile(`${folder}/package.json`, '{ "type": "module", "private": true }\n');
  const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", ...wanted];
  const done = await run("npm", args);
  if (done?.ok !== true) throw new Error(`npm install: ${lastLine(done?.text ?? "no npm")}`);
  const programs = new URL("./programs/", import.meta.url);
  for await (const { name } of Deno.readDir(programs)) {
    await Deno.copyFile(new URL(name, programs), `${folder}/${name}`);
  }
  return { folder };
}

/** Packs, and installs into every project, one after another. */
export async function makeProjects(folder: string): Promise<World["projects"]> {
  const ours = (await pack(`${folder}/npm`)).map(({ path }) => path);
  const projects: Record<string, Project> = {};
  for (const [name, wanted] of Object.entries(PROJECTS)) {
    projects[name] = await install(`${folder}/${name}`, [...ours, ...wanted]);
  }
  return projects;
}

/** A program of the project in one file, with React's development build, which mounts twice. */
export async function bundle(
  { folder }: Project,
  program: string,
  platform: "browser" | "node" = "browser",
): Promise<string> {
  const { outputFiles: [file] } = await build({
    absWorkingDir: folder,
    entryPoints: [program],
    bundle: true,
    format: platform === "node" ? "cjs" : "esm",
    platform,
    target: "es2022",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"', ...VUE_FLAGS },
    logLevel: "error",
    write: false,
  });
  return file!.text;
}

/** A page with a script, from its own server. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
}

/** Opens it in its own context. Errors in the page make the scenario fail at its end. */
export async function openPage(
  { browser, bus }: World,
  script: string,
  body = "",
): Promise<OpenPage> {
  const text = `<!doctype html><title>page</title><div id="app">${body}</div>` +
    '<script type="module" src="/page.js"></script>';
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    const { pathname } = new URL(url);
    if (pathname === "/my-token") return new Response(bus.token);
    const is_script = pathname === "/page.js";
    const headers = { "content-type": `text/${is_script ? "javascript" : "html"}; charset=utf-8` };
    return new Response(is_script ? script : text, { headers });
  });
  return await openAt(browser, `http://127.0.0.1:${server.addr.port}/`, () => server.shutdown());
}

/** A server's page; `closed` stops the server. */
export async function openAt(
  browser: Browser,
  url: string,
  closed: () => Promise<void> = () => Promise.resolve(),
): Promise<OpenPage> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    const is_bad = message.type() === "error" || message.type() === "warning";
    if (is_bad && !message.text().includes("favicon")) problems.push(message.text());
  });
  await page.goto(url);
  return {
    page,
    async [Symbol.asyncDispose]() {
      await context.close();
      await closed();
      assert.deepEqual(problems.filter((one) => !one.includes("404")), [], "the page had problems");
    },
  };
}
