/**
 * The Brain's two HTTP listeners: ops (metrics, health) and admin. Neither is for clients, and the
 * message path does not pass here.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";
import type { Registry } from "../shared/metrics.ts";
import type { FileReserve } from "../shared/http1/file_reserve.ts";
import type { DoorLimits } from "../shared/http1/listener.ts";
import { listen } from "../shared/listen.ts";
import type { Logger } from "../shared/log.ts";
import { opsHandler } from "../shared/ops.ts";
import type { HealthReport } from "../shared/ops.ts";
import { problemResponse } from "../shared/problem.ts";

/** What the listeners need. */
export interface ListenerOptions {
  readonly config: Record<"ops" | "admin", Pick<Config["ops"], "host" | "port">>;
  readonly registry: Registry;
  readonly health: () => HealthReport;
  /** Unix ms. */
  readonly now: () => number;
  readonly log?: Logger;
  /** Who may be there, and for how long; absent: as `listen` has it. */
  readonly limits?: DoorLimits;
  /** Given back when files run out; absent: there is none. */
  readonly reserve?: FileReserve;
  /**
   * Rejects with an ArqonError unless the request carries an admin token. Absent: there is nobody to
   * check tokens, so the admin listener has no path at all.
   */
  readonly authorizeAdmin?: (request: Request) => Promise<void>;
}

/** Both listeners, bound. */
export interface Listeners {
  readonly ops_url: string;
  readonly admin_url: string;
  /** Stops accepting and lets running requests end. */
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

/** Rejects with ListenError when an address cannot be bound; then none stays open. */
export async function startListeners(options: ListenerOptions): Promise<Listeners> {
  const { config } = options;
  const { log, limits, reserve } = options;
  const door = { log, reserve, ...(limits === undefined ? {} : { limits }) };
  const ops = listen({ name: "ops", ...config.ops, ...door, handler: opsHandler(options) });
  try {
    const admin = listen({
      name: "admin",
      ...config.admin,
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
