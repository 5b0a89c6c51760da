/**
 * Shared by the examples with a page: starts a development bus, and serves a page with the bus's address and a token.
 * For trying them only: everybody who can open the page gets the token. The folder of each example has its own code.
 */
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { decodeJwt, importJWK, SignJWT } from "@panva/jose";

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

/** Starts a bus in its own process on free ports, optionally with a configuration. It stops with this process. */
export async function startBus(config?: URL): Promise<BusPlace> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "dev", "--json", "--no-watch"].concat(
      ["--port", "--ops-port", "--admin-port"].flatMap((flag) => [flag, "0"]),
      config === undefined ? [] : ["--config", fileURLToPath(config)],
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
    if (done) throw new Error("the bus exited before it was ready");
    text += value;
    if (text.includes("\n")) return JSON.parse(text);
  }
}

/** Gives a token of the development bus for any name. A real application gives tokens to logged-in users only. */
export async function tokensOf({ token }: BusPlace): Promise<(name: string) => Promise<string>> {
  const { iss = "", aud = "", tenant_id } = decodeJwt(token);
  const file = new URL("../.arqon/dev-key.json", import.meta.url);
  const jwk = JSON.parse(await Deno.readTextFile(file));
  const key = await importJWK(jwk, "RS256");
  return (name) =>
    new SignJWT({ tenant_id, role: "user" }).setProtectedHeader({ alg: "RS256", kid: jwk.kid })
      .setIssuer(iss).setAudience(aud).setSubject(name).setIssuedAt().setExpirationTime("12h")
      .sign(key);
}

/** The script of the page in `folder`, a URL that ends with a slash: `main` there with all that it needs. */
export async function bundlePage(folder: string, main = "main.tsx"): Promise<string> {
  const { outputFiles: [script] } = await build({
    entryPoints: [fileURLToPath(new URL(main, folder))],
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

/** A file of a page by its path. */
type Files = Readonly<
  Record<string, readonly [type: string, content: string | Uint8Array<ArrayBuffer>]>
>;

/** Optional parts of a page. */
interface PageOptions {
  /** Tokens by the name in `bus.json?name=ann`; absent: everybody has the bus's. */
  readonly tokenOf?: (name: string) => Promise<string>;
  readonly files?: Files;
}

/** Serves the page in `folder` with its script, at the port that the program was given. */
export async function servePage(
  folder: string,
  script: string,
  bus: BusPlace,
  { tokenOf, files = {} }: PageOptions = {},
): Promise<void> {
  const [port = "8000"] = Deno.args;
  const html = await Deno.readTextFile(new URL("index.html", folder));
  const { url, token } = bus;
  const all: Files = {
    ...files,
    "/": ["text/html; charset=utf-8", html],
    "/main.js": ["text/javascript", script],
    "/bus.json": ["application/json", JSON.stringify({ url, token })],
  };
  Deno.serve({
    hostname: "127.0.0.1",
    port: Number(port),
    onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`),
  }, async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/bus.json" && tokenOf !== undefined) {
      const name = searchParams.get("name") ?? "";
      if (/^[\w.-]{1,32}$/.test(name)) return Response.json({ url, token: await tokenOf(name) });
      const text = "expected a name of 1 to 32 letters, digits, dots and dashes";
      return new Response(text, { status: 400 });
    }
    const [type, content] = all[pathname] ?? [];
    if (type === undefined) return new Response("not found", { status: 404 });
    return new Response(content, { headers: { "content-type": type } });
  });
}
