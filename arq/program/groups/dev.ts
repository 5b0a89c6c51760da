/** The commands `arq init` and `arq serve`, and those of `arq dev`. */
import { command, type Definition, HIDDEN, rows } from "./define.ts";
import { calls, positive, whole } from "./options.ts";

// A command is loaded when it runs.
const init = () => import("../../commands/dev/init.ts");
const dev = () => import("../../commands/dev/dev.ts");
const devUp = () => import("../../commands/dev/dev_up.ts");
const devDown = () => import("../../commands/dev/dev_down.ts");

const port = positive("a port from 1 to 65535", true, 65_535);
const anyPort = whole("a port from 0 to 65535; 0 picks a free one", 65_535);

const OWN_BUS = rows`
    --port <port>  client port (default: 4000) ${anyPort}
    --ops-port <port>  metrics and health (default: 4001) ${anyPort}
    --admin-port <port>  admin API and console (default: 4002) ${anyPort}
    --config <file>  a config.toml; the development issuer is added to it
    --nats <url>  a NATS server, 2.11 or newer with JetStream, as the Spine
    --json  print one line {"url","ops_url","admin_url","token","tenant"} when it is ready`;

/** `arq init` */
export const INIT: readonly Definition[] = [
  command`init: create a folder for a bus: configuration, keys, an example policy and schema
    [dir]  the folder (default: this one)
    --force  rewrite the files that are unchanged since init wrote them; keep all others
    --port <port>  port of the clients in the configuration ${port} ${{ is: 4_000 }}
    --ops-port <port>  port of metrics and health ${port} ${{ is: 4_001 }}
    --admin-port <port>  port of the admin API ${port} ${{ is: 4_002 }}
    --name <name>  name of the context (default: local, or local-2 …)
    --from-centrifugo <file>  convert a Centrifugo server's configuration (JSON, YAML or TOML)
    --no-context  create no context; commands then need --url and --token
    --json  print the created files as JSON

    Nothing is written if the folder already has a bus; your README.md is kept, and .gitignore gets
    the lines that keep the private key out of a repository. The bus runs on the embedded Spine
    and listens on this machine only. In the folder and below, commands without --url use the bus
    of config.toml, by a context that signs tokens with the key in keys/ (arq context --help).
    $ arq init
    $ arq init my-bus
    $ arq init my-bus --port 5000 --json
    $ arq init my-bus --from-centrifugo config.json`(calls(init, "init")),
];

/** `arq serve` */
export const SERVE: readonly Definition[] = [
  command`serve: run Shield and Brain in one process, from a configuration
    --config <file>  the configuration (default: ./config.toml, as arq init writes it)
    --json  print one line {"node_id","url","ops_url","admin_url"} on stdout when ready

    Logs go to stderr. Without [nats] the embedded Spine stores everything in [server] data_dir, or
    in memory. Relative paths in the file start at the current folder. The first SIGTERM or Ctrl-C
    drains ([server] drain_ms) and ends with 0, a second one ends at once. Other exit codes: 1 could
    not start or not stop in time, 2 invalid configuration, 75 out of memory: start it again.
    $ arq serve
    $ arq serve --config config.toml
    $ arq serve --config /etc/arqon/config.toml --json`(calls(dev, "serveCommand")),
];

/** `arq dev` */
export const DEV: readonly Definition[] = [
  command`dev: run a development bus in the foreground, or in the background with up
    ${OWN_BUS}
    --embedded  Shield and Brain in this one process; always so in the foreground
    --data-dir <dir>  store room state there (default: in memory)
    --background  ${HIDDEN}

    It has its own key in .arqon of this folder, where other commands find it. It is not for
    production: use arq serve. Logs go to stderr; the first Ctrl-C drains.
    $ arq dev --embedded
    $ arq dev --port 0 --ops-port 0 --admin-port 0 --json`(calls(dev, "dev")),
  command`dev up: start a bus in the background: the compose stack, or without Docker the embedded bus
    ${OWN_BUS}
    --compose <file>  a compose file instead of the one that comes with arq
    --embedded  the embedded bus, even if Docker works
    --data-dir <dir>  the state folder of the embedded bus (default: .arqon/dev/data)

    The stack has NATS, Valkey, Jaeger, Prometheus and Grafana besides Shield and Brain. It gets the
    public part of a new key (.arqon/dev-key.json), and a context with its addresses and that key:
    every command in this folder uses it, until arq dev down. --config, --nats and --data-dir are
    for the embedded bus. ARQON_GRAFANA_PORT, ARQON_PROMETHEUS_PORT and ARQON_JAEGER_PORT in the
    environment set the other ports of the stack, ARQON_VERSION its images. Its addresses, logs and
    data are in .arqon/dev of this folder.
    $ arq dev up
    $ arq dev up --embedded --port 4100 --ops-port 0 --admin-port 0`(calls(devUp, "devUp")),
  command`dev down: stop the bus that arq dev up has started in this folder; its state is kept
    --json  print the stopped bus as JSON

    $ arq dev down`(calls(devDown, "devDown")),
  command`dev logs: print the output of the bus
    -f, --follow  continue until it ends or Ctrl-C
    --json  one object {"line"} a line

    $ arq dev logs
    $ arq dev logs -f | grep level=error`(calls(devDown, "devLogs")),
  command`dev status: print the bus that runs here; 1: none
    --json  print it as JSON

    $ arq dev status --json | jq -r .url`(calls(devDown, "devStatus")),
  command`dev reset: stop it and delete all rooms, policies, bans and the log (Docker: the volumes)
    --yes  do not ask
    --json  print the stopped bus as JSON

    $ arq dev reset --yes && arq dev up`(calls(devDown, "devReset")),
];
