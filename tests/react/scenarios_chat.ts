/** The example application: `deno task example:chat` alone, and one reader with two devices. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { seen, until } from "../../shared/testing/until.ts";
import { startExample } from "../examples/example_task.ts";
import { openExample, type Scenario, type World } from "./world.ts";

async function ask(page: Page, question: string): Promise<void> {
  await page.getByLabel("Question").fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
}

/** The last answer of a page: its text and state. */
async function lastAnswer(page: Page): Promise<{ text: string; state: string | null }> {
  const last = page.locator(".answer").last();
  if (await last.count() === 0) return { text: "", state: null };
  const state = await last.getAttribute("data-state");
  return { text: await last.locator("span").innerText(), state };
}

/** How far a page has counted: every number from 1 on, once. */
async function counted(page: Page): Promise<number> {
  const { text } = await lastAnswer(page);
  const numbers = text.trim() === "" ? [] : text.trim().split(" ").map(Number);
  assert.deepEqual(numbers, numbers.map((_, at) => at + 1));
  return numbers.length;
}

async function chat({ browser }: World): Promise<void> {
  await using example = await startExample("chat");
  await using first = await openExample(browser, example.url);
  await using second = await openExample(browser, example.url);
  const phone = first.page;
  const laptop = second.page;
  for (const page of [phone, laptop]) await page.getByText("open", { exact: true }).waitFor();
  // It continues until it is stopped, however slow this machine is.
  await ask(phone, "Count to 1000000");
  const grows = (page: Page, from: number) =>
    until(`more than ${from}`, async () => await counted(page) > from);
  await grows(phone, 3);
  await grows(laptop, 3);
  await phone.reload();
  await grows(phone, await counted(laptop));
  assert.equal((await lastAnswer(phone)).state, "growing");
  await laptop.getByRole("button", { name: "Stop" }).click();
  for (const page of [phone, laptop]) {
    await seen("the state", async () => (await lastAnswer(page)).state, (it) => it === "stopped");
    assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 0);
  }
  assert.equal(await counted(phone), await counted(laptop));
  await ask(laptop, "Count to 5");
  for (const page of [phone, laptop]) {
    await seen("the state", async () => (await lastAnswer(page)).state, (it) => it === "finished");
    assert.equal(await counted(page), 5);
  }
  // The conversation is kept: two questions, an answer that was stopped, and a complete one.
  await phone.reload();
  await until("everything has arrived", async () => await phone.locator("li").count() === 4);
  assert.equal(await counted(phone), 5);
}

/** It starts its own bus. */
export const CHAT_SCENARIOS: readonly Scenario[] = [
  { name: "the chat: a reload in mid-answer, two devices, stop", run: chat },
];
