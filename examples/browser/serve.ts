/**
 * Serves the chat page on this machine and bundles its script again for each request, so that a reload shows each
 * change. For development only: on a web server, deploy the output of `esbuild`.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { context, stop } from "esbuild";

const path = (url: string) => fileURLToPath(new URL(url, import.meta.url));
/** Finds packages as this program does. */
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
/** esbuild is a separate process, which may outlive this one while it serves. */
async function end(): Promise<void> {
  await page.dispose();
  await stop();
  process.exit();
}
process.once("SIGINT", end);
process.once("SIGTERM", end);
console.log(`http://127.0.0.1:${served.port}/`);
