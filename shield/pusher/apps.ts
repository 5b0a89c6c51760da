/**
 * The apps of `[pusher]`, with their secrets, and who their clients and backends are on the bus. What they may do
 * in a room is then decided as for everybody: by grants, limits, bans and policies.
 */
import { ArqonError } from "@arqon/proto";
import type { Pusher, PusherApp } from "../../shared/config/automation/pusher.ts";
import type { Identity } from "../auth/identity.ts";

/** The issuer of clients and backends: no token has it. */
const ISSUER = "arqon:pusher";
const USER = "pusher:";

/** An app whose secret is known. */
export interface App extends Omit<PusherApp, "secret" | "secret_file"> {
  readonly secret: string;
}

/** The apps by id and by key. */
export interface Apps {
  readonly by_id: ReadonlyMap<string, App>;
  readonly by_key: ReadonlyMap<string, App>;
}

/** Reads the secrets. Throws with the name of the file that cannot be read, or says nothing. */
export function readApps({ apps }: Pusher, readTextFile: (path: string) => string): Apps {
  const read = apps.map(({ secret, secret_file = "", ...app }): App => {
    if (secret !== undefined) return { ...app, secret };
    const file = `[[pusher.apps]] ${app.id}: secret_file ${secret_file}`;
    let text: string;
    try {
      text = readTextFile(secret_file).trim();
    } catch (cause) {
      throw new Error(`${file} cannot be read`, { cause });
    }
    if (text.length < 16) throw new Error(`${file} has fewer than 16 characters`);
    return { ...app, secret: text };
  });
  return {
    by_id: new Map(read.map((app) => [app.id, app])),
    by_key: new Map(read.map((app) => [app.key, app])),
  };
}

function identity(app: App, user_id: string, more: Partial<Identity>): Identity {
  return {
    tenant_id: app.tenant,
    user_id,
    user_key: `${ISSUER}\n${user_id}`,
    role: "user",
    issuer: ISSUER,
    expires_ms: Number.MAX_SAFE_INTEGER,
    token_id: undefined,
    grants: undefined,
    signing_key: undefined,
    claims: { iss: ISSUER, sub: user_id, pusher_app: app.id },
    ...more,
  };
}

/** Who a client is: a user for each of its connections, in the rooms of its app. */
export function clientIdentity(app: App, socket_id: string): Identity {
  const room = `${app.room_prefix}*`;
  const publish = app.client_events ? ["publish" as const] : [];
  return identity(app, `${USER}${socket_id}`, {
    grants: [{ room, actions: ["subscribe", "presence", ...publish] }],
  });
}

/** Who the app's backend is. */
export function backendIdentity(app: App): Identity {
  const room = `${app.room_prefix}*`;
  return identity(app, `${USER}app:${app.id}`, {
    role: "service",
    grants: [{ room, actions: ["publish", "presence"] }],
  });
}

/** Whether a user of the bus is a client of an app. */
export const isPusherClient = (user_id: string): boolean => user_id.startsWith(USER);

/** The app of a path. Throws `not-found`. */
export function appOf(apps: Apps, id: string): App {
  const app = apps.by_id.get(id);
  if (app === undefined) throw new ArqonError("not-found", `there is no app ${JSON.stringify(id)}`);
  return app;
}
