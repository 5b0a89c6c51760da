/** A rollout of a bad rule under load, and what its clients saw. What is wrong is said, not thrown. */
import { found, until } from "../../shared/testing/until.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import type { Say } from "../harness/task.ts";
import { openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";
import { asker, BAD_RULE, OLD_RULE, putPolicy, rolloutBody, upload } from "../rollout_traffic.ts";
import { Load } from "./load.ts";
import { PlannedFolder, plant, PLANTED_CONFIG } from "./planted.ts";

/** What a run is made of. */
export interface RolloutRun {
  readonly connections: number;
  /** Connections beside those, which send nothing. */
  readonly idle: number;
  /** Messages a second. */
  readonly rate: number;
  readonly shields: number;
  readonly hold_seconds: number;
  readonly within_ms: number;
}

/** What the run has come to. */
export interface RolloutOutcome {
  readonly report: readonly string[];
  readonly problems: readonly string[];
}

/** Messages are answered for so long after the end. */
const AFTER_MS = 3_000;
/** Connections that are opened at once, and of one user. */
const AT_ONCE = 50;
const OF_ONE_USER = 10;
/** Clients whose messages the plan is held against, and how many each of them sends. */
const PLANTERS = 4;
const PLANTED = 500;

const socketUrl = ({ ready }: ServerProcess) => `${ready["url"]!.replace(/^http/, "ws")}/v1/socket`;

async function connect(
  shields: readonly ServerProcess[],
  issuer: Issuer,
  { connections, idle }: RolloutRun,
): Promise<Load> {
  const load = new Load();
  const all = connections + idle;
  for (let from = 0; from < all; from += AT_ONCE) {
    const some = Array.from(
      { length: Math.min(AT_ONCE, all - from) },
      (_, at) => from + at,
    );
    const opened = await Promise.all(some.map(async (number) => {
      const sub = `u${Math.floor(number / OF_ONE_USER)}`;
      const url = socketUrl(shields[number % shields.length]!);
      return await openText(url, await issuer.tokenFor({ sub }));
    }));
    opened.forEach((client, at) =>
      from + at < connections ? load.add(client) : load.addIdle(client)
    );
  }
  return load;
}

/** Opens clients of the first Shields, each by the name of its user. */
async function planters(
  shields: readonly ServerProcess[],
  issuer: Issuer,
  opened: DisposableStack,
): Promise<Map<string, RawClient>> {
  const clients = new Map<string, RawClient>();
  for (let at = 0; at < PLANTERS; at++) {
    const sub = `planter-${at}`;
    const url = socketUrl(shields[at % shields.length]!);
    clients.set(sub, opened.use(await openText(url, await issuer.tokenFor({ sub }))));
  }
  return clients;
}

function problemsOf(load: Load, state: string, back_ms: number, within_ms: number): string[] {
  const problems = [];
  if (state !== "returned") problems.push(`the rollout is ${state}`);
  if (back_ms > within_ms) problems.push(`taking it back took ${back_ms.toFixed(0)} ms`);
  if (load.ended > 0) problems.push(`${load.ended} connections have ended`);
  if (load.unanswered > 0) problems.push(`${load.unanswered} messages were never answered`);
  const { passed_both, refused_none } = load;
  if (passed_both > 0) problems.push(`${passed_both} messages passed that both versions refuse`);
  if (refused_none > 0) problems.push(`${refused_none} messages were refused that neither refuses`);
  return problems;
}

/** Runs it. Rejects when it cannot begin. */
export async function runRollout(run: RolloutRun, say: Say): Promise<RolloutOutcome> {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  await using processes = new AsyncDisposableStack();
  const config = `${issuer.config}\n[nats]\nurls = ["${nats.url}"]\n${PLANTED_CONFIG}`;
  const start = (part: "shield" | "brain", name: string) =>
    startServer(part, config, issuer.dir, `node_id = "${name}"`);
  for (const name of ["b0", "b1"]) processes.use(await start("brain", name));
  const shields: ServerProcess[] = [];
  for (let at = 0; at < run.shields; at++) {
    shields.push(processes.use(await start("shield", `s${at}`)));
  }
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = asker(shields[0]!.ready["admin_url"]!, token);
  await putPolicy(ask, "acme", await upload(ask, OLD_RULE));
  say(`${run.shields} Shields; opening ${run.connections + run.idle} connections`);
  using load = await connect(shields, issuer, run);
  using opened = new DisposableStack();
  const planting = await planters(shields, issuer, opened);
  load.begin(run.rate);
  const ledger = await plant(planting, PLANTED);
  say(`${ledger.sent} messages planted under load`);
  const { admin_url } = shields[0]!.ready as { readonly admin_url: string };
  await using folder = await PlannedFolder.make({ admin_url, token, tenant: "acme" });
  const planned = await folder.planBad(ledger);
  say(planned.line);
  const sha256 = await upload(ask, BAD_RULE);
  const steps = { for_ms: run.hold_seconds * 1_000, abort_if: ["refused>0.1%"] };
  const begun = await ask("POST", "rollouts/acme", await rolloutBody(ask, "acme", sha256, steps));
  if (begun.status !== 200) throw new Error(JSON.stringify(begun.body));
  let last = "";
  await until(() => `it is in force for half: ${last}`, async () => {
    const { body } = await ask("GET", "rollouts/acme");
    last = JSON.stringify(body);
    // Beyond it: the machine was too slow to see it, and the rollout is at its end before anything is wrong.
    return body.share > 0.5 || (body.share === 0.5 && body.waits.startsWith("holds"));
  }, run.hold_seconds * 2_000 + 60_000);
  say("in force for half: one message of ten is now one that only the new version refuses");
  load.is_bad = true;
  const view = await found("it ends", async () => {
    const { body } = await ask("GET", "rollouts/acme");
    return ["returned", "applied"].includes(body.rollout.state) ? body : undefined;
  }, run.hold_seconds * 4_000 + 60_000);
  say(`${view.rollout.state}: ${view.rollout.ended.why}`);
  await new Promise((resolve) => setTimeout(resolve, AFTER_MS));
  const applied = await folder.applyGood();
  say("a good rule is applied");
  load.stop();
  const { refused, compared } = view.tallies[0];
  const back_ms = load.last_bad_ms - load.first_bad_ms;
  const rate = load.answered / load.seconds;
  return {
    problems: [
      ...planned.problems,
      ...problemsOf(load, view.rollout.state, back_ms, run.within_ms),
      ...applied,
    ],
    report: [
      planned.line,
      `${load.answered} messages answered, ${
        rate.toFixed(0)
      } a second, ${load.late} not sent in time, ${load.undecided} refused by no rule`,
      `${load.bad_refused} refused by the new version alone, the last ${
        back_ms.toFixed(0)
      } ms after the first`,
      `at its end the rollout had counted ${refused} of ${compared} at this step`,
      `${load.ended} connections ended, ${load.passed_both} messages judged by neither version`,
    ],
  };
}
