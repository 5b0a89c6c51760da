/** The command line of `arq dev`; what its commands do is in `commands/dev/`, loaded when they run. */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { calls, examples } from "./options.ts";
import type { Run } from "./options.ts";

function port(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number <= 65_535) return number;
  throw new InvalidArgumentError("Expected a port from 0 to 65535; 0 picks a free one.");
}

function withBus(command: Command): Command {
  return command
    .option("--port <port>", "client port (default: 4000)", port)
    .option("--ops-port <port>", "metrics and health (default: 4001)", port)
    .option("--admin-port <port>", "admin API and console (default: 4002)", port)
    .option("--config <file>", "a config.toml; the development issuer is added to it")
    .option("--nats <url>", "a NATS server, 2.11 or newer with JetStream, as the Spine")
    .option(
      "--json",
      'print one line {"url","ops_url","admin_url","token","tenant"} when it is ready',
    );
}

function addUp(dev: Command, run: Run): void {
  withBus(dev.command("up"))
    .description(
      "start a bus in the background: the compose stack, or without Docker the embedded bus",
    )
    .option("--compose <file>", "another compose file than the one that comes with arq")
    .option("--embedded", "the embedded bus, also where Docker works")
    .option("--data-dir <dir>", "where the embedded bus keeps its state (default: .arqon/dev/data)")
    .addHelpText(
      "after",
      "\nThe stack has NATS, Valkey, Jaeger, Prometheus and Grafana beside Shield and Brain. It gets the" +
        "\npublic part of a key that is made here (.arqon/dev-key.json), and a context with its addresses" +
        "\nand that key: in this folder every command takes it, until arq dev down. --config, --nats and" +
        "\n--data-dir are the embedded bus's. ARQON_GRAFANA_PORT, ARQON_PROMETHEUS_PORT and" +
        "\nARQON_JAEGER_PORT in the environment choose the other ports of the stack, ARQON_VERSION its" +
        "\nimages. Where it runs, what it says and what it keeps is in .arqon/dev of this folder.\n" +
        examples("arq dev up", "arq dev up --embedded --port 4100 --ops-port 0 --admin-port 0"),
    )
    .action(run(calls(() => import("../../commands/dev/dev_up.ts"), "devUp")));
}

function addOthers(dev: Command, run: Run): void {
  dev.command("down")
    .description("end what arq dev up has started in this folder; its state stays")
    .option("--json", "print what has ended as JSON")
    .addHelpText("after", examples("arq dev down"))
    .action(
      run(async (io, flags) => (await import("../../commands/dev/dev_down.ts")).devDown(io, flags)),
    );
  dev.command("logs")
    .description("print what it says")
    .option("-f, --follow", "go on until it ends or Ctrl-C")
    .option("--json", 'one object {"line"} a line')
    .addHelpText("after", examples("arq dev logs", "arq dev logs -f | grep level=error"))
    .action(
      run(async (io, flags) => (await import("../../commands/dev/dev_show.ts")).devLogs(io, flags)),
    );
  dev.command("status")
    .description("say what runs here; exit code 1 when nothing does")
    .option("--json", "print it as JSON")
    .addHelpText("after", examples("arq dev status --json | jq -r .url"))
    .action(
      run(async (io, flags) =>
        (await import("../../commands/dev/dev_show.ts")).devStatus(io, flags)
      ),
    );
  dev.command("reset")
    .description("end it and forget all rooms, policies, bans and the log (Docker: the volumes)")
    .option("--yes", "do not ask")
    .option("--json", "print what has ended as JSON")
    .addHelpText("after", examples("arq dev reset --yes && arq dev up"))
    .action(
      run(async (io, flags) =>
        (await import("../../commands/dev/dev_down.ts")).devReset(io, flags)
      ),
    );
}

/** Adds `arq dev` and its commands. */
export function addDev(program: Command, run: Run): void {
  const dev = withBus(program.command("dev"))
    .description("run a development bus in the foreground, or in the background with up")
    .enablePositionalOptions()
    .option("--embedded", "Shield and Brain in this one process; the only way in the foreground")
    .option("--data-dir <dir>", "keep room state there (default: in memory)")
    .addOption(new Option("--background").hideHelp())
    .addHelpText(
      "after",
      "\nIt has a key of its own in .arqon of this folder, where other commands find it, and is never for" +
        "\nproduction: arq serve is. Logs go to stderr; the first Ctrl-C drains.\n" +
        examples("arq dev --embedded", "arq dev --port 0 --ops-port 0 --admin-port 0 --json"),
    )
    .action(run(async (io, flags) => {
      const { dev: serve } = await import("../../commands/dev/dev.ts");
      return await serve(io, flags);
    }));
  addUp(dev, run);
  addOthers(dev, run);
}
