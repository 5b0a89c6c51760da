/**
 * Pages in Chromium with a bundle of the packed packages, served from this machine. esbuild makes the bundle from the
 * project's `node_modules`, as it would for a user.
 */
import { build } from "esbuild";
import { type IsProblem, openAt, type OpenPage, openServed } from "../harness/pages.ts";
import type { PageProgram } from "./programs/page.ts";
import type { World } from "./world.ts";

/** No inline script, no `eval`, no other origins: a strict site's policy. */
const POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src ws: http:";
const DOCUMENT = '<!doctype html><title>page</title><script type="module" src="/page.js"></script>';

async function bundle({ project: { folder } }: World): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    absWorkingDir: folder,
    entryPoints: ["page.ts", "worker.ts", "service.ts"],
    bundle: true,
    splitting: true,
    format: "esm",
    minify: true,
    platform: "browser",
    target: "es2022",
    outdir: folder,
    write: false,
  });
  return new Map(outputFiles.map(({ path, text }) => [path.slice(folder.length), text]));
}

/** Scenarios break sockets on purpose, which the browser reports, too. */
const isProblem: IsProblem = (message) => message.text().includes("Content Security Policy");

/** The page of a server. */
export const openUrl = ({ browser }: World, url: string): Promise<OpenPage> =>
  openAt(browser, url, isProblem);

/** `programs/page.ts` in a page. */
export async function openProgram(world: World): Promise<OpenPage> {
  const scripts = await bundle(world);
  return await openServed(world.browser, (path) => {
    const script = scripts.get(path);
    const type = script === undefined ? "text/html" : "text/javascript";
    const headers = { "content-type": type, "content-security-policy": POLICY };
    return new Response(script ?? DOCUMENT, { headers });
  }, isProblem);
}

/** The page of docs/packages.md that needs no bundler; it assigns `connect` to the globals. */
const WITHOUT_BUNDLER = `<!doctype html><title>page</title>
<script type="importmap">
{
  "imports": {
    "@arqon/sdk": "/node_modules/@arqon/sdk/mod.js",
    "@arqon/proto": "/node_modules/@arqon/proto/mod.js"
  }
}
</script>
<script type="module">
  import { connect } from "@arqon/sdk";
  globalThis.connect = connect;
</script>`;

/** A page that loads the modules individually, as npm has installed them. */
export async function openUnbundled(world: World): Promise<OpenPage> {
  return await openServed(world.browser, async (path) => {
    if (!/^\/node_modules\/@arqon\/[\w/]+\.js$/.test(path)) {
      return new Response(WITHOUT_BUNDLER, { headers: { "content-type": "text/html" } });
    }
    const script = await Deno.readTextFile(world.project.folder + path);
    return new Response(script, { headers: { "content-type": "text/javascript" } });
  }, isProblem);
}

/** The globals that `programs/page.ts` defines, for functions that run in the page. */
export type PageGlobals = typeof globalThis & { readonly arqon: PageProgram };
