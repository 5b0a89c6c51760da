/**
 * `deno task example:chat [PORT]`: starts a development bus and what answers, and serves the page with the bus's address
 * and a token. For a look at it: whoever reaches the page gets the token.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Plugin } from "esbuild";
import { connect } from "@arqon/sdk";
import { answerQuestions } from "./model.ts";

const path = (url: string) => fileURLToPath(new URL(url, import.meta.url));
/** Packages are where this program finds them. */
const PACKAGES: Plugin = {
  name: "packages",
  setup(build) {
    build.onResolve({ filter: /^(?:@arqon|react|react-dom|scheduler)(?:\/|$)/ }, ({ path }) => ({
      path: fileURLToPath(import.meta.resolve(path)),
    }));
  },
};

/** A bus of its own process on free ports; it ends with this one. */
async function startBus(): Promise<{ readonly url: string; readonly token: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "dev", "--json", "--no-watch"].concat(
      ["--port", "--ops-port", "--admin-port"].flatMap((flag) => [flag, "0"]),
    ),
    cwd: path("../.."),
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const end = () => {
    child.kill();
    Deno.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, end);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "";;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the bus has ended before it was ready");
    text += value;
    if (text.includes("\n")) return JSON.parse(text);
  }
}

const [port = "8000"] = Deno.args;
const { outputFiles: [script] } = await build({
  entryPoints: [path("main.tsx")],
  plugins: [PACKAGES],
  bundle: true,
  format: "esm",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"development"' },
  target: "es2022",
  write: false,
});

const { url, token } = await startBus();
const bus = await connect({ url, token });
answerQuestions(bus.room("durable-chat")).catch((error) => console.error(error));
const FILES: Readonly<Record<string, readonly [type: string, text: string]>> = {
  "/": ["text/html; charset=utf-8", await Deno.readTextFile(path("index.html"))],
  "/main.js": ["text/javascript", script!.text],
  "/bus.json": ["application/json", JSON.stringify({ url, token })],
};
Deno.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`),
}, (request) => {
  const [type, text] = FILES[new URL(request.url).pathname] ?? [];
  if (type === undefined) return new Response("not found", { status: 404 });
  return new Response(text, { headers: { "content-type": type } });
});
