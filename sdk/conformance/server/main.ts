/**
 * The scripted server: plays the scenarios of `../scenarios` to any client, over WebSocket or HTTP; `../README.md`
 * describes its answers. It is not a bus and has no security: it listens on 127.0.0.1 only.
 * `deno run --allow-net=127.0.0.1 --allow-read=sdk/conformance sdk/conformance/server/main.ts`.
 */
import { createServer, type Socket } from "node:net";
import { answer, ByteReader, type HttpAnswer, type HttpRequest, readRequest } from "./http.ts";
import { Run } from "./runs.ts";
import { readScenarios, type Scenario } from "./script.ts";

const FOLDER = new URL("../scenarios/", import.meta.url);
/** The most runs that are kept; above, the oldest is deleted. */
const RUNS_MAX = 256;

function load(): Map<string, Scenario> {
  const scenarios = new Map<string, Scenario>();
  for (const { name } of Deno.readDirSync(FOLDER)) {
    const text = Deno.readTextFileSync(new URL(name, FOLDER));
    for (const scenario of readScenarios(name, text)) {
      if (scenarios.has(scenario.name)) {
        throw new TypeError(`${name}: there is another scenario "${scenario.name}"`);
      }
      scenarios.set(scenario.name, scenario);
    }
  }
  return scenarios;
}

const scenarios = load();
const runs = new Map<string, Run>();
let last_id = 0;
let port = 0;

function begin(name: string): HttpAnswer {
  const scenario = scenarios.get(name);
  if (scenario === undefined) return { status: 404, body: { error: `no scenario "${name}"` } };
  const id = String(++last_id);
  runs.set(id, new Run(scenario));
  for (const oldest of runs.keys()) {
    if (runs.size <= RUNS_MAX) break;
    runs.delete(oldest);
  }
  return { status: 201, body: { id, url: `ws://127.0.0.1:${port}/runs/${id}` } };
}

async function respond(request: HttpRequest): Promise<HttpAnswer> {
  const { method, url } = request;
  const [place, name = "", what, detail = ""] = url.pathname.slice(1).split("/").map(
    decodeURIComponent,
  );
  if (place === "scenarios" && method === "POST") return begin(name);
  const run = place === "runs" ? runs.get(name) : undefined;
  if (run === undefined) return { status: 404, body: { error: `nothing at ${url.pathname}` } };
  if (what === "v1" && url.pathname.endsWith("/v1/auth/check")) return run.check;
  if (what === "signals" && method === "POST") {
    run.signal(detail);
    return { status: 200, body: {} };
  }
  if (method === "DELETE") runs.delete(name);
  if (url.searchParams.get("until") === "over") await run.over;
  return { status: 200, body: run.report() };
}

async function serve(socket: Socket): Promise<void> {
  const reader = new ByteReader(socket);
  const request = await readRequest(reader);
  if (request === undefined) return void socket.destroy();
  const [, id = "", way, index] =
    /^\/runs\/(\d+)\/v1\/(socket|connections)(?:\/(\d+))?$/.exec(request.url.pathname) ?? [];
  const run = runs.get(id);
  if (run !== undefined && index !== undefined && request.method === "POST") {
    return answer(socket, run.takeBatch(Number(index), request));
  }
  const is_upgrade = request.headers.get("upgrade") === "websocket";
  if (run !== undefined && is_upgrade === (way === "socket")) {
    return await run.accept(socket, reader, request);
  }
  answer(socket, await respond(request));
}

if (import.meta.main) {
  const at = Deno.args.indexOf("--port");
  const server = createServer((socket) => {
    // The end of a client is reported as the end of its bytes.
    socket.on("error", () => {});
    void serve(socket);
  });
  server.listen(at < 0 ? 0 : Number(Deno.args[at + 1]), "127.0.0.1", () => {
    port = (server.address() as { port: number }).port;
    console.log(JSON.stringify({ url: `http://127.0.0.1:${port}` }));
  });
}
