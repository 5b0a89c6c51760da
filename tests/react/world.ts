/**
 * Shared by the scenarios of React: a bus, Chromium, and for each version of React a folder into which npm has
 * installed it with the packed packages, as in a user's project.
 */
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { pack } from "../../tasks/pack/pack.ts";
import type { ChildScenario } from "../harness/child_scenarios.ts";
import type { TestBus } from "../harness/bus.ts";
import { install } from "../packages/project.ts";
import { type IsProblem, openAt, type OpenPage, openServed } from "../harness/pages.ts";

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

/** Packs, and installs into every project, one after another. */
export async function makeProjects(folder: string): Promise<World["projects"]> {
  const ours = (await pack(`${folder}/npm`)).map(({ path }) => path);
  const projects: Record<string, Project> = {};
  for (const [name, wanted] of Object.entries(PROJECTS)) {
    const own = `${folder}/${name}`;
    await Deno.mkdir(own);
    await install(own, [...ours, ...wanted], new URL("./programs/", import.meta.url));
    projects[name] = { folder: own };
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

const isProblem: IsProblem = (message) =>
  ["error", "warning"].includes(message.type()) && !/favicon|404/.test(message.text());

/** A page with a script, from its own server. */
export const openPage = (
  { browser, bus }: World,
  script: string,
  body = "",
): Promise<OpenPage> =>
  openServed(browser, (path) => {
    if (path === "/my-token") return new Response(bus.token);
    const is_script = path === "/page.js";
    const text = `<!doctype html><title>page</title><div id="app">${body}</div>` +
      '<script type="module" src="/page.js"></script>';
    const headers = { "content-type": `text/${is_script ? "javascript" : "html"}; charset=utf-8` };
    return new Response(is_script ? script : text, { headers });
  }, isProblem);

/** The page of an example. */
export const openExample = (browser: Browser, url: string): Promise<OpenPage> =>
  openAt(browser, url, isProblem);
