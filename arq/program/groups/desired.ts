/** The command line of `arq export`, `plan` and `apply` as commander sees it. */
import type { Command } from "commander";
import { parseSeconds } from "../../bus/token.ts";
import { examples, id, value, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

/** Adds `arq export`, `arq plan` and `arq apply`. */
export function addDesired(program: Command, run: Run): void {
  withConnection(program.command("export"))
    .description("write what is in force for a tenant as a folder")
    .argument("<dir>", "the folder; it is made")
    .option("--tenant <id>", "tenant", id("tenant"), "default")
    .option("--force", "overwrite the files of an earlier export")
    .option("--json", "print what was written as JSON")
    .addHelpText(
      "after",
      "\nPolicies with their modules, the schemas that mappings name, mappings, room classes and mirror" +
        "\nrules, in TOML files that editors check by state.schema.json. The same state gives the same bytes.\n" +
        examples("arq export state --tenant acme", "arq export state --tenant acme --force"),
    )
    .action(run(async (io, flags, [folder]) => {
      const { exportState } = await import("../../commands/desired/export.ts");
      return await exportState(io, folder as string, flags);
    }));
  withConnection(program.command("plan"))
    .description("say what an apply of a folder would change; changes nothing")
    .argument("<dir>", "the folder")
    .option(
      "--since <time>",
      "repeat what the journal has of so long ago with each new module: 10m, 7d or seconds",
      value((text) => parseSeconds("--since", text)),
    )
    .option("--out <file>", "write the plan, with all that it needs, for arq apply")
    .option("--json", "print the plan as JSON")
    .addHelpText(
      "after",
      "\nExit code 0: nothing to do; 2: there are changes; 1: an error, also of the command line, or a" +
        "\nschema that may not be registered. A kind that no file has stays as it is. What was changed by" +
        "\nhand since the last apply is told.\n" +
        examples(
          "arq plan state",
          "arq plan state --since 7d --out plan.bin",
          "arq plan state --json | jq .changes",
        ),
    )
    .action(run(async (io, flags, [folder]) => {
      const { plan } = await import("../../commands/desired/plan.ts");
      return await plan(io, folder as string, flags);
    }));
  withConnection(program.command("apply"))
    .description("put a folder or a plan in force: all of it in one step, or nothing")
    .argument("<target>", "the folder, or a file that arq plan --out has written")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nWhen somebody else changed the tenant's state since the plan it is refused, and nothing has" +
        "\nchanged. Schemas are registered before the rest, and taken back when that is refused. No" +
        "\nconnection is touched. The same again does nothing.\n" +
        examples("arq apply state", "arq apply plan.bin"),
    )
    .action(run(async (io, flags, [target]) => {
      const { apply } = await import("../../commands/desired/apply.ts");
      return await apply(io, target as string, flags);
    }));
}
