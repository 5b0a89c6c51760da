/** The command line of `arq init` and `arq serve`; what they do is in `commands/dev/`, loaded when it runs. */
import { Option } from "commander";
import type { Command } from "commander";
import { calls, examples, positive } from "./options.ts";
import type { Run } from "./options.ts";

const port = positive("a port from 1 to 65535", true, 65_535);

const portOption = (flag: string, what: string, preset: number) =>
  new Option(`${flag} <port>`, what).argParser(port).default(preset);

/** Adds `arq init`. */
export function addInit(program: Command, run: Run): void {
  program.command("init")
    .description("make a folder for a bus: configuration, keys, an example policy and schema")
    .argument("[dir]", "the folder (default: this one)")
    .option("--force", "write anew what nobody has changed since init wrote it; keep all else")
    .addOption(portOption("--port", "port of the clients in the configuration", 4_000))
    .addOption(portOption("--ops-port", "port of metrics and health", 4_001))
    .addOption(portOption("--admin-port", "port of the admin API", 4_002))
    .option("--name <name>", "name of the context (default: local, or local-2 …)")
    .option("--from-centrifugo <file>", "carry a Centrifugo server's configuration over (JSON)")
    .option("--no-context", "make no context; commands then need --url and --token")
    .option("--json", "print what was made as JSON")
    .addHelpText(
      "after",
      "\nNothing is written when the folder has a bus already; your README.md is kept, and .gitignore gets" +
        "\nthe lines that keep the private key out of a repository. The bus runs on the embedded Spine" +
        "\nand listens on this machine only. In the folder and below, commands without --url take the bus" +
        "\nof config.toml, by a context that signs tokens with the key in keys/ (arq context --help).\n" +
        examples(
          "arq init",
          "arq init my-bus",
          "arq init my-bus --port 5000 --json",
          "arq init my-bus --from-centrifugo config.json",
        ),
    )
    .action(run(calls(() => import("../../commands/dev/init.ts"), "init")));
}

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
