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
    <dir>  the folder; it is created
    ${TENANT}
    --bus  the whole bus: its schemas, and a folder for each tenant with settings
    --force  overwrite the files of an earlier export
    --log <source>  also save this transparency log, below logs/: TENANT.ROOM, audit, journal@TENANT or
      usage@TENANT; repeatable ${EACH}
    --vkey <vkey>  required key of a log's signature; several: any of them (default: the bus's keys) ${EACH}
    --json  print what was written as JSON

    Policies with their modules, the schemas that mappings name, mappings, room classes, mirror rules,
    quotas, budgets, demands for signatures, hooks without their secrets, schedules and the modules of
    reducers, in TOML files that editors check by state.schema.json.
    The same state gives the same bytes. arq proof verify checks the saved logs, and needs no bus.
    $ arq export state --tenant acme
    $ arq export case-7 --tenant acme --log acme.bets-7 --log journal@acme
    $ arq export state --tenant acme --force
    $ arq export everything --bus`(calls(exportCommands, "exportState")),
  command`plan: print what an apply of a folder would change; changes nothing ${BUS}
    <dir>  the folder
    --since <time>  try the change on the journal of this long: 10m, 7d or seconds ${span}
    --out <file>  write the complete plan to a file for arq apply
    --json  print the plan as JSON

    Exit code 0: nothing to do; 2: there are changes; 1: an error, also of the command line, or a
    schema that may not be registered. Kinds without a file stay unchanged. It reports manual
    changes since the last apply, an active rollout, and how many stored messages would become
    unreadable.
    $ arq plan state
    $ arq plan state --since 7d --out plan.bin
    $ arq plan state --json | jq .changes`(calls(plan, "plan")),
  command`apply: apply a folder or a plan: atomically, or nothing ${BUS}
    <target>  the folder, or a file that arq plan --out has written
    --canary <share>  in steps, policies first for this share of the traffic ${canary}
    --for <time>  the least duration of each step: 10m, 1h or seconds (default: 10m) ${span}
    --abort-if <condition>  roll back if it holds: 'refused>0.1%'; repeatable; without one about
      faults also 'faults>1%' ${condition} ${EACH}
    --at-least <messages>  messages that each changed policy has to judge in each step (default: 100)
      ${positive("a number of messages", true, 1_000_000_000)}
    --allow-unreachable  apply even if stored messages become unreadable or are deleted: arq plan
      counts them
    --json  print the result as JSON

    If the tenant's state has changed since the plan, the apply is refused without any change.
    Schemas are stored before the step that puts everything in force. Connections stay open.
    Applying the same state again does nothing.

    An active rollout is part of the state: applying the previous state rolls it back, any other
    state is refused until it has ended. The secret of a new hook is printed once.

    With --canary new policies only observe at first, then decide for a growing share: the given one,
    10, 50 and 100 %. Old and new ones judge the same messages. The first condition that holds rolls
    back to the old state, with exit code 1. The bus continues without this terminal; Ctrl-C asks.
    Conditions are about ${METRICS.join(", ")}.
    $ arq apply state
    $ arq apply plan.bin
    $ arq apply state --canary 1% --for 10m --abort-if 'refused>0.1%' --abort-if 'fuel_p99>2x'`(
    calls(apply, "apply"),
  ),
  group`rollout: states that take effect in steps (arq apply --canary)`,
  command`rollout list: list the latest and earlier rollouts of each tenant
    --tenant <id>  only of this tenant ${tenant}
    ${ANSWER}

    $ arq rollout list
    $ arq rollout list --tenant acme`(
    asks({ route: "GET /v1/rollouts?tenant", text: from(rolloutTexts, "rolloutsText") }),
  ),
  command`rollout show: show the progress of a tenant's rollout, its conditions and counts
    ${TENANT} ${ANSWER}

    $ arq rollout show --tenant acme`(asks({ route: `GET ${ONE}`, text })),
  ...ORDERS.map(([order, about, more]) =>
    command`rollout ${order}: ${about}
    ${TENANT} ${ANSWER}

    ${more}$ arq rollout ${order} --tenant acme`(asks({ route: `POST ${ONE}/${order}`, text }))
  ),
];
