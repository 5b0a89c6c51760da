/** The command line of `arq config …`; what a command does is in `commands/`, loaded when it runs. */
import type { Command } from "commander";
import { asks, from } from "./asks.ts";
import { calls, examples, id, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

const texts = () => import("../../answers/config_text.ts");

/** Adds `arq config` and its commands. */
export function addConfig(program: Command, run: Run): void {
  const config = program.command("config").description(
    "check a server's config.toml, look up its keys, and what of it is in force on a bus",
  );
  config.command("check")
    .description("say everything that is wrong with a configuration, with line and key")
    .argument("<file>", "the config.toml")
    .option("--json", "print it as JSON")
    .option(
      "--no-files",
      "for another machine: leave the files unopened that it names, and the limits here alone",
    )
    .addHelpText(
      "after",
      "\nThe same checks as a server's at its start, without starting one: keys, certificates and other" +
        "\nfiles that it names are opened, relative paths from this folder. Exit code 1 when something is" +
        "\nwrong. Ports, NATS and the machine are looked at by arq doctor.\n" +
        examples(
          "arq config check config.toml",
          "arq config check config.toml --json | jq .problems",
        ),
    )
    .action(run(calls(() => import("../../commands/setup/config.ts"), "configCheck")));
  config.command("explain")
    .description(
      "what a key or a table is: its meaning, type, default and bounds, and whether it is live",
    )
    .argument(
      "[key]",
      "auth.issuers.jwks_url, [limits], or a key's last part (default: all tables)",
    )
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nA key that does not exist is exit code 2, with those that are near.\n" +
        examples("arq config explain server.drain_ms", "arq config explain rooms --json"),
    )
    .action(run(calls(() => import("../../commands/setup/config.ts"), "configExplain")));
  config.command("schema")
    .description("print the JSON Schema of config.toml, for editors")
    .option("--json", "on one line")
    .addHelpText(
      "after",
      '\nAn editor checks a file while you type whose first line is "#:schema ./config.schema.json".\n' +
        examples("arq config schema > config.schema.json"),
    )
    .action(run(calls(() => import("../../commands/setup/config.ts"), "configSchema")));
  addLive(config, run);
}

/** The commands that ask the processes of a bus. */
function addLive(config: Command, run: Run): void {
  const ofNodes = (name: string) =>
    withConnection(config.command(name))
      .option("--node <id>", "only of this process (default: all)", id("node"))
      .option("--json", "print the bus's answer as JSON");
  ofNodes("show")
    .description("the live keys in force in each process, and what of its file is not")
    .addHelpText(
      "after",
      "\nFor operators. Nothing is read again, lists and secrets are not shown.\n" +
        examples("arq config show", "arq config show --node edge-1 --json | jq .configs"),
    )
    .action(run(asks({ route: "GET /v1/config?node", text: from(texts, "configText") })));
  ofNodes("reload")
    .description("have each process read its configuration again, as SIGHUP does")
    .addHelpText(
      "after",
      "\nFor operators. No connection is ended. A key that is not live is named: it needs a restart. A" +
        "\nfile with mistakes changes nothing; then, or when a process does not answer, exit code 1.\n" +
        examples("arq config reload", "arq config reload --node edge-1"),
    )
    .action(run(asks({
      route: "POST /v1/config/reload",
      body: "node_id=node",
      text: from(texts, "reloadedText"),
      code: from(texts, "reloadedExit"),
    })));
}
