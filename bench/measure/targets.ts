/** The measured bus, in a separate process. */
import { importJWK, SignJWT } from "@panva/jose";
import { DEV_AUDIENCE, DEV_ISSUER } from "../../arq/bus/dev_bus.ts";
import { SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import { websocketLine } from "../../tests/harness/websocket_option.ts";
import { type Program, startProgram } from "./line_program.ts";
import { ROOT, UsageError } from "./scenario.ts";

/** The ready message of a dev bus; see `DevBusReady` in `arq/serve/dev_bus.ts`. */
export interface BusProcess extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  readonly token: string;
  readonly key_file: string;
}

/** A function that makes a token with these claims. */
export type TokenFor = (claims: Record<string, unknown>) => Promise<string>;

/** A function that makes tokens with the development key of a bus. */
export async function tokens({ key_file }: Pick<BusProcess, "key_file">): Promise<TokenFor> {
  const jwk = JSON.parse(await Deno.readTextFile(key_file));
  const key = await importJWK(jwk, "RS256");
  return (claims) =>
    new SignJWT({ iss: DEV_ISSUER, aud: DEV_AUDIENCE, sub: "bench", role: "user", ...claims })
      .setProtectedHeader({ alg: "RS256", kid: jwk.kid }).setExpirationTime("24h").sign(key);
}

/** The line of `[server]` for a kind of sockets; "": the default. Throws `UsageError`. */
export function socketLine(kind: string): string {
  try {
    return websocketLine(kind);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The default configuration of a bus. */
const BUS_CONFIG = `${ROOT}/bench/measure/bus.toml`;

/** Starts the program of the whole bus on the embedded Spine with these flags; it prints a line when it is ready. */
function busProgram(flags: readonly string[], config_file: string = BUS_CONFIG): Program {
  const state_dir = `${ROOT}/.arqon`;
  const options = { state_dir, port: 0, ops_port: 0, admin_port: 0, config_file };
  const allowed = [`run=${Deno.execPath()}`, "net", `read=${ROOT}`, `write=${state_dir}`];
  return startProgram("tasks/dev/dev_bus.ts", {
    flags: [
      ...flags,
      "--ignore-env",
      ...allowed.map((what) => `--allow-${what}`),
      // Comments of a configuration set constants.
      `--preload=${ROOT}/shared/config/testing/set_constants.ts`,
    ],
    args: [JSON.stringify(options)],
  });
}

/** Starts the whole bus as a process. */
export async function startBus(config_file?: string): Promise<BusProcess> {
  const program = busProgram(SERVER_FLAGS, config_file);
  const ready = await program.next<Record<string, string>>();
  const { url = "", ops_url = "", admin_url = "", token = "", key_file = "" } = ready;
  const end = () => program[Symbol.asyncDispose]();
  const { pid } = program;
  return { pid, url, ops_url, admin_url, token, key_file, [Symbol.asyncDispose]: end };
}

/** Starts a bus with this text as its configuration. */
export async function startConfigured(config: string): Promise<BusProcess> {
  // The file is below the root, where the bus has read permission.
  await Deno.mkdir(`${ROOT}/.arqon`, { recursive: true });
  const file = await Deno.makeTempFile({ dir: `${ROOT}/.arqon`, suffix: ".toml" });
  try {
    await Deno.writeTextFile(file, config);
    return await startBus(file);
  } finally {
    await Deno.remove(file);
  }
}
