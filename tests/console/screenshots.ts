/**
 * Makes the pictures of `docs/console.md`: two Shields and a Brain on a real NATS, a thousand real clients that talk
 * for five minutes, and Chromium. Not a test. `deno task docs:pictures [minutes] [room]`; `room`: only that
 * picture.
 */
import { connect, type Connection } from "@arqon/sdk";
import type { Page } from "playwright-core";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { startChromium } from "./world.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const FOLDER = new URL("../../docs/console/", import.meta.url).pathname;
const CLIENTS = 1_000;
/** Clients that connect concurrently. */
const AT_ONCE = 20;
const TENANTS = ["acme", "acme", "acme", "globex", "globex", "initech"];
const ROOMS = [
  "lobby",
  "orders-eu",
  "orders-us",
  "prices",
  "support",
  "fleet-berlin",
  "fleet-oslo",
];
const NAMES = ["ada", "ben", "chloe", "dev", "elif", "finn", "grace", "hugo", "ines", "jonas"];
const VIEWPORT = { width: 1_280, height: 800 };
/** For the room, whose page is long. */
const TALL = { width: 1_280, height: 1_400 };
const TOKEN_KEY = "arqon-admin-token";
/** Each client's role depends on its number, so that two runs look alike. */
const pick = <T>(list: readonly T[], at: number): T => list[at % list.length]!;

interface Client {
  readonly connection: Connection;
  readonly room: string;
}

async function join(shields: readonly ServerProcess[], issuer: Issuer, at: number) {
  const name = `${pick(NAMES, at)}-${at}`;
  const url = pick(shields, at).ready.url!.replace(/^http/, "ws");
  const room = pick(ROOMS, at * 3);
  const claims = { tenant_id: pick(TENANTS, at), sub: name };
  // One in forty only listens, and is refused when it publishes.
  const grants = at % 40 === 7 ? { grants: [{ room: "*", actions: ["subscribe"] }] } : {};
  const token = await issuer.tokenFor({ ...claims, ...grants });
  const connection = await connect({ url, token, request_timeout_ms: 60_000 });
  const member_meta = { name, status: pick(["online", "away", "busy"], at) };
  const subscription = at % 12 === 0 && !("grants" in grants)
    ? connection.room(room).subscribe({ presence: true, member_meta })
    : connection.room(room).subscribe();
  await subscription.ready;
  (async () => {
    // Messages are consumed, so that nobody is a slow reader.
    for await (const _ of subscription);
  })().catch(() => {});
  return { connection, room };
}

/** A client with an invalid token tries now and then. */
async function knock(url: string, token: string): Promise<void> {
  const refused = await connect({ url, token }).catch(() => undefined);
  await refused?.close();
}

/** Publishes until the end; with higher and lower rates in turn. */
async function talk(
  clients: readonly Client[],
  over: AbortSignal,
  onTurn: (turn: number) => void,
): Promise<void> {
  let at = 0;
  for (let turn = 0; !over.aborted; turn++) {
    onTurn(turn);
    const wave = 1 + 0.6 * Math.sin(performance.now() / 22_000);
    for (let count = 0; count < 5 * wave; count++) {
      const { connection, room } = pick(clients, at * 37);
      const data = { seq: at++, text: "All good here.", temperature_c: 18 + at % 9 };
      connection.room(room).publish("update", data).catch(() => {});
    }
    await pace(100);
  }
}

async function open(page: Page, admin_url: string, at: string, heading: string): Promise<void> {
  await page.goto(`${admin_url}/console/${at}`);
  await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
}

async function save(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  await page.screenshot({ path: `${FOLDER}${name}.png` });
  const { size } = await Deno.stat(`${FOLDER}${name}.png`);
  console.log(`${name}.png: ${Math.round(size / 1_024)} KiB`);
}

async function lookAtRoom(page: Page, admin_url: string): Promise<void> {
  await page.setViewportSize(TALL);
  await open(page, admin_url, "#/rooms/acme/orders-eu", "orders-eu");
  await page.getByRole("button", { name: "Start tail" }).click();
  await page.locator(".tail li").nth(11).waitFor();
  await page.getByRole("button", { name: "Read history" }).click();
  await page.locator(".kept li").nth(11).waitFor();
  const read = page.waitForResponse(/\/rooms\/acme\/orders-eu$/);
  await page.getByRole("button", { name: "Refresh" }).click();
  await (await read).finished();
  await page.evaluate("scrollTo(0, 0)");
  await save(page, "room");
}

async function look(
  admin_url: string,
  token: string,
  minutes: number,
  only_room: boolean,
): Promise<void> {
  await Deno.mkdir(FOLDER, { recursive: true });
  await using browser = await startChromium();
  const context = await browser.newContext({ viewport: VIEWPORT, colorScheme: "light" });
  await context.addInitScript(`sessionStorage.setItem("${TOKEN_KEY}", ${JSON.stringify(token)})`);
  const page = await context.newPage();
  page.setDefaultTimeout(minutes * 60_000 + 60_000);
  if (only_room) return await lookAtRoom(page, admin_url);
  await open(page, admin_url, "", "Overview");
  const began_ms = performance.now();
  await until("the charts are full", async () => {
    await page.waitForTimeout(1_000);
    return performance.now() - began_ms > minutes * 60_000;
  }, minutes * 60_000 + 60_000);
  await save(page, "overview-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await save(page, "overview-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await open(page, admin_url, "#/connections", "Connections");
  await page.getByRole("button", { name: "Sent", exact: true }).click();
  await save(page, "connections");
  await lookAtRoom(page, admin_url);
}

async function main(minutes: number, only_room: boolean): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const config = `${issuer.config}
[nats]
urls = ["${nats.url}"]
${durableRooms("orders-*")}
`;
  const named = (id: string) => `node_id = "${id}"`;
  await using one = await startServer("shield", config, issuer.dir, named("shield-1"));
  await using two = await startServer("shield", config, issuer.dir, named("shield-2"));
  await using _brain = await startServer("brain", config, issuer.dir, named("brain-1"));
  const clients: Client[] = [];
  while (clients.length < CLIENTS) {
    const some = Array.from({ length: AT_ONCE }, (_, at) => clients.length + at);
    clients.push(...await Promise.all(some.map((at) => join([one, two], issuer, at))));
  }
  console.log(`${clients.length} clients are connected`);
  const over = new AbortController();
  const forged = (await issuer.tokenFor({ sub: "mallory" })).replace(/.{8}$/, "AAAAAAAA");
  const url = two.ready.url!.replace(/^http/, "ws");
  const talking = talk(clients, over.signal, (turn) => {
    // Not in step with the page's requests.
    if (turn * 7_919 % 101 < 9) knock(url, forged).catch(() => {});
  });
  const token = await issuer.tokenFor({ tenant_id: "default", sub: "root", role: "admin" });
  await look(one.ready.admin_url!, token, minutes, only_room);
  over.abort();
  await talking;
  await Promise.all(clients.map(({ connection }) => connection.close()));
  await Deno.remove(issuer.dir, { recursive: true });
}

await main(Number(Deno.args[0] ?? 5), Deno.args[1] === "room");
