/** The hooks in Chromium pages, in StrictMode, with a project's React. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { run } from "../../tasks/checkout/programs.ts";
import type { ReactPage } from "./programs/page.ts";
import { bundle, openPage, type Project, type Scenario, type World } from "./world.ts";

type Globals = typeof globalThis & { readonly page: ReactPage };

/** Current values of the page, as JSON. */
function look<Value>(page: Page, of: (page: ReactPage) => Value): Promise<Value> {
  return page.evaluate<Value>(`(${of})(globalThis.page)`);
}

async function mount(page: Page, { bus }: World, user: string, how?: string): Promise<void> {
  const token = await bus.tokenFor({ user });
  await page.evaluate(
    ({ url, token, how }) => (globalThis as Globals).page.mount(url, token, how as undefined),
    { url: bus.url, token, how },
  );
}

/** Waits until the value is as expected. */
async function sees<Value>(
  page: Page,
  of: (page: ReactPage) => Value,
  value: Value,
): Promise<void> {
  let last: unknown;
  const text = JSON.stringify(value);
  await until(() => `${of} is ${text}, and not ${last}`, async () => {
    last = JSON.stringify(await look(page, of));
    return last === text;
  });
}

const texts = ({ seen }: ReactPage) => seen.messages?.messages.map((one) => one.text());
const others = ({ seen }: ReactPage) => seen.presence?.others.map(({ meta }) => meta.x);

async function hooks(world: World, project: Project, react: string): Promise<void> {
  const script = await bundle(project, "page.ts");
  await using first = await openPage(world, script);
  await using second = await openPage(world, script);
  const ann = first.page;
  const bob = second.page;
  assert.ok((await look(ann, ({ version }) => version)).startsWith(`${react}.`));
  await mount(ann, world, "ann");
  await sees(ann, ({ seen }) => seen.connection?.state, "open");
  // One connection, although StrictMode has mounted everything twice.
  assert.deepEqual(await look(ann, ({ states }) => states), ["connecting", "open"]);
  await sees(ann, ({ seen }) => seen.messages?.ready, true);
  for (const n of [1, 2, 3, 4, 5]) {
    await ann.evaluate((n) => (globalThis as Globals).page.seen.messages!.publish("n", n), n);
  }
  await mount(bob, world, "bob");
  await sees(bob, texts, ["3", "4", "5"]);
  await bob.evaluate(() => (globalThis as Globals).page.seen.messages!.more());
  await sees(bob, texts, ["1", "2", "3", "4", "5"]);
  await bob.getByText("1,2,3,4,5", { exact: true }).waitFor();
  await sees(ann, others, [0]);
  await sees(bob, others, [0]);
  await onlyWhatChanged(ann, bob);
  await writes(ann, bob);
  await ann.evaluate(() => (globalThis as Globals).page.seen.lock!.acquire());
  await sees(bob, ({ seen }) => seen.lock?.holder, "ann");
  await ann.evaluate(() => (globalThis as Globals).page.unmount());
  await sees(bob, others, []);
  await sees(bob, ({ seen }) => seen.lock?.holder ?? "nobody", "nobody");
  await sees(ann, (page) => page.state(), "connecting");
  assert.equal((await look(ann, ({ states }) => states)).at(-1), "closed");
}

/** A component that does not use a changed value does not render again. */
async function onlyWhatChanged(ann: Page, bob: Page): Promise<void> {
  const still = ["connection", "room", "messages", "title", "lock"];
  const rendered = () => look(bob, ({ renders }) => renders);
  await sees(bob, ({ seen }) => seen.state?.ready, true);
  await sees(bob, ({ seen }) => seen.lock?.ready, true);
  const before = await rendered();
  for (const x of [1, 2, 3]) {
    await ann.evaluate((x) => (globalThis as Globals).page.seen.presence!.update({ x }), x);
    await sees(bob, others, [x]);
  }
  await ann.evaluate(() => (globalThis as Globals).page.seen.state!.set("other", 1));
  await sees(bob, ({ seen }) => seen.state?.state["other"], 1);
  // An equal value is not a change.
  const settled = await rendered();
  await ann.evaluate(() => (globalThis as Globals).page.seen.presence!.update({ x: 3 }));
  await ann.evaluate(() => (globalThis as Globals).page.seen.state!.set("other", 1));
  await ann.evaluate(() => (globalThis as Globals).page.seen.state!.set("last", 1));
  await sees(bob, ({ seen }) => seen.state?.state["last"], 1);
  const after = await rendered();
  for (const name of still) assert.equal(after[name], before[name], `${name} rendered again`);
  assert.equal(after["presence"], settled["presence"], "presence rendered again");
}

/** A write shows at once and on the other page; a refused one is rolled back. */
async function writes(ann: Page, bob: Page): Promise<void> {
  const shown = await ann.evaluate(async () => {
    const { seen } = (globalThis as Globals).page;
    const set = seen.title![1];
    const done = set("Plans");
    // A turn of the page's event loop, written inline, since the page has none of our functions.
    await new Promise((resolve) => setTimeout(resolve, 0));
    const at_once = [seen.title![0], seen.state!.is_pending];
    await done;
    return at_once[0];
  });
  assert.equal(shown, "Plans");
  await bob.locator("#title", { hasText: "Plans" }).waitFor();
  const refused = await ann.evaluate(async () => {
    const { seen } = (globalThis as Globals).page;
    return await seen.state!.set("", 1).then(() => "taken", () => "refused");
  });
  assert.equal(refused, "refused");
  await sees(ann, ({ seen }) => Object.hasOwn(seen.state!.state, ""), false);
  await sees(ann, ({ seen }) => seen.state!.error !== undefined, true);
}

async function suspense(world: World, project: Project): Promise<void> {
  await using opened = await openPage(world, await bundle(project, "page.ts"));
  const { page } = opened;
  await mount(page, world, "eve", "patient");
  await page.locator("#patient", { hasText: "4,5" }).waitFor();
  const renders = await look(page, ({ renders }) => renders);
  assert.ok(renders["fallback"]! > 0, "it has waited");
  assert.equal(renders["impatient"], undefined, "nothing was shown before it was there");
  assert.deepEqual(await look(page, ({ states }) => states), ["connecting", "open"]);
}

async function server(world: World, project: Project): Promise<void> {
  const script = `${project.folder}/server.cjs`;
  await Deno.writeTextFile(script, await bundle(project, "server.ts", "node"));
  const done = await run("timeout", ["60", "node", script]);
  assert.ok(done?.ok, done?.text);
  const [text = "", waiting = ""] = JSON.parse(done.text) as string[];
  assert.match(text, /<p id="connection">connecting<\/p>.*<p id="title">untitled<\/p>/);
  assert.match(waiting, /<p id="patient"><\/p>/, "a server does not wait");
  await using opened = await openPage(world, await bundle(project, "page.ts"), text);
  const { page } = opened;
  await page.getByText("untitled").waitFor();
  await mount(page, world, "fay", "hydrate");
  await page.locator("#connection", { hasText: "open" }).waitFor();
  await page.locator("#messages", { hasText: "3,4,5" }).waitFor();
  await using patient = await openPage(world, await bundle(project, "page.ts"), waiting);
  await mount(patient.page, world, "fay", "patient");
  await patient.page.locator("#patient", { hasText: "4,5" }).waitFor();
}

/** For the React of one project; later ones read what the first has published. */
const scenariosFor = (react: string): Scenario[] => [
  {
    name: `React ${react}: every hook in StrictMode, and no render without a change`,
    run: (world) => hooks(world, world.projects[react]!, react),
  },
  {
    name: `React ${react}: Suspense shows nothing before it is there`,
    run: (world) => suspense(world, world.projects[react]!),
  },
  {
    name: `React ${react}: a server renders without a connection, and the page goes on from there`,
    run: (world) => server(world, world.projects[react]!),
  },
];

/** One bus for each version, since the rooms are the same. */
export const HOOK_SCENARIOS: Readonly<Record<string, readonly Scenario[]>> = {
  "18": scenariosFor("18"),
  "19": scenariosFor("19"),
};
