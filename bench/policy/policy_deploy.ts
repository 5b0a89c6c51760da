/** Measures the time from `arq policy deploy` until each of four Shields enforces the policy. */
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** One deployment of a policy. Times count from the start of the command or request. */
export interface DeployCycle {
  readonly kind: DeployKind;
  /** Time when the command or the last request was answered. */
  readonly answered_ms: number;
  /** Time when each Shield first refused a message. */
  readonly enforced_ms: readonly number[];
}

/**
 * The way of a deployment. `command`: `arq policy deploy` with a new module. `new`: the same by two requests.
 * `known`: one request for a module that every Shield has compiled before.
 */
export type DeployKind = "command" | "new" | "known";

const MEANING: Readonly<Record<DeployKind, string>> = {
  command: "arq policy deploy",
  new: "admin API, new module",
  known: "admin API, known module",
};

/** Measures deployments on real processes: one NATS, four Shields. */
export async function measureDeploy(cycles: number): Promise<DeployCycle[]> {
  console.error("deploy: four Shields on one NATS ...");
  const permissions = [
    "--allow-net",
    "--allow-read",
    "--allow-write",
    "--allow-run",
    "--allow-env",
  ];
  return await runProgram("bench/policy/policy_deploy_child.ts", permissions, [String(cycles)]);
}

/** The table of the cycles, one row for each way; the slowest Shield of a cycle counts. */
export function renderDeploy(cycles: readonly DeployCycle[]): string {
  const head = ["deploy to enforced on 4 Shields", "cycles", "answered ms", "median ms", "max ms"];
  const rows = Object.entries(MEANING).map(([kind, meaning]) => {
    const mine = cycles.filter((cycle) => cycle.kind === kind);
    const slowest = mine.map(({ enforced_ms }) => Math.max(...enforced_ms));
    return [
      meaning,
      String(mine.length),
      median(mine.map(({ answered_ms }) => answered_ms)).toFixed(0),
      median(slowest).toFixed(0),
      Math.max(...slowest).toFixed(0),
    ];
  });
  return renderRows(head, rows);
}
