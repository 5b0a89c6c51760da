/**
 * Serves the page of the live map on this machine, bundled with esbuild, and gives it the token. A real program gives
 * each signed-in user a separate token. For Deno and Node 22 or newer.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const USAGE = "usage: view.ts URL TOKEN [--room map] [--port 8000]";
const path = (url: string) => fileURLToPath(new URL(url, import.meta.url));

/** The page's script in one file. esbuild finds packages as this program does. */
async function bundle(): Promise<string> {
  const packages = ["@arqon/sdk", "@arqon/sdk/history", "@arqon/proto"];
  const { outputFiles } = await build({
    entryPoints: [path("page.ts")],
    alias: Object.fromEntries(packages.map((name) => [name, path(import.meta.resolve(name))])),
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2022",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

async function view(): Promise<void> {
  const room = { type: "string", default: "map" } as const;
  const port = { type: "string", default: "8000" } as const;
  const { values, positionals } = parseArgs({ options: { room, port }, allowPositionals: true });
  const [url, token] = positionals;
  if (url === undefined || token === undefined) throw new Error(USAGE);
  const files = new Map([
    ["/", ["text/html; charset=utf-8", await readFile(path("page.html"), "utf8")]],
    ["/page.js", ["text/javascript; charset=utf-8", await bundle()]],
    ["/bus", ["application/json", JSON.stringify({ url, room_id: values.room })]],
    ["/token", ["text/plain", token]],
  ]);
  const server = createServer(({ url = "", headers }, response) => {
    const [type = "", body = ""] = files.get(url) ?? [];
    // A page of another name that leads to this machine must not get the token.
    const ours = /^(127\.0\.0\.1|localhost):\d+$/.test(headers.host ?? "");
    response.writeHead(!ours ? 403 : type === "" ? 404 : 200, { "content-type": type });
    response.end(ours ? body : "");
  });
  server.on("error", (error) => fail(error));
  server.listen(Number(values.port), "127.0.0.1", () => {
    console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  });
}

function fail(error: unknown): never {
  console.error(`view: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

await view().catch(fail);
