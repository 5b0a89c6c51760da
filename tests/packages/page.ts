/**
 * Pages in Chromium with a bundle of the packed packages, served from this machine. esbuild makes the bundle from the
 * project's `node_modules`, as it would for a user.
 */
import assert from "node:assert/strict";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import type { PageProgram } from "./programs/page.ts";
import type { World } from "./world.ts";

/** No inline script, no `eval`, no other origins: a strict site's policy. */
const POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src ws: http:";
const DOCUMENT = '<!doctype html><title>page</title><script type="module" src="/page.js"></script>';

/** A server of one page on a free port, with a browser context that shows it. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
}

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

/** A page in its own context; errors in it are thrown at the end. */
export async function openUrl({ browser }: World, url: string): Promise<OpenPage> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    // Scenarios break sockets on purpose, which the browser reports.
    if (message.text().includes("Content Security Policy")) problems.push(message.text());
  });
  await page.goto(url);
  return {
    page,
    async [Symbol.asyncDispose]() {
      await context.close();
      assert.deepEqual(problems, [], "the page had problems");
    },
  };
}

/** A page from its own server; `answer` gets the requested paths. */
async function openServed(
  world: World,
  answer: (path: string) => Response | Promise<Response>,
): Promise<OpenPage> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    ({ url }) => answer(new URL(url).pathname),
  );
  const opened = await openUrl(world, `http://127.0.0.1:${server.addr.port}/`);
  return {
    page: opened.page,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]();
      await server.shutdown();
    },
  };
}

/** `programs/page.ts` in a page. */
export async function openProgram(world: World): Promise<OpenPage> {
  const scripts = await bundle(world);
  return await openServed(world, (path) => {
    const script = scripts.get(path);
    const type = script === undefined ? "text/html" : "text/javascript";
    const headers = { "content-type": type, "content-security-policy": POLICY };
    return new Response(script ?? DOCUMENT, { headers });
  });
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
  return await openServed(world, async (path) => {
    if (!/^\/node_modules\/@arqon\/[\w/]+\.js$/.test(path)) {
      return new Response(WITHOUT_BUNDLER, { headers: { "content-type": "text/html" } });
    }
    const script = await Deno.readTextFile(world.project.folder + path);
    return new Response(script, { headers: { "content-type": "text/javascript" } });
  });
}

/** The globals that `programs/page.ts` defines, for functions that run in the page. */
export type PageGlobals = typeof globalThis & { readonly arqon: PageProgram };
