/**
 * Scenarios of accessibility: axe over every view and dialog in both themes, and no view wider than a small phone,
 * whatever the names in it.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { startBusWith } from "../harness/bus.ts";
import { axeFindings } from "./axe.ts";
import { furnish, type Furnished } from "./furnish.ts";
import { openConsole, type Scenario, type World } from "./world.ts";

/**
 * Page sizes: a desktop in both themes, small phones, and the width at which desktop text is enlarged four times (WCAG
 * 1.4.10).
 */
const SIZES = [[1_280, "light"], [1_280, "dark"], [390, "dark"], [320, "light"]] as const;

/** Elements beyond the right edge: of the page, or of a dialog's content. */
const TOO_WIDE = `(() => {
  const { scrollWidth } = document.scrollingElement;
  const dialogs = [...document.querySelectorAll("dialog")];
  const wide = dialogs.filter((it) => it.scrollWidth > it.clientWidth);
  if (scrollWidth <= innerWidth && wide.length === 0) return [];
  const reaches = (it) => it.getBoundingClientRect().right > innerWidth + 0.5;
  const found = [...document.querySelectorAll("body *")].filter(reaches).slice(0, 9);
  return [scrollWidth + " px", ...found.map((it) => it.tagName + "." + it.className)];
})()`;

/** Waits until the view has its data, and the room's page also the data it requests. */
async function settle(page: Page, name: string): Promise<void> {
  await page.locator("main").getByText(/^(Loading|Reading)…/).first()
    .waitFor({ state: "detached" });
  const content = name === "nothing" ? "p" : ":is(table, .facts, .empty, .notice)";
  await page.locator(`main ${content}:visible`).first().waitFor();
  if (name === "overview") await page.locator("main tbody tr").first().waitFor();
  if (name !== "room") return;
  await page.getByRole("button", { name: "Read history" }).click();
  await page.locator(".kept summary").first().click();
  await page.locator(".kept pre").first().filter({ hasText: "message_id" }).or(
    page.locator(".kept pre").first().filter({ hasText: "offset" }),
  ).first().waitFor();
  await page.getByRole("button", { name: "Show the value of topic" }).click();
  await page.locator(".value pre").filter({ hasText: "short" }).waitFor();
  await page.getByRole("button", { name: "Start tail" }).click();
  await page.getByText("Live.").waitFor();
}

async function go({ bus }: World, page: Page, name: string, at: string): Promise<void> {
  await page.goto(`${bus.admin_url}/console/${at}`);
  // Also when only the part after # changes.
  await page.reload();
  await page.getByRole("heading", { level: 1 }).waitFor();
  await settle(page, name);
}

/** Buttons that open a dialog, by view. */
const DIALOGS: Readonly<Record<string, readonly RegExp[]>> = {
  room: [/^Kick /, /^Ban user-/, /^Ban a user…/],
  nodes: [/^Drain /],
  connection: [/^Disconnect…/],
  rollout: [/^Abort…/],
  bans: [/^Lift /],
  revocations: [/^Lift /],
};

/** Passes every view, and every dialog on it, to `look`. */
async function lookAtAll(
  world: World,
  page: Page,
  { views, connection, room_id }: Furnished,
  look: (what: string) => Promise<void>,
): Promise<void> {
  for (const [name, at] of Object.entries(views)) {
    await go(world, page, name, at);
    if (name === "room") {
      await connection.room(room_id).publish("said", { text: room_id });
      await page.locator(".tail summary").first().click();
    }
    await look(name);
    for (const button of DIALOGS[name] ?? []) {
      await page.getByRole("button", { name: button }).first().click();
      await page.getByRole("dialog").waitFor();
      await look(`${name}, ${button}`);
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    }
  }
}

const accessible: Scenario = {
  name: "axe finds nothing on any view or dialog, and none is wider than the page, 320 px and up",
  async run(world) {
    await using furnished = await furnish(world);
    const found: string[] = [];
    for (const [width, color_scheme] of SIZES) {
      const viewport = { width, height: 800 };
      await using console = await openConsole(world, { color_scheme, viewport });
      const { page } = console;
      const look = async (what: string) => {
        const where = `${what}, ${color_scheme}, ${width} px`;
        const wide = await page.evaluate<string[]>(TOO_WIDE);
        if (wide.length > 0) found.push(`${where}: too wide: ${wide.join(" ")}`);
        found.push(...(await axeFindings(page)).map((finding) => `${where}: ${finding}`));
      };
      await lookAtAll(world, page, furnished, look);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Admin token").waitFor();
      await look("sign-in");
    }
    assert.deepEqual(found, []);
  },
};

const finds: Scenario = {
  name: "axe is at work: what is made wrong in the page is found",
  async run(world) {
    await using console = await openConsole(world, { at: "#/limits" });
    const { page } = console;
    await page.locator("main .facts").first().waitFor();
    await page.evaluate(`(() => {
      const button = document.createElement("button");
      document.querySelector("main").append(button);
      document.documentElement.removeAttribute("lang");
    })()`);
    const found = (await axeFindings(page)).map((finding) => finding.split(" ")[0]);
    assert.deepEqual(found.sort(), ["button-name", "html-has-lang"]);
  },
};

const longTenant: Scenario = {
  name: "the admin of a tenant with a long name has room for the way out",
  async run(world) {
    await using bus = await startBusWith('[admin]\noperator_tenants = ["ops"]\n');
    const tenant = "t".repeat(64);
    const user = "u".repeat(128);
    const token = await bus.tokenFor({ role: "admin", tenant, user });
    const viewport = { width: 320, height: 720 };
    await using console = await openConsole({ ...world, bus }, { token, viewport });
    const { page } = console;
    await page.getByText(`tenant ${tenant}`).first().waitFor();
    const box = await page.getByRole("button", { name: "Sign out" }).boundingBox();
    assert.ok(box !== null && box.x + box.width <= 320, JSON.stringify(box));
    assert.deepEqual(await page.evaluate<string[]>(TOO_WIDE), []);
  },
};

/** In the order in which they run. */
export const ACCESS_SCENARIOS: readonly Scenario[] = [accessible, finds, longTenant];
