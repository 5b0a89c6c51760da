/** How long a policy takes from `arq policy deploy` until every one of four Shields enforces it. */
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** One way to bring a policy in force. Times count from the start of the command or request. */
export interface DeployCycle {
  readonly kind: DeployKind;
  /** When the command or the last request had answered. */
  readonly answered_ms: number;
  /** When each Shield first refused a message. */
  readonly enforced_ms: readonly number[];
}

/**
 * `command`: `arq policy deploy` with a module that nobody knows. `new`: the same by two requests.
 * `known`: one request, and every Shield has compiled the module before.
 */
export type DeployKind = "command" | "new" | "known";

const MEANING: Readonly<Record<DeployKind, string>> = {
  command: "arq policy deploy",
  new: "admin API, new module",
  known: "admin API, known module",
};

/** Measures on real processes: one NATS, four Shields. */
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

/** One row a kind; the slowest Shield of a cycle counts. */
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
