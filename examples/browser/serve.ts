/**
 * Serves the chat page on this machine and bundles its script anew for each request, so that a change
 * is there after a reload. For development: what is put on a web server is what `esbuild` writes.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { context, stop } from "esbuild";

const path = (url: string) => fileURLToPath(new URL(url, import.meta.url));
/** Packages are where this program finds them. */
const alias = Object.fromEntries(
  ["@arqon/sdk", "@arqon/sdk/history", "@arqon/proto"].map((name) => [
    name,
    fileURLToPath(import.meta.resolve(name)),
  ]),
);

const [port = "8000"] = Deno.args;
const page = await context({
  entryPoints: [path("main.ts")],
  alias,
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  outfile: path("main.js"),
  write: false,
});
const served = await page.serve({ servedir: path("."), host: "127.0.0.1", port: Number(port) });
/** esbuild is a process of its own, which may outlive this one while it serves. */
async function end(): Promise<void> {
  await page.dispose();
  await stop();
  process.exit();
}
process.once("SIGINT", end);
process.once("SIGTERM", end);
console.log(`http://127.0.0.1:${served.port}/`);
