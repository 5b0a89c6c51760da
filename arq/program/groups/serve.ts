/** The command line of `arq serve`; what it does is in `commands/dev/serve.ts`, loaded when it runs. */
import type { Command } from "commander";
import { calls, examples } from "./options.ts";
import type { Run } from "./options.ts";

/** Adds `arq serve`. */
export function addServe(program: Command, run: Run): void {
  program.command("serve")
    .description("run Shield and Brain in one process, from a configuration")
    .option("--config <file>", "the configuration (default: ./config.toml, as arq init writes it)")
    .option(
      "--json",
      'print one line {"node_id","url","ops_url","admin_url"} on stdout when ready',
    )
    .addHelpText(
      "after",
      "\nLogs go to stderr. Without [nats] the embedded Spine keeps everything in [server] data_dir, or in" +
        "\nmemory. Relative paths in the file begin in the folder in which you run this. The first SIGTERM or" +
        "\nCtrl-C drains ([server] drain_ms) and ends with 0, a second one ends at once. Other exit codes: 1" +
        "\ncould not start or not stop in time, 2 wrong configuration, 75 out of memory: start it again.\n" +
        examples(
          "arq serve",
          "arq serve --config config.toml",
          "arq serve --config /etc/arqon/config.toml --json",
        ),
    )
    .action(run(calls(() => import("../../commands/dev/serve.ts"), "serveCommand")));
}
