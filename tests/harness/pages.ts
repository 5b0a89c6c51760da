/** Pages in Chromium, each in a browser context of its own; what goes wrong in one is thrown at its end. */
import assert from "node:assert/strict";
import type { Browser, ConsoleMessage, Page } from "playwright-core";
import { serving } from "../../shared/testing/serving.ts";

/** A page, which closes with its scope. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
}

/** Whether a message in the console of a page is a problem; an uncaught error always is. */
export type IsProblem = (message: ConsoleMessage) => boolean;

/** A page of a server. */
export async function openAt(
  browser: Browser,
  url: string,
  isProblem: IsProblem,
): Promise<OpenPage> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    if (isProblem(message)) problems.push(message.text());
  });
  await page.goto(url);
  return {
    page,
    async [Symbol.asyncDispose]() {
      await context.close();
      assert.deepEqual(problems, [], "the page had problems");
    },
  };
}

/** A page of a server of its own, which answers paths. */
export async function openServed(
  browser: Browser,
  answer: (path: string) => Response | Promise<Response>,
  isProblem: IsProblem,
): Promise<OpenPage> {
  await using stack = new AsyncDisposableStack();
  const { url } = stack.use(serving((request) => answer(new URL(request.url).pathname)));
  const { page } = stack.use(await openAt(browser, `${url}/`, isProblem));
  const owned = stack.move();
  return { page, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
