/** The command line of `arq standby …`; what a command does is in `commands/`, loaded when it runs. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { calls, examples } from "./options.ts";
import type { Run } from "./options.ts";

function domain(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("Expected a JetStream domain, as in the servers' configuration.");
}

const CONFIG = [
  "--config <file>",
  "a configuration with the [nats] of the second site (default: ./config.toml)",
] as const;

/** Adds `arq standby` and its commands. */
export function addStandby(program: Command, run: Run): void {
  const standby = program.command("standby").description(
    "keep a copy of a bus on the NATS of a second site, and work there when the first is gone",
  );
  standby.command("sync")
    .description(
      "make a mirror of every stream of the first site that has none yet; again and again",
    )
    .requiredOption("--domain <name>", "the JetStream domain of the first site", domain)
    .option(...CONFIG)
    .option("--json", "print what was done as JSON")
    .addHelpText(
      "after",
      "\nThe servers of the second site reach the first as a leaf node; they copy by themselves, and this" +
        "\nmakes the mirrors. New tenants' logs get theirs when it runs the next time: run it every minute.\n" +
        examples("arq standby sync --config site-b.toml --domain a"),
    )
    .action(run(calls(() => import("../../commands/backup/standby.ts"), "standbySync")));
  standby.command("status")
    .description("say how far each mirror is behind; 1 when there is none")
    .option(...CONFIG)
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\n" +
        examples("arq standby status --config site-b.toml --json | jq '[.mirrors[].lag] | max'"),
    )
    .action(run(calls(() => import("../../commands/backup/standby.ts"), "standbyStatus")));
  standby.command("promote")
    .description("make streams of the mirrors, so that a bus can work at the second site")
    .option(...CONFIG)
    .option("--json", "print what was done as JSON")
    .addHelpText(
      "after",
      "\nWhat the mirrors have not got is lost. The bus of the first" +
        "\nsite has to be down and to stay down: nobody checks that.\n" +
        examples("arq standby promote --config site-b.toml"),
    )
    .action(run(calls(() => import("../../commands/backup/standby.ts"), "standbyPromote")));
}
