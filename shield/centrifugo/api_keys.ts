/** The keys of Centrifugo's server API and their identities. The usual authorization applies to their holders. */
import { hash } from "node:crypto";
import type { ConfigReloading } from "../../shared/config/live/reload.ts";
import { ConfigError } from "../../shared/config/load.ts";
import { type Centrifugo, SECRET_CHARS_MIN } from "../../shared/config/automation/pusher.ts";
import { passwordIn, readSecret, SecretProblem } from "../../shared/process/secret_file.ts";
import { type Identity, tokenlessIdentity } from "../auth/identity.ts";
import { API_USER } from "./publications.ts";

/** Returns the identity of a key; undefined if the key is unknown. */
export type ApiKeys = (key: string) => Identity | undefined;

const HOLDER = { user_id: API_USER, issuer: "arqon:centrifugo", role: "service" } as const;
const fileKey = (at: number) => `centrifugo.api_keys[${at}].key_file`;

/** Reads the keys, also with each reload. Throws a ConfigError with the entry and the unusable file. */
export function readApiKeys(
  { api_keys }: Pick<Centrifugo, "api_keys">,
  read: (path: string) => string,
  reloading?: Pick<ConfigReloading, "onRead">,
): ApiKeys {
  // By digest: the time of a lookup reveals nothing about a key.
  const readAll = () => {
    const by_digest = new Map<string, Identity>();
    for (const [at, { tenant: tenant_id, key_file: path }] of api_keys.entries()) {
      const digest = hash("sha256", readSecret(read, { key: fileKey(at), path }, keyIn));
      const text = "another entry has the same key; expected each once";
      const problem = { position: undefined, key: fileKey(at), text };
      if (by_digest.has(digest)) throw new ConfigError("", [problem]);
      by_digest.set(digest, tokenlessIdentity({ tenant_id, ...HOLDER }));
    }
    return by_digest;
  };
  let known = readAll();
  const renew = () => {
    const before = known;
    known = readAll();
    return [...known.keys()].flatMap((digest, at) => before.has(digest) ? [] : [fileKey(at)]);
  };
  reloading?.onRead(() => Promise.resolve().then(renew));
  return (key) => known.get(hash("sha256", key));
}

function keyIn(text: string): string {
  const key = passwordIn(text);
  if (key.length >= SECRET_CHARS_MIN) return key;
  throw new SecretProblem(`is too short; expected at least ${SECRET_CHARS_MIN} characters`);
}
