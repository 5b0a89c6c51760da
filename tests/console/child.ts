/**
 * Runs the scenarios of the console with a bus of its own and Chromium. It writes a JSON line with the
 * names of them all, then one for each as it ends. A process by itself, with all permissions, because Playwright looks into `/proc`, which no
 * narrower permission of Deno allows. Arguments: words that the names of the wanted ones contain.
 */
import { startBus } from "../bus.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { Outcome } from "./scenarios.ts";
import { startChromium } from "./world.ts";

const wanted = SCENARIOS.filter(({ name }) =>
  Deno.args.length === 0 || Deno.args.some((word) => name.includes(word))
);
console.log(JSON.stringify({ plan: wanted.map(({ name }) => name) }));
const browser = await startChromium();
await using bus = await startBus();
const world = { bus, browser, admin: await bus.tokenFor({ role: "admin", user: "root" }) };
try {
  for (const { name, run } of wanted) {
    const error = await run(world).then(
      () => undefined,
      (reason) => reason instanceof Error ? reason.stack ?? reason.message : String(reason),
    );
    const outcome: Outcome = error === undefined ? { name } : { name, error };
    console.log(JSON.stringify(outcome));
  }
} finally {
  await browser.close();
}
