/**
 * Which bus a command talks to and with which token: from its options, else from the running
 * development bus.
 */
import { connect, parseAddress } from "@arqon/sdk";
import type { Connection, Status } from "@arqon/sdk";
import { DEV_AUDIENCE, DEV_ISSUER, findDevBus } from "./dev_bus.ts";
import type { DevBus } from "./dev_bus.ts";
import { CommandError, EXIT, usageError } from "./exit.ts";
import { print, resolvePath } from "./io.ts";
import type { Io } from "./io.ts";
import { parsePrivateKey, signToken } from "./token.ts";
import type { Role } from "./token.ts";

/** The options that every command that talks to a bus has. */
export interface ConnectionFlags {
  readonly url?: string;
  readonly opsUrl?: string;
  readonly adminUrl?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

const DEV_USER = "dev";
/** Others than `DEV_USER`, so that whoever bans `dev` can still lift the ban. */
const devUser = (role: Role) => role === "service" ? "dev-service" : DEV_USER;
const DEV_TOKEN_SECONDS = 3_600;

function socketUrl(url: string): string {
  try {
    return parseAddress(url).socket_url;
  } catch (error) {
    throw usageError(`--url: ${error instanceof Error ? error.message : error}`);
  }
}

/** The token from `--token` or `--token-file`, if any. */
export async function givenToken(io: Io, flags: ConnectionFlags): Promise<string | undefined> {
  if (flags.token !== undefined && flags.tokenFile !== undefined) {
    throw usageError("--token and --token-file exclude each other");
  }
  if (flags.token !== undefined) return flags.token.trim();
  if (flags.tokenFile === undefined) return undefined;
  const path = resolvePath(io.cwd, flags.tokenFile);
  try {
    return new TextDecoder().decode(await io.files.read(path)).trim();
  } catch (error) {
    throw new CommandError(
      `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** The running development bus, or the one at `--url`. */
export async function devBus(io: Io, flags: ConnectionFlags): Promise<DevBus | undefined> {
  if (flags.url === undefined) return await findDevBus(io);
  const wanted = socketUrl(flags.url);
  return await findDevBus(io, (bus) => socketUrl(bus.url) === wanted);
}

/** A short-lived token of the development bus, made with its key. */
export async function devToken(io: Io, bus: DevBus, role: Role): Promise<string> {
  const text = new TextDecoder().decode(await io.files.read(bus.key_file));
  const claims = {
    issuer: bus.issuer === "" ? DEV_ISSUER : bus.issuer,
    audience: bus.audience === "" ? DEV_AUDIENCE : bus.audience,
    tenant: bus.tenant,
    user: devUser(role),
    role,
    grants: undefined,
    ttl_seconds: DEV_TOKEN_SECONDS,
  };
  return await signToken(parsePrivateKey(text, bus.key_file), claims, io.now());
}

/** Nothing was named and nothing was found. */
export function noBus(io: Io): CommandError {
  const looked = io.state_dirs.map((dir) => `${dir}/dev`).join(", ");
  return new CommandError(
    `no bus: no --url is given and no development bus runs (looked in ${looked})`,
    EXIT.unreachable,
    "start one with `deno task dev`, or give --url and --token",
  );
}

/**
 * Connects as the options say; `role` is that of a token made for a development bus. Trouble on the
 * way is told on stderr.
 */
export async function openConnection(
  io: Io,
  flags: ConnectionFlags,
  { role = "user", ...options }: { window?: number; role?: Role } = {},
): Promise<Connection> {
  const token = await givenToken(io, flags);
  const bus = flags.url === undefined || token === undefined ? await devBus(io, flags) : undefined;
  const url = flags.url ?? bus?.url;
  if (url === undefined) throw noBus(io);
  if (token === undefined && bus === undefined) {
    throw new CommandError(
      `no token for ${url}: it is not a running development bus`,
      EXIT.refused,
      "give --token or --token-file; arq auth gen makes tokens",
    );
  }
  const source = token === undefined && bus !== undefined
    ? { getToken: () => devToken(io, bus, role) }
    : { token: token ?? "" };
  return await connect({
    url: socketUrl(url),
    ...source,
    ...options,
    signal: io.signal,
    onStatus: statusReporter(io),
    onError: (error) =>
      void print(io.stderr, `arq: the bus says: ${error.message}\n`).catch(() => {}),
  });
}

/** Tells on stderr when the connection is lost and when it is back. */
function statusReporter(io: Io): (status: Status) => void {
  let lost = false;
  const tell = (text: string) => void print(io.stderr, text).catch(() => {});
  return (status) => {
    if (status.state === "waiting" && !lost) {
      lost = true;
      tell(`arq: ${status.error.message}; reconnecting\n`);
    } else if (status.state === "open" && lost) {
      lost = false;
      tell("arq: connected again\n");
    }
  };
}
