/**
 * Measures what TLS adds to each kind of client sockets: handshakes at a constant rate, an echo, idle memory.
 */
import { runProgram } from "../measure/program.ts";
import { ROOT } from "../measure/scenario.ts";
import type { HandshakePlan, HandshakeReport } from "./sockets_handshake_child.ts";
import { echo, idle, readingOf } from "./sockets_load.ts";
import type { Load } from "./sockets_load.ts";
import { startBus } from "../measure/targets.ts";
import type { BusProcess } from "../measure/targets.ts";

/** The figures over TLS. */
export interface TlsFigures {
  /** Time from the first packet to WELCOME, counted from when the handshake should have begun. */
  readonly tls_handshake_p50_ms: number;
  readonly tls_handshake_p99_ms: number;
  /** Number of handshakes without WELCOME, which count as ten seconds. */
  readonly tls_handshakes_failed: number;
  /** CPU time of the whole bus for one handshake and the end of its connection. */
  readonly tls_handshake_cpu_us: number;
  readonly tls_echo_p99_ms: number;
  readonly tls_echo_cpu_us: number;
  readonly tls_idle_connection_bytes: number;
}

const CERTIFICATES = `${ROOT}/tests/tls`;
/** The whole process trusts the authority, since one that a client brings is parsed each time. */
const CLIENT_FLAGS = ["--allow-net", `--cert=${CERTIFICATES}/ca.pem`];

async function handshakes(bus: BusProcess, load: Load): Promise<HandshakeReport & { us: number }> {
  const { hostname, port } = new URL(bus.url);
  const door = { hostname, port: Number(port), ca: "" };
  const come = async (seconds: number) => {
    const plan: HandshakePlan = { door, token: bus.token, rate: load.handshakes, seconds };
    const args = [JSON.stringify(plan)];
    return await runProgram<HandshakeReport>(
      "bench/sockets/sockets_handshake_child.ts",
      CLIENT_FLAGS,
      args,
    );
  };
  // The first handshakes make the engine compile code, which does not count.
  await come(1);
  const before = await readingOf(bus);
  const report = await come(load.seconds);
  const cpu_seconds = (await readingOf(bus)).cpu_seconds - before.cpu_seconds;
  return { ...report, us: cpu_seconds * 1e6 / (report.open + report.failed) };
}

/** Measures over TLS with this configuration file. Memory and the rest each get a new process. */
export async function overTls(config_file: string, load: Load): Promise<TlsFigures> {
  const pair =
    `tls_cert = "${CERTIFICATES}/server.pem"\ntls_key = "${CERTIFICATES}/server_key.pem"`;
  const config = (await Deno.readTextFile(config_file)).replace("[server]", `[server]\n${pair}`);
  const file = await Deno.makeTempFile({ dir: `${ROOT}/.arqon`, suffix: ".toml" });
  await Deno.writeTextFile(file, config);
  const ca = await Deno.readTextFile(`${CERTIFICATES}/ca.pem`);
  try {
    const memory = await (async () => {
      await using bus = await startBus(file);
      return await idle(bus, load, { ca });
    })();
    await using bus = await startBus(file);
    const came = await handshakes(bus, load);
    const echoed = await echo(bus, load, { ca });
    return {
      tls_handshake_p50_ms: came.p50_ms,
      tls_handshake_p99_ms: came.p99_ms,
      tls_handshakes_failed: came.failed,
      tls_handshake_cpu_us: came.us,
      tls_echo_p99_ms: echoed.echo_p99_ms,
      tls_echo_cpu_us: echoed.echo_cpu_us,
      tls_idle_connection_bytes: memory.idle_connection_bytes,
    };
  } finally {
    await Deno.remove(file);
  }
}
