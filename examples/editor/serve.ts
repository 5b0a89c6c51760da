/**
 * `deno task example:editor [PORT]`: starts a bus with the rooms that documents need, and serves the page. For
 * development only: in production a server gives each user a token.
 */
import { fileURLToPath } from "node:url";
import { build, type Plugin, stop } from "esbuild";

const path = (url: string) => fileURLToPath(new URL(url, import.meta.url));
const PACKAGES = [
  ...["@arqon/sdk", "@arqon/sdk/history", "@arqon/proto", "@arqon/yjs"],
  ...["yjs", "y-protocols/awareness.js"],
];
const LIB0 = fileURLToPath(new URL(".", import.meta.resolve("lib0/observable")));

/** Packages are where this program finds them. */
const FOUND: Plugin = {
  name: "found",
  setup({ onResolve }) {
    onResolve({ filter: /^[@a-z]/ }, ({ path: name }) => {
      if (name.startsWith("lib0/")) {
        return { path: `${LIB0}${name.slice(5).replace(/\.js$/, "")}.js` };
      }
      return PACKAGES.includes(name)
        ? { path: fileURLToPath(import.meta.resolve(name)) }
        : undefined;
    });
  },
};

const { outputFiles: [script] } = await build({
  entryPoints: [path("main.ts")],
  plugins: [FOUND],
  bundle: true,
  format: "esm",
  target: "es2022",
  write: false,
});
await stop();

const bus = new Deno.Command(Deno.execPath(), {
  args: [
    ...["run", "--allow-run", "--allow-read", `--allow-write=${path("../../.arqon")}`],
    ...[path("../../tasks/dev/dev.ts"), "--json", "--no-watch", "--config", path("bus.toml")],
    ...["--port", "0", "--ops-port", "0", "--admin-port", "0"],
  ],
  cwd: path("../.."),
  stdin: "null",
  stdout: "piped",
  stderr: "inherit",
}).spawn();
const lines = bus.stdout.pipeThrough(new TextDecoderStream()).getReader();
let output = "";
while (!output.includes("\n")) {
  const { value, done } = await lines.read();
  if (done) throw new Error("the bus has ended");
  output += value;
}
const { url, token } = JSON.parse(output.slice(0, output.indexOf("\n")));

const html = await Deno.readTextFile(path("index.html"));
const answers: Readonly<Record<string, () => Response>> = {
  "/": () => new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } }),
  "/main.js": () => new Response(script!.text, { headers: { "content-type": "text/javascript" } }),
  "/bus": () => Response.json({ url, token }),
};
const [port = "8000"] = Deno.args;
const server = Deno.serve(
  {
    hostname: "127.0.0.1",
    port: Number(port),
    onListen: (at) => console.log(`http://127.0.0.1:${at.port}/`),
  },
  (request) =>
    answers[new URL(request.url).pathname]?.() ?? new Response("not found", { status: 404 }),
);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => bus.kill("SIGTERM"));
}
await bus.status;
await server.shutdown();
Deno.exit(0);
