/**
 * Plays faults on a real bus beside the real Prometheus: each makes its alert fire, its runbook is followed as it is
 * printed and shows the cause, and what it says to do ends the alert. Faults of one act are there at the same time.
 */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import { seen, until } from "../../shared/testing/until.ts";
import { activeAlerts, type Alerting, api, startAlerting } from "./alerting.ts";
import { type Operated, runbookSays, sectionOf, seenBy } from "./runbook.ts";

const LIMIT_MS = 90_000;
const LOOK_MS = 20_000;
/** The most characters of the log in a failure. */
const LOG_MAX = 8_000;

/** An alert and a fault that makes it fire. */
export interface Row<S> {
  readonly alert: string;
  /**
   * Brings the fault about. What it resolves with does what the runbook says, after which the alert ends. Until then
   * the fault lasts or comes `again`: Prometheus may miss what a counter shows for seconds.
   */
  breaks(stage: S, prometheus: Alerting): Promise<() => unknown>;
  /** The runbook's commands, and the facts about the cause that they must show. */
  readonly shows: Readonly<Record<string, RegExp>>;
  /** What the runbook says to do. */
  readonly says: RegExp;
  /** Nobody waits for its end: a sentence that says why. */
  readonly stays?: string;
}

/** A bus with what it needs, and the pages of metrics of its jobs. */
export interface Stage extends Operated, AsyncDisposable {
  readonly pages: Readonly<Record<string, string | readonly string[]>>;
}

/** Does it again and again, so often, whether it succeeds or not, until what this gives is called. */
export function again(every_ms: number, work: () => Promise<unknown>): () => Promise<void> {
  let goes_on = true;
  const running = (async () => {
    while (goes_on) {
      await work().catch(() => {});
      await pace(every_ms);
    }
  })();
  return () => {
    goes_on = false;
    return running;
  };
}

const isOf = (alert: string) => (one: string) => one.startsWith(`${alert} of `);

async function fires(prometheus: Alerting, alert: string): Promise<void> {
  const firing = () => activeAlerts(prometheus, ["firing"]);
  await seen(`${alert} fires`, firing, (all) => all.some(isOf(alert)), LIMIT_MS);
}

async function ends(prometheus: Alerting, alert: string): Promise<void> {
  const active = () => activeAlerts(prometheus, ["pending", "firing"]);
  await seen(`${alert} ends`, active, (all) => !all.some(isOf(alert)), LIMIT_MS);
}

async function follow<S extends Stage>(
  stage: S,
  prometheus: Alerting,
  { alert, shows, says }: Row<S>,
): Promise<void> {
  runbookSays(alert, says);
  const section = sectionOf(alert);
  for (const [printed, cause] of Object.entries(shows)) {
    assert.ok(section.includes(`\`${printed}\``), `the runbook of ${alert} has no ${printed}`);
    const look = () => seenBy(stage, prometheus, printed);
    await seen(`${alert}: ${printed} shows ${cause}`, look, (text) => cause.test(text), LOOK_MS);
  }
}

/** Brings a fault about and follows its runbook up to what mends it, which is in the stack, too, and is done once. */
async function begin<S extends Stage>(
  stage: S,
  prometheus: Alerting,
  row: Row<S>,
  stack: AsyncDisposableStack,
): Promise<() => Promise<unknown>> {
  const mend = await row.breaks(stage, prometheus);
  let mended: Promise<unknown> | undefined;
  const mendOnce = () => mended ??= Promise.resolve(mend());
  // After a failure what mends it may fail, too: that says nothing more.
  stack.defer(() => mendOnce().then(() => {}, () => {}));
  await fires(prometheus, row.alert);
  await follow(stage, prometheus, row);
  return mendOnce;
}

/** What all of them resolve with; rejects with everything that failed, and the end of the log. */
async function allOf<T>({ log }: Pick<Stage, "log">, all: readonly Promise<T>[]): Promise<T[]> {
  const ended = await Promise.allSettled(all);
  const failed = ended.flatMap((one) => one.status === "rejected" ? [String(one.reason)] : []);
  if (failed.length > 0) throw new Error([...failed, "the log:", log().slice(-LOG_MAX)].join("\n"));
  return await Promise.all(all);
}

/** Plays the faults of each act at once, and one act after the other. */
export async function play<S extends Stage>(
  stage: S,
  acts: readonly (readonly Row<S>[])[],
  windows?: number,
): Promise<void> {
  const jobs = Object.entries(stage.pages).map(([job_name, url]) => ({
    job_name,
    static_configs: [{ targets: [url].flat().map((one) => new URL(one).host) }],
  }));
  await using prometheus = await startAlerting(jobs, windows);
  // What a counter says first is no increase.
  const scraped = async () => (await api(prometheus, "query?query=min(up)")).result[0]?.value[1];
  await until("every page was read", async () => await scraped() === "1");
  for (const act of acts) {
    await using stack = new AsyncDisposableStack();
    const mends = await allOf(stage, act.map((row) => begin(stage, prometheus, row, stack)));
    await allOf(stage, mends.map((mend) => mend()));
    const ending = act.filter(({ stays }) => stays === undefined);
    await allOf(stage, ending.map(({ alert }) => ends(prometheus, alert)));
  }
}
