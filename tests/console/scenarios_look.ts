/** Scenarios of appearance and access: every view, themes, contrast, the keyboard alone. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { LOW_CONTRAST } from "./contrast.ts";
import { client, openConsole, type Scenario } from "./world.ts";

const VIEWS = [
  "Overview",
  "Nodes",
  "Connections",
  "Rooms",
  "Playground",
  "Tenants",
  "Policies",
  "Rollouts",
  "Schemas",
  "Mirror rules",
  "Limits",
  "Log levels",
  "Bans",
  "Revocations",
];

/** Visits every view by the navigation, and waits until each has its data. */
async function eachView(page: Page, look: (view: string) => Promise<void>): Promise<void> {
  for (const view of VIEWS) {
    await page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
    await page.getByRole("heading", { name: view, exact: true, level: 1 }).waitFor();
    await page.locator("main").getByText("Loading…").waitFor({ state: "detached" });
    await page.locator("main :is(table, .facts, .empty):visible").first().waitFor();
    await look(view);
  }
}

const everyView: Scenario = {
  name: "every view opens with its data, and all text has enough contrast, light and dark",
  async run(world) {
    using _one = await client(world, { tenant: "contrast", user: "someone" });
    for (const color_scheme of ["light", "dark"] as const) {
      await using console = await openConsole(world, { color_scheme });
      const { page } = console;
      const look = async (view: string) => {
        assert.deepEqual(await page.evaluate(LOW_CONTRAST), [], `${view}, ${color_scheme}`);
      };
      await eachView(page, async (view) => {
        const trouble = await page.locator("main .notice.bad").allInnerTexts();
        assert.deepEqual(trouble, [], `${view} shows an error`);
        assert.equal(await page.title(), `${view} · ArqonBus`);
        const current = page.locator("nav [aria-current=page]");
        assert.equal(await current.innerText(), view);
        await look(view);
      });
      await page.goto(`${world.bus.admin_url}/console/#/no/such/page`);
      await page.getByText("The console has no page at this address").waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Admin token").waitFor();
      await look("sign-in");
    }
  },
};

const themes: Scenario = {
  name: "the theme follows the system until one is chosen, which stays",
  async run(world) {
    await using console = await openConsole(world);
    const { page } = console;
    const ground = () => page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
    const button = page.getByRole("button", { name: /^Theme/ });
    await button.waitFor();
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    assert.notEqual(dark, light);
    await button.click();
    assert.equal(await button.getAttribute("aria-label"), "Theme: light");
    assert.equal(await ground(), light);
    await page.reload();
    await button.waitFor();
    assert.equal(await ground(), light, "the choice was forgotten");
    await button.click();
    await page.emulateMedia({ colorScheme: "light" });
    assert.equal(await ground(), dark);
    await button.click();
    assert.equal(await ground(), light);
  },
};

/** The focused element: its text or its name. */
const FOCUSED = `(() => {
  const { activeElement: it } = document;
  return (it.getAttribute("aria-label") ?? it.innerText).trim();
})()`;
const OUTLINE = `(() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return outlineStyle === "none" ? "none" : outlineWidth;
})()`;

async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate<string>(FOCUSED) !== name) continue;
    assert.equal(await page.evaluate<string>(OUTLINE), "2px", `the focus on ${name} is not seen`);
    return;
  }
  throw new Error(`Tab does not lead to ${name}`);
}

const keyboard: Scenario = {
  name: "everything is reached with Tab and Enter alone, and the focus is always seen",
  async run(world) {
    using ann = await client(world, { tenant: "keys", user: "ann" });
    await using console = await openConsole(world, { token: "" });
    const { page } = console;
    await page.getByLabel("Admin token").waitFor();
    // The field is focused from the start.
    await page.keyboard.insertText(world.admin);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate<string>(FOCUSED), "Skip to content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate("document.activeElement.id"), "main");
    await page.keyboard.press("Shift+Tab");
    assert.equal(await page.evaluate<string>(FOCUSED), "Audit log");
    await tabTo(page, "Sign out");
    await tabTo(page, "Connections");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Connections" }).waitFor();
    await page.locator("main tbody tr").first().waitFor();
    await tabTo(page, "Tenant");
    await page.keyboard.press("Enter");
    const head = page.getByRole("columnheader", { name: "Tenant" });
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    assert.equal(await page.evaluate<string>(FOCUSED), "Tenant", "sorting has moved the focus");

    await page.goto(`${world.bus.admin_url}/console/#/connections?tenant=keys`);
    await page.reload();
    const link = page.locator("main tbody a");
    await link.waitFor();
    await tabTo(page, (await link.innerText()).trim());
    await page.keyboard.press("Enter");
    await page.getByText("ann").first().waitFor();
    await tabTo(page, "Disconnect…");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    assert.equal(await page.evaluate<string>(FOCUSED), "Cancel", "the safe answer comes first");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await page.evaluate<string>(FOCUSED), "Disconnect…", "the focus is lost");
    assert.equal(ann.socket.readyState, WebSocket.OPEN);
  },
};

const live: Scenario = {
  name: "a table that is read again and again keeps the focus",
  async run(world) {
    await using console = await openConsole(world);
    const { page } = console;
    const link = page.locator("main tbody a").first();
    await link.focus();
    let reads = 0;
    page.on("response", (response) => reads += Number(response.url().endsWith("/v1/cluster")));
    await until("two more readings", () => Promise.resolve(reads >= 2));
    assert.equal(await page.evaluate<string>(FOCUSED), (await link.innerText()).trim());
  },
};

/** In the order in which they run. */
export const LOOK_SCENARIOS: readonly Scenario[] = [
  everyView,
  themes,
  keyboard,
  live,
];
