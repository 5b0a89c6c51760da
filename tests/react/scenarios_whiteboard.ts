/** The example application: `deno task example:whiteboard` alone, and two users who draw. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { startExample } from "../examples/example_task.ts";
import { openExample, type Scenario, type World } from "./world.ts";

async function draw(page: Page, places: readonly (readonly [number, number])[]): Promise<void> {
  const [[x, y] = [0, 0], ...rest] = places;
  await page.mouse.move(x, y);
  await page.mouse.down();
  for (const [x, y] of rest) await page.mouse.move(x, y);
  await page.mouse.up();
}

/** The lines on a board, without the empty one that is being drawn. */
const lines = (page: Page) => page.locator('polyline:not([points=""])').count();
const sees = (page: Page, count: number) =>
  until(`${count} lines`, async () => await lines(page) === count);

async function whiteboard({ browser }: World): Promise<void> {
  await using example = await startExample("whiteboard");
  await using first = await openExample(browser, `${example.url}?name=ann`);
  await using second = await openExample(browser, `${example.url}?name=bob`);
  const ann = first.page;
  const bob = second.page;
  await ann.getByText("open, 2 here").waitFor();
  await bob.getByText("open, 2 here").waitFor();
  await draw(ann, [[100, 200], [150, 250], [200, 200]]);
  await sees(bob, 1);
  await sees(ann, 1);
  // Her pointer is at its last position.
  await bob.locator(".pointer", { hasText: "ann" }).waitFor();
  await draw(bob, [[300, 300], [350, 350]]);
  await sees(ann, 2);
  await ann.getByLabel("Title").fill("Plans");
  await until("he reads it", async () => await bob.getByLabel("Title").inputValue() === "Plans");
  await bob.reload();
  await sees(bob, 2);
  assert.equal(await bob.getByLabel("Title").inputValue(), "Plans");
  await bob.getByRole("button", { name: "Clear" }).click();
  await sees(ann, 0);
  await draw(ann, [[100, 100], [120, 120]]);
  await sees(bob, 1);
}

/** It starts its own bus. */
export const BOARD_SCENARIOS: readonly Scenario[] = [
  { name: "the whiteboard: two draw, and it is still there after a reload", run: whiteboard },
];
