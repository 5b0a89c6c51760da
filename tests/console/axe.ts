/** axe-core over a page in Chromium: every rule that it has for HTML, best practices included. */
import axe from "axe-core";
import type { Page } from "playwright-core";

/** What is wrong with the page as it is now, a line for each element; empty: axe finds nothing. */
export async function axeFindings(page: Page): Promise<string[]> {
  // By the debugger, as the page's policy lets no foreign script in.
  await page.evaluate(`globalThis.axe === undefined && (() => {${axe.source}})()`);
  const { violations } = await page.evaluate<axe.AxeResults>(
    "axe.run(document, { resultTypes: ['violations'] })",
  );
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) =>
      `${id} (${help}): ${target.join(" ")}: ${failureSummary?.replaceAll(/\s+/g, " ")}`
    )
  );
}
