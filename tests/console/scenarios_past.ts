/**
 * Scenarios of charts that begin with the samples from before the page was opened, from the memory of the processes.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { ask, openConsole, type Scenario, type World } from "./world.ts";

const SPAN_MS = 300_000;
/** The margins left and right of a chart's lines, as in `chart.js`. */
const LEFT = 44;
const RIGHT = 6;

interface History {
  readonly nodes: readonly { readonly samples: readonly { readonly age_ms: number }[] }[];
}

/** Waits until every process has taken this many samples since a moment (Unix ms). */
async function sampled(world: World, since_ms: number, wanted: number): Promise<void> {
  await until(`${wanted} samples`, async () => {
    const { nodes }: History = await ask(world, "/v1/cluster/history");
    const age_ms = Date.now() - since_ms;
    return nodes.length > 0 &&
      nodes.every(({ samples }) =>
        samples.filter((sample) => sample.age_ms < age_ms).length >= wanted
      );
  });
}

/** Publishes as fast as it is acknowledged, until the returned function is called. */
async function talkative(world: World): Promise<() => Promise<void>> {
  const token = await world.bus.tokenFor({ tenant: "before", user: "alice" });
  const connection = await connect({ url: world.bus.url, token });
  let is_over = false;
  const talk = (async () => {
    while (!is_over) await connection.room("pulse").publish("tick", { at: 1 });
  })();
  return async () => {
    is_over = true;
    await talk;
    await connection.close();
  };
}

/** The path of one of a chart's lines, once it has one. */
async function pathOf(page: Page, title: string, series = "s0"): Promise<string> {
  const line = page.getByRole("region", { name: title }).locator(`.line.${series}`);
  await until(`${title} is drawn`, async () => (await line.getAttribute("d") ?? "") !== "");
  return await line.getAttribute("d") ?? "";
}

/** The age of each point of a path, in ms. */
async function agesOf(page: Page, path: string): Promise<number[]> {
  const width = await page.locator(".plot").first().evaluate((it) =>
    (it as unknown as { viewBox: { baseVal: { width: number } } }).viewBox.baseVal.width
  );
  const xs = [...path.matchAll(/[ML]([\d.]+) /g)].map(([, x]) => Number(x));
  return xs.map((x) => (width - RIGHT - x) / (width - LEFT - RIGHT) * SPAN_MS);
}

const remembers: Scenario = {
  name: "charts begin with the minutes before the page was opened, and go on without a jump",
  async run(world) {
    const hush = await talkative(world);
    // No page is open meanwhile.
    await sampled(world, Date.now(), 4);
    const opened_ms = Date.now();
    await using console = await openConsole(world);
    const { page } = console;
    const path = await pathOf(page, "Messages per second", "s1");
    const before = (await agesOf(page, path)).filter((age_ms) => age_ms > Date.now() - opened_ms);
    assert.ok(before.length >= 2, `no two points are from before the page was opened: ${path}`);
    const label = await page.locator(".plot").nth(1).getAttribute("aria-label");
    assert.match(label ?? "", /out .*, in [1-9]/, "the first reading has a rate already");
    const gauges = ["Connections", "Event loop lag", "CPU", "Resident memory", "Rejects"];
    for (const title of gauges) {
      const ages = await agesOf(page, await pathOf(page, title));
      assert.ok(ages.some((age_ms) => age_ms > Date.now() - opened_ms), `${title} has no past`);
    }
    await hush();
  },
};

const catchesUp: Scenario = {
  name: "what happened while the page was paused is in the charts when it goes on",
  async run(world) {
    await using console = await openConsole(world);
    const { page } = console;
    await pathOf(page, "Connections");
    await page.getByRole("button", { name: "Pause" }).click();
    const hush = await talkative(world);
    await sampled(world, Date.now(), 4);
    await hush();
    const held = await pathOf(page, "Messages per second", "s1");
    const from_ms = Math.min(...await agesOf(page, held));
    await page.getByRole("button", { name: "Resume" }).click();
    await until(
      "it continues",
      async () => await pathOf(page, "Messages per second", "s1") !== held,
    );
    const path = await pathOf(page, "Messages per second", "s1");
    assert.equal(path.match(/M/g)?.length, 1, `the line breaks: ${path}`);
    assert.ok(from_ms < 10_000, `the last point was ${from_ms} ms old`);
    const heights = [...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
    assert.ok(Math.min(...heights.slice(-5)) < 80, `the traffic meanwhile is not there: ${path}`);
  },
};

/** In the order in which they run. */
export const PAST_SCENARIOS: readonly Scenario[] = [remembers, catchesUp];
