/**
 * What the examples in React share: a development bus of their own, and a page that gets the bus's address and a token.
 * For a look at them: whoever reaches the page gets the token. What an example shows is in its own folder.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Plugin } from "esbuild";

/** Where a bus is, and a token for it. */
interface BusPlace {
  readonly url: string;
  readonly token: string;
}

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
export async function startBus(): Promise<BusPlace> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "dev", "--json", "--no-watch"].concat(
      ["--port", "--ops-port", "--admin-port"].flatMap((flag) => [flag, "0"]),
    ),
    cwd: fileURLToPath(new URL("..", import.meta.url)),
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

/** The script of the page in `folder`, a URL that ends with a slash: its `main.tsx` with all that it needs. */
export async function bundlePage(folder: string): Promise<string> {
  const { outputFiles: [script] } = await build({
    entryPoints: [fileURLToPath(new URL("main.tsx", folder))],
    plugins: [PACKAGES],
    bundle: true,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
    target: "es2022",
    write: false,
  });
  return script!.text;
}

/** Serves the page in `folder` with its script, at the port that the program was given. */
export async function servePage(folder: string, script: string, bus: BusPlace): Promise<void> {
  const [port = "8000"] = Deno.args;
  const html = await Deno.readTextFile(new URL("index.html", folder));
  const { url, token } = bus;
  const FILES: Readonly<Record<string, readonly [type: string, text: string]>> = {
    "/": ["text/html; charset=utf-8", html],
    "/main.js": ["text/javascript", script],
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
}
