/** The command line of `arq init`; what it does is in `commands/dev/init.ts`, loaded when it runs. */
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
    .option("--no-context", "make no context; commands then need --url and --token")
    .option("--json", "print what was made as JSON")
    .addHelpText(
      "after",
      "\nNothing is written when the folder has a bus already; your README.md is kept, and .gitignore gets" +
        "\nthe lines that keep the private key out of a repository. The bus runs on the embedded Spine" +
        "\nand listens on this machine only. In the folder and below, commands without --url take the bus" +
        "\nof config.toml, by a context that signs tokens with the key in keys/ (arq context --help).\n" +
        examples("arq init", "arq init my-bus", "arq init my-bus --port 5000 --json"),
    )
    .action(run(calls(() => import("../../commands/dev/init.ts"), "init")));
}
