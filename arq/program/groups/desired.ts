/** The command line of `arq export`, `plan`, `apply` and `rollout …` as commander sees it. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { METRICS, readCondition } from "../../../shared/rollout/condition.ts";
import { asks, from } from "./asks.ts";
import { calls, examples, id, percentage, positive, span, withConnection } from "./options.ts";
import { withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const rolloutTexts = () => import("../../desired/rollout_text.ts");

/** Reads the first share of a rollout. */
function canary(text: string): number {
  const share = percentage(text);
  if (share > 0) return share;
  throw new InvalidArgumentError("Expected more than nothing: 1%.");
}

/** Reads one condition, which comes to those before. */
function conditions(text: string, before: readonly string[] = []): readonly string[] {
  const read = readCondition(text);
  if ("problem" in read) throw new InvalidArgumentError(`\n${read.problem}`);
  return [...before, read.text];
}

/** Adds `arq export`, `arq plan`, `arq apply` and `arq rollout`. */
export function addDesired(program: Command, run: Run): void {
  addExport(program, run);
  addPlan(program, run);
  addApply(program, run);
  addRollout(program, run);
}

function addExport(program: Command, run: Run): void {
  withConnection(program.command("export"))
    .description("write what is in force for a tenant as a folder")
    .argument("<dir>", "the folder; it is made")
    .option("--tenant <id>", "tenant", id("tenant"), "default")
    .option(
      "--bus",
      "the whole bus: its schemas, and a folder for each tenant that has set anything",
    )
    .option("--force", "overwrite the files of an earlier export")
    .option("--json", "print what was written as JSON")
    .addHelpText(
      "after",
      "\nPolicies with their modules, the schemas that mappings name, mappings, room classes, mirror rules," +
        "\nquotas, budgets, demands for signatures, hooks without their secrets, schedules and the modules of" +
        "\nreducers, in TOML files that editors check by state.schema.json." +
        "\nThe same state gives the same bytes.\n" +
        examples(
          "arq export state --tenant acme",
          "arq export state --tenant acme --force",
          "arq export everything --bus",
        ),
    )
    .action(run(calls(() => import("../../commands/desired/export.ts"), "exportState")));
}

function addPlan(program: Command, run: Run): void {
  withConnection(program.command("plan"))
    .description("say what an apply of a folder would change; changes nothing")
    .argument("<dir>", "the folder")
    .option(
      "--since <time>",
      "hold policies and mappings against what the journal has of so long: 10m, 7d or seconds",
      span("--since"),
    )
    .option("--out <file>", "write the plan, with all that it needs, for arq apply")
    .option("--json", "print the plan as JSON")
    .addHelpText(
      "after",
      "\nExit code 0: nothing to do; 2: there are changes; 1: an error, also of the command line, or a" +
        "\nschema that may not be registered. A kind that no file has stays as it is. What was changed by" +
        "\nhand since the last apply is told, also a rollout under way, and how many stored messages could not be" +
        "\nread any more.\n" +
        examples(
          "arq plan state",
          "arq plan state --since 7d --out plan.bin",
          "arq plan state --json | jq .changes",
        ),
    )
    .action(run(calls(() => import("../../commands/desired/plan.ts"), "plan")));
}

function addApply(program: Command, run: Run): void {
  withConnection(program.command("apply"))
    .description("put a folder or a plan in force: all of it in one step, or nothing")
    .argument("<target>", "the folder, or a file that arq plan --out has written")
    .option("--canary <share>", "in steps, policies first for this share of the traffic", canary)
    .option(
      "--for <time>",
      "how long each step takes at least: 10m, 1h or seconds (default: 10m)",
      span("--for"),
    )
    .option(
      "--abort-if <condition>",
      "return when it holds: 'refused>0.1%'; repeatable",
      conditions,
    )
    .option(
      "--at-least <messages>",
      "what each changed policy has to judge at each step (default: 100)",
      positive("a number of messages", true, 1_000_000_000),
    )
    .option(
      "--allow-unreachable",
      "also when what is stored could not be read any more, or is deleted: arq plan counts it",
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nWhen somebody else changed the tenant's state since the plan it is refused, and nothing has" +
        "\nchanged. Schemas are stored before the step that puts all of it in force. No connection is" +
        "\ntouched. The same again does nothing." +
        "\n\nA rollout under way is part of the state: to apply the previous state takes it back, any other" +
        "\nstate is refused until it has ended. The secret of a new hook is printed once." +
        "\n\nWith --canary new policies only observe at first, then decide for a growing share: the given one," +
        "\n10, 50 and 100 %. Old and new judge the same messages. The first condition that holds puts the old" +
        "\nstate back in force; exit code 1. The bus carries it on without this terminal; Ctrl-C asks." +
        `\nConditions are about ${METRICS.join(", ")}.\n` +
        examples(
          "arq apply state",
          "arq apply plan.bin",
          "arq apply state --canary 1% --for 10m --abort-if 'refused>0.1%' --abort-if 'fuel_p99>2x'",
        ),
    )
    .action(run(calls(() => import("../../commands/desired/apply.ts"), "apply")));
}

const ORDERS = {
  pause: ["hold a rollout at its share", "\nIts conditions are still looked after.\n"],
  resume: ["let a rollout go on that was paused", "\nThe time of its step begins anew.\n"],
  abort: ["end a rollout: the old state is in force again", ""],
} as const;

function addRollout(program: Command, run: Run): void {
  const rollout = program.command("rollout")
    .description("states that are put in force in steps (arq apply --canary)");
  withConnection(rollout.command("list"))
    .description("the latest rollout of each tenant, and those before")
    .option("--tenant <id>", "only of this tenant", id("tenant"))
    .option("--json", "print the bus's answer as JSON")
    .addHelpText("after", examples("arq rollout list", "arq rollout list --tenant acme"))
    .action(
      run(asks({ route: "GET /v1/rollouts?tenant", text: from(rolloutTexts, "rolloutsText") })),
    );
  const ofTenant = (name: string) => withJson(withTenant(rollout.command(name)));
  const one = "/v1/rollouts/{tenant}";
  const text = from(rolloutTexts, "rolloutText");
  ofTenant("show")
    .description("how far a tenant's rollout is, what it waits for, what was counted")
    .addHelpText("after", examples("arq rollout show --tenant acme"))
    .action(run(asks({ route: `GET ${one}`, text })));
  for (const order of ["pause", "resume", "abort"] as const) {
    const [about, more] = ORDERS[order];
    ofTenant(order)
      .description(about)
      .addHelpText("after", more + examples(`arq rollout ${order} --tenant acme`))
      .action(run(asks({ route: `POST ${one}/${order}`, text })));
  }
}
