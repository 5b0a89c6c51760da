/**
 * The command of one Shield: this program again, with the flags of `deno task shield` and no permission that the
 * supervisor lacks.
 */
import { fileURLToPath } from "node:url";
import { namedFiles } from "../../shared/config/named_files.ts";
import type { Env } from "../../shared/env.ts";
import { denoCommand, isGranted, SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import type { IsGranted } from "../../shared/process/deno_command.ts";

/** What a Shield needs besides the configured paths. */
export interface CommandOptions extends Pick<Env, "config"> {
  readonly config_file: string;
  readonly program: string;
}

const LOOPBACK = "127.0.0.1";
const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  "https:": "443",
  "http:": "80",
  "nats:": "4222",
  "tls:": "4222",
  "redis:": "6379",
  "rediss:": "6379",
};

/** The program and its arguments, without those of the Shield itself. */
export function shieldCommand(
  options: CommandOptions,
  is_granted: IsGranted = isGranted,
): { program: string; args: string[] } {
  // A compiled program carries its flags and permissions.
  if (Deno.build.standalone) return { program: Deno.execPath(), args: [] };
  const program = denoCommand(is_granted);
  return {
    program,
    args: [
      "run",
      ...SERVER_FLAGS,
      "--ignore-env",
      `--allow-run=${program}`,
      ...allow(
        "net",
        is_granted({ name: "net" }),
        hosts(options),
        (host) => ({ name: "net", host }),
      ),
      ...allow("read", is_granted({ name: "read" }), files(options), readAt),
      options.program,
    ],
  };

  function allow<Place extends string>(
    name: string,
    all: boolean,
    places: readonly Place[],
    ask: (place: Place) => Deno.PermissionDescriptor,
  ): string[] {
    if (all) return [`--allow-${name}`];
    const given = places.filter((place) => is_granted(ask(place)));
    return given.length === 0 ? [] : [`--allow-${name}=${given.join(",")}`];
  }
}

function readAt(path: string): Deno.PermissionDescriptor {
  return { name: "read", path };
}

function hosts({ config }: CommandOptions): string[] {
  const { server, nats, auth, quota, telemetry } = config;
  const urls = [
    ...nats?.urls ?? [],
    ...auth.issuers.flatMap(({ jwks_url }) => jwks_url ?? []),
    ...quota === undefined ? [] : [quota.url],
    ...telemetry.otlp_url === undefined ? [] : [telemetry.otlp_url],
  ];
  const named = urls.map((url) => {
    const { hostname, port, protocol } = new URL(url);
    return `${hostname}:${port === "" ? DEFAULT_PORTS[protocol] : port}`;
  });
  const own = server.host.includes(":") ? `[${server.host}]` : server.host;
  return [...new Set([own, `${own}:${server.port}`, LOOPBACK, ...named])];
}

/** Files that a Shield reads, and the folder of the program for its policies' threads. */
function files({ config, config_file, program }: CommandOptions): string[] {
  const root = program.startsWith("file:") ? [fileURLToPath(new URL("..", program))] : [];
  const named = namedFiles(config).map(({ path }) => path);
  return [...new Set([config_file, ...named, ...root])];
}
