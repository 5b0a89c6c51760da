/**
 * Ambiguous requests to our own listener: whatever it accepts, Node's strict parser interprets in the same way, and
 * behind HAProxy and nginx it gets no request except theirs.
 */
import assert from "node:assert/strict";
import { listenClient } from "../shared/listeners/listen.ts";
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";
import { startHaproxy, startNginx } from "./proxies/proxies.ts";
import { AFTER, SMUGGLING } from "./smuggling/cases.ts";

/** A parsed request. */
type Seen = readonly [method: string, path: string, body: string];

interface Reader extends AsyncDisposable {
  readonly port: number;
  /** All requests since the last call, with the proxy's interpretation. */
  taken(): Promise<{ seen: Seen; x_seen: string | null }[]>;
}

async function startOwn(): Promise<Reader> {
  let requests: { seen: Seen; x_seen: string | null }[] = [];
  const listener = await listenClient({
    name: "client",
    host: "127.0.0.1",
    port: 0,
    websocket: "own",
    async handler(request) {
      const { method, url, headers } = request;
      let body = "";
      try {
        body = await request.text();
      } catch {
        // The result is not a body: the connection ends.
        body = "broken";
      }
      requests.push({ seen: [method, new URL(url).pathname, body], x_seen: headers.get("x-seen") });
      return new Response("ok\n");
    },
  });
  return {
    port: listener.port,
    taken() {
      const taken = requests;
      requests = [];
      return Promise.resolve(taken);
    },
    [Symbol.asyncDispose]: () => listener.close(100),
  };
}

/** Node's own server, strict by default, in a separate process. */
const NODE_SERVER = `
const { createServer } = require("node:http");
let requests = [];
const server = createServer((request, response) => {
  if (request.url === "/taken") {
    response.end(JSON.stringify(requests));
    requests = [];
    return;
  }
  let body = "";
  request.setEncoding("latin1");
  request.on("data", (text) => body += text);
  request.on("end", () => {
    requests.push([request.method, request.url, body]);
    response.end("ok\\n");
  });
  request.on("error", () => requests.push([request.method, request.url, "broken"]));
});
server.on("checkExpectation", (request, response) => response.writeHead(417).end());
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`;

async function startNode(): Promise<Reader> {
  const server = StreamedCommand.start(["node", "-e", NODE_SERVER], { stderr: "inherit" });
  const port = Number(await server.firstLine());
  return {
    port,
    async taken() {
      const answer = await fetch(`http://127.0.0.1:${port}/taken`);
      return (await answer.json() as Seen[]).map((seen) => ({ seen, x_seen: null }));
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Sends it in one piece; returns everything received until the end, or until a pause. */
async function send(port: number, raw: string): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const bytes = new Uint8Array([...raw + AFTER].map((unit) => unit.charCodeAt(0)));
  let text = "";
  try {
    await conn.write(bytes);
    // Tells a parser that waits for more that there is none.
    await conn.closeWrite();
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const count = await conn.read(buffer);
      if (count === null) return text;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // A reset ends the answer.
    return text;
  }
}

/** Paths with method and body; a request whose body broke was not accepted. */
function readingOf(requests: readonly { seen: Seen }[]): string[] {
  return requests.map(({ seen: [method, path, body] }) => {
    // For "*" our handler gets the origin.
    const { pathname } = new URL(path === "*" ? "/" : path, "http://a");
    // A handler of GET ignores its body, and ours skips it.
    return `${method} ${pathname} ${/^(GET|HEAD)$/.test(method) ? "" : body}`;
  }).filter((text) => !text.endsWith(" broken"));
}

Deno.test("what our own parser accepts, Node's strict one interprets in the same way", async () => {
  await using own = await startOwn();
  await using node = await startNode();
  const alike: string[] = [];
  const refused: string[] = [];
  const looser: string[] = [];
  for (const [name, raw] of Object.entries(SMUGGLING)) {
    const answer = await send(own.port, raw);
    await send(node.port, raw);
    const ours = readingOf(await own.taken());
    const theirs = readingOf(await node.taken());
    const no = / (4\d\d|50[15]) /.test(answer);
    assert(!ours.some((text) => text.split(" ")[1] === "/smuggled"), `${name}: ${ours}`);
    if (ours.join("\n") === theirs.join("\n")) alike.push(name);
    // Read until it was refused, as Node did.
    else if (no && ours.every((text, at) => text === theirs[at])) refused.push(name);
    else looser.push(`${name}: we read ${JSON.stringify(ours)}, Node ${JSON.stringify(theirs)}`);
  }
  assert.deepEqual(looser, []);
  assert(
    alike.length > 30 && refused.length > 5,
    `${alike.length} alike, ${refused.length} refused`,
  );
});

const PROXIES = [
  ["HAProxy", (port: number) => startHaproxy(port, "forwarded-for")],
  // The half-close after each request is no reason to exclude one.
  ["nginx", (port: number) => startNginx(port, true)],
] as const;

for (const [name, start] of PROXIES) {
  Deno.test(`behind ${name} there is no request that it has not seen`, async () => {
    await using own = await startOwn();
    await using proxy = await start(own.port);
    let passed = 0;
    for (const [what, raw] of Object.entries(SMUGGLING)) {
      await send(proxy.port, raw);
      for (const { seen: [method, path], x_seen } of await own.taken()) {
        // HAProxy reports no path for "*".
        const known = x_seen === "OPTIONS"
          ? "OPTIONS /"
          : x_seen?.replace("OPTIONS *", "OPTIONS /");
        assert.equal(known, `${method} ${path}`, `${what}: a request that ${name} did not see`);
        passed++;
      }
    }
    assert(passed > 30, `only ${passed} requests came through`);
  });
}
