/**
 * The real programs behind the services of compose.yaml, as processes that outlive the stand-in: nats-server, a Redis
 * or Valkey, our Brain and Shield from this checkout, Prometheus; each with the configuration that compose.yaml mounts.
 * Services without a program on this machine are not started.
 */
import { BRAIN_FLAGS, SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import { ensureNatsServer } from "../../tasks/nats_server.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { freePort } from "../harness/free_ports.ts";
import { mountedText, type Service } from "./model.ts";

/** A running service: its process, and its health address. */
export interface Started {
  readonly pid: number;
  /** An HTTP address, or `tcp://…` of one that answers PING. */
  readonly health_url: string;
  /** Addresses in the stack's network and their addresses on this machine. */
  readonly names: readonly (readonly [string, string])[];
}

/** The folder of a service's files, and the services started before it. */
export interface Place {
  readonly dir: string;
  readonly names: readonly (readonly [string, string])[];
}

/** Nobody listens there. */
const NOWHERE = "127.0.0.1:1";
const OTHERS = [["http://jaeger:4318", `http://${NOWHERE}`]] as const;

/** Starts a program whose output is the service's log, in its own session. */
function start({ dir }: Place, name: string, command: readonly string[]): number {
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      'log="$1"; shift; exec "$@" >>"$log" 2>&1',
      "sh",
      `${dir}/${name}.log`,
      ...command,
    ],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  child.unref();
  return child.pid;
}

function written({ dir }: Place, name: string, text: string): string {
  Deno.writeTextFileSync(`${dir}/${name}`, text);
  return `${dir}/${name}`;
}

async function nats(service: Service, place: Place): Promise<Started> {
  const port = freePort();
  const monitor = freePort();
  Deno.mkdirSync(service.mounts.get("/data") ?? "", { recursive: true });
  const text = mountedText(service, "/etc/nats/arqon.conf", [
    ["0.0.0.0:4222", `127.0.0.1:${port}`],
    ["0.0.0.0:8222", `127.0.0.1:${monitor}`],
  ]);
  const command = [await ensureNatsServer(), "--config", written(place, "nats.conf", text)];
  return {
    pid: start(place, service.name, command),
    health_url: `http://127.0.0.1:${monitor}/healthz?js-enabled-only=true`,
    names: [["nats:4222", `127.0.0.1:${port}`]],
  };
}

function valkey(service: Service, place: Place): Started {
  const port = freePort();
  const program = ["valkey-server", "redis-server"].find((name) => {
    const { success } = new Deno.Command("sh", { args: ["-c", `command -v ${name}`] }).outputSync();
    return success;
  });
  if (program === undefined) throw new Error("a Valkey or Redis server is needed");
  const own = ["--port", String(port), "--bind", "127.0.0.1"];
  return {
    pid: start(place, service.name, [program, ...own, ...service.command.slice(1)]),
    health_url: `tcp://127.0.0.1:${port}`,
    names: [["valkey:6379", `127.0.0.1:${port}`]],
  };
}

function server(part: "brain" | "shield", config: string, place: Place): number {
  const file = written(place, `${part}.toml`, config);
  const flags = part === "shield"
    ? [...SERVER_FLAGS, `--allow-run=${Deno.execPath()}`]
    : BRAIN_FLAGS;
  const common = ["--ignore-env", "--allow-net", "--allow-read"];
  const args = [...common, ...flags, `${ROOT}${part}/main.ts`, "--config", file];
  return start(place, part, [Deno.execPath(), "run", ...args]);
}

function brain(service: Service, place: Place): Started {
  const ops = freePort();
  const admin = freePort();
  const text = mountedText(service, "/etc/arqon/brain.toml", [
    ...place.names,
    ...OTHERS,
    ['[ops]\nhost = "0.0.0.0"\n', `[ops]\nport = ${ops}\n`],
  ]);
  return {
    pid: server("brain", `${text}\n[admin]\nport = ${admin}\n`, place),
    health_url: `http://127.0.0.1:${ops}/health/ready`,
    names: [["brain:4101", `127.0.0.1:${ops}`]],
  };
}

function shield(service: Service, place: Place): Started {
  const at = (port: number) => service.ports.get(port);
  const text = mountedText(service, "/etc/arqon/shield.toml", [
    ...place.names,
    ...OTHERS,
    ["[server]\n", `[server]\nhost = "127.0.0.1"\nport = ${at(4000)}\n`],
    ['[ops]\nhost = "0.0.0.0"\n', `[ops]\nport = ${at(4001)}\n`],
    ['[admin]\nhost = "0.0.0.0"\n', `[admin]\nport = ${at(4002)}\n`],
  ]);
  return {
    pid: server("shield", text, place),
    health_url: `http://127.0.0.1:${at(4001)}/health/ready`,
    names: [["shield:4001", `127.0.0.1:${at(4001)}`]],
  };
}

function prometheus(service: Service, place: Place): Started {
  const config = mountedText(service, "/etc/prometheus/prometheus.yml", place.names);
  const rules = [...service.mounts].filter(([target]) => /\/(rules|\w*alerts)\.yml$/.test(target));
  const text = rules.reduce(
    (before, [target, source]) =>
      before.replace(`- ${target.split("/").at(-1)}\n`, `- "${source}"\n`),
    config,
  );
  const address = `127.0.0.1:${service.ports.get(9090)}`;
  const args = [
    `--config.file=${written(place, "prometheus.yml", text)}`,
    `--storage.tsdb.path=${service.mounts.get("/prometheus")}`,
    `--web.listen-address=${address}`,
  ];
  return {
    pid: start(place, service.name, ["prometheus", ...args]),
    health_url: `http://${address}/-/ready`,
    names: [],
  };
}

/** By service, in the order in which they start. Jaeger, Grafana and the exporters are not on this machine. */
export const PROGRAMS: Readonly<
  Record<string, (service: Service, place: Place) => Started | Promise<Started>>
> = { nats, valkey, brain, shield, prometheus };
