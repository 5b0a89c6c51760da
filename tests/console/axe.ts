/** axe-core over a page in Chromium: all of its rules for HTML, including best practices. */
import axe from "axe-core";
import type { Page } from "playwright-core";

/** The findings for the page's present state, a line for each element; empty: none. */
export async function axeFindings(page: Page): Promise<string[]> {
  // Through the debugger, since the page's policy allows no foreign script.
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
