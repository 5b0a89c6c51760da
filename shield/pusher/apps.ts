/**
 * The apps of `[pusher]`, with their secrets, and the bus identities of their clients and backends. Grants, limits,
 * bans and policies apply to them as to every client.
 */
import { ArqonError } from "@arqon/proto";
import { SECRET_CHARS_MIN } from "../../shared/config/automation/pusher.ts";
import type { Pusher, PusherApp } from "../../shared/config/automation/pusher.ts";
import { passwordIn, readSecret, SecretProblem } from "../../shared/process/secret_file.ts";
import { type Identity, PUSHER_USER, type Tokenless, tokenlessIdentity } from "../auth/identity.ts";

/** The issuer of clients and backends. No token has this issuer. */
const ISSUER = "arqon:pusher";

/** An app with its secret. */
export interface App extends Omit<PusherApp, "secret_file"> {
  /** Another one once its file was read again. */
  secret: string;
}

/** The apps by id and by key. */
export interface Apps {
  readonly by_id: ReadonlyMap<string, App>;
  readonly by_key: ReadonlyMap<string, App>;
}

/** Reads the secrets. Throws a ConfigError with the key and the file that cannot be used. */
export function readApps({ apps }: Pusher, read: (path: string) => string): Apps {
  const known = apps.map(({ secret_file: path, ...app }, at): App => {
    const file = { key: `pusher.apps[${at}].secret_file`, path };
    return { ...app, secret: readSecret(read, file, secretIn) };
  });
  return {
    by_id: new Map(known.map((app) => [app.id, app])),
    by_key: new Map(known.map((app) => [app.key, app])),
  };
}

/** Reads the secrets again; returns the keys of those that have changed. Throws as `readApps`, then without changes. */
export function renewSecrets(
  { by_id }: Apps,
  pusher: Pusher,
  read: (path: string) => string,
): readonly string[] {
  const next = readApps(pusher, read).by_id;
  return pusher.apps.flatMap(({ id }, at) => {
    const app = by_id.get(id);
    const secret = next.get(id)?.secret;
    if (app === undefined || secret === undefined || app.secret === secret) return [];
    app.secret = secret;
    return [`pusher.apps[${at}].secret_file`];
  });
}

function secretIn(text: string): string {
  const secret = passwordIn(text);
  if (secret.length >= SECRET_CHARS_MIN) return secret;
  throw new SecretProblem(`is too short; expected at least ${SECRET_CHARS_MIN} characters`);
}

function identity(app: App, user: string, more: Pick<Tokenless, "role" | "grants">): Identity {
  const claims = { pusher_app: app.id };
  const user_id = `${PUSHER_USER}${user}`;
  return tokenlessIdentity({ tenant_id: app.tenant, user_id, issuer: ISSUER, claims, ...more });
}

/** The connection of a socket. */
export const connectionOf = (socket_id: string): string => `c${socket_id.replace(".", "-")}`;

/** The identity of a client. Each connection is a user of its own, in the rooms of its app. */
export function clientIdentity(app: App, socket_id: string): Identity {
  const room = `${app.room_prefix}*`;
  const publish = app.client_events ? ["publish" as const] : [];
  return identity(app, socket_id, {
    role: "user",
    grants: [{ room, actions: ["subscribe", "presence", ...publish] }],
  });
}

/** The user id of an app's backend. */
export const backendUser = ({ id }: Pick<App, "id">): string => `${PUSHER_USER}app:${id}`;

/** The identity of the app's backend. */
export function backendIdentity(app: App): Identity {
  const room = `${app.room_prefix}*`;
  return identity(app, backendUser(app).slice(PUSHER_USER.length), {
    role: "service",
    grants: [{ room, actions: ["publish", "presence"] }],
  });
}

/** The app of a path. Throws `not-found`. */
export function appOf(apps: Apps, id: string): App {
  const app = apps.by_id.get(id);
  if (app === undefined) throw new ArqonError("not-found", `there is no app ${JSON.stringify(id)}`);
  return app;
}
