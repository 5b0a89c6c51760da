/**
 * The port of `/health` and `/metrics`. It is opened before a process loads or waits for anything, so that a probe gets
 * an answer from the first moment. `ops.ts` answers.
 */
import { openReserve, operatorLimits } from "./client_listener.ts";
import type { Config } from "../config/schema.ts";
import type { FileReserve } from "../http1/file_reserve.ts";
import type { Listener } from "./listen.ts";
import type { Env } from "../env.ts";
import { openOperatorListener, type OperatorListenOptions } from "./operator_listener.ts";
import { opsHandler } from "./ops.ts";
import { type OpsToken, withOpsToken } from "./ops_token.ts";
import type { ReadFile } from "../process/secret_file.ts";
import { Starting } from "./starting.ts";

/** What the port of operators is opened with. */
interface OpsPortOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly config: Pick<Config, "ops" | "admin" | "limits">;
  readonly read: ReadFile;
  /** The token that it requires; undefined: none. */
  readonly token: OpsToken | undefined;
  /** Called with the reason when the port has died and the process cannot continue. */
  readonly onGone: (detail: string) => void;
}

/** The open port. */
export interface OpsPort {
  readonly ops: Listener;
  readonly starting: Starting;
  /** The options for every other port of operators. */
  readonly door: Omit<OperatorListenOptions, "name" | "handler"> & {
    readonly reserve: FileReserve;
  };
}

/** Opens the port. Rejects as `openOperatorListener` does. */
export async function openOps(options: OpsPortOptions): Promise<OpsPort> {
  const { config, read, token, registry, log, now, onGone: end } = options;
  const starting = new Starting(now);
  starting.begin("loading the program");
  const onGone = ({ message }: Error) => end(`an operators' port has died: ${message}`);
  const reserve = openReserve(config.limits, log);
  const limits = operatorLimits(config.limits);
  const door = { config, read, registry, limits, reserve, log, now, onGone };
  const answer = opsHandler({ registry, health: starting.health, now, log });
  const handler = withOpsToken(answer, token);
  return { door, starting, ops: await openOperatorListener({ name: "ops", ...door, handler }) };
}
