/**
 * Programs in documents, as users run them: separate processes on a real bus. The recipes of docs/cookbook.md, its bus
 * for many customers, and the migration pages.
 */
import assert from "node:assert/strict";
import { connect, type Connection } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { runArq, succeeds } from "../../arq/testing/run_arq.ts";
import { sharedByTests } from "../../shared/testing/shared_by_tests.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { runDeno } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { startBus, startBusWith, type TestBus } from "../harness/bus.ts";
import { startProgram, startRecipe } from "./program.ts";

/** For the programs that need no configuration. */
const running = sharedByTests(() => startBus());

const as = (bus: TestBus, user: string, role: "user" | "service" = "user") =>
  bus.tokenFor({ user, role });

const open = async (bus: TestBus, user: string): Promise<Connection> =>
  await connect({ url: bus.url, token: await as(bus, user) });

async function lateJoin(bus: TestBus): Promise<void> {
  await using peer = await open(bus, "ann");
  for (let n = 1; n <= 25; n++) await peer.room("durable-plans").publish("chat", `said ${n}`);
  await using late = startRecipe("late_join.ts", bus.url, await as(bus, "bob"));
  await late.says("ann> said 25");
  await peer.room("durable-plans").publish("chat", "live");
  await late.says("ann> live");
  const wanted = Array.from({ length: 20 }, (_, at) => `ann> said ${at + 6}`);
  assert.deepEqual(late.lines, [...wanted, "ann> live"]);
}

async function cursors(bus: TestBus): Promise<void> {
  await using ann = startRecipe("cursors.ts", bus.url, await as(bus, "ann"));
  await using bob = startRecipe("cursors.ts", bus.url, await as(bus, "bob"));
  await ann.says('bob {"x":0,"y":0}');
  // At once: a pause between two moves would send each.
  await bob.type(Array.from({ length: 100 }, (_, x) => `${x + 1} 7`).join("\n"));
  await ann.says('bob {"x":100,"y":7}');
  assert.ok(ann.lines.length < 100, `moves are put together: ${ann.lines.length} lines`);
  await bob.kill();
}

async function typing(bus: TestBus): Promise<void> {
  await using ann = startRecipe("typing.ts", bus.url, await as(bus, "ann"));
  await ann.says("ann is not typing");
  await using bob = startRecipe("typing.ts", bus.url, await as(bus, "bob"));
  await ann.says("bob is not typing");
  await bob.type("h\n".repeat(20));
  await ann.says("bob is typing");
  await ann.says("bob is not typing", ann.lines.indexOf("bob is typing"));
  const bobs = ann.lines.filter((line) => line.startsWith("bob"));
  assert.deepEqual(bobs, ["bob is not typing", "bob is typing", "bob is not typing"]);
}

async function unread(bus: TestBus): Promise<void> {
  await using peer = await open(bus, "bob");
  const rooms = ["durable-a", "durable-b"];
  for (let n = 0; n < 3; n++) await peer.room("durable-a").publish("chat", `${n}`);
  const device = async () =>
    startRecipe("unread.ts", bus.url, await as(bus, "ann"), "ann", ...rooms);
  await using laptop = await device();
  await laptop.says("durable-b: 0");
  await laptop.says("durable-a: 3");
  await using phone = await device();
  await phone.says("durable-a: 3");
  await phone.says("durable-b: 0");
  await phone.type("durable-a");
  await laptop.says("durable-a: 0");
  await peer.room("durable-a").publish("chat", "again");
  await laptop.says("durable-a: 1");
  for (let n = 0; n < 100; n++) await peer.room("durable-b").publish("chat", `${n}`);
  await phone.says("durable-b: 99+");
}

async function leader(bus: TestBus): Promise<void> {
  const worker = async (name: string) =>
    startRecipe("leader.ts", bus.url, await as(bus, name), "workers", name);
  await using one = await worker("one");
  await one.says("one leads");
  await using two = await worker("two");
  await using peer = await open(bus, "ann");
  const beat = async () =>
    (await roomState(peer.room("workers")).get("beat")).value as { name: string };
  await until("one beats", async () => (await beat())?.name === "one");
  await one.kill();
  await two.says("two leads");
  await until("two beats", async () => (await beat()).name === "two");
  const fences = [one, two].map(({ lines }) => Number(/fence (\d+)/.exec(lines.join())?.[1]));
  assert.ok(fences[0]! < fences[1]!, `${fences}`);
}

async function moderation(bus: TestBus): Promise<void> {
  const token = await as(bus, "bot", "service");
  await using bot = startRecipe("moderator.ts", bus.url, token, "lobby", "spam");
  await bot.says("watching lobby");
  await using ann = await open(bus, "ann");
  const room = ann.room("lobby");
  await room.publish("chat", { text: "hello" });
  await room.publish("chat", { text: "SPAM" });
  await bot.says("ann: 1 of 3");
  await bot.kill();
  // A restarted one knows the first run.
  await using again = startRecipe("moderator.ts", bus.url, token, "lobby", "spam");
  await again.says("watching lobby");
  await room.publish("chat", { text: "more spam" });
  await again.says("ann: 2 of 3");
  await room.publish("chat", { text: "spam!" });
  await again.says("ann: 3 of 3");
  await until(
    "ann is out",
    () => room.publish("chat", "?").then(() => false, ({ reason }) => reason === "room-banned"),
  );
}

Deno.test("the recipes of the cookbook do what their page describes", async (t) => {
  const bus = await running();
  const recipes = { lateJoin, cursors, typing, unread, leader, moderation };
  for (const [name, run] of Object.entries(recipes)) await t.step(name, () => run(bus));
});

// The recipe of a bus for many customers: its configuration and its plans, on a real bus.

const SAAS = `${ROOT}examples/cookbook/saas`;

async function arq(cwd: string, ...args: string[]): Promise<string> {
  return succeeds(await runArq(args, { cwd })).trim();
}

/** Keys of the token server and of the operators, created as the page says; the configuration names them. */
async function prepared(folder: string): Promise<string> {
  for (const name of ["app", "ops"]) await arq(folder, "auth", "keys", "--out", `keys/${name}`);
  const config = await Deno.readTextFile(`${SAAS}/bus.toml`);
  return config.replaceAll('"keys/', `"${folder}/keys/`);
}

const token = (folder: string, who: "app" | "ops", ...args: string[]) =>
  arq(folder, ...["auth", "gen", "--key", `keys/${who}/arqon-private.jwk.json`], ...[
    ...["--issuer", `https://${who}.example.com`, "--audience", "arqon"],
    ...args,
  ]);

const customer = (cwd: string, ...args: string[]) =>
  runDeno(["run", "--allow-read", "--allow-write", `${SAAS}/customer.ts`, ...args], { cwd });

Deno.test("customers of two plans share a bus, receive nothing of each other, and only one reaches a budget", async () => {
  const folder = await Deno.makeTempDir({ prefix: "saas-" });
  await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
  await using bus = await startBusWith(await prepared(folder));
  const operator = await token(folder, "ops", "--tenant", "ops", "--role", "admin");
  for (const [name = "", plan = ""] of [["acme", "free"], ["globex", "pro"]]) {
    assert.ok((await customer(folder, name, plan, "customers")).ok);
    const admin = ["--admin-url", bus.admin_url, "--token", operator];
    await arq(folder, "apply", `customers/${name}`, ...admin);
  }
  const open = async (tenant: string) => {
    const own = await token(folder, "app", "--tenant", tenant, "--user", "ann");
    return await connect({ url: bus.url, token: own });
  };
  await using acme = await open("acme");
  await using globex = await open("globex");
  const free = acme.room("chat-1");
  const pro = globex.room("chat-1");
  const received: string[] = [];
  await pro.listen((message) => void received.push(message.text())).ready;
  await free.publish("chat", "of acme");
  await pro.publish("chat", "of globex");
  await until("globex receives its own message", () => received.length > 0);
  await until("the free plan's budget is used", async () => {
    const sent = Array.from({ length: 100 }, () => free.publish("chat", "more"));
    const results = await Promise.allSettled(sent);
    return results.some((one) =>
      one.status === "rejected" && one.reason.reason === "budget-exhausted"
    );
  });
  await pro.publish("chat", "on and on");
  await until("globex continues", () => received.length === 2);
  assert.deepEqual(received, ["of globex", "on and on"]);
  // The token server's key makes no admins, and a customer's name cannot leave its folder.
  const forged = await token(folder, "app", "--tenant", "ops", "--role", "admin");
  const admin = ["--admin-url", bus.admin_url, "--token", forged];
  const { code, stderr } = await runArq(["apply", "customers/acme", ...admin], { cwd: folder });
  assert.notEqual(code, 0);
  assert.match(stderr, /token-scope|role/);
  assert.equal((await customer(folder, "../acme", "free", "customers")).code, 2);
});

// The programs on the migration pages, on a real bus: each does what its page promises.

const WANTED: Readonly<Record<string, readonly string[]>> = {
  socketio: [
    "connecting",
    "open",
    'dev { text: "hello" }',
    "tea",
    'dev { text: "from a backend" }',
    '{ text: "from a backend" }',
  ],
  pusher: ["{ id: 1 }", 'dev { name: "Ann" }', "{ id: 2 }"],
  ably: ["1 true", '{ text: "rain" }', "1 0 0", "1 1", 'dev { text: "rain" }'],
  supabase: ["{ x: 1, y: 2 }", 'dev { page: "home" }', "added { id: 1 }"],
  centrifugo: ["true", 'true { text: "hello" }', "0 0", "1 false", "200"],
};

Deno.test("the programs of the pages about moving here do what their pages describe", async (t) => {
  const bus = await running();
  for (const [name, wanted] of Object.entries(WANTED)) {
    await t.step(name, async () => {
      const program = `examples/moving/${name}.ts`;
      await using running = startProgram([
        ...[Deno.execPath(), "run", "--allow-net", program, bus.url, bus.token],
      ]);
      await until(
        () => `all is said; it was ${running.lines.join("\n")}`,
        () => running.lines.length >= wanted.length,
      );
      assert.deepEqual(running.lines.toSorted(), wanted.toSorted());
    });
  }
});
