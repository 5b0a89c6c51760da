/**
 * The matrix: every client goes to a bus of each socket implementation, in both forms and with the
 * token wherever it can put it, exchanges a message with somebody else, and is refused once.
 */
import assert from "node:assert/strict";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import type { TestBus } from "../harness/bus.ts";
import type { ChildScenario } from "../harness/child_scenarios.ts";
import {
  BUN_VERSION,
  ensureBun,
  ensureNode,
  ensureWs,
  NODE_VERSIONS,
  WS_VERSION,
} from "../packages/runtimes.ts";
import { openText } from "../peers/raw_client.ts";
import type { PageClients } from "./page_main.ts";
import type { Report, Wanted } from "./runtime_main.ts";
import type { Refused, Seen, Visit } from "./visit.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const DEADLINE_MS = 60_000;
/** Every letter of it survives both forms. */
const SAID = 'grüße, "世界" 🙂';

/** Which socket implementation a bus has. */
type Kind = "native" | "own";

/** Programs as bundles. */
export interface Programs {
  /** Path of the one for runtimes. */
  readonly runtime: string;
  /** Text of the one for a page. */
  readonly page: string;
}

/** A bus of each kind, a browser, the programs. */
interface World {
  readonly buses: Readonly<Record<Kind, TestBus>>;
  readonly browser: Browser;
  readonly programs: Programs;
}

type Scenario = ChildScenario<World>;

/** Bundles both into the folder. */
export async function bundlePrograms(folder: string): Promise<Programs> {
  const shared = {
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    alias: { "@arqon/proto": `${ROOT}proto/mod.ts` },
    write: false,
  } as const;
  const texts = await Promise.all(["runtime_main", "page_main"].map(async (name) => {
    const { outputFiles } = await build({
      ...shared,
      entryPoints: [`${ROOT}tests/clients/${name}.ts`],
    });
    return outputFiles[0]!.text;
  }));
  const [runtime = "", page = ""] = texts;
  await Deno.writeTextFile(`${folder}/runtime.mjs`, runtime);
  return { runtime: `${folder}/runtime.mjs`, page };
}

/** Answers in a room whatever a visitor says, and tells who said what; ends with its scope. */
async function openHost(bus: TestBus, room: string) {
  const host = await openText(bus.url, await bus.tokenFor({ user: "host" }));
  host.send({ op: "sub", room, no_echo: true, id: 1 });
  assert.equal((await host.json()).code, 0);
  const heard: string[] = [];
  const answering = (async () => {
    for (;;) {
      const { op, data } = await host.json();
      if (op !== "msg") continue;
      heard.push(data);
      host.send({ op: "pub", room, type: "chat", data: `${data}!` });
    }
  })();
  // It ends with the connection.
  answering.catch(() => {});
  return { heard, [Symbol.dispose]: () => host[Symbol.dispose]() };
}

/** Visits in every form and way, with what each says. */
function visitsOf(bus: TestBus, room: string, token: string, ways: readonly Visit["by"][]) {
  return (["binary", "text"] as const).flatMap((form) =>
    ways.map((by) => ({
      visit: { url: bus.url, http_url: bus.http_url, token, room, form, by },
      text: `${SAID} ${form} by ${by}`,
    }))
  );
}

type Visits = ReturnType<typeof visitsOf>;

function assertSeen({ visit: { form }, text }: Visits[number], seen: Seen | undefined): void {
  assert.equal(seen?.protocol, form === "text" ? "arqon.v1.json" : "arqon.v1");
  const [welcome, subscribed, ...rest] = seen.heard;
  assert.deepEqual([welcome, subscribed], ["welcome", "ack 0"]);
  assert.deepEqual([...rest].sort(), ["ack 0", `msg ${text}!`]);
  // Bun says 1005 or 1000, depending on who was first.
  assert.ok([1000, 1005].includes(seen.closed), String(seen.closed));
}

function assertRefused(refused: Refused | undefined): void {
  assert.equal(refused?.opened, false, "it was let in");
  assert.ok(refused.events.length > 0, "it saw nothing");
  assert.deepEqual([refused.status, refused.reason], [401, "token-expired"]);
}

async function runProgram(
  program: string,
  args: readonly string[],
  wanted: Wanted,
): Promise<Report> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [...args, JSON.stringify(wanted)],
    stdin: "null",
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${program}: ${out}${err}`);
  return JSON.parse(out!);
}

/** A client that runs outside of browsers. */
interface RuntimeClient {
  readonly name: string;
  readonly program: () => Promise<string>;
  readonly args?: readonly string[];
  readonly ws?: boolean;
}

const nodes = NODE_VERSIONS.map((version) => ({
  name: `Node ${version}`,
  program: () => ensureNode(version),
}));
const deno = { name: "Deno", program: () => Promise.resolve(Deno.execPath()) };

/** Each can send headers in its own way. */
const RUNTIME_CLIENTS: readonly RuntimeClient[] = [
  ...nodes.map((node) => ({ ...node, name: `ws ${WS_VERSION} in ${node.name}`, ws: true })),
  ...nodes,
  { name: `Bun ${BUN_VERSION}`, program: ensureBun },
  { ...deno, args: ["run", "--no-config", "--allow-net"] },
];

async function inRuntime(world: World, client: RuntimeClient, kind: Kind): Promise<void> {
  const bus = world.buses[kind];
  const room = `runtime-${client.name.replaceAll(/[^A-Za-z0-9]/g, "-")}`;
  const visits = visitsOf(bus, room, await bus.tokenFor(), ["item", "header"]);
  const expired = await bus.tokenFor({ ttl_seconds: -100 });
  const refusals = visitsOf(bus, room, expired, ["item", "header"]).map(({ visit }) => visit);
  const program = await client.program();
  const ws = client.ws === true ? { ws: await ensureWs() } : {};
  // The host waits for a visitor only so long: what has to be downloaded is there before.
  using host = await openHost(bus, room);
  const args = [...client.args ?? [], world.programs.runtime];
  const report = await runProgram(program, args, { ...ws, visits, refusals });
  visits.forEach((one, index) => assertSeen(one, report.seen[index]));
  assert.deepEqual(host.heard, visits.map(({ text }) => text));
  refusals.forEach((_, index) => assertRefused(report.refused[index]));
  const answers = client.ws === true ? refusals.map(() => "401 token-expired") : [];
  assert.deepEqual(report.answers, answers);
}

/** In a page of another origin than the bus. */
async function inChromium(world: World, kind: Kind): Promise<void> {
  const bus = world.buses[kind];
  const room = "page";
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    const headers = { "content-type": "text/html; charset=utf-8" };
    return new Response("<!doctype html><title>clients</title>", { headers });
  });
  const context = await world.browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await page.addScriptTag({ content: world.programs.page, type: "module" });
    await page.waitForFunction("globalThis.clients !== undefined");
    using host = await openHost(bus, room);
    type Here = typeof globalThis & { clients: PageClients };
    const visits = visitsOf(bus, room, await bus.tokenFor(), ["item"]);
    for (const one of visits) {
      const seen = await page.evaluate(
        ({ visit, text }) => (globalThis as Here).clients.visit(visit, text),
        one,
      );
      assertSeen(one, seen);
    }
    assert.deepEqual(host.heard, visits.map(({ text }) => text));
    const expired = await bus.tokenFor({ ttl_seconds: -100 });
    for (const { visit } of visitsOf(bus, room, expired, ["item"])) {
      assertRefused(
        await page.evaluate((visit) => (globalThis as Here).clients.refused(visit), visit),
      );
    }
  } finally {
    await context.close();
  }
}

/** Every client with every kind of socket. */
export const SCENARIOS: readonly Scenario[] = (["native", "own"] as const).flatMap((kind) => [
  ...RUNTIME_CLIENTS.map((client): Scenario => ({
    name: `${client.name} on ${kind} sockets`,
    run: (world) => inRuntime(world, client, kind),
  })),
  { name: `Chromium on ${kind} sockets`, run: (world) => inChromium(world, kind) },
]);
