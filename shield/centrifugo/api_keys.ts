/** The keys of Centrifugo's server API and their identities. The usual authorization applies to their holders. */
import { hash } from "node:crypto";
import type { ConfigReloading } from "../../shared/config/live/reload.ts";
import { ConfigError } from "../../shared/config/load.ts";
import type { Centrifugo } from "../../shared/config/automation/centrifugo.ts";
import { SECRET_CHARS_MIN } from "../../shared/config/automation/pusher.ts";
import { passwordIn, readSecret, SecretProblem } from "../../shared/process/secret_file.ts";
import { type Identity, tokenlessIdentity } from "../auth/identity.ts";
import { API_USER } from "./publications.ts";

/** Returns the identity of a key; undefined if the key is unknown. */
export type ApiKeys = (key: string) => Identity | undefined;

/** Reads the keys, also with each reload. Throws a ConfigError with the entry and the unusable file. */
export function readApiKeys(
  { api_keys }: Pick<Centrifugo, "api_keys">,
  read: (path: string) => string,
  reloading?: Pick<ConfigReloading, "onRead">,
): ApiKeys {
  const readAll = () => {
    // By digest: the time of a lookup reveals nothing about a key.
    const by_digest = new Map<string, Identity>();
    for (const [at, { tenant: tenant_id, key_file: path }] of api_keys.entries()) {
      const place = `centrifugo.api_keys[${at}]`;
      const digest = hash("sha256", readSecret(read, { key: `${place}.key_file`, path }, keyIn));
      if (by_digest.has(digest)) {
        const problem = "another entry has the same key; expected each once";
        throw new ConfigError("", [{ position: undefined, key: place, text: problem }]);
      }
      const who = { tenant_id, user_id: API_USER, issuer: "arqon:centrifugo" };
      by_digest.set(digest, tokenlessIdentity({ ...who, role: "service" }));
    }
    return by_digest;
  };
  let known = readAll();
  const renew = () => {
    const before = [...known.keys()];
    known = readAll();
    const changed = [...known.keys()].map((digest, at) => digest === before[at] ? -1 : at);
    return changed.filter((at) => at >= 0).map((at) => `centrifugo.api_keys[${at}].key_file`);
  };
  reloading?.onRead(() => Promise.resolve().then(renew));
  return (key) => known.get(hash("sha256", key));
}

function keyIn(text: string): string {
  const key = passwordIn(text);
  if (key.length >= SECRET_CHARS_MIN) return key;
  throw new SecretProblem(`is too short; expected at least ${SECRET_CHARS_MIN} characters`);
}
