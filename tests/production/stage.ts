/**
 * Shared by the steps of a production setup: running parts, the plan, figures and problems; and the comparison of the
 * logs with the acknowledgements.
 */
import { runArq } from "../../arq/testing/run_arq.ts";
import { insist } from "../../shared/testing/until.ts";
import type { OtlpReceiver } from "../otlp/receiver.ts";
import type { Ingress } from "./ingress.ts";
import { type Disaster, judgeLog } from "./ledger.ts";
import type { Surroundings } from "./site.ts";
import type { Traffic } from "./traffic.ts";

/** Time for a NATS cluster to answer; only reached if it never does. */
const CLUSTER_MS = 120_000;

/** The size of the run. */
export interface ProductionPlan {
  /** Durable rooms, each with a publisher and a subscriber. */
  readonly rooms: number;
  /** Maximum messages per second of each room. */
  readonly rate: number;
  readonly message_bytes: number;
  /** Minimum messages of each room between two steps. */
  readonly calm: number;
  readonly say: (line: string) => void;
}

/** One line of the result. */
export interface Figure {
  readonly what: string;
  readonly value: string;
}

/** The outcome; empty `problems`: everything holds. */
export interface ProductionReport {
  readonly figures: readonly Figure[];
  readonly problems: readonly string[];
}

/** Shared by the steps. */
export interface Stage {
  readonly plan: ProductionPlan;
  readonly around: Surroundings;
  readonly ingress: Ingress;
  readonly collector: OtlpReceiver;
  readonly tokenFor: (claims: Record<string, string>) => Promise<string>;
  readonly traffic: Traffic;
  readonly figures: Figure[];
  readonly problems: string[];
}

/** A figure of the result. */
export function note(
  { figures, plan }: Pick<Stage, "figures" | "plan">,
  what: string,
  value: string,
) {
  figures.push({ what, value });
  plan.say(`${what}: ${value}`);
}

/** "1.2 s". */
export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** Waits until each publisher has received a few more ACKs. */
export const calm = ({ traffic, plan }: Stage): Promise<number> =>
  traffic.acknowledgedIn(plan.calm);

/** Compares the logs with the acknowledgements; losses of a disaster become a figure. */
export async function judgeLogs(stage: Stage, when: string, disaster?: Disaster): Promise<void> {
  const { traffic, problems } = stage;
  const lost_ms: number[] = [];
  for (const ledger of traffic.ledgers) {
    // What is acknowledged meanwhile may be in the result or not.
    const sent = ledger.sent.filter(({ acked_ms }) => acked_ms !== undefined);
    const kept = await traffic.kept(ledger.room);
    const loss = judgeLog({ room: ledger.room, sent }, kept, disaster);
    problems.push(...loss.problems.slice(0, 5).map((problem) => `${when}: ${problem}`));
    lost_ms.push(...loss.lost.map(({ acked_ms = 0 }) => acked_ms));
  }
  if (disaster === undefined) return;
  const oldest_ms = lost_ms.length === 0 ? 0 : disaster.lost_ms - Math.min(...lost_ms);
  note(stage, `${when}: RPO`, `${seconds(oldest_ms)}, ${lost_ms.length} messages`);
}

/** Runs `arq` until it ends; returns its output. Rejects with its output unless it exits with 0. */
export async function arqDone(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runArq(args);
  if (code !== 0) throw new Error(`arq ${args[0]} ${args[1]} ended with ${code}:\n${stderr}`);
  return stdout;
}

/** The same with retries, while a NATS cluster elects its leaders, as a Job of Kubernetes does. */
export function arqAgain(...args: string[]): Promise<string> {
  const isPassing = () => true;
  return insist(`arq ${args.join(" ")} is done`, () => arqDone(...args), isPassing, CLUSTER_MS);
}
