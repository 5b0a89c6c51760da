/**
 * A compose file as the stand-in for `docker compose` reads it: variables, services, published ports and mounts. Only
 * what our compose.yaml uses; compose-go checks whether a file is well formed (`tasks/deploy/deploy_validate.ts`).
 */
import { dirname, join } from "node:path";
import { parse } from "yaml";

/** One service. */
export interface Service {
  readonly name: string;
  readonly command: readonly string[];
  /** Host path by path in the container. */
  readonly mounts: ReadonlyMap<string, string>;
  /** Port on the host by port in the container. */
  readonly ports: ReadonlyMap<number, number>;
  /** Whether Docker has a health check for it. */
  readonly is_checked: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

function interpolated(text: string, env: Environment): string {
  return text.replace(/\$\{(\w+):-([^}]*)\}/g, (_, name, usual) => env[name] || usual);
}

function mountsOf(volumes: readonly string[], folder: string, volumes_dir: string) {
  return new Map(volumes.map((volume) => {
    const [source = "", target = ""] = volume.split(":");
    if (source.startsWith("/")) return [target, source];
    return [target, join(source.startsWith(".") ? folder : volumes_dir, source)];
  }));
}

function portsOf(ports: readonly string[]): Map<number, number> {
  return new Map(ports.map((port) => {
    const [published, target] = port.split(":").slice(-2).map(Number);
    return [target ?? 0, published ?? 0];
  }));
}

/** The services of a compose file, by name. */
// deno-lint-ignore no-explicit-any
export function readServices(file: string, env: Environment): Record<string, any> {
  return parse(interpolated(Deno.readTextFileSync(file), env), { merge: true }).services;
}

/** The services that `up` starts. Named volumes are folders below `volumes_dir`. */
export function readModel(file: string, env: Environment, volumes_dir: string): Service[] {
  return Object.entries(readServices(file, env)).filter(([, { profiles }]) =>
    profiles === undefined
  )
    .map(([name, { command = [], volumes = [], ports = [], healthcheck }]) => ({
      name,
      command,
      mounts: mountsOf(volumes, dirname(file), volumes_dir),
      ports: portsOf(ports),
      is_checked: healthcheck !== undefined,
    }));
}

/** A mounted file's text, with the container's paths replaced by the host's, and other changes. */
export function mountedText(
  { name, mounts }: Service,
  target: string,
  changes: readonly (readonly [string, string])[],
): string {
  const source = mounts.get(target);
  if (source === undefined) throw new Error(`${name}: nothing is mounted at ${target}`);
  let text = Deno.readTextFileSync(source);
  for (const [from, to] of [...mounts, ...changes]) text = text.replaceAll(from, to);
  return text;
}
