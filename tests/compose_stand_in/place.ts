/** Puts the stand-in for `docker` (`main.ts`) into a folder, and returns the environment that finds it. */
import { join } from "node:path";
import { deno, must } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { freePorts } from "../harness/free_ports.ts";

/**
 * The environment in which `docker` is the stand-in, which keeps its state below `base`; the stack's other ports are
 * free ones.
 */
export async function standInFor(base: string): Promise<Readonly<Record<string, string>>> {
  const bin = join(base, "bin");
  await Deno.mkdir(bin);
  const { denoDir } = JSON.parse((await deno(["info", "--json"])).stdout);
  const main = `${ROOT}tests/compose_stand_in/main.ts`;
  // The caller may have no cache and no network; its programs are this checkout's.
  const script = `#!/bin/sh
export DENO_DIR="${denoDir}"
unset HTTP_PROXY HTTPS_PROXY
exec "${Deno.execPath()}" run -A --quiet --config "${ROOT}deno.json" "${main}" "$@"
`;
  await Deno.writeTextFile(join(bin, "docker"), script, { mode: 0o755 });
  const [grafana = 0, prometheus = 0, jaeger = 0] = freePorts(3);
  // Tests cannot read the environment, but their children can.
  const { stdout: path } = await must("sh", ["-c", 'printf %s "$PATH"']);
  return {
    PATH: `${bin}:${path}`,
    STAND_IN_DIR: join(base, "stand-in"),
    ARQON_GRAFANA_PORT: String(grafana),
    ARQON_PROMETHEUS_PORT: String(prometheus),
    ARQON_JAEGER_PORT: String(jaeger),
  };
}
