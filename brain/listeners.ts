/** The Brain's two HTTP listeners: ops (metrics, health) and admin. Neither is for clients or on the message path. */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";
import type { Env } from "../shared/env.ts";
import type { DoorLimits } from "../shared/http1/listener.ts";
import { openOperatorListener } from "../shared/listeners/operator_listener.ts";
import { type HealthReport, opsHandler } from "../shared/listeners/ops.ts";
import { type OpsToken, withOpsToken } from "../shared/listeners/ops_token.ts";
import { problemResponse } from "../shared/problem.ts";
import type { ReadFile } from "../shared/process/secret_file.ts";

/** The dependencies of the two listeners. */
export interface ListenerOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly config: Pick<Config, "ops" | "admin">;
  readonly read: ReadFile;
  /** The token that the ops listener requires; absent: none. */
  readonly token?: OpsToken | undefined;
  readonly health: () => HealthReport;
  /** Limits of connections; absent: the defaults of `listen`. */
  readonly limits?: DoorLimits;
  /**
   * Checks the admin token of a request; rejects with an ArqonError if it is invalid. Absent: tokens cannot be checked,
   * so the admin listener has no paths.
   */
  readonly authorizeAdmin?: (request: Request) => Promise<void>;
}

/** Both listeners, bound. */
export interface Listeners {
  readonly ops_url: string;
  readonly admin_url: string;
  /** Stops accepting connections and lets running requests end. */
  close(): Promise<void>;
}

type Handler = (request: Request) => Promise<Response>;

function adminHandler({ authorizeAdmin, health }: ListenerOptions): Handler {
  return async (request) => {
    const path = new URL(request.url).pathname;
    if (authorizeAdmin === undefined || path !== "/v1/status") {
      return problemResponse(new ArqonError("not-found", path));
    }
    try {
      await authorizeAdmin(request);
    } catch (cause) {
      const known = cause instanceof ArqonError;
      return problemResponse(known ? cause : new ArqonError("internal", "", { cause }));
    }
    if (request.method !== "GET") {
      const refusal = new ArqonError("method-not-allowed", request.method);
      return problemResponse(refusal, { allow: "GET" });
    }
    return Response.json({ component: "brain", ...health() });
  };
}

/** Opens both listeners. Rejects with ListenError if an address cannot be bound; then neither stays open. */
export async function startListeners(options: ListenerOptions): Promise<Listeners> {
  const { config, registry, read, log, now, limits } = options;
  const bounds = limits === undefined ? {} : { limits };
  const door = { part: "brain", config, read, registry, log, now, ...bounds } as const;
  const handler = withOpsToken(opsHandler(options), options.token);
  const ops = await openOperatorListener({ name: "ops", ...door, handler });
  try {
    const admin = await openOperatorListener({
      name: "admin",
      ...door,
      handler: adminHandler(options),
    });
    return {
      ops_url: ops.url,
      admin_url: admin.url,
      close: async () => {
        await Promise.all([ops.close(), admin.close()]);
      },
    };
  } catch (error) {
    await ops.close();
    throw error;
  }
}
