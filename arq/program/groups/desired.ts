/** The commands `arq export`, `plan` and `apply`, and those of `arq rollout`. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, EACH, group } from "./define.ts";
import { METRICS, readCondition } from "../../../shared/rollout/condition.ts";
import { asks, from } from "./asks.ts";
import { ANSWER, BUS, calls, percentage, positive, span, TENANT, tenant } from "./options.ts";

// A command is loaded when it runs.
const exportCommands = () => import("../../commands/desired/export.ts");
const plan = () => import("../../commands/desired/plan.ts");
const apply = () => import("../../commands/desired/apply.ts");
const rolloutTexts = () => import("../../desired/plan_text.ts");

const ONE = "/v1/rollouts/{tenant}";
const text = from(rolloutTexts, "rolloutText");

/** Reads the first share of a rollout. */
function canary(text: string): number {
  const share = percentage(text);
  if (share > 0) return share;
  throw new InvalidArgumentError("Expected more than nothing: 1%.");
}

/** Reads a condition. */
function condition(text: string): string {
  const read = readCondition(text);
  if ("problem" in read) throw new InvalidArgumentError(`\n${read.problem}`);
  return read.text;
}

const ORDERS = [
  ["pause", "hold a rollout at its share", "Its conditions are still checked.\n"],
  ["resume", "resume a paused rollout", "The time of its step restarts.\n"],
  ["abort", "end a rollout: the old state is in force again", ""],
] as const;

/** `arq export`, `arq plan`, `arq apply` and `arq rollout`. */
export const DESIRED: readonly Definition[] = [
  command`export: write the state of a tenant as a folder ${BUS}
    <dir>  the folder; it is made
    ${TENANT}
    --bus  the whole bus: its schemas, and a folder for each tenant that has set anything
    --force  overwrite the files of an earlier export
    --json  print what was written as JSON

    Policies with their modules, the schemas that mappings name, mappings, room classes, mirror rules,
    quotas, budgets, demands for signatures, hooks without their secrets, schedules and the modules of
    reducers, in TOML files that editors check by state.schema.json.
    The same state gives the same bytes.
    $ arq export state --tenant acme
    $ arq export state --tenant acme --force
    $ arq export everything --bus`(calls(exportCommands, "exportState")),
  command`plan: print what an apply of a folder would change; changes nothing ${BUS}
    <dir>  the folder
    --since <time>  hold policies and mappings against what the journal has of so long: 10m, 7d or
      seconds ${span}
    --out <file>  write the plan, with all that it needs, for arq apply
    --json  print the plan as JSON

    Exit code 0: nothing to do; 2: there are changes; 1: an error, also of the command line, or a
    schema that may not be registered. A kind that no file has stays as it is. What was changed by
    hand since the last apply is told, also a rollout under way, and how many stored messages could not be
    read any more.
    $ arq plan state
    $ arq plan state --since 7d --out plan.bin
    $ arq plan state --json | jq .changes`(calls(plan, "plan")),
  command`apply: apply a folder or a plan: atomically, or nothing ${BUS}
    <target>  the folder, or a file that arq plan --out has written
    --canary <share>  in steps, policies first for this share of the traffic ${canary}
    --for <time>  how long each step takes at least: 10m, 1h or seconds (default: 10m) ${span}
    --abort-if <condition>  return when it holds: 'refused>0.1%'; repeatable ${condition} ${EACH}
    --at-least <messages>  what each changed policy has to judge at each step (default: 100)
      ${positive("a number of messages", true, 1_000_000_000)}
    --allow-unreachable  also when what is stored could not be read any more, or is deleted: arq plan
      counts it
    --json  print the result as JSON

    When somebody else changed the tenant's state since the plan it is refused, and nothing has
    changed. Schemas are stored before the step that puts all of it in force. No connection is
    touched. The same again does nothing.

    A rollout under way is part of the state: to apply the previous state takes it back, any other
    state is refused until it has ended. The secret of a new hook is printed once.

    With --canary new policies only observe at first, then decide for a growing share: the given one,
    10, 50 and 100 %. Old and new judge the same messages. The first condition that holds puts the old
    state back in force; exit code 1. The bus carries it on without this terminal; Ctrl-C asks.
    Conditions are about ${METRICS.join(", ")}.
    $ arq apply state
    $ arq apply plan.bin
    $ arq apply state --canary 1% --for 10m --abort-if 'refused>0.1%' --abort-if 'fuel_p99>2x'`(
    calls(apply, "apply"),
  ),
  group`rollout: states that are applied in steps (arq apply --canary)`,
  command`rollout list: the latest rollout of each tenant, and those before
    --tenant <id>  only of this tenant ${tenant}
    ${ANSWER}

    $ arq rollout list
    $ arq rollout list --tenant acme`(
    asks({ route: "GET /v1/rollouts?tenant", text: from(rolloutTexts, "rolloutsText") }),
  ),
  command`rollout show: how far a tenant's rollout is, what it waits for, what was counted
    ${TENANT} ${ANSWER}

    $ arq rollout show --tenant acme`(asks({ route: `GET ${ONE}`, text })),
  ...ORDERS.map(([order, about, more]) =>
    command`rollout ${order}: ${about}
    ${TENANT} ${ANSWER}

    ${more}$ arq rollout ${order} --tenant acme`(asks({ route: `POST ${ONE}/${order}`, text }))
  ),
];
