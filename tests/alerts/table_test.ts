/** That each alert has a fault of its own that makes it fire, and that each command of its runbook is run by a test. */
import assert from "node:assert/strict";
import { isOurs, printedIn, sectionOf } from "./runbook.ts";

const HERE = new URL("./", import.meta.url);
const RULES = new URL("../../deploy/prometheus/", import.meta.url);

/** Commands of runbooks that no test runs, with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "POST /v1/drain": "it ends the Shield, as tests of drains show",
  "/health/live": "a killed process answers nothing",
  "arq room repair ROOM --tenant TENANT --accept-loss": "of a reducer's room; its own test runs it",
};

/** A command or request as the words of a call: of `arq hook pause ID` they are `"hook", "pause"`. */
function wordsOf(printed: string): string {
  const [method, path = "", verb = ""] = printed.split(" ");
  const words = method === "arq" ? [path, verb] : [method, path.replace("/v1/", "")];
  return words.map((word) => `"${word}"`).join(", ");
}

/** The text of the row of each alert. */
async function rows(): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for await (const { name } of Deno.readDir(HERE)) {
    if (!name.endsWith("_test.ts") || name === "table_test.ts") continue;
    const text = await Deno.readTextFile(new URL(name, HERE));
    for (const row of text.split('\n  alert: "').slice(1)) {
      const [alert = "", body = ""] = row.split(/"(.*)/s);
      all.set(alert, (all.get(alert) ?? "") + body);
    }
  }
  return all;
}

async function alerts(): Promise<string[]> {
  const files = ["alerts.yml", "store_alerts.yml"].map((name) => new URL(name, RULES));
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(file)));
  return texts.flatMap((text) =>
    [...text.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name)
  );
}

Deno.test("each alert has a fault that makes it fire, and no row is of an alert that is gone", async () => {
  assert.deepEqual([...(await rows()).keys()].toSorted(), (await alerts()).toSorted());
});

Deno.test("each command of a runbook is run by the row of its alert", async () => {
  const all = await rows();
  const texts = [...all.values()].join("\n");
  const missing: string[] = [];
  for (const alert of all.keys()) {
    for (const printed of printedIn(sectionOf(alert)).filter(isOurs)) {
      const is_run = [`"${printed}"`, wordsOf(printed)].some((text) => texts.includes(text));
      if (!is_run && NOT_RUN[printed] === undefined) missing.push(`${alert}: ${printed}`);
    }
  }
  assert.deepEqual(missing, []);
});
