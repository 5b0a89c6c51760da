/** The command line of `arq doctor`; what it does is in `commands/cluster/doctor.ts`, loaded when it runs. */
import type { Command } from "commander";
import { calls, examples, withConnection, withOpsTokenFile } from "./options.ts";
import type { Run } from "./options.ts";

/** Adds `arq doctor`. */
export function addDoctor(program: Command, run: Run): void {
  withOpsTokenFile(withConnection(program.command("doctor")))
    .description("look at all that a bus on this machine needs, and say how to put it right")
    .option("--config <file>", "the configuration to look at (default: config.toml, if it is here)")
    .option("--json", "print the findings as JSON")
    .addHelpText(
      "after",
      "\nLooks at Deno, the configuration, the limit of open files, ports, NATS (version, JetStream, login)" +
        "\nor data_dir, keys and their permissions, TLS, the clock, and at the bus that commands take here." +
        "\nIt changes nothing, and prints no key, token or password. Exit code 1 when something fails;" +
        "\na warning does not. Paths in the configuration begin in this folder, as for a server.\n" +
        examples(
          "arq doctor",
          "arq doctor --config /etc/arqon/shield.toml",
          `arq doctor --context prod --json | jq '.findings[] | select(.status != "ok")'`,
        ),
    )
    .action(run(calls(() => import("../../commands/cluster/doctor.ts"), "doctor")));
}
